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
use super::identity::StoredIdentity;
use super::profile::Profile;
use super::{Failure, output, paths};
use crate::hub::state::admin_socket;
use crate::net::os::clock;
use crate::net::os::local_socket;
use crate::proto::admin::{AdminRequest, AdminResponse, HubStatus};
use crate::proto::id::{Principal, Role};
use crate::proto::join::HubAddress;
use crate::proto::refusal::sanitize;
use crate::proto::status::{RoleState, RoleStatus, StatusRequest};

/// Roles of one place that are looked at: more are the sessions of something like Ansible.
const MAX_ROLES: usize = 256;

/// A role tells of [`super::status_server::MAX_LISTED_STREAMS`] streams and of what it offers, which fits into a control message; some
/// hundred bytes each. Root asks other users' processes, which may say anything: with this, all of them take 192 MiB at most.
const ANSWER_BYTES: u64 = 256 * 1024;

/// A role only looks at what it knows.
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);

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
enum StatusReply {
    Status(RoleStatus),
    NoReply(PathBuf),
    NotRunning,
}

pub(super) async fn run(status: Status) -> Result<(), Failure> {
    let report = report().await?;
    if status.output.json {
        let json = serde_json::to_string_pretty(&report).map_err(|error| anyhow!(error))?;
        json.lines().for_each(print_sanitized);
        return Ok(());
    }
    show(&report);
    Ok(())
}

async fn report() -> anyhow::Result<Report> {
    let mut report = Report { hub: hub().await?, roles: Vec::new(), silent: Vec::new(), more: 0, joined: joined()? };
    let mut found = Vec::new();
    for directory in paths::status_directories()? {
        let sockets = sockets(&directory);
        report.more += sockets.iter().skip(MAX_ROLES).filter(|socket| paths::is_local_socket(socket)).count();
        found.extend(sockets.into_iter().take(MAX_ROLES));
    }
    found.sort();
    for reply in join_all(found.into_iter().map(query)).await {
        match reply {
            StatusReply::Status(status) => report.roles.push(status),
            StatusReply::NoReply(path) => report.silent.push(path),
            StatusReply::NotRunning => {}
        }
    }
    Ok(report)
}

async fn hub() -> anyhow::Result<Option<Box<HubStatus>>> {
    let socket = admin_socket(&paths::hub_state(None)?);
    match local_socket::request(&socket, &AdminRequest::Status).await {
        Ok(AdminResponse::Status(status)) => Ok(Some(status)),
        Ok(_) | Err(_) => Ok(None),
    }
}

fn joined() -> anyhow::Result<Vec<Membership>> {
    let mut joined = Vec::new();
    for profile in Profile::all()? {
        for role in [Role::Device, Role::Service] {
            let named = (!profile.is_default()).then(|| profile.to_string());
            joined.extend(StoredIdentity::load(&profile, role)?.map(|StoredIdentity { id, hub, .. }| {
                let identity = Principal { role, id };
                Membership { identity, hub, profile: named }
            }));
        }
    }
    Ok(joined)
}

/// This machine's first; nobody answers at another's.
fn sockets(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    // A link could lead root to any socket there is.
    let own = entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink())).map(|entry| entry.path());
    let mut named: Vec<_> =
        own.filter(|path| path.extension().is_some_and(|end| end == paths::STATUS_SOCKET)).collect();
    named.sort_by_key(|path| !paths::is_local_socket(path));
    named
}

async fn query(socket: PathBuf) -> StatusReply {
    let answer =
        timeout(REPLY_TIMEOUT, local_socket::request_limited(&socket, &StatusRequest::Status, ANSWER_BYTES)).await;
    match answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(status) => StatusReply::Status(status),
        // It was killed, and nobody else will tidy up; or it runs on another machine that has the same home directory.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            if paths::is_local_socket(&socket) {
                let _ = fs::remove_file(&socket);
            }
            StatusReply::NotRunning
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => StatusReply::NotRunning,
        Err(_) => StatusReply::NoReply(socket),
    }
}

fn show(report: &Report) {
    let Report { hub, roles, silent, more, joined } = report;
    if let Some(hub) = hub {
        show_hub(hub);
    }
    roles.iter().for_each(show_role);
    for socket in silent {
        print_sanitized(&format!("something at {} does not answer: is it stopped?", socket.display()));
    }
    if *more > 0 {
        print_sanitized(&format!("and {more} more, which were not asked"));
    }
    for Membership { identity, hub, profile } in joined {
        let profile = profile.as_ref().map(|name| format!(" in profile {name}")).unwrap_or_default();
        print_sanitized(&format!("joined {hub} as {identity}{profile}"));
    }
    if hub.is_none() && roles.is_empty() && silent.is_empty() {
        output::eprint("nothing of this user runs here; `devstream hub`, device-agent and service-proxy start it");
    }
}

fn show_hub(hub: &HubStatus) {
    let state = if hub.draining { "draining" } else { "running" };
    print_field("hub", &format!("{}, {state}", hub.hostname));
    print_field("", &format!("process {} since {}, version {}", hub.process, hub.since, hub.version));
    print_field("", &format!("{} of {} devices online, streams: {}", hub.online, hub.devices, hub.streams));
    hub.warnings.iter().for_each(|warning| print_field("", &format!("warning: {warning}")));
}

fn show_role(role: &RoleStatus) {
    let hub = role.hub.as_ref().map(|hub| format!(" at {hub}")).unwrap_or_default();
    let RoleStatus { identity, state, state_since, .. } = role;
    print_field(&role.role, &format!("{identity}{hub}, {} since {state_since}", state.as_str()));
    print_field("", &format!("process {} since {}, version {}", role.process, role.since, role.version));
    role.serves.iter().for_each(|what| print_field("", what));
    let in_trouble = matches!(state, RoleState::Retrying | RoleState::Failing);
    if let Some(error) = role.last_error.as_ref().filter(|_| in_trouble) {
        print_field("", &format!("{}: {}", error.at, error.reason));
    }
    print_field("", &format!("streams: {}", role.streams));
    for stream in &role.oldest_streams {
        print_field(
            "",
            &format!("  {}, for {}", stream.what, output::format_duration(clock::now_utc().since(stream.since))),
        );
    }
}

fn print_field(name: &str, value: &str) {
    print_sanitized(&format!("{name:<15}{value}"));
}

/// Another user's process may have said it, and this may be root's terminal.
fn print_sanitized(line: &str) {
    output::print(&line.chars().map(sanitize).collect::<String>());
}
