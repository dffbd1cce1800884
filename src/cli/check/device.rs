//! The check of a device: its path to the hub, and whether its targets answer.

use super::banner::{judge_banner, read_banner};
use super::finding::{Finding, Verdict, sanitized};
use super::hop::Hop;
use super::hub_path::{elapsed_since, to_hub};
use super::reporter::Reporter;
use crate::agent::connect::connect;
use crate::cli::Failure;
use crate::cli::args::Check;
use crate::cli::config::role_settings::device_agent;
use crate::cli::identity::{client_factory, default_device_id};
use crate::cli::profile::Profile;
use crate::cli::service::service_with_key;
use crate::cli::status::{running_role, silent_role};
use crate::net::os::clock;
use crate::proto::forward::Forward;
use crate::proto::id::{Principal, Role};
use crate::proto::join::HubAddress;
use crate::proto::status::{LastError, RoleState, RoleStatus};

/// The placeholder for --forward, which is required, where only the settings of the path are read.
const NO_FORWARD: &str = "--forward=1";

pub(super) async fn check(reporter: &Reporter, check: Check) -> Result<(), Failure> {
    let profile = check.hub.profile.as_ref();
    let resolved = Profile::resolve(profile)?;
    let typed: Vec<_> = check.forward.iter().map(|forward| format!("--forward={forward}")).collect();
    let flags: Vec<_> = typed.iter().map(String::as_str).collect();
    let (agent, forwards) = match device_agent(profile, &flags) {
        Ok(mut agent) => {
            let forwards = std::mem::take(&mut agent.forward);
            (agent, forwards)
        }
        Err(_) if flags.is_empty() => (device_agent(profile, &[NO_FORWARD])?, Vec::new()),
        Err(failure) => return Err(failure),
    };
    let id = agent.id.map_or_else(|| default_device_id(&check.hub), |id| Ok(id.into()))?;
    let principal = Principal { role: Role::Device, id };
    let hub = check.hub.or(agent.hub);
    let via = hub.via.clone();
    let factory = client_factory(principal.clone(), hub);
    if to_hub(reporter, &principal, &factory, &via).await.is_some()
        && let Ok(client) = factory.client().await
    {
        reporter.push_if(agent_finding(&principal, client.hub(), &resolved).await?);
    }
    for forward in &forwards {
        reporter.begin(Hop::Target, forward);
        reporter.push(target(forward).await);
    }
    Ok(())
}

/// Judges the agent of this machine; `None` if it is online or about to be.
async fn agent_finding(principal: &Principal, hub: &HubAddress, profile: &Profile) -> anyhow::Result<Option<Finding>> {
    let warning =
        |cause, advice| Some(Finding::good(Hop::Agent, principal).with_verdict(Verdict::Warning { cause, advice }));
    Ok(match running_role(principal, std::slice::from_ref(hub)).await {
        Some(RoleStatus {
            state: RoleState::Retrying, process, last_error: Some(LastError { reason, .. }), ..
        }) => {
            let cause = sanitized(format!("the agent, process {process}, is not online: {reason}"));
            warning(cause, "`devstream status` shows when it is; it tries again by itself".to_owned())
        }
        Some(_) => None,
        None => match silent_role("device-agent").await {
            Some(socket) => {
                let cause =
                    format!("an agent runs here and does not answer ({}): it is stopped or hangs", socket.display());
                warning(
                    cause,
                    "end it, and start it again; a second one beside it would take its place at the hub".to_owned(),
                )
            }
            None => Some(no_agent(principal, profile)?),
        },
    })
}

/// The path is open, and nobody uses it. An agent of another user may not be seen.
fn no_agent(principal: &Principal, profile: &Profile) -> anyhow::Result<Finding> {
    let directory = profile.identity_directory(Role::Device)?;
    let advice = match service_with_key(profile, Role::Device, &directory, None) {
        Some(service) => format!("systemctl start {0}; `systemctl status {0}` says why if it cannot", service.name),
        None => format!("start it: devstream device-agent{} --forward 22", profile.flag()),
    };
    let cause = format!("no device-agent of {} is running on this machine, as far as this user can see", principal.id);
    Ok(Finding::good(Hop::Agent, principal).with_verdict(Verdict::Warning { cause, advice }))
}

async fn target(forward: &Forward) -> Finding {
    let (at, started) = (forward.to_string(), clock::now());
    match connect(forward).await {
        Ok(mut target) => judge_banner(&at, Some(&forward.name), &read_banner(&mut target, Some(&forward.name)).await),
        Err(refusal) => Finding::failed(Hop::Target, at, &refusal),
    }
    .took(elapsed_since(started))
}
