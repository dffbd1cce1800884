//! `devstream trust`: the end-to-end keys of peers that an identity of this machine knows.
//!
//! In: a profile, and a peer. Out: changes of the file beside the identity, and of the one of its installed service, both of
//! which running roles read anew (`store`).

mod fleet;
mod store;

use std::fmt;

use anyhow::anyhow;
use serde::Serialize;

use self::store::Store;
use super::args::{Trust, TrustCommand};
use super::identity::{StoredIdentity, no_identity, own_identities};
use super::output::Confirmation;
use super::profile::Profile;
use super::{Failure, output};
use crate::net::os::clock;
use crate::proto::id::{DeviceId, Principal, PrincipalId, Role};
use crate::proto::join::HubAddress;
use crate::proto::key::PublicKey;
use crate::proto::known::{KnownPeer, Origin};
use crate::proto::text;

pub(super) fn run(trust: Trust) -> Result<(), Failure> {
    let profile = Profile::resolve(trust.profile.as_ref())?;
    match trust.command {
        TrustCommand::List { role, output } => list(&profile, role, output.json),
        TrustCommand::Pin { peer_role, id, key, replace } => pin(&profile, peer(peer_role, id), key, replace),
        TrustCommand::Forget { peer_role, id, yes } => forget(&profile, &peer(peer_role, id), yes),
        TrustCommand::Reset { role, yes } => reset(&profile, role, yes),
        TrustCommand::Fleet { role, remove: true, yes, .. } => {
            fleet::run(&profile, role, fleet::Change::Remove { yes })
        }
        TrustCommand::Fleet { keys: Some(keys), certificate, role, .. } => {
            fleet::run(&profile, role, fleet::Change::Trust { keys, certificate })
        }
        TrustCommand::Fleet { role, .. } => fleet::run(&profile, role, fleet::Change::Show),
    }
}

/// Names a peer as sessions look it up.
pub(super) fn peer(role: Role, id: PrincipalId) -> Principal {
    let id = match role {
        Role::Device => DeviceId::from(id).lower_case().into(),
        Role::Service => id,
    };
    Principal { role, id }
}

/// A known peer in the list.
#[derive(Debug, Serialize)]
struct Entry {
    role: Role,
    id: PrincipalId,
    key: PublicKey,
    origin: &'static str,
    since: String,
    /// The installed service that knows it; none is this user's own commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
}

fn list(profile: &Profile, role: Option<Role>, as_json: bool) -> Result<(), Failure> {
    let stores = match role {
        Some(role) => vec![Store::of(profile, role)?],
        None => joined(profile)?.into_iter().map(|role| Store::of(profile, role)).collect::<Result<_, _>>()?,
    };
    if stores.is_empty() {
        let enrolled = own_identities(profile)?.into_iter().next().ok_or_else(|| no_identity(profile))?;
        output::eprint(&store::of_own_hub(enrolled.role, &enrolled.id));
    }
    let mut entries = Vec::new();
    for store in &stores {
        for (service, peers) in store.read()? {
            entries.extend(peers.iter().map(|(Principal { role, id }, KnownPeer { key, origin, since })| Entry {
                role: *role,
                id: id.clone(),
                key: *key,
                origin: origin.as_str(),
                since: since.to_string(),
                service: service.map(str::to_owned),
            }));
        }
    }
    if as_json {
        output::print(&serde_json::to_string_pretty(&entries).map_err(anyhow::Error::from)?);
        return Ok(());
    }
    if entries.is_empty() && !stores.is_empty() {
        output::eprint("no peers are known yet; a peer's key is kept when a stream first reaches it");
        return Ok(());
    }
    if !entries.is_empty() {
        print(&entries);
    }
    Ok(())
}

fn print(entries: &[Entry]) {
    let has_services = entries.iter().any(|entry| entry.service.is_some());
    let row = |Entry { role, id, key, origin, since, service }: &Entry| {
        let service = service.clone().unwrap_or_else(|| "-".into());
        let cells = [role.to_string(), id.to_string(), (*origin).to_owned(), since.clone()];
        let known_by = has_services.then_some(service);
        cells.into_iter().chain(known_by).chain([String::from(*key)]).collect()
    };
    let known_by = has_services.then_some("KNOWN BY");
    let columns: Vec<_> = ["ROLE", "ID", "ORIGIN", "SINCE"].into_iter().chain(known_by).chain(["KEY"]).collect();
    output::print_table(&columns, entries.iter().map(row));
}

fn pin(profile: &Profile, peer: Principal, key: PublicKey, replace: bool) -> Result<(), Failure> {
    let store = Store::of(profile, !peer.role)?;
    let is_kept = |known: &KnownPeer| known.key != key && known.origin.is_vouched();
    let kept = store.read()?.into_iter().find_map(|(_, peers)| peers.get(&peer).copied().filter(is_kept));
    if let Some(kept) = kept.filter(|_| !replace) {
        return Err(another_key(&peer, &kept.key, &HowKnown(&kept), &key).into());
    }
    let known = KnownPeer { key, origin: Origin::Pinned, since: clock::now_utc() };
    let mut before = Vec::new();
    store.change(|peers| {
        before.extend(peers.get(&peer).copied());
        peers.set(peer.clone(), known).map_err(|error| anyhow!("{error}: forget some with `devstream trust forget`"))
    })?;
    let former = before.iter().find(|former| former.key != key).or(before.first());
    let instead = match former {
        None => "; it was not known before".to_owned(),
        Some(former) if former.key == key => format!(", the same key as before ({})", HowKnown(former)),
        Some(former) => format!(" in place of {} ({})", former.key.short(), HowKnown(former)),
    };
    output::eprint(&format!("{peer} is pinned: {}{instead}", key.short()));
    if StoredIdentity::load(profile, !peer.role)?.is_some_and(|stored| stored.fleet.is_some()) {
        output::warning(
            "this machine trusts a fleet, and its pins do not count meanwhile: see `devstream trust fleet`",
        );
    }
    Ok(())
}

/// The refusal to replace a key of a peer without being told to.
pub(super) fn another_key(
    peer: &Principal,
    kept: &PublicKey,
    how: &dyn fmt::Display,
    key: &PublicKey,
) -> anyhow::Error {
    let (kept, key) = (kept.short(), key.short());
    anyhow!(
        "{peer} has another key, {kept} ({how}), which {key} would replace; nothing was changed. If `devstream identity` on its \
         machine shows {key}, add --replace"
    )
}

fn forget(profile: &Profile, peer: &Principal, yes: bool) -> Result<(), Failure> {
    let store = Store::of(profile, !peer.role)?;
    let known = store.read()?.into_iter().find_map(|(_, peers)| peers.get(peer).copied());
    let known = known.ok_or_else(|| anyhow!("the key of {peer} is not known; see `devstream trust list`"))?;
    let what = format!("the key of {peer}, {} ({})", known.key.short(), HowKnown(&known));
    confirm(&what, "The key that it shows next is kept.", yes)?;
    store.change(|peers| {
        peers.remove(peer);
        Ok(())
    })?;
    output::eprint(&format!(
        "forgot {what}; the next contact is trusted again: compare its key then (devstream trust list) with what `devstream \
         identity` shows there"
    ));
    Ok(())
}

fn reset(profile: &Profile, role: Option<Role>, yes: bool) -> Result<(), Failure> {
    let role = match (role, joined(profile)?.as_slice()) {
        (Some(role), _) => role,
        (None, [role]) => *role,
        (None, []) => return Err(nothing_joined(profile)),
        (None, _) => {
            return Err(Failure::Usage(anyhow!(
                "this machine is a device and a service here: name the one that forgets its peers with --role device|service"
            )));
        }
    };
    let store = Store::of(profile, role)?;
    let known = store.count()?;
    if known == 0 {
        output::eprint("no peers are known; nothing was changed");
        return Ok(());
    }
    let what = format!("the keys of {} that this {role} knows", text::count(known as u64, (!role).as_str()));
    confirm(&what, "The keys that they show next are kept.", yes)?;
    store.clear()?;
    output::eprint(&format!("forgot {what}; the next contact with each is trusted again"));
    Ok(())
}

/// Forgets the peers that an identity has met at another hub than its present one, and says so.
pub(super) fn forget_former_hub(profile: &Profile, role: Role, former: &HubAddress) -> Result<(), Failure> {
    let store = Store::of(profile, role)?;
    let known = store.count()?;
    if known > 0 {
        store.clear()?;
        let peers = text::count(known as u64, (!role).as_str());
        output::eprint(&format!("forgot the end-to-end keys of {peers} at {former}, the hub before"));
    }
    Ok(())
}

/// The roles in which the profile has joined.
fn joined(profile: &Profile) -> anyhow::Result<Vec<Role>> {
    let mut roles = Vec::new();
    for role in [Role::Device, Role::Service] {
        if StoredIdentity::load(profile, role)?.is_some() {
            roles.push(role);
        }
    }
    Ok(roles)
}

fn nothing_joined(profile: &Profile) -> Failure {
    match own_identities(profile) {
        Ok(identities) => match identities.first() {
            Some(enrolled) => anyhow!(store::of_own_hub(enrolled.role, &enrolled.id)).into(),
            None => no_identity(profile).into(),
        },
        Err(error) => error.into(),
    }
}

/// Asks before something is forgotten, unless that was confirmed.
fn confirm(what: &str, consequence: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    match output::confirm(&format!("Forget {what}? {consequence}"))? {
        Confirmation::Given => Ok(()),
        Confirmation::Denied => Err(anyhow!("nothing was changed").into()),
        Confirmation::NoTerminal => Err(anyhow!("this would forget {what}: confirm with --yes").into()),
    }
}

/// Asks before a fleet is no longer trusted, unless that was confirmed.
fn confirm_removal(yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    match output::confirm("Trust no fleet any more? The key of a new peer is kept then, whoever it is.")? {
        Confirmation::Given => Ok(()),
        Confirmation::Denied => Err(anyhow!("nothing was changed").into()),
        Confirmation::NoTerminal => Err(anyhow!("this would end the trust in the fleet: confirm with --yes").into()),
    }
}

/// How and since when a key is known.
struct HowKnown<'a>(&'a KnownPeer);

impl fmt::Display for HowKnown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} since {}", self.0.origin, self.0.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_named_as_sessions_look_it_up() {
        let named = |role, id: &str| peer(role, id.parse().unwrap()).id.to_string();
        assert_eq!(named(Role::Device, "Pi-42"), "pi-42");
        assert_eq!(named(Role::Service, "Alice"), "Alice");
    }
}
