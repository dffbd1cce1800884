//! On the hub's own machine: does it run, is it reached as its join links say, has it what it needs?

use std::path::Path;
use std::sync::Arc;

use super::hub_path::{since, to_door};
use super::reporter::Telling;
use crate::cli::Failure;
use crate::cli::admin::no_hub;
use crate::cli::args::Listing;
use crate::hub::state::{admin_socket, created_at};
use crate::net::client::Client;
use crate::net::tls::Trust;
use crate::net::{clock, local, random, usage};
use crate::proto::admin::{AdminAnswer, AdminRequest, HubInfo, HubStatus};
use crate::proto::check::{Finding, Hop, Verdict, certificate, descriptors, disk, shown};
use crate::proto::id::{Principal, Role};
use crate::proto::join::HubAddress;
use crate::proto::key::PrivateKey;
use crate::proto::refusal::{Refusal, RefusalKind};

/// All of it, for the hub with this state directory.
pub(in crate::cli) async fn run(state: &Path, listing: Listing) -> Result<(), Failure> {
    let telling = Telling::new(listing);
    check(&telling, state).await?;
    telling.end()
}

async fn check(telling: &Telling, state: &Path) -> anyhow::Result<()> {
    let (socket, began) = (admin_socket(state), clock::now());
    telling.begin(Hop::Hub, state.display());
    let answers = (ask(&socket, AdminRequest::Show).await, ask(&socket, AdminRequest::Status).await);
    let (Some(AdminAnswer::Hub(info)), Some(AdminAnswer::Status(status))) = answers else {
        let refusal = Refusal::new(RefusalKind::HubUnreachable, no_hub(&socket));
        telling.push(Finding::failed(Hop::Hub, state.display(), &refusal));
        return Ok(());
    };
    telling.push(runs(&info, &status).took(since(began)));
    telling.push(certificate(&status.certificate, clock::now_utc(), created_at(state)));
    // As a machine would that has just been given a join link.
    let public = HubAddress { host: info.hostname.clone(), port: info.local.port };
    to_door(telling, &stranger(public, &info)?).await;
    telling.push(descriptors(&status));
    if let Some(left) = usage::disk(state) {
        telling.push(disk(&state.display().to_string(), left));
    }
    Ok(())
}

async fn ask(socket: &Path, request: AdminRequest) -> Option<AdminAnswer> {
    local::ask(socket, &request).await.ok()
}

fn runs(info: &HubInfo, status: &HubStatus) -> Finding {
    let finding = Finding::good(Hop::Hub, &info.hostname).fact("listening", &info.local);
    let finding = finding.fact("since", status.since).fact("version", &status.version).fact("process", status.process);
    if status.draining {
        return finding.judged(Verdict::failed(Hop::Hub, &RefusalKind::Draining.into()));
    }
    if status.warnings.is_empty() {
        return finding;
    }
    finding.judged(Verdict::Odd {
        cause: shown(status.warnings.join("; ")),
        advice: "the hub's own messages say more".into(),
    })
}

/// Who the hub does not know, and who says nothing to it.
fn stranger(hub: HubAddress, info: &HubInfo) -> anyhow::Result<Client> {
    let principal = Principal { role: Role::Device, id: "check".to_owned().try_into()? };
    let key = Arc::new(PrivateKey::from_seed(&random::secret()));
    Ok(Client::new(hub, &Trust::Pin(info.pin), principal, key)?)
}
