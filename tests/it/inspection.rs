//! A TLS-inspecting proxy: always detected and reported, and accepted only where both ends allow it.

use devstream::net::tls::Trust;
use devstream::proto::join::JoinLink;
use devstream::proto::refusal::RefusalKind;

use crate::support::DEVICE;
use crate::support::certificates::NAME;
use crate::support::machine::Machine;
use crate::support::middlebox::Middlebox;
use crate::support::roles::{Hub, ServiceProxy};
use crate::support::targets::{Target, is_alive};

const ALLOWED: &str = "--allow-tls-inspection";

/// A hub behind an inspecting proxy, and machines that trust the proxy.
struct Fixture {
    middlebox: Middlebox,
    hub: Hub,
    device: Machine,
    laptop: Machine,
}

impl Fixture {
    fn new(arguments: &[&str]) -> Self {
        Self::removing(&[], arguments)
    }

    /// The proxy removes these header fields.
    fn removing(removed: &'static [&str], arguments: &[&str]) -> Self {
        let [machine, device, laptop] = [(); 3].map(|()| Machine::new());
        let hub = Hub::start_with(&machine, &[&["--hostname", NAME], arguments].concat());
        let link = hub.device_link(DEVICE);
        let pin = link.parse::<JoinLink>().unwrap().pin.unwrap();
        device.ask(&["join", &link]);
        laptop.ask(&["join", &hub.service_link("alice")]);
        let middlebox = Middlebox::start_removing(&machine, hub.port, &Trust::Pin(pin), removed);
        Self { middlebox, hub, device, laptop }
    }

    fn proxy_flags(&self) -> [String; 4] {
        let authority = self.middlebox.authority.clone();
        ["--hub".into(), self.middlebox.address(), "--ca".into(), authority]
    }

    /// Arguments for `ssh`.
    fn pipe(&self, more: &[&str]) -> (Option<i32>, String) {
        let way = self.proxy_flags();
        let way: Vec<_> = way.iter().map(String::as_str).collect();
        let finished = self.laptop.run(&[&["service-proxy", "--device", DEVICE, "--stdio"], &way[..], more].concat());
        (finished.code, finished.stderr)
    }
}

#[test]
fn inspection_is_refused_and_named_whatever_the_client_trusts() {
    let fixture = Fixture::new(&[]);
    let row = RefusalKind::TlsInspected.row();
    for more in [&[][..], &[ALLOWED]] {
        let (code, said) = fixture.pipe(more);
        assert_eq!(code, Some(row.exit.into()), "{said}");
        assert!(said.contains("inspects TLS") && said.contains(row.hint), "{said}");
        assert_eq!(said.contains("the hub does not allow it"), !more.is_empty(), "{said}");
    }
    let agent = fixture.device.start(
        &[&["device-agent", "--forward", "22"], &fixture.proxy_flags().each_ref().map(String::as_str)[..]].concat(),
    );
    agent.wait_line(row.sentence);
    // With the pin alone, the proxy does not even get to see the request.
    let pinned =
        fixture.laptop.run(&["service-proxy", "--device", DEVICE, "--stdio", "--hub", &fixture.middlebox.address()]);
    assert_eq!(pinned.code, Some(RefusalKind::CertificateNotTrusted.row().exit.into()), "{pinned:?}");
    assert!(pinned.stderr.contains("inspects TLS"), "{pinned:?}");
}

#[test]
fn inspection_allowed_at_both_ends_carries_streams() {
    let target = Target::echo();
    let fixture = Fixture::new(&[ALLOWED]);
    let (code, said) = fixture.pipe(&[]);
    assert_eq!(code, Some(RefusalKind::TlsInspected.row().exit.into()), "the hub alone: {said}");
    let way = fixture.proxy_flags();
    let [hub, address, ca, file] = way.each_ref().map(String::as_str);
    let forward = target.port.to_string();
    let agent = fixture.device.start(&["device-agent", "--forward", &forward, hub, address, ca, file, ALLOWED]);
    agent.wait_line("is online");
    let proxy = ServiceProxy::start_with(&fixture.laptop, DEVICE, "0", &[hub, address, ca, file, ALLOWED]);
    is_alive(&mut proxy.connect());
    assert_masked(&fixture.middlebox);
    // Joining works too, and direct connections are unaffected.
    Machine::new().ask(&["join", &through(&fixture.hub.service_link("bob"), &fixture), ca, file, ALLOWED]);
    is_alive(&mut ServiceProxy::start_with(&fixture.laptop, DEVICE, "0", &[ALLOWED]).connect());
}

#[test]
fn a_proxy_that_removes_upgrade_is_named_by_both_ends() {
    for removed in [&["upgrade: websocket\r\n", "connection: Upgrade\r\n"][..], &["connection: Upgrade\r\n"]] {
        let fixture = Fixture::removing(removed, &[ALLOWED]);
        let flags = fixture.proxy_flags();
        let flags = [&flags.each_ref().map(String::as_str)[..], &[ALLOWED]].concat();
        let row = RefusalKind::UpgradeRemoved.row();
        let agent = fixture.device.start(&[&["device-agent", "--forward", "22"], &flags[..]].concat());
        let line = agent.wait_line(row.sentence);
        assert!(line.contains("trying again"), "{line}");
        let checked = fixture.device.run(&[&["check"], &flags[..]].concat());
        assert_eq!(checked.code, Some(row.exit.into()), "{checked:?}");
        assert!(checked.stdout.contains(row.sentence) && checked.stdout.contains("nginx"), "{checked:?}");
        fixture.hub.process.wait_line("a WebSocket was requested without Upgrade");
    }
}

/// Asserts that all frames that the proxy reads are masked, though both ends offered unmasked frames before they
/// detected it.
fn assert_masked(middlebox: &Middlebox) {
    let (mut sockets, mut offers) = (0, 0);
    for read in middlebox.read() {
        let end = read.windows(4).position(|end| end == b"\r\n\r\n").expect("a request") + 4;
        let head = String::from_utf8_lossy(&read[..end]);
        if head.starts_with("GET /bridges/") || head.starts_with("GET /standby ") {
            offers += usize::from(head.contains(".unmasked"));
            if let [_, second, ..] = read[end..] {
                assert!(!head.contains(".unmasked"), "{head}");
                assert_eq!(second & 0x80, 0x80, "a frame without a mask, after {head}");
                sockets += 1;
            }
        }
    }
    assert!(sockets >= 2, "of {sockets} WebSockets of streams the middlebox has read frames");
    assert!(offers >= sockets, "{offers} offers");
}

/// The link with the proxy's address in place of the hub's.
fn through(link: &str, fixture: &Fixture) -> String {
    link.replace(&format!("{NAME}:{}", fixture.hub.port), &fixture.middlebox.address())
}
