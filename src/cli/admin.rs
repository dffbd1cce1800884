//! The `hub …` subcommands: questions to the running hub of the same user.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};

use super::args::{DeviceCommand, HubCommand, Listing, Logs, ServiceCommand};
use super::{Failure, home, text};
use crate::hub::activity::{self, Filter};
use crate::hub::state::{activity_log, admin_socket};
use crate::net::clock::Moment;
use crate::net::local;
use crate::proto::admin::{AdminAnswer, AdminRequest, Identity, Scope};
use crate::proto::id::{DeviceId, Principal, Role, ServiceName};

/// Asks, and prints the answer.
pub(super) async fn run(command: HubCommand, state: Option<&Path>) -> Result<(), Failure> {
    let (request, listing) = request(command);
    let socket = admin_socket(&home::hub_state(state)?);
    let answer: AdminAnswer = local::ask(&socket, &request).await.with_context(|| no_hub(&socket))?;
    print(answer, listing).map_err(Failure::Other)
}

fn no_hub(socket: &Path) -> String {
    format!("no hub of this user answers at {}; start one with `devstream hub`", socket.display())
}

fn request(command: HubCommand) -> (AdminRequest, Option<Listing>) {
    match command {
        HubCommand::Device(command) => match command {
            DeviceCommand::Add { id } => (AdminRequest::Add { principal: device(id), scope: Scope::default() }, None),
            DeviceCommand::List(listing) => (AdminRequest::List { role: Role::Device }, Some(listing)),
            DeviceCommand::Show { id, listing } => {
                (AdminRequest::ShowIdentity { principal: device(id) }, Some(listing))
            }
            DeviceCommand::Remove { id } => (AdminRequest::Remove { principal: device(id) }, None),
        },
        HubCommand::Service(command) => match command {
            ServiceCommand::Add { name, devices, streams } => {
                (AdminRequest::Add { principal: service(name), scope: Scope { devices, streams } }, None)
            }
            ServiceCommand::List(listing) => (AdminRequest::List { role: Role::Service }, Some(listing)),
            ServiceCommand::Show { name, listing } => {
                (AdminRequest::ShowIdentity { principal: service(name) }, Some(listing))
            }
            ServiceCommand::Remove { name } => (AdminRequest::Remove { principal: service(name) }, None),
        },
        HubCommand::Show | HubCommand::Logs(_) | HubCommand::CheckConfig => (AdminRequest::Show, None),
    }
}

fn device(id: DeviceId) -> Principal {
    Principal { role: Role::Device, id: id.into() }
}

fn service(name: ServiceName) -> Principal {
    Principal { role: Role::Service, id: name.into() }
}

fn print(answer: AdminAnswer, listing: Option<Listing>) -> anyhow::Result<()> {
    match answer {
        AdminAnswer::Hub(info) => text::out(&serde_json::to_string_pretty(&info)?),
        AdminAnswer::Added { link, seconds } => {
            text::err(&format!("Paste this on its machine; it works once, within {} minutes:", seconds / 60));
            text::out(&format!("devstream join '{link}'"));
        }
        AdminAnswer::Identities { identities } if listing.is_some_and(|listing| listing.json) => {
            text::out(&serde_json::to_string_pretty(&identities)?);
        }
        AdminAnswer::Identities { identities } => {
            identities.iter().for_each(|identity| text::out(&line(identity)));
            if identities.is_empty() {
                text::err("there are none yet; `devstream hub device add ID` adds one");
            }
        }
        AdminAnswer::Done => text::err("done"),
        AdminAnswer::Failed { reason } => bail!(reason),
    }
    Ok(())
}

fn line(identity: &Identity) -> String {
    let Identity { principal, joined, last_seen, online, scope, .. } = identity;
    let state = match (online, last_seen) {
        (Some(presence), _) => {
            let offers: Vec<&str> = presence.forwards.iter().map(|name| name.as_str()).collect();
            let (since, address, version) = (&presence.since, &presence.address, &presence.version);
            format!("online since {since} from {address}, version {version}, offers {}", offers.join(", "))
        }
        (None, Some(seen)) => format!("last seen {seen}"),
        (None, None) if !joined => "has not joined yet".into(),
        (None, None) => "never seen".into(),
    };
    let reach = |scope: &Scope| {
        let names = |list: &[String]| if list.is_empty() { "all".to_owned() } else { list.join(" ") };
        let streams: Vec<String> = scope.streams.iter().map(ToString::to_string).collect();
        format!("devices: {}; streams: {}", names(&scope.devices), names(&streams))
    };
    match (principal.role, scope) {
        (Role::Service, Some(scope)) if *joined => format!("{:<24} {}", principal.id, reach(scope)),
        (Role::Service, Some(scope)) => format!("{:<24} {} (has not joined yet)", principal.id, reach(scope)),
        _ => format!("{:<24} {state}", principal.id),
    }
}

/// Reads the activity log, whether the hub runs or not.
pub(super) fn logs(logs: &Logs, state: Option<&Path>) -> Result<(), Failure> {
    let path = activity_log(&home::hub_state(state)?);
    let since = logs.since.map(|age| Moment::now().before(age));
    let filter = Filter { device: logs.device.clone(), service: logs.service.clone(), since };
    let lines = activity::read(&path, filter)
        .map_err(|error| anyhow!("cannot read the activity log {}: {error}; has a hub run here?", path.display()))?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in lines {
        let text = if logs.json { line.json() } else { line.text() };
        // A reader such as `head` that has seen enough is no error.
        if writeln!(out, "{text}").is_err() {
            break;
        }
    }
    Ok(())
}
