//! `devstream profiles`: which hubs and identities this machine has, and which of them is meant.

use anyhow::bail;
use serde::Serialize;

use super::args::{Profiles, ProfilesCommand};
use super::identity::Joined;
use super::install::service_with_key;
use super::profile::{Profile, forget};
use super::{output, paths};
use crate::proto::id::{PrincipalId, Role};
use crate::proto::join::HubAddress;

const ROLES: [Role; 2] = [Role::Device, Role::Service];

pub(super) fn run(profiles: Profiles) -> anyhow::Result<()> {
    match profiles.command {
        None => list(profiles.profile.as_ref(), profiles.listing.json),
        Some(ProfilesCommand::Use { name }) => choose(&name),
        Some(ProfilesCommand::Remove { name }) => remove(&name),
    }
}

/// What a profile is.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    /// Whether it holds where none is named.
    default: bool,
    identities: Vec<Own>,
}

/// Who a profile is in one role.
#[derive(Debug, Serialize)]
struct Own {
    role: Role,
    id: PrincipalId,
    hub: HubAddress,
}

fn list(named: Option<&Profile>, as_json: bool) -> anyhow::Result<()> {
    let usual = Profile::chosen(named)?;
    let entries = Profile::all()?.into_iter().map(|profile| {
        let (name, default) = (profile.to_string(), profile == usual);
        Ok(Entry { name, default, identities: identities(&profile)? })
    });
    let entries = entries.collect::<anyhow::Result<Vec<Entry>>>()?;
    if as_json {
        output::out(&serde_json::to_string_pretty(&entries)?);
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
    output::table(&["  PROFILE", "ROLE", "ID", "HUB"], rows);
    Ok(())
}

fn identities(profile: &Profile) -> anyhow::Result<Vec<Own>> {
    let mut own = Vec::new();
    for role in ROLES {
        if let Some(Joined { id, hub, .. }) = Joined::load(profile, role)? {
            own.push(Own { role, id, hub });
        }
    }
    Ok(own)
}

fn choose(profile: &Profile) -> anyhow::Result<()> {
    must_be_there(profile)?;
    profile.use_always()?;
    output::err(&format!("{profile} is the profile that holds where none is named"));
    Ok(())
}

fn remove(profile: &Profile) -> anyhow::Result<()> {
    must_be_there(profile)?;
    let gone = identities(profile)?;
    for role in ROLES {
        let place = paths::identity(profile, role)?;
        if let Some(service) = service_with_key(profile, role, &place, None) {
            bail!("{} runs with this profile's key; first: {}", service.name, service.ending);
        }
    }
    for role in ROLES {
        forget(&paths::identity(profile, role)?)?;
    }
    if !profile.is_default() {
        forget(&paths::profiles()?.join(profile.as_str()))?;
    }
    if *profile == Profile::chosen(None)? {
        Profile::default().use_always()?;
    }
    for Own { role, id, hub } in gone {
        let role = role.as_str();
        output::err(&format!("forgot {role} {id} of {hub}; there, `devstream hub {role} remove {id}` forgets it too"));
    }
    Ok(())
}

fn must_be_there(profile: &Profile) -> anyhow::Result<()> {
    let all = Profile::all()?;
    if !all.contains(profile) {
        let names: Vec<_> = all.iter().map(Profile::as_str).collect();
        bail!("there is no profile {profile}; there are {}", names.join(", "));
    }
    Ok(())
}
