//! `devstream check` and `devstream hub check`: every hop on the path to a hub, a device and its target, with the cause
//! and the next step for one that fails.
//!
//! In: the flags, and the settings of the role that goes that way. Out: findings, hop by hop, and the first failure's
//! exit code. What a failure calls for is decided by types (`advice`), never by the words of an error.

mod advice;
mod banner;
mod clock;
mod device;
mod finding;
mod hop;
mod hub;
mod hub_path;
mod hub_state;
mod operator;
mod reporter;
mod session;

pub(super) use self::hub::run as hub;

use self::reporter::Reporter;
use super::Failure;
use super::args::Check;
use super::identity::StoredIdentity;
use super::profile::Profile;
use crate::proto::id::Role;

/// Checks as an operator, or as a device where the profile is only that or `--forward` is given.
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
    if check.device().is_some() || !check.forward.is_empty() {
        return Ok(check.device().is_none());
    }
    let profile = Profile::resolve(check.hub.profile.as_ref())?;
    Ok(StoredIdentity::load(&profile, Role::Service)?.is_none()
        && StoredIdentity::load(&profile, Role::Device)?.is_some())
}
