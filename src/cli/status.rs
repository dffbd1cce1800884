//! `devstream status`: what runs here, to which hub, and as whom. Asked of each role itself, so that nothing is stale.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::anyhow;
use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::timeout;

use super::args::Status;
use super::identity::Joined;
use super::profile::Profile;
use super::{Failure, output, paths};
use crate::hub::state::admin_socket;
use crate::net::{clock, local};
use crate::proto::admin::{AdminAnswer, AdminRequest, HubStatus};
use crate::proto::id::{Principal, Role};
use crate::proto::join::HubAddress;
use crate::proto::refusal::sanitize;
use crate::proto::status::{RoleState, RoleStatus, StatusRequest};

/// Roles of one place that are looked at: more are the sessions of something like Ansible.
const MOST_ROLES: usize = 256;

/// A role tells of [`super::status_server::LISTED`] streams and of what it offers, which fits into a control message; some
/// hundred bytes each. Root asks other users' processes, which may say anything: with this, all of them take 192 MiB at most.
const ANSWER_BYTES: u64 = 256 * 1024;

/// A role only looks at what it knows.
const PATIENCE: Duration = Duration::from_secs(2);

/// All that there is to tell.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    hub: Option<Box<HubStatus>>,
    roles: Vec<RoleStatus>,
    /// Sockets behind which a process lives that says nothing: it is stopped, or stuck.
    silent: Vec<PathBuf>,
    /// Sockets of this machine that were not looked at.
    more: usize,
    joined: Vec<Membership>,
}

/// Who this machine is to a hub, whether or not it runs anything.
#[derive(Serialize)]
struct Membership {
    identity: Principal,
    hub: HubAddress,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
}

/// A role's socket, and what came of asking there.
enum Heard {
    Status(RoleStatus),
    Silence(PathBuf),
    Nobody,
}

pub(super) async fn run(status: Status) -> Result<(), Failure> {
    let report = report().await?;
    if status.listing.json {
        let json = serde_json::to_string_pretty(&report).map_err(|error| anyhow!(error))?;
        json.lines().for_each(put);
        return Ok(());
    }
    show(&report);
    Ok(())
}

async fn report() -> anyhow::Result<Report> {
    let mut report = Report { hub: hub().await?, roles: Vec::new(), silent: Vec::new(), more: 0, joined: joined()? };
    let mut places = Vec::new();
    for place in paths::status_places()? {
        let sockets = sockets(&place);
        report.more += sockets.iter().skip(MOST_ROLES).filter(|socket| paths::is_of_this_machine(socket)).count();
        places.extend(sockets.into_iter().take(MOST_ROLES));
    }
    places.sort();
    for heard in join_all(places.into_iter().map(ask)).await {
        match heard {
            Heard::Status(status) => report.roles.push(status),
            Heard::Silence(path) => report.silent.push(path),
            Heard::Nobody => {}
        }
    }
    Ok(report)
}

async fn hub() -> anyhow::Result<Option<Box<HubStatus>>> {
    let socket = admin_socket(&paths::hub_state(None)?);
    match local::ask(&socket, &AdminRequest::Status).await {
        Ok(AdminAnswer::Status(status)) => Ok(Some(status)),
        Ok(_) | Err(_) => Ok(None),
    }
}

fn joined() -> anyhow::Result<Vec<Membership>> {
    let mut joined = Vec::new();
    for profile in Profile::all()? {
        for role in [Role::Device, Role::Service] {
            let named = (!profile.is_default()).then(|| profile.to_string());
            joined.extend(Joined::load(&profile, role)?.map(|Joined { id, hub, .. }| {
                let identity = Principal { role, id };
                Membership { identity, hub, profile: named }
            }));
        }
    }
    Ok(joined)
}

/// This machine's first; nobody answers at another's.
fn sockets(place: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    // A link could lead root to any socket there is.
    let own = entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink())).map(|entry| entry.path());
    let mut named: Vec<_> =
        own.filter(|path| path.extension().is_some_and(|end| end == paths::STATUS_SOCKET)).collect();
    named.sort_by_key(|path| !paths::is_of_this_machine(path));
    named
}

async fn ask(socket: PathBuf) -> Heard {
    let answer = timeout(PATIENCE, local::ask_within(&socket, &StatusRequest::Status, ANSWER_BYTES)).await;
    match answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(status) => Heard::Status(status),
        // It was killed, and nobody else will tidy up; or it runs on another machine that has the same home directory.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            if paths::is_of_this_machine(&socket) {
                let _ = fs::remove_file(&socket);
            }
            Heard::Nobody
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Heard::Nobody,
        Err(_) => Heard::Silence(socket),
    }
}

fn show(report: &Report) {
    let Report { hub, roles, silent, more, joined } = report;
    if let Some(hub) = hub {
        show_hub(hub);
    }
    roles.iter().for_each(show_role);
    for socket in silent {
        put(&format!("something at {} does not answer: is it stopped?", socket.display()));
    }
    if *more > 0 {
        put(&format!("and {more} more, which were not asked"));
    }
    for Membership { identity, hub, profile } in joined {
        let profile = profile.as_ref().map(|name| format!(" in profile {name}")).unwrap_or_default();
        put(&format!("joined {hub} as {identity}{profile}"));
    }
    if hub.is_none() && roles.is_empty() && silent.is_empty() {
        output::err("nothing of this user runs here; `devstream hub`, device-agent and service-proxy start it");
    }
}

fn show_hub(hub: &HubStatus) {
    let state = if hub.draining { "draining" } else { "running" };
    line("hub", &format!("{}, {state}", hub.hostname));
    line("", &format!("process {} since {}, version {}", hub.process, hub.since, hub.version));
    line("", &format!("{} of {} devices online, streams: {}", hub.online, hub.devices, hub.streams));
    hub.warnings.iter().for_each(|warning| line("", &format!("warning: {warning}")));
}

fn show_role(role: &RoleStatus) {
    let hub = role.hub.as_ref().map(|hub| format!(" at {hub}")).unwrap_or_default();
    let RoleStatus { identity, state, state_since, .. } = role;
    line(&role.role, &format!("{identity}{hub}, {} since {state_since}", state.as_str()));
    line("", &format!("process {} since {}, version {}", role.process, role.since, role.version));
    role.serves.iter().for_each(|what| line("", what));
    let in_trouble = matches!(state, RoleState::Retrying | RoleState::Failing);
    if let Some(error) = role.last_error.as_ref().filter(|_| in_trouble) {
        line("", &format!("{}: {}", error.at, error.reason));
    }
    line("", &format!("streams: {}", role.streams));
    for stream in &role.oldest_streams {
        line("", &format!("  {}, for {}", stream.what, output::span(clock::now_utc().since(stream.since))));
    }
}

fn line(name: &str, value: &str) {
    put(&format!("{name:<15}{value}"));
}

/// Another user's process may have said it, and this may be root's terminal.
fn put(line: &str) {
    output::out(&line.chars().map(sanitize).collect::<String>());
}
