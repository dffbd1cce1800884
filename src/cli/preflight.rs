//! What a role checks once at its start: warnings that would otherwise come with the first connection.
//!
//! In: a device-agent's forwards, or a proxy's device and streams. Out: warnings. The role runs meanwhile, and nothing
//! depends on the result.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::pending;
use std::io::IsTerminal as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::anyhow;
use tokio::time::{sleep, timeout};

use super::output::advice::Advice;
use super::{Failure, output};
use crate::agent;
use crate::net::client::{ClientFactory, response_refusal};
use crate::proto::admin::{DeviceStatus, NOT_JOINED_YET, Presence, disabled_at_the_hub};
use crate::proto::forward::{Forward, HostPort};
use crate::proto::id::{DeviceId, StreamName};
use crate::proto::limits::FORWARDS_PER_DEVICE;
use crate::proto::message::DeadTarget;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proxy;
use crate::proxy::devices::request_devices;

/// Runs a role and beside it what it checks at its start, which ends with it at the latest.
pub(super) async fn beside<R>(check: impl Future<Output = ()>, role: impl Future<Output = R>) -> R {
    let check = async {
        check.await;
        pending::<Infallible>().await
    };
    tokio::select! {
        done = role => done,
        never = check => match never {},
    }
}

/// Fails if a device cannot have these forwards together.
pub(super) fn ensure_distinct(forwards: &[Forward]) -> Result<(), Failure> {
    let mut names: Vec<_> = forwards.iter().map(|forward| &forward.name).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        let advice = format!("two forwards have the name {}; give them different ones: --forward NAME=PORT", twice[0]);
        return Err(Failure::Usage(anyhow!(advice)));
    }
    if names.len() > FORWARDS_PER_DEVICE {
        let advice = format!("{} forwards are more than the limit of {FORWARDS_PER_DEVICE}", names.len());
        return Err(Failure::Usage(anyhow!(advice)));
    }
    Ok(())
}

/// Warns about an accept command that cannot be run, as far as its path shows that.
#[cfg(unix)]
pub(super) fn check_accept_command(command: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let program = command.split_whitespace().next().filter(|word| word.starts_with('/'));
    let Some(program) = program.filter(|word| !word.contains(|c: char| "'\"\\$`;&|<>(){}*?[]~".contains(c))) else {
        return;
    };
    let why = match std::fs::metadata(program) {
        Ok(found) if found.permissions().mode() & 0o111 == 0 => "it is not executable".to_owned(),
        Ok(_) => return,
        Err(error) => error.to_string(),
    };
    tracing::warn!(target: "device-agent", "--accept-command: cannot run {program}: {why}; every stream will be refused");
}

/// The shell of Windows finds programs by other rules.
#[cfg(not(unix))]
pub(super) fn check_accept_command(_: &str) {}

/// Warns about a forward whose target does not answer at the agent's start, and says when it does.
pub(super) fn on_target_event(event: &agent::Event) {
    match event {
        agent::Event::TargetDead(forward, refusal) => {
            if let Some(warning) = target_warning(forward, refusal) {
                tracing::warn!(target: "device-agent", "forward {}: {warning}", forward.name);
            }
        }
        agent::Event::TargetAnswers(Forward { name, host, port, .. }) => {
            let target = HostPort(host, *port);
            tracing::info!(target: "device-agent", "forward {name}: {target} answers now");
        }
        agent::Event::Online
        | agent::Event::Offline(_)
        | agent::Event::StreamRequested(..)
        | agent::Event::StreamClosed(_) => {}
    }
}

/// Words a failed probe of a target; none if it says nothing about the target.
fn target_warning(forward: &Forward, refusal: &Refusal) -> Option<String> {
    let Forward { host, port, .. } = forward;
    let meant = match host.parse::<IpAddr>() {
        Err(_) if !host.contains('.') && host != "localhost" && forward.has_default_name() => {
            format!("; did you mean --forward {host}={port}?")
        }
        _ => String::new(),
    };
    if refusal.kind == RefusalKind::DeviceBusy {
        return None;
    }
    if refusal.kind == RefusalKind::TargetRefused {
        let target = HostPort(host, *port);
        return Some(format!(
            "nothing listens on {target} (connection refused); streams to it will be refused until it does{meant}"
        ));
    }
    Some(format!("{}; streams to it will be refused until it can{meant}", refusal.message()))
}

/// The limit on an answer that a command waits for: a person waits too.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// What a proxy asks its hub about.
pub(super) struct DeviceCheck {
    /// The subcommand.
    pub(super) role: &'static str,
    /// Creates clients of the hub.
    pub(super) client_factory: ClientFactory,
    /// The next steps that fit the command.
    pub(super) advice: Advice,
    /// The device.
    pub(super) device: DeviceId,
    /// Its streams are not encrypted end to end.
    pub(super) plain: bool,
    /// The local ports, and the streams that they open; none opens the device's first forward.
    pub(super) streams: Vec<(SocketAddr, Option<StreamName>)>,
}

impl DeviceCheck {
    /// Asks the hub about the device, and warns if its streams would be refused now.
    pub(super) async fn run(self) {
        if let Err(refusal) = self.ensure_plain_is_accepted().await {
            return self.warn(&refusal.with_hint());
        }
        match self.devices().await {
            Ok(Some(devices)) => {
                let refusals = self.judge(&devices);
                refusals
                    .iter()
                    .for_each(|(id, refusal)| self.warn(&format!("{id}: {}", self.advice.describe(refusal))));
                self.dead_targets(&devices).iter().for_each(|warning| self.warn(warning));
            }
            // An older hub may not answer this.
            Ok(None) => {}
            Err(refusal) => self.warn(&format!("{}: {}", self.device, refusal.with_hint())),
        }
    }

    /// Asks the hub before anything depends on the device, and fails if its streams would be refused. Returns whether
    /// they would not: the hub may not answer in time, and the device have time to come online.
    pub(super) async fn ask(&self) -> Result<bool, Refusal> {
        let Ok(Ok(Some(devices))) = timeout(ASK_TIMEOUT, self.devices()).await else { return Ok(false) };
        match self.judge(&devices).into_iter().next() {
            Some((_, refusal)) if refusal.kind == RefusalKind::DeviceOffline && self.advice.wait_is_chosen => Ok(false),
            Some((_, refusal)) => Err(refusal),
            None => {
                self.dead_targets(&devices).iter().for_each(|warning| self.warn(warning));
                Ok(true)
            }
        }
    }

    /// Fails if this machine sends the device no stream that is not encrypted end to end. Why there is no client is said
    /// by what asks the hub.
    async fn ensure_plain_is_accepted(&self) -> Result<(), Refusal> {
        match self.client_factory.client().await {
            Ok(client) if self.plain => proxy::ensure_plain_is_accepted(&client, &self.device),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// The devices in reach of the service; none if the hub does not list them.
    async fn devices(&self) -> Result<Option<Vec<DeviceStatus>>, Refusal> {
        let client = self.client_factory.client().await?;
        let response = Box::pin(request_devices(&client)).await?;
        if response.status().is_success() {
            return Ok(serde_json::from_slice(response.body()).ok());
        }
        match response_refusal(&response).of(client.principal()) {
            refusal if concerns_identity(refusal.kind) => Err(refusal),
            _ => Ok(None),
        }
    }

    /// Returns what the hub would refuse now, with the device.
    fn judge(&self, devices: &[DeviceStatus]) -> Vec<(DeviceId, Refusal)> {
        let found = self.find(devices);
        let Some(DeviceStatus { id, last_seen, online, joined, ending, disabled }) = found else {
            return vec![(self.device.clone(), RefusalKind::UnknownDevice.into())];
        };
        let Some(presence) = online else {
            let why = match last_seen {
                _ if *disabled => disabled_at_the_hub(id.as_str()),
                _ if !joined => NOT_JOINED_YET.to_owned(),
                _ if *ending => "its agent is ending".to_owned(),
                None => "it has never been online".to_owned(),
                Some(seen) => format!("last seen {seen}"),
            };
            return vec![(id.clone(), Refusal::new(RefusalKind::DeviceOffline, why))];
        };
        let mut refusals = Vec::new();
        let offered: Vec<_> = presence.forwards.iter().map(StreamName::as_str).collect();
        let offers_any = !offered.is_empty() || presence.first_is_hidden;
        // Of what it offers to others alone, the hub says nothing.
        let offered_here = if offered.is_empty() { "nothing".to_owned() } else { offered.join(", ") };
        let not_offered = |asked: &str| {
            let detail = format!("asked for {asked}; it offers this service: {offered_here}");
            let refusal = Refusal::new(RefusalKind::StreamNotOffered, detail);
            (id.clone(), if offered.is_empty() { refusal.advised(NOTHING_OFFERED) } else { refusal })
        };
        for (address, name) in &self.streams {
            match (name, presence.forwards.first()) {
                (Some(name), _) if !offered.contains(&name.as_str()) && !presence.accepts_any_name && offers_any => {
                    refusals.push(not_offered(name.as_str()));
                }
                (None, _) if self.first_is_refused(presence) => {
                    refusals.push(not_offered("the device's first, which is for others"));
                }
                (None, Some(first)) => show_url(self.role, first, *address),
                _ => {}
            }
        }
        refusals
    }

    /// Words which of the streams the device would refuse now: it says that their targets do not answer.
    fn dead_targets(&self, devices: &[DeviceStatus]) -> Vec<String> {
        let Some(DeviceStatus { id, online: Some(presence), .. }) = self.find(devices) else { return Vec::new() };
        let first = presence.forwards.first().filter(|_| !self.first_is_refused(presence));
        let wanted: BTreeSet<_> = self.streams.iter().filter_map(|(_, name)| name.as_ref().or(first)).collect();
        let dead = wanted.into_iter().filter_map(|name| presence.dead_targets.iter().find(|dead| dead.name == *name));
        dead.map(|dead| dead_target(id, dead)).collect()
    }

    /// Reports whether the hub refuses a stream without a name. A plain one gets the first of those that are for the
    /// service.
    fn first_is_refused(&self, presence: &Presence) -> bool {
        presence.first_is_hidden && (!self.plain || presence.forwards.is_empty())
    }

    /// Finds the device as the hub does.
    fn find<'a>(&self, devices: &'a [DeviceStatus]) -> Option<&'a DeviceStatus> {
        devices.iter().find(|status| status.id.as_str().eq_ignore_ascii_case(self.device.as_str()))
    }

    fn warn(&self, warning: &str) {
        // The target of a log event is fixed where it is written.
        match self.role {
            "rdp" => tracing::warn!(target: "rdp", "{warning}"),
            _ => tracing::warn!(target: "service-proxy", "{warning}"),
        }
    }
}

/// The advice where all streams of a device are for other services.
pub(super) const NOTHING_OFFERED: &str =
    "ask the hub's operator for access to one of its streams: devstream hub service set NAME --stream NAME";

/// Words that a device offers a stream in vain.
fn dead_target(device: &DeviceId, DeadTarget { name, target, reason }: &DeadTarget) -> String {
    if reason.kind == RefusalKind::TargetRefused {
        return format!(
            "{device} offers {name}, but nothing listens on {target} there; streams to it will be refused until something does"
        );
    }
    format!("{device} offers {name}, but {}; streams to it will be refused until that is mended", reason.message())
}

/// Reports whether the hub refuses the identity, whatever it requests.
fn concerns_identity(kind: RefusalKind) -> bool {
    use RefusalKind::{AccessEnded, AuthenticationFailed, Disabled, KeyReplaced};
    matches!(kind, AuthenticationFailed | Disabled | AccessEnded | KeyReplaced)
}

/// A stream that is not open after this long waits for its device, most likely; most are open much earlier.
const NOTICE_DELAY: Duration = Duration::from_secs(1);

/// Tells a person at a terminal why nothing happens yet: that the device is waited for, and when that was long enough for one
/// that is offline, that it does not answer.
pub(super) async fn waiting_notice(
    device: DeviceId,
    (offline, answer): (Duration, Duration),
    is_open: Arc<AtomicBool>,
) {
    let waits = || !is_open.load(Ordering::Relaxed) && std::io::stderr().is_terminal();
    sleep(NOTICE_DELAY).await;
    if offline > NOTICE_DELAY && waits() {
        tracing::info!(target: "service-proxy", "waiting for {device} (up to {} s)", offline.as_secs_f64().ceil());
    }
    sleep(offline).await;
    if answer > offline && waits() {
        let seconds = answer.as_secs_f64().ceil();
        tracing::info!(target: "service-proxy", "{device} is connected to the hub, and does not answer yet (up to {seconds} s)");
    }
}

/// Says how a proxy's streams are encrypted.
pub(super) fn show_encryption(role: &str, plain: bool) {
    let how = match plain {
        false => "streams will be encrypted end-to-end",
        true => "streams will not be encrypted end-to-end: --plain; the hub can read what they carry",
    };
    output::role_message(role, how);
}

/// Prints the URL of a stream that is a web page by its name.
pub(super) fn show_url(role: &str, name: &StreamName, address: SocketAddr) {
    if let Some(url) = url(name, address) {
        output::role_message(role, &format!("open {url}"));
    }
}

fn url(name: &StreamName, address: SocketAddr) -> Option<String> {
    let name = name.as_str().to_ascii_lowercase();
    let scheme = match name.split(|c: char| !c.is_ascii_alphabetic()).next() {
        Some("http" | "web" | "webui" | "www") => "http",
        Some("https") => "https",
        _ => return None,
    };
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    Some(format!("{scheme}://{}/", SocketAddr::new(ip, address.port())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_is_a_web_page_by_its_name_has_a_url() {
        for (name, address, expected) in [
            ("web", "127.0.0.1:8080", Some("http://127.0.0.1:8080/")),
            ("web-admin", "0.0.0.0:8080", Some("http://127.0.0.1:8080/")),
            ("http", "[::]:8080", Some("http://[::1]:8080/")),
            ("HTTPS2", "127.0.0.1:8443", Some("https://127.0.0.1:8443/")),
            ("ssh", "127.0.0.1:2222", None),
            ("webcam", "127.0.0.1:2222", None),
        ] {
            assert_eq!(url(&name.parse().unwrap(), address.parse().unwrap()).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_host_that_looks_like_a_name_is_asked_about() {
        let warning = |forward: &str, kind| target_warning(&forward.parse().unwrap(), &Refusal::new(kind, "why"));
        let meant = "did you mean --forward web=8080?";
        assert!(warning("web:8080", RefusalKind::TargetUnreachable).unwrap().contains(meant));
        for forward in ["x=web:8080", "web.lan:8080", "127.0.0.1:8080", "localhost:8080", "8080"] {
            let text = warning(forward, RefusalKind::TargetRefused).unwrap();
            assert!(!text.contains("did you mean") && text.starts_with("nothing listens on "), "{text}");
        }
        assert_eq!(warning("22", RefusalKind::DeviceBusy), None);
    }
}
