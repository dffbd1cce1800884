//! The `hub …` subcommands: questions to the running hub of the same user.

mod show;

pub(super) use show::devices as show_devices;

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::args::{
    Count, DeviceCommand, EnrollCommand, HubCommand, Listing, ScopeArgs, ServiceCommand, Span, StreamsCommand,
};
use super::{Failure, check, logs, output, paths};
use crate::hub::backup;
use crate::hub::state::admin_socket;
use crate::net::clock;
use crate::net::local;
use crate::proto::admin::{AdminAnswer, AdminRequest};
use crate::proto::id::{DeviceId, Principal, Role, ServiceName};
use crate::proto::scope::{Glob, Limit, Scope, ScopeChange};

/// Does what was asked: mostly a question to the hub, whose answer is printed.
pub(super) async fn run(command: HubCommand, given: Option<&Path>) -> Result<(), Failure> {
    let state = paths::hub_state(given)?;
    let (request, json) = match command {
        HubCommand::Check(listing) => return check::hub(&state, listing).await,
        HubCommand::Logs(wanted) => return logs::run(&wanted, &state).await,
        HubCommand::Backup { file } => {
            let identities = backup::create(&state, &file)?;
            output::err(&format!("{identities} identities, the keys and the certificates are in {}", file.display()));
            output::err("whoever has this file can be your hub: keep it where only you read it");
            return Ok(());
        }
        HubCommand::Restore { file } => {
            let state = paths::own_hub_state(given)?;
            let identities = backup::restore(&file, &state)?;
            output::err(&format!(
                "{identities} identities are back in {}; start it with `devstream hub`",
                state.display()
            ));
            return Ok(());
        }
        HubCommand::Device(command) => device_request(command),
        HubCommand::Service(command) => service_request(command),
        HubCommand::Enroll(command) => enroll_request(command),
        HubCommand::Streams(streams) => match streams.command {
            None => (AdminRequest::Streams, streams.listing.json),
            Some(StreamsCommand::List(listing)) => (AdminRequest::Streams, listing.json),
            Some(StreamsCommand::Kill { id }) => (AdminRequest::EndStream { stream: id }, false),
        },
        HubCommand::Devices(Listing { json }) => (AdminRequest::List { role: Role::Device }, json),
        HubCommand::Status(Listing { json }) => (AdminRequest::Status, json),
        // The configuration is checked by whoever read it.
        HubCommand::Show | HubCommand::CheckConfig => (AdminRequest::Show, true),
    };
    let socket = admin_socket(&state);
    let answer: AdminAnswer = local::ask(&socket, &request).await.with_context(|| no_hub(&socket))?;
    show::answer(answer, json, matches!(request, AdminRequest::ShowIdentity { .. })).map_err(Failure::Other)?;
    if let AdminRequest::Add { principal: Principal { role: Role::Service, id }, scope, .. } = request
        && scope.devices.is_empty()
    {
        output::err(&format!("{id} may reach nothing yet; `devstream hub service set {id} --device ID` changes that"));
    }
    Ok(())
}

pub(super) fn no_hub(socket: &Path) -> String {
    format!("no hub of this user answers at {}; start one with `devstream hub`", socket.display())
}

fn device_request(command: DeviceCommand) -> (AdminRequest, bool) {
    let request = match command {
        DeviceCommand::Add { id, link } => {
            AdminRequest::Add { principal: device(id), scope: Scope::default(), link_seconds: link.link_for.as_secs() }
        }
        DeviceCommand::List(listing) => return (AdminRequest::List { role: Role::Device }, listing.json),
        DeviceCommand::Show { id, listing } => {
            return (AdminRequest::ShowIdentity { principal: device(id) }, listing.json);
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
        ServiceCommand::Set { name, scope } => AdminRequest::Rescope { service: name, change: change(scope) },
        ServiceCommand::List(listing) => return (AdminRequest::List { role: Role::Service }, listing.json),
        ServiceCommand::Show { name, listing } => {
            return (AdminRequest::ShowIdentity { principal: service(name) }, listing.json);
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
        EnrollCommand::List(listing) => (AdminRequest::ListEnrolments, listing.json),
        EnrollCommand::Remove { id } => (AdminRequest::RemoveEnrolment { id }, false),
    }
}

fn rotate(principal: Principal, overlap: Duration, link: Duration) -> AdminRequest {
    AdminRequest::Rotate { principal, overlap_seconds: overlap.as_secs(), link_seconds: link.as_secs() }
}

/// A new service may ask for any stream, but of the named devices only.
fn new_scope(typed: ScopeArgs) -> Scope {
    let mut scope = Scope { streams: vec![Glob::everything()], ..Scope::default() };
    change(typed).apply(&mut scope);
    scope
}

fn change(typed: ScopeArgs) -> ScopeChange {
    let ScopeArgs { devices, streams, span, max_streams } = typed;
    let named = |list: Vec<Glob>| Some(list).filter(|list| !list.is_empty());
    ScopeChange {
        devices: named(devices),
        streams: named(streams),
        until: span.map(|span| match span {
            Span::For(age) => Limit::To(clock::now_utc().after(age)),
            Span::Ever => Limit::Without,
        }),
        max_streams: max_streams.map(|count| match count {
            Count::Of(number) => Limit::To(number),
            Count::Any => Limit::Without,
        }),
    }
}

fn device(id: DeviceId) -> Principal {
    Principal { role: Role::Device, id: id.into() }
}

fn service(name: ServiceName) -> Principal {
    Principal { role: Role::Service, id: name.into() }
}
