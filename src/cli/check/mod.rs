//! `devstream check` and `devstream hub check`: what works, hop for hop. What it means is in `proto::check`.

mod banner;
mod device;
mod hub;
mod hub_path;
mod operator;
mod reporter;

pub(super) use self::hub::run as hub;

use self::reporter::Telling;
use super::Failure;
use super::args::Check;
use super::identity::Joined;
use super::profile::Profile;
use crate::proto::id::Role;

/// As an operator, or as a device where nothing else was joined or asked for.
pub(super) async fn run(check: Check) -> Result<(), Failure> {
    let telling = Telling::new(check.listing);
    if is_device(&check)? {
        device::check(&telling, check).await?;
    } else {
        operator::check(&telling, check).await?;
    }
    telling.end()
}

fn is_device(check: &Check) -> anyhow::Result<bool> {
    if check.device.is_some() || !check.forward.is_empty() {
        return Ok(check.device.is_none());
    }
    let profile = Profile::chosen(check.hub.profile.as_ref())?;
    Ok(Joined::load(&profile, Role::Service)?.is_none() && Joined::load(&profile, Role::Device)?.is_some())
}
