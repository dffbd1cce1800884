//! What each thing that is seen on the way to a hub and a device means, and what to do about it.

use std::time::Duration;

use super::{ANOTHER_HUB, Finding, Hop, NOT_A_HUB, Verdict};
use crate::proto::id::StreamName;
use crate::proto::refusal::{Detail, Refusal, RefusalKind};
use crate::proto::timestamp::Timestamp;

const DAY: i64 = 24 * 60 * 60;

/// Clocks that differ by more than this are set wrong; what is less, the way of the answer and a drifting clock explain.
pub(super) const CLOCK_TOLERANCE: i64 = 5 * 60;

/// A server may wait for its client to speak first: after this it is taken for one that does.
const BANNER_TIMEOUT: Duration = Duration::from_secs(1);

/// One that must speak first has this long, also on a slow machine at the end of a slow line.
const EXPECTED_BANNER_TIMEOUT: Duration = Duration::from_secs(5);

/// Of what a target says first, more is of no use on one line.
const BANNER_CHARS: usize = 80;

/// Where more than one in so many characters cannot be shown, it is no text …
const TEXT_SHARE: usize = 4;

/// … and so many of its bytes are shown: by them, protocols are known.
const BANNER_HEX_BYTES: usize = 16;

/// The names under which servers are offered that speak first, with the ports of those that a forward names by its port.
const BANNER_SERVICES: [&str; 13] =
    ["ssh", "vnc", "ftp", "smtp", "imap", "pop3", "mysql", "21", "25", "110", "143", "587", "3306"];

/// What to do about a refusal that was met at this hop. The table's own advice is for whoever does not know where it was.
pub(super) fn advice(hop: Hop, refusal: &Refusal) -> String {
    let detail = refusal.detail.as_str();
    let is_dropped = detail.contains("no answer in");
    let next = match (hop, refusal.kind) {
        (Hop::Dns, RefusalKind::HubUnreachable) => {
            "is the name right, and does this network's DNS know it? --hub HOST:PORT names another"
        }
        (Hop::ProxyDns, RefusalKind::HubUnreachable) => {
            "is the proxy's name right? --via URL names another, and --via direct goes without"
        }
        (Hop::Tcp, RefusalKind::HubUnreachable) if is_dropped => {
            "what is sent there is dropped: by a firewall on the way, or because the address is wrong; networks let out \
             port 443 and their own proxy (--via) most often"
        }
        (Hop::Tcp, RefusalKind::HubUnreachable) if has_no_route(detail) => {
            "this machine has no way there: is it connected to a network, and does that carry IPv6 if the address is one?"
        }
        (Hop::Tcp, RefusalKind::HubUnreachable) => {
            "is the hub running, and listening on that address and port? --hub HOST:PORT names another"
        }
        (Hop::ProxyTcp, RefusalKind::HubUnreachable) => {
            "is the proxy running, and on that port? --via URL names another, and --via direct goes without"
        }
        (Hop::Proxy, RefusalKind::HubUnreachable) if detail.contains("answered 407") => {
            "--via-login FILE names the file with your USER:PASSWORD for this proxy"
        }
        (Hop::Proxy, RefusalKind::HubUnreachable) => {
            "whoever runs the proxy can let it open the way to the hub's name and port; --via URL names another"
        }
        (Hop::Tls, RefusalKind::HubUnreachable) => {
            "does a hub listen there, or something else? is TLS cut on the way, by a firewall or a load balancer?"
        }
        (Hop::Tls, RefusalKind::CertificateNotTrusted) if detail.contains(ANOTHER_HUB) => {
            "another hub answers there, or this one was set up anew: compare the pin with `devstream hub show` on the hub; \
             if it is yours, get a new join link and run `devstream join`"
        }
        (Hop::Tls, RefusalKind::CertificateNotTrusted) if detail.contains("not valid for name") => {
            "another server answers there, or the hub does not know that it is called so: start it with --hostname NAME"
        }
        (Hop::Authentication, RefusalKind::HubUnreachable) if detail.contains(NOT_A_HUB) => {
            "something else answers there, such as a web server in front of the hub, or the page where this network wants a \
             login: see what a browser shows there; --hub HOST:PORT names another"
        }
        (Hop::Device, RefusalKind::DeviceOffline) => {
            "is its agent running? there, `devstream check` tells what keeps it from the hub"
        }
        (Hop::Stream, RefusalKind::NotPermitted) => {
            "whoever runs the hub can let you have it: devstream hub service set NAME --stream NAME; \
             `devstream devices` shows what you may have"
        }
        (Hop::Stream, RefusalKind::PeerGone | RefusalKind::LostWhileOpening) => {
            "its target may have reset the connection at once, or the device lost its own to the hub: try again, and run \
             `devstream check` on the device"
        }
        (Hop::Hub, RefusalKind::HubUnreachable) => "start it with `devstream hub`; is --state-dir the one that it has?",
        (_, kind) => kind.row().hint,
    };
    next.to_owned()
}

/// Whether this is about addresses that nothing leads to, and none of them refused.
fn has_no_route(detail: &str) -> bool {
    let is_unreachable = ["unreachable", "No route to host"].iter().any(|text| detail.contains(text));
    is_unreachable && !detail.contains("refused")
}

/// Where a request for a stream failed, by what it was refused with. That the hub is there, and knows who asks, was seen
/// before.
pub fn hop_of(kind: RefusalKind) -> Hop {
    const DEVICE: [RefusalKind; 2] = [RefusalKind::UnknownDevice, RefusalKind::DeviceOffline];
    const TARGET: [RefusalKind; 3] =
        [RefusalKind::TargetRefused, RefusalKind::TargetUnreachable, RefusalKind::TargetTimedOut];
    if DEVICE.contains(&kind) {
        Hop::Device
    } else if TARGET.contains(&kind) {
        Hop::Target
    } else {
        Hop::Stream
    }
}

/// Whether this machine's clock and the hub's agree.
pub fn compare_clocks(here: Timestamp, there: Timestamp) -> Finding {
    let finding = Finding::good(Hop::Clock, here).fact("hub", there);
    match difference(here, there) {
        None => finding,
        Some(difference) => finding.with_verdict(Verdict::Warning {
            cause: format!("this machine's clock is {difference} the hub's"),
            advice:
                "set the one that is wrong, for example with `timedatectl set-ntp true`; certificates are good for a \
                     time, and logs are read by it"
                    .into(),
        }),
    }
}

/// What it means that the hub's certificate is not valid by this machine's clock; `there` is the hub's, if it told.
pub fn expired_certificate(refusal: &Refusal, here: Timestamp, there: Option<Timestamp>) -> Verdict {
    let with = |what: String, advice: &str| {
        let detail = format!("{what}: {}", refusal.detail.as_str());
        Verdict::because(&Refusal::new(refusal.kind, detail), advice.to_owned())
    };
    match there.map(|there| difference(here, there)) {
        Some(Some(difference)) => with(
            format!("this machine's clock is {difference} the hub's"),
            "set the one that is wrong, for example with `timedatectl set-ntp true`",
        ),
        Some(None) => with(
            "by the hub's clock too".into(),
            "whoever runs the hub must renew its certificate; `devstream hub check` there says more",
        ),
        None => Verdict::because(refusal, refusal.kind.row().hint.to_owned()),
    }
}

/// By how much, and in which direction, if it is more than can be explained.
fn difference(here: Timestamp, there: Timestamp) -> Option<String> {
    let off = here.0.saturating_sub(there.0);
    let direction = if off < 0 { "behind" } else { "ahead of" };
    let amount = match off.saturating_abs() {
        ..=CLOCK_TOLERANCE => return None,
        seconds if seconds < 2 * DAY => format!("{} minutes", seconds / 60),
        seconds => format!("{} days", seconds / DAY),
    };
    Some(format!("{amount} {direction}"))
}

/// What a target did within its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Banner {
    /// It said this first.
    Received(Vec<u8>),
    /// It said nothing.
    Silent,
    /// It ended the connection without a word.
    Closed,
}

/// How long a target of this name may take for its first word.
pub fn banner_timeout(name: Option<&StreamName>) -> Duration {
    if sends_banner(name) { EXPECTED_BANNER_TIMEOUT } else { BANNER_TIMEOUT }
}

fn sends_banner(name: Option<&StreamName>) -> bool {
    name.is_some_and(|name| BANNER_SERVICES.contains(&name.as_str()))
}

/// What that means.
pub fn judge_banner(at: &str, name: Option<&StreamName>, banner: &Banner) -> Finding {
    let finding = Finding::good(Hop::Target, at);
    let seconds = banner_timeout(name).as_secs();
    let failed = |kind, what: String| Finding::failed(Hop::Target, at, &Refusal::new(kind, what));
    match banner {
        Banner::Received(bytes) => finding.fact("says", banner_text(bytes)),
        Banner::Silent if sends_banner(name) => failed(
            RefusalKind::TargetTimedOut,
            format!("it took the connection and said nothing in {seconds} s, though such servers speak first"),
        ),
        Banner::Silent => {
            finding.fact("says", format!("nothing in {seconds} s, as servers do that wait for the client"))
        }
        Banner::Closed => {
            failed(RefusalKind::TargetRefused, "it took the connection, and ended it without a word".into())
        }
    }
}

/// The first line that has something in it, without what a terminal would act on; of what is no text the first bytes.
fn banner_text(bytes: &[u8]) -> String {
    let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let line = bytes.split(is_break).find(|line| !line.is_empty()).unwrap_or_default();
    let text: String = String::from_utf8_lossy(line).chars().take(BANNER_CHARS).collect();
    let shown = Detail::from(text.as_str());
    let lost = shown.as_str().chars().filter(|c| *c == char::REPLACEMENT_CHARACTER).count();
    if lost * TEXT_SHARE <= text.chars().count() {
        return shown.as_str().to_owned();
    }
    let some: Vec<_> = bytes.iter().take(BANNER_HEX_BYTES).map(|byte| format!("{byte:02x}")).collect();
    format!("no text: {} ...", some.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(1_800_000_000);

    #[test]
    fn clocks_that_differ_are_odd_and_it_is_said_by_how_much() {
        for (here, expected) in [
            (NOON, None),
            (NOON.after(Duration::from_secs(300)), None),
            (NOON.after(Duration::from_secs(360)), Some("6 minutes ahead of the hub's")),
            (NOON.before(Duration::from_secs(400 * DAY as u64)), Some("400 days behind the hub's")),
        ] {
            let cause = match compare_clocks(here, NOON).verdict {
                Verdict::Warning { cause, .. } => Some(cause),
                Verdict::Good | Verdict::Failed { .. } => None,
            };
            assert_eq!(cause.is_some(), expected.is_some(), "{cause:?}");
            assert!(expected.is_none_or(|expected| cause.is_some_and(|cause| cause.contains(expected))));
        }
    }

    #[test]
    fn a_certificate_that_is_over_and_a_clock_that_is_wrong_are_told_apart() {
        let refusal = Refusal::new(RefusalKind::ClockOrInspection, "certificate expired");
        let verdict = |there| match expired_certificate(&refusal, NOON, there) {
            Verdict::Failed { cause, advice, .. } => cause + &advice,
            Verdict::Good | Verdict::Warning { .. } => panic!("a certificate that is over is no oddity"),
        };
        assert!(verdict(Some(NOON)).contains("by the hub's clock too") && verdict(Some(NOON)).contains("renew"));
        let other = verdict(Some(NOON.before(Duration::from_secs(365 * DAY as u64))));
        assert!(other.contains("365 days ahead of the hub's") && other.contains("timedatectl"), "{other}");
        assert!(verdict(None).contains(RefusalKind::ClockOrInspection.row().hint));
    }

    #[test]
    fn who_is_silent_has_failed_only_where_such_servers_speak_first() {
        let (ssh, web) = ("ssh".parse().unwrap(), "web".parse().unwrap());
        let is_good = |name, banner| judge_banner("x", name, &banner).verdict == Verdict::Good;
        assert!(!is_good(Some(&ssh), Banner::Silent) && is_good(Some(&web), Banner::Silent));
        assert!(is_good(None, Banner::Silent) && !is_good(None, Banner::Closed));
        assert!(banner_timeout(Some(&ssh)) > banner_timeout(Some(&web)));
        let finding = judge_banner("x", Some(&ssh), &Banner::Received(b"SSH-2.0-x\x1b[2J\r\nmore".to_vec()));
        assert_eq!(finding.facts["says"], "SSH-2.0-x\u{fffd}[2J");
    }

    #[test]
    fn of_what_a_target_says_first_a_person_reads_what_helps() {
        let says = |bytes: &[u8]| banner_text(bytes);
        assert_eq!(says(b"\r\n\nhello\r\n"), "hello");
        assert_eq!(says(b"\r\n"), "");
        assert_eq!(says(&[b'x'; 512]), "x".repeat(BANNER_CHARS));
        assert_eq!(says("größer".as_bytes()), "größer");
        assert_eq!(says(b"\xff\xfd\x18\xff"), "no text: ff fd 18 ff ...");
        assert_eq!(says(&[0; 512]), format!("no text: {}...", "00 ".repeat(BANNER_HEX_BYTES)));
        assert!(!says(b"\x1b[2J\xc2\x9b31mred").contains(char::is_control));
    }

    #[test]
    fn advice_fits_the_hop_and_the_cause() {
        let unreachable = |detail| Refusal::new(RefusalKind::HubUnreachable, detail);
        let other = |detail| Refusal::new(RefusalKind::CertificateNotTrusted, detail);
        for (hop, refusal, words) in [
            (Hop::Dns, unreachable("cannot resolve x"), "DNS"),
            (Hop::Tcp, unreachable("x: no answer in 6 s"), "dropped"),
            (Hop::Tcp, unreachable("x: Connection refused"), "is the hub running"),
            (Hop::Tcp, unreachable("x at 10.0.0.1: Network is unreachable"), "no way there"),
            (
                Hop::Tcp,
                unreachable("x at [::1]: Network is unreachable; at 1: Connection refused"),
                "is the hub running",
            ),
            (Hop::Authentication, unreachable(NOT_A_HUB), "see what a browser shows"),
            (Hop::Stream, RefusalKind::NotPermitted.into(), "devstream hub service set"),
            (Hop::Stream, RefusalKind::PeerGone.into(), "on the device"),
            (Hop::ProxyTcp, unreachable("x: Connection refused"), "is the proxy running"),
            (Hop::Proxy, unreachable("answered 407"), "--via-login"),
            (Hop::Proxy, unreachable("answered 403"), "whoever runs the proxy"),
            (Hop::Tls, other(ANOTHER_HUB), "set up anew"),
            (Hop::Tls, other("signed by 'Inspector'"), "inspects TLS"),
            (Hop::Tls, other("certificate not valid for name"), "--hostname"),
            (Hop::Stream, RefusalKind::StreamNotOffered.into(), RefusalKind::StreamNotOffered.row().hint),
        ] {
            assert!(advice(hop, &refusal).contains(words), "{hop:?} {refusal:?}: {}", advice(hop, &refusal));
        }
    }
}
