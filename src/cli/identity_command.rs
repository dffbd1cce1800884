//! `devstream identity`: who this machine is, with the end-to-end keys that a person compares or pins elsewhere.

use super::args::Identity;
use super::identity::{OwnIdentity, no_identity, own_identities};
use super::profile::Profile;
use super::{Failure, output};
use crate::net::e2e::verdict::CertificateVerdict;

pub(super) fn run(identity: &Identity) -> Result<(), Failure> {
    let profile = Profile::resolve(identity.profile.as_ref())?;
    let identities = own_identities(&profile)?;
    if identities.is_empty() {
        return Err(no_identity(&profile).into());
    }
    if identity.output.json {
        output::print(&serde_json::to_string_pretty(&identities).map_err(anyhow::Error::from)?);
        return Ok(());
    }
    let in_fleet = |own: &OwnIdentity| own.fleet.is_some() || own.verdict.is_some();
    let has_fleets = identities.iter().any(in_fleet);
    let row = |own: &OwnIdentity| {
        let OwnIdentity { role, id, hub, end_to_end_key, .. } = own;
        let hub = hub.as_ref().map_or_else(|| "this user's".into(), ToString::to_string);
        let cells = [role.to_string(), id.to_string(), hub, String::from(*end_to_end_key)];
        cells.into_iter().chain(has_fleets.then(|| signed(own))).collect()
    };
    let columns = ["ROLE", "ID", "HUB", "END-TO-END KEY"].into_iter().chain(has_fleets.then_some("SIGNED"));
    output::print_table(&columns.collect::<Vec<_>>(), identities.iter().map(row));
    Ok(())
}

/// Until when a fleet has signed the identity's key.
fn signed(own: &OwnIdentity) -> String {
    match own.verdict {
        Some(CertificateVerdict::Good(validity)) => format!("until {}", &validity.not_after.rfc3339()[..10]),
        Some(CertificateVerdict::Expired(_)) => "expired".into(),
        Some(CertificateVerdict::NotYetValid(_) | CertificateVerdict::NotLater(_)) => "not yet".into(),
        Some(CertificateVerdict::AnotherIdentity) => "another id".into(),
        Some(CertificateVerdict::AnotherKey) => "another key".into(),
        Some(CertificateVerdict::AnotherFleet) => "another fleet".into(),
        Some(CertificateVerdict::Unreadable) => "unreadable".into(),
        None if own.fleet.is_some() => "no".into(),
        Some(CertificateVerdict::NoFleet) | None => "-".into(),
    }
}
