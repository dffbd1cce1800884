//! The check of a hub on its own machine: it runs, is reached under the name in its join links, and has resources left.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use super::advice::hub_advice;
use super::finding::{Finding, Verdict, sanitized};
use super::hop::Hop;
use super::hub_path::{elapsed_since, to_tls};
use super::hub_state::{certificate, cluster, descriptors, disk, parts};
use super::reporter::Reporter;
use crate::cli::Failure;
use crate::cli::admin::{NotRunning, hub_not_running};
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

/// The limit on looking up a name of the hub once more: the check has just done so.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

fn listen_advice(port: u16) -> String {
    format!("start the hub with --listen '[::]:{port}', and run `devstream check` on another machine")
}

/// Checks the hub with this state directory.
pub(in crate::cli) async fn run(state: &Path, is_given: bool, output: OutputArgs) -> Result<(), Failure> {
    let reporter = Reporter::new(output);
    check(&reporter, state, is_given).await?;
    reporter.end()
}

async fn check(reporter: &Reporter, state: &Path, is_given: bool) -> anyhow::Result<()> {
    let (socket, started) = (admin_socket(state), clock::now());
    // First: a hub does not start without it, and one that runs does not notice.
    reporter.push_if(parts(state));
    reporter.begin(Hop::Hub, state.display());
    let answers = (ask(&socket, AdminRequest::Show).await, ask(&socket, AdminRequest::Status).await);
    let (info, status) = match answers {
        (Ok(AdminResponse::Hub(info)), Ok(AdminResponse::Status(status))) => (info, status),
        (answer, _) => {
            let error = answer.err().unwrap_or_else(|| io::ErrorKind::InvalidData.into());
            let NotRunning { cause, advice } = hub_not_running(state, is_given, &error);
            let verdict = Verdict::because(&Refusal::new(RefusalKind::HubUnreachable, cause), advice);
            reporter.push(Finding::good(Hop::Hub, state.display()).with_verdict(verdict));
            return Ok(());
        }
    };
    reporter.push(runs(&info, &status).took(elapsed_since(started)));
    reporter.push(certificate(&status.certificate, clock::now_utc(), created_at(state)));
    // Under each name, and with the trust of a join link.
    for host in [&info.hostname].into_iter().chain(&info.other_hostnames) {
        let public = HubAddress { host: host.clone(), port: info.local.port };
        reporter.doubt(only_here(&info, host).await);
        to_tls(reporter, &unknown_client(public, &info)?, hub_advice).await;
        reporter.settle();
    }
    if let Ok(AdminResponse::Cluster(status)) = ask(&socket, AdminRequest::ClusterStatus).await {
        reporter.push(cluster(&status));
        // The name that this hub alone has.
        if let Some(own) = status.hubs.first() {
            to_tls(reporter, &unknown_client(own.address.clone(), &info)?, hub_advice).await;
        }
    }
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
    if status.warnings.is_empty() && info.loopback_only && info.hostname.parse::<IpAddr>().is_err() {
        return finding.with_verdict(Verdict::Warning {
            cause: "it listens on this machine only: others reach it by what forwards to it, if at all".into(),
            advice: listen_advice(info.local.port),
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

/// Judges whether a name leads to this machine from others, where it does not so from here: `None` if it may.
async fn only_here(info: &HubInfo, host: &str) -> Option<Finding> {
    let is_loopback = |found: &SocketAddr| found.ip().is_loopback();
    let lookup = timeout(LOOKUP_TIMEOUT, lookup_host((host, info.local.port))).await;
    let address = lookup.ok()?.ok()?.find(is_loopback)?.ip();
    let is_literal = host.parse::<IpAddr>().is_ok();
    let is_every_machine = is_literal || host == "localhost";
    let (cause, advice) = match (is_every_machine, info.loopback_only) {
        // Nothing was said about other machines.
        (true, true) if is_literal => return None,
        (true, false) => (
            format!("{host} is every machine itself: join links with it lead nowhere from others"),
            "start the hub with --hostname NAME, and make new join links".to_owned(),
        ),
        (_, loopback_only) => (
            format!("{host} is {address} here: this says nothing about other machines"),
            if loopback_only { listen_advice(info.local.port) } else { "run `devstream check` on one".into() },
        ),
    };
    Some(Finding::good(Hop::Dns, host).with_verdict(Verdict::Warning { cause, advice }))
}

/// A client with a key that the hub does not know, for a connection that ends after TLS.
fn unknown_client(hub: HubAddress, info: &HubInfo) -> anyhow::Result<Client> {
    let principal = Principal { role: Role::Device, id: "check".to_owned().try_into()? };
    let key = Arc::new(PrivateKey::from_seed(&random::secret()));
    Ok(Client::new(hub, &Trust::Pin(info.pin), principal, key)?)
}
