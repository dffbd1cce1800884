//! `devstream profiles`: lists the hubs and identities of this machine, sets the default, removes.

use std::fmt;
use std::fs;
use std::io::ErrorKind;

use anyhow::bail;
use serde::Serialize;

use super::args::{MovedHub, Profiles, ProfilesCommand};
use super::identity::StoredIdentity;
use super::output::Confirmation;
use super::paths::{CERTIFICATE_FILE, KNOWN_FILE, KNOWN_LOCK};
use super::profile::{Profile, remove_directory};
use super::service::{left_state, service_with_key};
use super::status::running_role;
use super::{output, paths};
use crate::hub::state::AtPath as _;
use crate::proto::forward::HostPort;
use crate::proto::id::{Principal, PrincipalId, Role};
use crate::proto::join::HubAddress;

const ROLES: [Role; 2] = [Role::Device, Role::Service];

pub(super) async fn run(profiles: Profiles) -> anyhow::Result<()> {
    match profiles.command {
        None => list(profiles.profile.as_ref(), profiles.output.json),
        Some(ProfilesCommand::Use { name }) => set_default(&name),
        Some(ProfilesCommand::Remove { name, role, yes }) => remove(&name, role, yes),
        Some(ProfilesCommand::Set { hub, role }) => {
            set_hub(&Profile::resolve(profiles.profile.as_ref())?, &hub, role).await
        }
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

impl fmt::Display for ProfileIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, id, hub } = self;
        write!(f, "{role} {id} of {hub}")
    }
}

fn list(named: Option<&Profile>, as_json: bool) -> anyhow::Result<()> {
    let current = Profile::resolve(named)?;
    let entries = Profile::all()?.into_iter().map(|profile| {
        let (name, default) = (profile.to_string(), profile == current);
        Ok(Entry { name, default, identities: identities(&profile)? })
    });
    let mut entries = entries.collect::<anyhow::Result<Vec<Entry>>>()?;
    // A join that did not succeed leaves a profile without an identity, which nothing can use.
    entries.retain(|entry| entry.default || entry.name == Profile::default().as_str() || !entry.identities.is_empty());
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

fn remove(profile: &Profile, role: Option<Role>, yes: bool) -> anyhow::Result<()> {
    ensure_exists(profile)?;
    let (removed, kept): (Vec<_>, Vec<_>) =
        identities(profile)?.into_iter().partition(|identity| role.is_none_or(|role| identity.role == role));
    for role in role.map_or(ROLES.to_vec(), |role| vec![role]) {
        let directory = profile.identity_directory(role)?;
        if let Some(service) = service_with_key(profile, role, &directory, None) {
            bail!("{} runs with this profile's key; first run: {}", service.name, service.uninstall_command);
        }
    }
    if let (Some(role), true) = (role, removed.is_empty()) {
        bail!("profile {profile} has not joined as a {role}");
    }
    if !yes && !removed.is_empty() && !confirms(&removed)? {
        bail!("nothing was removed");
    }
    for role in role.map_or(ROLES.to_vec(), |role| vec![role]) {
        remove_directory(&profile.identity_directory(role)?)?;
        forget_known(profile, role)?;
    }
    if kept.is_empty() {
        forget(profile)?;
    }
    for identity in removed {
        let ProfileIdentity { role, id, .. } = &identity;
        output::eprint(&format!(
            "removed {identity}; at the hub: `devstream hub {role} rotate {id}` for the right machine, or `devstream hub \
             {role} remove {id}`"
        ));
    }
    Ok(())
}

/// Removes what an uninstalled service of this identity knew of its peers. That of a service which runs with another user's
/// identity stays.
fn forget_known(profile: &Profile, role: Role) -> anyhow::Result<()> {
    let Some(directory) = left_state(profile, role) else { return Ok(()) };
    for path in [KNOWN_FILE, KNOWN_LOCK, CERTIFICATE_FILE].map(|name| directory.join(name)) {
        match fs::remove_file(&path) {
            Err(error) if ![ErrorKind::NotFound, ErrorKind::PermissionDenied].contains(&error.kind()) => {
                return Err(error).at_path("cannot remove", &path);
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Removes a profile without identities, and has `default` be the default again.
fn forget(profile: &Profile) -> anyhow::Result<()> {
    if !profile.is_default() {
        remove_directory(&paths::profiles()?.join(profile.as_str()))?;
    }
    if *profile == Profile::resolve(None)? {
        Profile::default().make_default()?;
    }
    Ok(())
}

/// Asks whether to delete these keys, which nothing brings back. Nobody can be asked without a terminal.
fn confirms(identities: &[ProfileIdentity]) -> anyhow::Result<bool> {
    let all = identities.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
    let each = if identities.len() > 1 { "each needs" } else { "it needs" };
    match output::confirm(&format!("Delete the key of {all}? To return, {each} a new join link."))? {
        Confirmation::Given => Ok(true),
        Confirmation::Denied => Ok(false),
        Confirmation::NoTerminal => {
            let choose = if identities.len() > 1 { ", or choose one with --role device|service" } else { "" };
            bail!("this would delete the key of {all}: confirm with --yes{choose}");
        }
    }
}

/// Sets the hub's address. A streaming endpoint that is the hub itself moves with it.
async fn set_hub(profile: &Profile, moved: &MovedHub, role: Option<Role>) -> anyhow::Result<()> {
    ensure_exists(profile)?;
    let mut is_set = false;
    for role in ROLES.into_iter().filter(|one| role.is_none_or(|role| role == *one)) {
        let Some(mut stored) = StoredIdentity::load(profile, role)? else { continue };
        let hub = moved.resolve(&stored.hub);
        is_set = true;
        let before = std::mem::replace(&mut stored.hub, hub.clone());
        if before == hub {
            let at = HostPort(&hub.host, hub.port);
            output::eprint(&format!("{role} {} connects to {at} already; nothing was changed", stored.id));
            continue;
        }
        if stored.streaming_endpoint.as_ref() == Some(&before) {
            stored.streaming_endpoint = Some(hub.clone());
        }
        stored.save(profile, role)?;
        let (id, [to, from]) = (&stored.id, [&hub, &before].map(|at| HostPort(&at.host, at.port)));
        output::eprint(&format!("{role} {id} connects to {to} from now on, instead of {from}"));
        if let Some(service) = service_with_key(profile, role, &profile.identity_directory(role)?, None) {
            output::eprint(&format!("next: systemctl restart {}", service.name));
        } else if let Some(running) =
            running_role(&Principal { role, id: stored.id }, std::slice::from_ref(&before)).await
        {
            let (name, process) = (running.role, running.process);
            output::eprint(&format!(
                "the running {name} (process {process}) takes the address up by itself when the one before no longer \
                 answers; restart it to use it now"
            ));
        }
    }
    anyhow::ensure!(
        is_set,
        "profile {profile} has not joined as {}; first run the `devstream join` command that the hub printed",
        role.map_or("anything", Role::as_str)
    );
    output::eprint(&format!("next: devstream check{}", profile.flag()));
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
