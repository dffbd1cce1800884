//! The check of a hub on its own machine: it runs, is reached under the name in its join links, and has resources left.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::advice::hub_advice;
use super::finding::{Finding, Verdict, sanitized};
use super::hop::Hop;
use super::hub_path::{elapsed_since, to_tls};
use super::hub_state::{certificate, descriptors, disk, parts};
use super::reporter::Reporter;
use crate::cli::Failure;
use crate::cli::admin::hub_not_running;
use crate::cli::args::OutputArgs;
use crate::hub::state::{admin_socket, created_at};
use crate::net::client::Client;
use crate::net::os::clock;
use crate::net::os::local_socket;
use crate::net::os::random;
use crate::net::os::usage;
use crate::net::tls::Trust;
use crate::proto::admin::{AdminRequest, AdminResponse, HubInfo, HubStatus};
use crate::proto::id::{Principal, Role};
use crate::proto::join::HubAddress;
use crate::proto::key::PrivateKey;
use crate::proto::refusal::{Refusal, RefusalKind};

/// Checks the hub with this state directory.
pub(in crate::cli) async fn run(state: &Path, output: OutputArgs) -> Result<(), Failure> {
    let reporter = Reporter::new(output);
    check(&reporter, state).await?;
    reporter.end()
}

async fn check(reporter: &Reporter, state: &Path) -> anyhow::Result<()> {
    let (socket, started) = (admin_socket(state), clock::now());
    // First: a hub does not start without it, and one that runs does not notice.
    if let Some(finding) = parts(state) {
        reporter.push(finding);
    }
    reporter.begin(Hop::Hub, state.display());
    let answers = (ask(&socket, AdminRequest::Show).await, ask(&socket, AdminRequest::Status).await);
    let (info, status) = match answers {
        (Ok(AdminResponse::Hub(info)), Ok(AdminResponse::Status(status))) => (info, status),
        (answer, _) => {
            let error = answer.err().unwrap_or_else(|| io::ErrorKind::InvalidData.into());
            let refusal = Refusal::new(RefusalKind::HubUnreachable, hub_not_running(state, &error));
            reporter.push(Finding::failed(Hop::Hub, state.display(), &refusal));
            return Ok(());
        }
    };
    reporter.push(runs(&info, &status).took(elapsed_since(started)));
    reporter.push(certificate(&status.certificate, clock::now_utc(), created_at(state)));
    // Under the name and with the trust of a join link.
    let public = HubAddress { host: info.hostname.clone(), port: info.local.port };
    to_tls(reporter, &unknown_client(public, &info)?, hub_advice).await;
    reporter.push(descriptors(&status));
    if let Some(left) = usage::disk_space(state) {
        reporter.push(disk(&state.display().to_string(), left));
    }
    Ok(())
}

async fn ask(socket: &Path, request: AdminRequest) -> io::Result<AdminResponse> {
    local_socket::request(socket, &request).await
}

fn runs(info: &HubInfo, status: &HubStatus) -> Finding {
    let listening = info.listening.map_or_else(|| info.local.to_string(), |address| address.to_string());
    let finding = Finding::good(Hop::Hub, &info.hostname).fact("listening", listening);
    let finding = finding.fact("since", status.since).fact("version", &status.version).fact("process", status.process);
    if status.draining {
        return finding.with_verdict(Verdict::failed(Hop::Hub, &RefusalKind::Draining.into(), None));
    }
    if status.warnings.is_empty() && info.name_is_guessed {
        return finding.with_verdict(Verdict::Warning {
            cause: format!("join links have this machine's own name, {}, which others may not resolve", info.hostname),
            advice: "if so, start the hub with --hostname NAME, and make new join links".into(),
        });
    }
    if status.warnings.is_empty() {
        return finding;
    }
    finding.with_verdict(Verdict::Warning {
        cause: sanitized(status.warnings.join("; ")),
        advice: "see the hub's log for details".into(),
    })
}

/// A client with a key that the hub does not know, for a connection that ends after TLS.
fn unknown_client(hub: HubAddress, info: &HubInfo) -> anyhow::Result<Client> {
    let principal = Principal { role: Role::Device, id: "check".to_owned().try_into()? };
    let key = Arc::new(PrivateKey::from_seed(&random::secret()));
    Ok(Client::new(hub, &Trust::Pin(info.pin), principal, key)?)
}
