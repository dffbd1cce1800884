//! The `devstream hub` subcommands, and `devstream devices`.
//!
//! In: a subcommand. Out: a request to the running hub of the same user on its admin socket, and the response as a
//! table, text or JSON. Logs, backups and restores work on the hub's files, whether or not it runs.

pub(super) mod devices;
mod logs;
mod restored;
mod show;

use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;

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
use crate::proto::admin::{AdminRequest, AdminResponse};
use crate::proto::id::{DeviceId, Principal, Role, ServiceName};
use crate::proto::join::HubAddress;
use crate::proto::scope::{Glob, Limit, Scope, ScopeChange};
use crate::proto::text;

/// Runs a subcommand.
pub(super) async fn run(command: HubCommand, given: Option<&Path>) -> Result<(), Failure> {
    let state = paths::hub_state(given)?;
    let (request, json) = match command {
        HubCommand::Logs(args) => return logs::run(&args, &state).await,
        HubCommand::Backup { file } => {
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
        HubCommand::Device(command) => device_request(command),
        HubCommand::Service(command) => service_request(command),
        HubCommand::Enroll(command) => enroll_request(command),
        HubCommand::Streams(streams) => match streams.command {
            None => (AdminRequest::Streams, streams.output.json),
            Some(StreamsCommand::List(output)) => (AdminRequest::Streams, output.json),
            Some(StreamsCommand::Kill { id }) => (AdminRequest::EndStream { stream: id }, false),
        },
        HubCommand::Devices(OutputArgs { json }) => (AdminRequest::List { role: Role::Device }, json),
        HubCommand::Status(OutputArgs { json }) => (AdminRequest::Status, json),
        // `check` and `check-config` are no requests, and were handled before.
        HubCommand::Show | HubCommand::Check(_) | HubCommand::CheckConfig => (AdminRequest::Show, true),
    };
    let socket = admin_socket(&state);
    let answer: AdminResponse =
        local_socket::request(&socket, &request).await.map_err(|error| anyhow!(hub_not_running(&state, &error)))?;
    show::print_answer(answer, json, matches!(request, AdminRequest::ShowIdentity { .. })).map_err(Failure::Other)?;
    if let AdminRequest::Add { principal: Principal { role: Role::Service, id }, scope, .. } = request
        && scope.devices.is_empty()
    {
        output::warning(&format!(
            "{id} may not reach any device yet; allow one: devstream hub service set {id} --device ID"
        ));
    }
    Ok(())
}

/// Words the error of a hub that does not answer on its admin socket. A machine that has joined, and where no hub has run,
/// is not the hub's.
pub(super) fn hub_not_running(state: &Path, error: &io::Error) -> String {
    let at = admin_socket(state);
    let is_absent = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused].contains(&error.kind());
    match joined_hub().filter(|_| is_absent && !state.exists()) {
        Some(hub) => format!("no hub runs on this machine; run this on {}, the hub that this machine joined", hub.host),
        None if is_absent => {
            format!("no hub of this user answers at {}; start one with `devstream hub`", at.display())
        }
        None if error.kind() == io::ErrorKind::PermissionDenied => {
            format!("cannot connect to the hub at {}: {error}; run this as root or as the hub's user", at.display())
        }
        None => format!("the hub does not answer at {}: {error}", at.display()),
    }
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
