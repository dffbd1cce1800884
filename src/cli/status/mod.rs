//! `devstream status`, and the server of a role's status.
//!
//! In: the admin socket of the user's hub, and the status socket of every other role on this machine. Out: their
//! status, and the identities that this machine joined as. Each role answers itself, so that nothing is stale.

pub(super) mod server;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::anyhow;
use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::timeout;

use super::args::Status;
use super::identity::{StoredIdentity, no_home, stopped_hub};
use super::profile::Profile;
use super::{Failure, output, paths};
use crate::hub::state::admin_socket;
use crate::net::os::clock;
use crate::net::os::local_socket;
use crate::proto::admin::{AdminRequest, AdminResponse, HubStatus, OtherHubStatuses};
use crate::proto::id::{Principal, Role};
use crate::proto::join::HubAddress;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::status::{RoleState, RoleStatus, StatusRequest};

/// The limit on roles queried in one directory; more are sessions of a tool such as Ansible.
const MAX_ROLES: usize = 256;

/// The limit on a response: [`server::MAX_LISTED_STREAMS`] streams and the forwards, of some hundred bytes each, fit.
/// Root queries processes of other users, which may send anything: with this limit, all responses take at most 192 MiB.
const RESPONSE_BYTES: u64 = 256 * 1024;

/// The limit on a response, which a role gives from memory.
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// The report.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    hub: Option<Box<HubStatus>>,
    #[serde(flatten)]
    others: OtherHubStatuses,
    roles: Vec<RoleStatus>,
    /// Sockets of processes that do not answer: they are stopped, or hang.
    unresponsive: Vec<PathBuf>,
    /// The number of sockets of this machine that were not queried, above [`MAX_ROLES`].
    not_queried: usize,
    identities: Vec<JoinedIdentity>,
    /// Why the hub of this user does not answer, where it has run.
    #[serde(skip)]
    stopped_hub: Option<Refusal>,
}

impl Report {
    /// Reports whether nothing of this user runs here.
    fn is_empty(&self) -> bool {
        self.hub.is_none() && self.roles.is_empty() && self.unresponsive.is_empty()
    }
}

/// An identity that this machine joined as, whether or not a role runs with it.
#[derive(Serialize)]
struct JoinedIdentity {
    identity: Principal,
    hub: HubAddress,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
}

/// The result of querying a socket.
enum StatusReply {
    Status(RoleStatus),
    NoReply(PathBuf),
    NotRunning,
}

pub(super) async fn run(status: Status) -> Result<(), Failure> {
    let report = report().await?;
    if status.output.json {
        let json = serde_json::to_string_pretty(&report).map_err(|error| anyhow!(error))?;
        json.lines().for_each(output::print_line);
        return Ok(());
    }
    show(&report);
    if report.is_empty() && report.identities.is_empty() {
        let not_joined = || Refusal::new(RefusalKind::NotJoined, no_home().unwrap_or_default());
        return Err(report.stopped_hub.unwrap_or_else(not_joined).into());
    }
    if report.is_empty() {
        output::eprint("no role of this user runs here; start one with `devstream hub`, device-agent or service-proxy");
    }
    Ok(())
}

/// Finds another process that runs a role, and is not ending, as the identity here, at the same hub as far as that is known.
pub(super) async fn other_process(role: &str, identity: &Principal, hub: Option<&HubAddress>) -> Option<u32> {
    let is_role = |socket: &PathBuf| {
        let name = socket.file_name().and_then(|name| name.to_str());
        paths::is_local_socket(socket) && name.is_some_and(|name| name.starts_with(role))
    };
    let directories = paths::status_directories().ok()?;
    let found = directories.iter().flat_map(|directory| sockets(directory)).filter(is_role).take(MAX_ROLES);
    let replies = join_all(found.map(query)).await.into_iter();
    let roles = replies.filter_map(|reply| match reply {
        StatusReply::Status(status) => Some(status),
        StatusReply::NoReply(_) | StatusReply::NotRunning => None,
    });
    let is_other_hub = |other: &HubAddress| hub.is_some_and(|hub| hub != other);
    let is_other = |other: &RoleStatus| other.process != std::process::id() && other.state != RoleState::Ending;
    let mut others = roles.filter(|other| is_other(other) && other.identity == *identity);
    others.find(|other| other.role == role && !other.hub.as_ref().is_some_and(is_other_hub)).map(|other| other.process)
}

async fn report() -> anyhow::Result<Report> {
    let ((hub, stopped_hub), identities) = (hub().await?, joined_identities()?);
    let others = match &hub {
        Some(hub) => other_hubs(hub, &paths::hub_state(None)?).await,
        None => OtherHubStatuses::default(),
    };
    Ok(Report { hub, others, stopped_hub, identities, ..running_roles().await? })
}

/// Returns the role that runs on this machine with this identity of the hub at one of these addresses.
pub(super) async fn running_role(identity: &Principal, hubs: &[HubAddress]) -> Option<RoleStatus> {
    let roles = running_roles().await.map(|report| report.roles).unwrap_or_default();
    let is_own = |role: &RoleStatus| role.identity == *identity && role.hub.as_ref().is_none_or(|at| hubs.contains(at));
    roles.into_iter().find(is_own)
}

/// Returns the socket of a role of this machine that does not answer.
pub(super) async fn silent_role(role: &str) -> Option<PathBuf> {
    let silent = running_roles().await.map(|report| report.unresponsive).unwrap_or_default();
    let is_role = |name: &str| name.starts_with(role);
    silent.into_iter().find(|socket| socket.file_name().and_then(|name| name.to_str()).is_some_and(is_role))
}

/// Returns a role of this machine that was started before it joined a hub, and takes whatever it joins as.
pub(super) async fn waiting_role(kind: Role) -> Option<RoleStatus> {
    let roles = running_roles().await.map(|report| report.roles).unwrap_or_default();
    roles.into_iter().find(|role| role.identity.role == kind && role.hub.is_none())
}

async fn running_roles() -> anyhow::Result<Report> {
    let mut report = Report::default();
    let mut found = Vec::new();
    for directory in paths::status_directories()? {
        let sockets = sockets(&directory);
        report.not_queried += sockets.iter().skip(MAX_ROLES).filter(|socket| paths::is_local_socket(socket)).count();
        found.extend(sockets.into_iter().take(MAX_ROLES));
    }
    found.sort();
    for reply in join_all(found.into_iter().map(query)).await {
        match reply {
            StatusReply::Status(status) => report.roles.push(status),
            StatusReply::NoReply(path) => report.unresponsive.push(path),
            StatusReply::NotRunning => {}
        }
    }
    Ok(report)
}

/// Returns the status of this user's hub, or why that does not run.
async fn hub() -> anyhow::Result<(Option<Box<HubStatus>>, Option<Refusal>)> {
    let state = paths::hub_state(None)?;
    Ok(match local_socket::request(&admin_socket(&state), &AdminRequest::Status).await {
        Ok(AdminResponse::Status(status)) => (Some(status), None),
        Ok(_) => (None, None),
        Err(error) => (None, stopped_hub(&state, &error)),
    })
}

/// Returns the status of the other hubs of this one's cluster, as far as it has one.
pub(super) async fn other_hubs(hub: &HubStatus, state: &Path) -> OtherHubStatuses {
    if hub.address.is_none() {
        return OtherHubStatuses::default();
    }
    match local_socket::request(&admin_socket(state), &AdminRequest::OtherHubs).await {
        Ok(AdminResponse::OtherHubs(others)) => others,
        _ => OtherHubStatuses::default(),
    }
}

fn joined_identities() -> anyhow::Result<Vec<JoinedIdentity>> {
    let mut joined = Vec::new();
    for profile in Profile::all()? {
        for role in [Role::Device, Role::Service] {
            let named = (!profile.is_default()).then(|| profile.to_string());
            joined.extend(StoredIdentity::load(&profile, role)?.map(|StoredIdentity { id, hub, .. }| {
                let identity = Principal { role, id };
                JoinedIdentity { identity, hub, profile: named }
            }));
        }
    }
    Ok(joined)
}

/// Returns the status sockets in a directory: this machine's first, since those of others do not answer.
fn sockets(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    // A link could make root connect to any socket.
    let files =
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink())).map(|entry| entry.path());
    let mut named: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|end| end == paths::STATUS_SOCKET)).collect();
    named.sort_by_key(|path| !paths::is_local_socket(path));
    named
}

async fn query(socket: PathBuf) -> StatusReply {
    let answer =
        timeout(REPLY_TIMEOUT, local_socket::request_limited(&socket, &StatusRequest::Status, RESPONSE_BYTES)).await;
    match answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(status) => StatusReply::Status(status),
        // The process was killed, and nothing else removes its socket; or it runs on another machine with the same home
        // directory.
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
    let Report { hub, others, roles, unresponsive, not_queried, identities, stopped_hub } = report;
    match (hub, stopped_hub) {
        (Some(hub), _) => show_hub(hub),
        // One that has joined may have no use for a hub of its own any more.
        (None, Some(why)) if !report.is_empty() && identities.is_empty() => print_field("hub", &why.detail.to_string()),
        (None, _) => {}
    }
    others.other_hubs.iter().for_each(show_hub);
    for address in &others.silent_hubs {
        print_field("hub", &format!("{address}, did not answer"));
    }
    roles.iter().for_each(show_role);
    for socket in unresponsive {
        output::print_line(&format!("no answer at {}: the process is stopped or hangs", socket.display()));
    }
    if *not_queried > 0 {
        output::print_line(&format!("{not_queried} more were not queried"));
    }
    for JoinedIdentity { identity, hub, profile } in identities {
        let profile = profile.as_ref().map(|name| format!(" in profile {name}")).unwrap_or_default();
        output::print_line(&format!("joined {hub} as {identity}{profile}"));
    }
}

fn show_hub(hub: &HubStatus) {
    let state = if hub.draining { "draining" } else { "running" };
    let name = hub.address.as_ref().map_or_else(|| hub.hostname.clone(), ToString::to_string);
    print_field("hub", &format!("{name}, {state}"));
    print_field("", &format!("process {} since {}, version {}", hub.process, hub.since, hub.version));
    print_field("", &format!("{} of {} devices online, streams: {}", hub.online, hub.devices, hub.streams));
    hub.warnings.iter().for_each(|warning| print_field("", &format!("warning: {warning}")));
}

fn show_role(role: &RoleStatus) {
    let hub = role.hub.as_ref().map(|hub| format!(" at {hub}")).unwrap_or_default();
    let RoleStatus { identity, state, state_since, .. } = role;
    print_field(&role.role, &format!("{identity}{hub}, {} since {state_since}", state.as_str()));
    print_field("", &format!("process {} since {}, version {}", role.process, role.since, role.version));
    role.endpoints.iter().for_each(|endpoint| print_field("", endpoint));
    // A connection that is back needs no attention; a service may have one stream that fails beside others.
    if let Some(error) = role.last_error.as_ref().filter(|_| *state != RoleState::Connected) {
        print_field("", &format!("last error {}: {}", error.at, error.reason));
    }
    print_field("", &format!("streams: {}", role.streams));
    for stream in &role.oldest_streams {
        let time = output::format_duration(clock::now_utc().since(stream.since));
        let state = if stream.waiting { format!("waiting for its device ({time})") } else { format!("for {time}") };
        print_field("", &format!("  {}, {state}", stream.description));
    }
}

fn print_field(name: &str, value: &str) {
    output::print_line(&format!("{name:<15}{value}"));
}
