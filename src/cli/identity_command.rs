//! `devstream identity`: who this machine is, with the end-to-end keys that a person compares or pins elsewhere.

use super::args::Identity;
use super::identity::{OwnIdentity, no_identity, own_identities};
use super::profile::Profile;
use super::{Failure, output};

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
    let row = |OwnIdentity { role, id, hub, end_to_end_key }: &OwnIdentity| {
        let hub = hub.as_ref().map_or_else(|| "this user's".into(), ToString::to_string);
        vec![role.to_string(), id.to_string(), hub, String::from(*end_to_end_key)]
    };
    output::print_table(&["ROLE", "ID", "HUB", "END-TO-END KEY"], identities.iter().map(row));
    Ok(())
}
