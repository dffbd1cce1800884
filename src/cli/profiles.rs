//! `devstream profiles`: which hubs and identities this machine has, and which of them is meant.

use anyhow::bail;
use serde::Serialize;

use super::args::{Profiles, ProfilesCommand};
use super::identity::StoredIdentity;
use super::install::service_with_key;
use super::profile::{Profile, remove_directory};
use super::{output, paths};
use crate::proto::id::{PrincipalId, Role};
use crate::proto::join::HubAddress;

const ROLES: [Role; 2] = [Role::Device, Role::Service];

pub(super) fn run(profiles: Profiles) -> anyhow::Result<()> {
    match profiles.command {
        None => list(profiles.profile.as_ref(), profiles.output.json),
        Some(ProfilesCommand::Use { name }) => set_default(&name),
        Some(ProfilesCommand::Remove { name }) => remove(&name),
    }
}

/// What a profile is.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    /// Whether it holds where none is named.
    default: bool,
    identities: Vec<ProfileIdentity>,
}

/// Who a profile is in one role.
#[derive(Debug, Serialize)]
struct ProfileIdentity {
    role: Role,
    id: PrincipalId,
    hub: HubAddress,
}

fn list(named: Option<&Profile>, as_json: bool) -> anyhow::Result<()> {
    let current = Profile::resolve(named)?;
    let entries = Profile::all()?.into_iter().map(|profile| {
        let (name, default) = (profile.to_string(), profile == current);
        Ok(Entry { name, default, identities: identities(&profile)? })
    });
    let entries = entries.collect::<anyhow::Result<Vec<Entry>>>()?;
    if as_json {
        output::print(&serde_json::to_string_pretty(&entries)?);
        return Ok(());
    }
    let rows = entries.iter().flat_map(|entry| {
        let name = format!("{}{}", if entry.default { "* " } else { "  " }, entry.name);
        let joined =
            entry.identities.iter().map(|own| [own.role.as_str().into(), own.id.to_string(), own.hub.to_string()]);
        let mut joined: Vec<[String; 3]> = joined.collect();
        if joined.is_empty() {
            joined.push(["-".into(), "-".into(), "-".into()]);
        }
        joined.into_iter().map(move |own| [vec![name.clone()], own.to_vec()].concat())
    });
    output::print_table(&["  PROFILE", "ROLE", "ID", "HUB"], rows);
    Ok(())
}

fn identities(profile: &Profile) -> anyhow::Result<Vec<ProfileIdentity>> {
    let mut own = Vec::new();
    for role in ROLES {
        if let Some(StoredIdentity { id, hub, .. }) = StoredIdentity::load(profile, role)? {
            own.push(ProfileIdentity { role, id, hub });
        }
    }
    Ok(own)
}

fn set_default(profile: &Profile) -> anyhow::Result<()> {
    ensure_exists(profile)?;
    profile.make_default()?;
    output::eprint(&format!("{profile} is the profile that holds where none is named"));
    Ok(())
}

fn remove(profile: &Profile) -> anyhow::Result<()> {
    ensure_exists(profile)?;
    let removed = identities(profile)?;
    for role in ROLES {
        let directory = paths::identity(profile, role)?;
        if let Some(service) = service_with_key(profile, role, &directory, None) {
            bail!("{} runs with this profile's key; first: {}", service.name, service.uninstall_command);
        }
    }
    for role in ROLES {
        remove_directory(&paths::identity(profile, role)?)?;
    }
    if !profile.is_default() {
        remove_directory(&paths::profiles()?.join(profile.as_str()))?;
    }
    if *profile == Profile::resolve(None)? {
        Profile::default().make_default()?;
    }
    for ProfileIdentity { role, id, hub } in removed {
        let role = role.as_str();
        output::eprint(&format!(
            "forgot {role} {id} of {hub}; there, `devstream hub {role} remove {id}` forgets it too"
        ));
    }
    Ok(())
}

fn ensure_exists(profile: &Profile) -> anyhow::Result<()> {
    let all = Profile::all()?;
    if !all.contains(profile) {
        let names: Vec<_> = all.iter().map(Profile::as_str).collect();
        bail!("there is no profile {profile}; there are {}", names.join(", "));
    }
    Ok(())
}
