//! `devstream profiles`: lists the hubs and identities of this machine, sets the default, removes.

use anyhow::bail;
use serde::Serialize;

use super::stored::StoredIdentity;
use crate::cli::args::{Profiles, ProfilesCommand};
use crate::cli::profile::{Profile, remove_directory};
use crate::cli::service::service_with_key;
use crate::cli::{output, paths};
use crate::proto::id::{PrincipalId, Role};
use crate::proto::join::HubAddress;

const ROLES: [Role; 2] = [Role::Device, Role::Service];

pub(in crate::cli) fn run(profiles: Profiles) -> anyhow::Result<()> {
    match profiles.command {
        None => list(profiles.profile.as_ref(), profiles.output.json),
        Some(ProfilesCommand::Use { name }) => set_default(&name),
        Some(ProfilesCommand::Remove { name }) => remove(&name),
    }
}

/// A profile in the list.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    /// This is the default profile.
    default: bool,
    identities: Vec<ProfileIdentity>,
}

/// A profile's identity in one role.
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
        let cells = entry.identities.iter().map(|identity| {
            let ProfileIdentity { role, id, hub } = identity;
            [role.as_str().into(), id.to_string(), hub.to_string()]
        });
        let mut cells: Vec<[String; 3]> = cells.collect();
        if cells.is_empty() {
            cells.push(["-".into(), "-".into(), "-".into()]);
        }
        cells.into_iter().map(move |cells| [vec![name.clone()], cells.to_vec()].concat())
    });
    output::print_table(&["  PROFILE", "ROLE", "ID", "HUB"], rows);
    Ok(())
}

fn identities(profile: &Profile) -> anyhow::Result<Vec<ProfileIdentity>> {
    let mut identities = Vec::new();
    for role in ROLES {
        if let Some(StoredIdentity { id, hub, .. }) = StoredIdentity::load(profile, role)? {
            identities.push(ProfileIdentity { role, id, hub });
        }
    }
    Ok(identities)
}

fn set_default(profile: &Profile) -> anyhow::Result<()> {
    ensure_exists(profile)?;
    profile.make_default()?;
    output::eprint(&format!("default profile is now {profile}"));
    Ok(())
}

fn remove(profile: &Profile) -> anyhow::Result<()> {
    ensure_exists(profile)?;
    let removed = identities(profile)?;
    for role in ROLES {
        let directory = profile.identity_directory(role)?;
        if let Some(service) = service_with_key(profile, role, &directory, None) {
            bail!("{} runs with this profile's key; first run: {}", service.name, service.uninstall_command);
        }
    }
    for role in ROLES {
        remove_directory(&profile.identity_directory(role)?)?;
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
            "removed {role} {id} of {hub}; remove it at the hub as well: devstream hub {role} remove {id}"
        ));
    }
    Ok(())
}

fn ensure_exists(profile: &Profile) -> anyhow::Result<()> {
    let all = Profile::all()?;
    if !all.contains(profile) {
        let names: Vec<_> = all.iter().map(Profile::as_str).collect();
        bail!("no profile {profile}; profiles: {}", names.join(", "));
    }
    Ok(())
}
