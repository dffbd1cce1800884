//! The hub's responses, as text or JSON.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{anyhow, bail};
use serde::Serialize;

use crate::cli::output;
use crate::cli::status::other_hubs;
use crate::net::os::clock;
use crate::proto::admin::{
    AdminResponse, DeviceStatus, Enrolment, HubStatus, Identity, KeyStatus, OtherHubStatuses, Presence, StreamStatus,
};
use crate::proto::id::Role;
use crate::proto::join::{HubAddress, JoinLink};
use crate::proto::key::PublicKey;
use crate::proto::known::KnownPeer;
use crate::proto::scope::{Glob, Scope};
use crate::proto::text;
use crate::proto::timestamp::Timestamp;

/// Prints a response; of identities also their keys, if `with_keys`.
pub(super) fn print_answer(answer: AdminResponse, as_json: bool, with_keys: bool) -> anyhow::Result<()> {
    match answer {
        AdminResponse::Hub(info) => json(&info)?,
        AdminResponse::Keys { keys } => json(&keys)?,
        AdminResponse::Link { link, until, name_is_guessed, loopback_only, enrolment } => {
            let link = parse_link(&link)?;
            print_link(&link, until, enrolment);
            warn_of_host(&link.hub, name_is_guessed, loopback_only);
        }
        AdminResponse::Identities { identities, silent } if as_json => {
            json(&identities)?;
            warn_of_silent(&silent);
        }
        AdminResponse::Identities { identities, silent } => {
            show_identities(&identities);
            warn_of_silent(&silent);
            identities.iter().filter(|_| with_keys).for_each(|identity| show_keys(&identity.keys));
        }
        AdminResponse::Enrolments { enrolments } if as_json => json(&enrolments)?,
        AdminResponse::Enrolments { enrolments } => show_enrolments(&enrolments),
        AdminResponse::Streams { streams, silent } => {
            if as_json {
                json(&streams)?;
            } else {
                show_streams(&streams);
            }
            warn_of_silent(&silent);
        }
        AdminResponse::Status(_)
        | AdminResponse::OtherHubs(_)
        | AdminResponse::ClusterLink { .. }
        | AdminResponse::Cluster(_)
        | AdminResponse::HubLog(_) => bail!("the hub answered another question"),
        AdminResponse::Done { what } => output::eprint(if what.is_empty() { "done" } else { &what }),
        AdminResponse::Failed { reason } => bail!(reason),
    }
    Ok(())
}

/// A hub's status, and that of the others of its cluster.
#[derive(Serialize)]
struct AllHubs {
    #[serde(flatten)]
    own: Box<HubStatus>,
    #[serde(flatten)]
    others: OtherHubStatuses,
}

/// Prints the status of a hub, and of the others of its cluster.
pub(super) async fn print_status(own: AdminResponse, state: &Path, as_json: bool) -> anyhow::Result<()> {
    let AdminResponse::Status(own) = own else { return print_answer(own, as_json, false) };
    let all = AllHubs { others: other_hubs(&own, state).await, own };
    if as_json {
        json(&all)?;
    } else {
        show_status(&all.own);
        for other in &all.others.other_hubs {
            output::print("");
            show_status(other);
        }
    }
    warn_of_silent(&all.others.silent_hubs);
    Ok(())
}

/// Names the hubs of a cluster without which a list is incomplete.
fn warn_of_silent(silent: &[HubAddress]) {
    if !silent.is_empty() {
        let hubs: Vec<_> = silent.iter().map(ToString::to_string).collect();
        output::warning(&format!("not in this list is what {} has: it did not answer", hubs.join(", ")));
    }
}

/// Parses a join link, which is printed as made of its parts: it is about to be pasted into a shell.
fn parse_link(link: &str) -> anyhow::Result<JoinLink> {
    link.parse().map_err(|error| anyhow!("the hub sent an unusable join link: {error}"))
}

/// Prints the command that joins one machine, or the enrolment key with which many do.
fn print_link(link: &JoinLink, until: Timestamp, enrolment: Option<u64>) {
    match enrolment {
        None => {
            output::eprint(&format!("Run this on its machine; it works once, until {until}:"));
            output::print(&format!("devstream join '{}'", link.reveal()));
        }
        Some(id) => {
            output::eprint(&format!(
                "Enrolment key {id}, valid until {until}. It is a secret: put it into a file that only root"
            ));
            output::eprint("reads, and run this on each machine: devstream join < FILE");
            output::print(&link.reveal());
        }
    }
}

/// Warns of a link that leads nowhere from elsewhere.
fn warn_of_host(HubAddress { host, port }: &HubAddress, is_guessed: bool, loopback_only: bool) {
    let is_every_machine = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    let (why, flags) = match (is_every_machine, is_guessed) {
        (true, _) if loopback_only => (
            "the link works on this machine only: for others".to_owned(),
            format!("--listen '[::]:{port}' --hostname NAME"),
        ),
        (true, _) => {
            (format!("the link has {host}, which is every machine itself: for others"), "--hostname NAME".to_owned())
        }
        (false, true) => (
            format!("the link has this machine's own name, {host}: if other machines do not resolve that"),
            "--hostname NAME".to_owned(),
        ),
        (false, false) => return,
    };
    output::warning(&format!("{why}, restart the hub with {flags}, and run this again"));
}

/// A device that a service may reach, and what this machine knows of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListedDevice {
    #[serde(flatten)]
    status: DeviceStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_to_end_key: Option<PublicKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    known_since: Option<Timestamp>,
}

impl ListedDevice {
    pub(super) fn new(status: DeviceStatus, known: Option<KnownPeer>) -> Self {
        Self { status, end_to_end_key: known.map(|known| known.key), known_since: known.map(|known| known.since) }
    }
}

/// Prints the devices that a service may reach; `none` if there is none.
pub(super) fn devices(devices: &[ListedDevice], as_json: bool, none: &str) -> anyhow::Result<()> {
    if as_json {
        return json(devices);
    }
    if devices.is_empty() {
        output::eprint(none);
        return Ok(());
    }
    let rows = devices.iter().map(|ListedDevice { status, end_to_end_key, .. }| {
        let offline = match status {
            DeviceStatus { disabled: true, .. } => DISABLED,
            DeviceStatus { joined: false, .. } => NOT_JOINED,
            DeviceStatus { ending: true, .. } => ENDING,
            _ => "offline",
        };
        let state = presence(status.online.as_ref(), status.last_seen, offline);
        let key = end_to_end_key.map_or_else(|| "-".into(), |key| key.short());
        [vec![status.id.to_string()], state, vec![key]].concat()
    });
    output::print_table(&[&PRESENCE[..], &["KEY"]].concat(), rows);
    Ok(())
}

fn json(value: &(impl Serialize + ?Sized)) -> anyhow::Result<()> {
    output::print(&serde_json::to_string_pretty(value)?);
    Ok(())
}

const PRESENCE: [&str; 7] = ["ID", "STATE", "SINCE", "FROM", "VERSION", "ROUND TRIP", "OFFERS"];

/// The state of an identity that the hub rejects.
const DISABLED: &str = "disabled";

/// The state of an identity without a key.
const NOT_JOINED: &str = "not joined yet";

/// The state of a device whose agent was told to end, and lets its streams go on.
const ENDING: &str = "ending";

fn show_identities(identities: &[Identity]) {
    match identities.first().map(|identity| identity.principal.role) {
        None => {
            output::eprint("none yet; add one with `devstream hub device add ID` or `devstream hub service add NAME`")
        }
        Some(Role::Device) => {
            let hub = |device: &Identity| device.online.as_ref().and_then(|online| online.hub.clone());
            let (columns, rows) = with_hubs(&PRESENCE, identities, device_row, hub);
            output::print_table(&columns, rows.into_iter());
        }
        Some(Role::Service) => {
            let columns = ["NAME", "STATE", "DEVICES", "STREAMS", "UNTIL", "AT ONCE"];
            output::print_table(&columns, identities.iter().map(service_row));
        }
    }
}

fn device_row(device: &Identity) -> Vec<String> {
    let offline = state(device).unwrap_or("offline");
    [vec![device.principal.id.to_string()], presence(device.online.as_ref(), device.last_seen, offline)].concat()
}

fn service_row(service: &Identity) -> Vec<String> {
    let scope = service.scope.clone().unwrap_or_default();
    let expired = scope.has_expired(clock::now_utc()).then_some("expired");
    let Scope { devices, streams, until, max_streams } = scope;
    let list = |globs: &[Glob]| match globs {
        [] => "none".to_owned(),
        globs => globs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    };
    vec![
        service.principal.id.to_string(),
        state(service).or(expired).unwrap_or("active").into(),
        list(&devices),
        list(&streams),
        until.map_or_else(|| "-".into(), |until| until.to_string()),
        max_streams.map_or_else(|| "any".into(), |max| max.to_string()),
    ]
}

/// Returns the state of an identity that is neither connected nor merely offline.
fn state(identity: &Identity) -> Option<&'static str> {
    match identity {
        Identity { enabled: false, .. } => Some(DISABLED),
        Identity { joined: false, .. } => Some(NOT_JOINED),
        Identity { ending: true, .. } => Some(ENDING),
        _ => None,
    }
}

/// Returns the cells of [`PRESENCE`] after the id; `offline` words the state of a device that is not online.
fn presence(online: Option<&Presence>, last_seen: Option<Timestamp>, offline: &str) -> Vec<String> {
    let Some(Presence { since, address, version, forwards, round_trip_us, .. }) = online else {
        let since = last_seen.map_or_else(|| "-".into(), |seen| seen.to_string());
        let unknown = ["-", "-", "-", "-"].map(str::to_owned);
        return [vec![offline.to_owned(), since], unknown.to_vec()].concat();
    };
    let round_trip = round_trip_us.map_or_else(|| "-".into(), |micros| format!("{:.1} ms", micros as f64 / 1000.0));
    let offers = forwards.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    vec!["online".into(), since.to_string(), address.to_string(), version.to_string(), round_trip, offers]
}

fn show_keys(keys: &[KeyStatus]) {
    for KeyStatus { fingerprint, added, until } in keys {
        let has_ended = |until: &Timestamp| clock::now_utc() >= *until;
        let until = until.map(|until| match has_ended(&until) {
            true => format!(", replaced, ended {until}"),
            false => format!(", replaced, valid until {until}"),
        });
        let until = until.unwrap_or_default();
        output::print(&format!("key {fingerprint} since {added}{until}"));
    }
}

fn show_enrolments(enrolments: &[Enrolment]) {
    if enrolments.is_empty() {
        return output::eprint("none; create one with `devstream hub enroll add --device GLOB --uses N`");
    }
    let now = clock::now_utc();
    let row = |key: &Enrolment| {
        let state = match key {
            key if now >= key.until => "expired",
            key if key.used >= key.uses => "used up",
            _ => "active",
        };
        let used = format!("{} of {}", key.used, key.uses);
        vec![key.id.to_string(), state.into(), key.devices.to_string(), used, key.until.to_string()]
    };
    output::print_table(&["KEY", "STATE", "DEVICES", "USED", "UNTIL"], enrolments.iter().map(row));
}

fn show_streams(streams: &[StreamStatus]) {
    if streams.is_empty() {
        return output::eprint("no streams");
    }
    let row = |stream: &StreamStatus| {
        let name = stream.name.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
        vec![
            stream.id.to_string(),
            stream.state.clone(),
            stream.service.to_string(),
            format!("{}{name}", stream.device),
            stream.source.to_string(),
            output::format_duration(std::time::Duration::from_secs(stream.age_seconds)),
            output::format_bytes(stream.bytes_to_device),
            output::format_bytes(stream.bytes_to_service),
        ]
    };
    let columns = ["ID", "STATE", "SERVICE", "TO", "FROM", "AGE", "UP", "DOWN"];
    let (columns, rows) = with_hubs(&columns, streams, row, |stream| stream.hub.clone());
    output::print_table(&columns, rows.into_iter());
}

/// Adds a column with the hub, where there are several.
fn with_hubs<'a, T>(
    columns: &[&'a str],
    items: &[T],
    row: impl Fn(&T) -> Vec<String>,
    hub: impl Fn(&T) -> Option<HubAddress>,
) -> (Vec<&'a str>, Vec<Vec<String>>) {
    if items.iter().all(|item| hub(item).is_none()) {
        return (columns.to_vec(), items.iter().map(row).collect());
    }
    let with_hub = |item| [row(item), vec![hub(item).map_or_else(|| "-".into(), |hub| hub.to_string())]].concat();
    ([columns, &["HUB"]].concat(), items.iter().map(with_hub).collect())
}

fn show_status(status: &HubStatus) {
    let limit =
        status.memory_limit_bytes.map(|limit| format!(" of {}", output::format_bytes(limit))).unwrap_or_default();
    let memory = match status.memory_bytes {
        0 => "unknown".to_owned(),
        bytes => format!("{}{limit}", output::format_bytes(bytes)),
    };
    let state = if status.draining { "draining: no new streams" } else { "running" };
    let certificate = &status.certificate;
    status.address.iter().for_each(|address| output::print(&format!("{:<16}{address}", "hub")));
    for (name, value) in [
        ("state", state.to_owned()),
        ("version", status.version.clone()),
        ("hostname", status.hostname.clone()),
        ("process", status.process.to_string()),
        ("up since", status.since.to_string()),
        ("devices", format!("{} online of {}", status.online, status.devices)),
        ("services", status.services.to_string()),
        ("streams", status.streams.to_string()),
        ("unauthenticated", text::count(status.unauthenticated_connections, "connection")),
        ("memory", memory),
        ("descriptors", status.descriptors_of()),
        ("congestion", status.congestion_control.clone().unwrap_or_else(|| "system default".into())),
        (
            "certificate",
            format!(
                "{}, {} left, until {}",
                certificate.source,
                text::count(certificate.days_left, "day"),
                certificate.not_after
            ),
        ),
        ("activity log", format!("{} lost", text::count(status.activity_lost, "line"))),
    ] {
        output::print(&format!("{name:<16}{value}"));
    }
    status.warnings.iter().for_each(|warning| output::print(&format!("warning: {warning}")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_would_end_its_quotes_is_not_printed() {
        let code = "A".repeat(22);
        let link = format!("devstream://hub.test/pi?role=device&code={code}");
        assert_eq!(parse_link(&link).unwrap().reveal(), link);
        for evil in [
            format!("{link}'; reboot '"),
            format!("devstream://hub.test/pi'$(reboot)?role=device&code={code}"),
            "x".into(),
        ] {
            assert!(parse_link(&evil).is_err(), "{evil}");
        }
    }
}
