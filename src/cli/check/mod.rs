//! `devstream check` and `devstream hub check`: what works, hop for hop. What it means is in `proto::check`.

mod device;
mod greeting;
mod hub;
mod operator;
mod way;

pub(super) use self::hub::run as hub;

use super::args::{Check, Listing};
use super::identity::Joined;
use super::profile::Profile;
use super::{Failure, text};
use crate::proto::check::Report;
use crate::proto::id::Role;

/// As an operator, or as a device where nothing else was joined or asked for.
pub(super) async fn run(check: Check) -> Result<(), Failure> {
    let listing = check.listing;
    let report = if is_device(&check)? { device::check(check).await? } else { operator::check(check).await? };
    tell(&report, listing)
}

fn is_device(check: &Check) -> anyhow::Result<bool> {
    if check.device.is_some() || !check.forward.is_empty() {
        return Ok(check.device.is_none());
    }
    let profile = Profile::chosen(check.hub.profile.as_ref())?;
    Ok(Joined::load(&profile, Role::Service)?.is_none() && Joined::load(&profile, Role::Device)?.is_some())
}

fn tell(report: &Report, listing: Listing) -> Result<(), Failure> {
    if listing.json {
        text::out(&format!("{:#}", report.json()));
    } else {
        text::out(&report.to_string());
    }
    match report.exit() {
        0 => Ok(()),
        code => Err(Failure::Said(code)),
    }
}
