//! The check of a device: its path to the hub, and whether its targets answer.

use super::banner::{judge_banner, read_banner};
use super::finding::{Finding, Verdict};
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
use crate::cli::status::running_role;
use crate::net::os::clock;
use crate::proto::forward::Forward;
use crate::proto::id::{Principal, Role};

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
        && running_role(&principal, std::slice::from_ref(client.hub())).await.is_none()
    {
        reporter.push(no_agent(&principal, &resolved)?);
    }
    for forward in &forwards {
        reporter.begin(Hop::Target, forward);
        reporter.push(target(forward).await);
    }
    Ok(())
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
