//! Candidates from the hub on this machine, requested on its admin socket at each TAB: it is local and answers at once.

use clap_complete::engine::CompletionCandidate;
use tokio::time::timeout;

use super::{MAX_CANDIDATES, REPLY_TIMEOUT, argv, list};
use crate::cli::config::role_settings;
use crate::cli::paths;
use crate::hub::state::admin_socket;
use crate::net::os::local_socket;
use crate::proto::admin::{AdminRequest, AdminResponse, Enrolment, Identity, StreamStatus};
use crate::proto::id::Role;

/// Returns the hub's devices, with their state.
pub(in crate::cli) fn devices() -> Vec<CompletionCandidate> {
    identities(Role::Device, |device| match &device.online {
        Some(presence) => format!("online, offers {}", list(&presence.forwards)),
        None => state(device, "offline"),
    })
}

/// Returns the hub's services.
pub(in crate::cli) fn services() -> Vec<CompletionCandidate> {
    identities(Role::Service, |service| state(service, "joined"))
}

/// Returns the streams that online devices offer.
pub(in crate::cli) fn offered() -> Vec<CompletionCandidate> {
    let online = ask(AdminRequest::List { role: Role::Device }).into_iter().flat_map(all).filter_map(|it| it.online);
    let mut names: Vec<_> = online.flat_map(|presence| presence.forwards).map(String::from).collect();
    names.sort();
    names.dedup();
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// Returns the running streams.
pub(in crate::cli) fn streams() -> Vec<CompletionCandidate> {
    let Some(AdminResponse::Streams { streams, .. }) = ask(AdminRequest::Streams) else { return Vec::new() };
    let candidate = |stream: StreamStatus| {
        let help = format!("{} to {}, for {} s", stream.service, stream.device, stream.age_seconds);
        CompletionCandidate::new(stream.id.to_string()).help(Some(help.into()))
    };
    streams.into_iter().take(MAX_CANDIDATES).map(candidate).collect()
}

/// Returns the enrolment keys.
pub(in crate::cli) fn enrolments() -> Vec<CompletionCandidate> {
    let Some(AdminResponse::Enrolments { enrolments }) = ask(AdminRequest::ListEnrolments) else { return Vec::new() };
    let candidate = |key: Enrolment| {
        let help = format!("for {}, used {} of {} times", key.devices, key.used, key.uses);
        CompletionCandidate::new(key.id.to_string()).help(Some(help.into()))
    };
    enrolments.into_iter().take(MAX_CANDIDATES).map(candidate).collect()
}

fn identities(role: Role, describe: impl Fn(&Identity) -> String) -> Vec<CompletionCandidate> {
    let candidate =
        |known: Identity| CompletionCandidate::new(known.principal.id.as_str()).help(Some(describe(&known).into()));
    ask(AdminRequest::List { role }).into_iter().flat_map(all).take(MAX_CANDIDATES).map(candidate).collect()
}

fn all(answer: AdminResponse) -> Vec<Identity> {
    if let AdminResponse::Identities { identities, .. } = answer { identities } else { Vec::new() }
}

fn state(identity: &Identity, default_state: &str) -> String {
    match (identity.enabled, identity.joined) {
        (false, _) => "disabled".into(),
        (true, false) => "not joined".into(),
        (true, true) => default_state.into(),
    }
}

fn ask(request: AdminRequest) -> Option<AdminResponse> {
    let given = role_settings::hub_state(&argv::flags(&["state-dir"])).ok()?;
    let socket = admin_socket(&paths::hub_state(given.as_deref()).ok()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async { timeout(REPLY_TIMEOUT, local_socket::request(&socket, &request)).await.ok()?.ok() })
}
