//! The `devstream hub` subcommands, and `devstream devices`.
//!
//! In: a subcommand. Out: a request to the running hub of the same user on its admin socket, and the response as a
//! table, text or JSON. Logs, backups, restores and what makes a hub one of several work on the hub's files, whether or not it runs;
//! in a cluster, it is asked for the logs of the others.

mod cluster;
pub(super) mod devices;
mod logs;
mod restored;
mod rotated;
mod show;

use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{anyhow, bail};

use super::args::{
    AccessPeriod, DeviceCommand, EnrollCommand, HubCommand, OutputArgs, ScopeArgs, ServiceCommand, StreamLimit,
    StreamsCommand,
};
use super::identity::StoredIdentity;
use super::profile::Profile;
use super::{Failure, output, paths};
use crate::hub::backup;
use crate::hub::state::admin_socket;
use crate::net::os::clock;
use crate::net::os::local_socket;
use crate::net::os::owner::denied;
use crate::proto::admin::{AdminRequest, AdminResponse};
use crate::proto::id::{DeviceId, Principal, Role, ServiceName};
use crate::proto::join::HubAddress;
use crate::proto::scope::{Glob, Limit, Scope, ScopeChange};
use crate::proto::text;

/// Runs a subcommand.
pub(super) async fn run(command: HubCommand, given: Option<&Path>) -> Result<(), Failure> {
    let state = paths::hub_state(given)?;
    let (request, json) = match command {
        HubCommand::Logs(args) => {
            ensure_hub_has_run(&state, given)?;
            return logs::run(&args, &state).await;
        }
        HubCommand::Backup { file } => {
            ensure_hub_has_run(&state, given)?;
            let identities = backup::create(&state, &file)?;
            let identities = text::count(identities, "identity");
            output::eprint(&format!("backed up {identities}, keys and certificates to {}", file.display()));
            output::warning("this file can impersonate the hub: store it where nobody else has access");
            return Ok(());
        }
        HubCommand::Restore { file } => {
            let state = paths::user_hub_state(given)?;
            restored::tell(&backup::restore(&file, &state)?, &state);
            return Ok(());
        }
        HubCommand::Cluster(command) => return Box::pin(cluster::run(command, &state, given)).await,
        HubCommand::Device(command) => device_request(command),
        HubCommand::Service(command) => service_request(command),
        HubCommand::Enroll(command) => enroll_request(command),
        HubCommand::Streams(streams) => match streams.command {
            None => (AdminRequest::Streams, streams.output.json),
            Some(StreamsCommand::List(output)) => (AdminRequest::Streams, output.json),
            Some(StreamsCommand::Kill { id }) => (AdminRequest::EndStream { stream: id }, false),
        },
        HubCommand::Devices(OutputArgs { json }) => (AdminRequest::List { role: Role::Device }, json),
        HubCommand::Status(OutputArgs { json }) => {
            let own = ask(&state, given, &AdminRequest::Status).await?;
            return Ok(show::print_status(own, &state, json).await?);
        }
        // `check` and `check-config` are no requests, and were handled before.
        HubCommand::Show | HubCommand::Check(_) | HubCommand::CheckConfig => (AdminRequest::Show, true),
    };
    let mut added_before = None;
    if let AdminRequest::Add { principal, .. } = &request {
        let shown = ask(&state, given, &AdminRequest::ShowIdentity { principal: principal.clone() }).await;
        added_before = shown.is_ok_and(|shown| rotated::awaits_join(&shown)).then(|| principal.id.clone());
    }
    let answer = ask(&state, given, &request).await?;
    show::print_answer(answer, json, matches!(request, AdminRequest::ShowIdentity { .. })).map_err(Failure::Other)?;
    added_before.iter().for_each(rotated::tell_of_earlier_link);
    if let AdminRequest::Rotate { principal, overlap_seconds, .. } = &request {
        let shown = ask(&state, given, &AdminRequest::ShowIdentity { principal: principal.clone() }).await?;
        rotated::tell(principal, *overlap_seconds, &shown);
    }
    if let AdminRequest::Add { principal: Principal { role: Role::Service, id }, scope, .. } = request
        && scope.devices.is_empty()
    {
        output::warning(&format!(
            "{id} may not reach any device yet; allow one: devstream hub service set {id} --device ID"
        ));
    }
    Ok(())
}

async fn ask(state: &Path, given: Option<&Path>, request: &AdminRequest) -> anyhow::Result<AdminResponse> {
    let answer = local_socket::request(&admin_socket(state), request).await;
    answer.map_err(|error| {
        let NotRunning { cause, advice } = hub_not_running(state, given.is_some(), &error);
        anyhow!("{cause}; {advice}")
    })
}

/// Fails where no hub has left a state directory, which is where the machine is not the hub's.
fn ensure_hub_has_run(state: &Path, given: Option<&Path>) -> anyhow::Result<()> {
    // One that may not be looked at is there.
    if state.try_exists().unwrap_or(true) {
        return Ok(());
    }
    let NotRunning { cause, advice } = hub_not_running(state, given.is_some(), &io::ErrorKind::NotFound.into());
    bail!("{cause}; {advice}")
}

/// Why a hub does not answer on its admin socket, and what to do.
pub(super) struct NotRunning {
    pub(super) cause: String,
    pub(super) advice: String,
}

/// Words the error of a hub that does not answer on its admin socket.
pub(super) fn hub_not_running(state: &Path, is_given: bool, error: &io::Error) -> NotRunning {
    let at = admin_socket(state);
    if [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused].contains(&error.kind()) {
        return no_hub_at(state, is_given);
    }
    if error.kind() == io::ErrorKind::PermissionDenied {
        return NotRunning {
            cause: format!("cannot connect to the hub at {}: {error}", at.display()),
            advice: denied(&at).unwrap_or_else(|| "run this as root or as the hub's user".to_owned()),
        };
    }
    NotRunning {
        cause: format!("the hub does not answer at {}: {error}", at.display()),
        advice: "look at its log, and restart it if it hangs".to_owned(),
    }
}

/// Words that no hub runs with this state directory. Where no hub has run, the machine is not the hub's: one that has
/// joined knows which is.
fn no_hub_at(state: &Path, is_given: bool) -> NotRunning {
    let (directory, exists) = (state.display(), state.exists());
    let other = "if it runs with another --state-dir, give that here too: `devstream hub --state-dir DIR …`";
    let (cause, advice) = match joined_hub() {
        Some(hub) if !is_given && !exists => (
            "no hub runs on this machine".to_owned(),
            format!("run this on {}, the hub that this machine joined", hub.host),
        ),
        _ if is_given && !exists => (
            format!("there is no state directory {directory}"),
            "give the one that the hub was started with, or start a hub with this one: `devstream hub`".to_owned(),
        ),
        _ if is_given => (
            format!("no hub runs with the state directory {directory}"),
            "start it with `devstream hub`, which says why if it cannot; or give the directory that it runs with"
                .to_owned(),
        ),
        _ if !exists => (
            format!("no hub of this user runs here: there is no state directory {directory}"),
            format!("run this on the hub's machine, as its user or root; {other}"),
        ),
        _ if state == Path::new(paths::SERVICE_STATE) => (
            format!("no hub runs with the state directory {directory}"),
            format!("`systemctl status devstream-hub` says why; {other}"),
        ),
        _ => (
            format!("no hub runs with the state directory {directory}"),
            format!("start it with `devstream hub`, which says why if it cannot; {other}"),
        ),
    };
    NotRunning { cause, advice }
}

/// Returns the address of the hub that this user's default profile joined, in either role.
fn joined_hub() -> Option<HubAddress> {
    let profile = Profile::resolve(None).ok()?;
    let stored = |role| StoredIdentity::load(&profile, role).ok().flatten();
    Some(stored(Role::Service).or_else(|| stored(Role::Device))?.hub)
}

fn device_request(command: DeviceCommand) -> (AdminRequest, bool) {
    let request = match command {
        DeviceCommand::Add { id, link } => {
            AdminRequest::Add { principal: device(id), scope: Scope::default(), link_seconds: link.link_for.as_secs() }
        }
        DeviceCommand::List(output) => return (AdminRequest::List { role: Role::Device }, output.json),
        DeviceCommand::Show { id, output } => {
            return (AdminRequest::ShowIdentity { principal: device(id) }, output.json);
        }
        DeviceCommand::Disable { id } => AdminRequest::Enable { principal: device(id), enabled: false },
        DeviceCommand::Enable { id } => AdminRequest::Enable { principal: device(id), enabled: true },
        DeviceCommand::Rotate { id, overlap, link } => rotate(device(id), overlap.overlap, link.link_for),
        DeviceCommand::Remove { id } => AdminRequest::Remove { principal: device(id) },
    };
    (request, false)
}

fn service_request(command: ServiceCommand) -> (AdminRequest, bool) {
    let request = match command {
        ServiceCommand::Add { name, scope, link_for } => {
            AdminRequest::Add { principal: service(name), scope: new_scope(scope), link_seconds: link_for.as_secs() }
        }
        ServiceCommand::Set { name, scope } => AdminRequest::Rescope { service: name, change: scope_change(scope) },
        ServiceCommand::List(output) => return (AdminRequest::List { role: Role::Service }, output.json),
        ServiceCommand::Show { name, output } => {
            return (AdminRequest::ShowIdentity { principal: service(name) }, output.json);
        }
        ServiceCommand::Disable { name } => AdminRequest::Enable { principal: service(name), enabled: false },
        ServiceCommand::Enable { name } => AdminRequest::Enable { principal: service(name), enabled: true },
        ServiceCommand::Rotate { name, overlap, link } => rotate(service(name), overlap.overlap, link.link_for),
        ServiceCommand::Remove { name } => AdminRequest::Remove { principal: service(name) },
    };
    (request, false)
}

fn enroll_request(command: EnrollCommand) -> (AdminRequest, bool) {
    match command {
        EnrollCommand::Add { device, uses, valid } => {
            (AdminRequest::AddEnrolment { devices: device, uses, seconds: valid.as_secs() }, false)
        }
        EnrollCommand::List(output) => (AdminRequest::ListEnrolments, output.json),
        EnrollCommand::Remove { id } => (AdminRequest::RemoveEnrolment { id }, false),
    }
}

fn rotate(principal: Principal, overlap: Duration, link: Duration) -> AdminRequest {
    AdminRequest::Rotate { principal, overlap_seconds: overlap.as_secs(), link_seconds: link.as_secs() }
}

/// Returns the scope of a new service: any stream, of the named devices only.
fn new_scope(typed: ScopeArgs) -> Scope {
    let mut scope = Scope { streams: vec![Glob::everything()], ..Scope::default() };
    scope_change(typed).apply(&mut scope);
    scope
}

fn scope_change(typed: ScopeArgs) -> ScopeChange {
    let ScopeArgs { devices, streams, period, max_streams } = typed;
    let named = |list: Vec<Glob>| Some(list).filter(|list| !list.is_empty());
    ScopeChange {
        devices: named(devices),
        streams: named(streams),
        until: period.map(|period| match period {
            AccessPeriod::For(age) => Limit::At(clock::now_utc().after(age)),
            AccessPeriod::Unlimited => Limit::Unlimited,
        }),
        max_streams: max_streams.map(|count| match count {
            StreamLimit::AtMost(number) => Limit::At(number),
            StreamLimit::Unlimited => Limit::Unlimited,
        }),
    }
}

fn device(id: DeviceId) -> Principal {
    Principal { role: Role::Device, id: id.into() }
}

fn service(name: ServiceName) -> Principal {
    Principal { role: Role::Service, id: name.into() }
}
