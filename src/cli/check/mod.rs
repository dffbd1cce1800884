//! `devstream check` and `devstream hub check`: what works, hop for hop. What it means is in `proto::check`.

mod banner;
mod device;
mod hub;
mod hub_path;
mod operator;
mod reporter;

pub(super) use self::hub::run as hub;

use self::reporter::Reporter;
use super::Failure;
use super::args::Check;
use super::identity::StoredIdentity;
use super::profile::Profile;
use crate::proto::id::Role;

/// As an operator, or as a device where nothing else was joined or asked for.
pub(super) async fn run(check: Check) -> Result<(), Failure> {
    let reporter = Reporter::new(check.output);
    if is_device(&check)? {
        device::check(&reporter, check).await?;
    } else {
        operator::check(&reporter, check).await?;
    }
    reporter.end()
}

fn is_device(check: &Check) -> anyhow::Result<bool> {
    if check.device.is_some() || !check.forward.is_empty() {
        return Ok(check.device.is_none());
    }
    let profile = Profile::resolve(check.hub.profile.as_ref())?;
    Ok(StoredIdentity::load(&profile, Role::Service)?.is_none()
        && StoredIdentity::load(&profile, Role::Device)?.is_some())
}
