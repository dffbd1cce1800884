//! `devstream fleet`: the keys of the owner's fleet, on the owner's own machine, and what they sign.
//!
//! In: the id, role and key of a machine. Out: certificates, as the command that the machine keeps its own with, and a list of
//! what was signed. The hub has no part in it.

mod store;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use serde::Serialize;

use self::store::Store;
use super::args::FleetCommand;
use super::trust::peer;
use super::{Failure, output};
use crate::net::e2e::fleet::certify;
use crate::net::os::clock;
use crate::proto::fleet::{CERTIFICATE_TIME, Validity};
use crate::proto::id::{Principal, PrincipalId, Role};
use crate::proto::key::PublicKey;
use crate::proto::known::{KnownPeer, Origin};

pub(super) fn run(command: FleetCommand) -> Result<(), Failure> {
    let store = Store::of_user()?;
    match command {
        FleetCommand::Init => init(&store),
        FleetCommand::Sign { id, role, key } => sign(&store, &peer(role, id), key),
        FleetCommand::List { output } => list(&store, output.json),
        FleetCommand::Recover { file } => recover(&store, &file),
    }
}

fn init(store: &Store) -> Result<(), Failure> {
    let (keys, recovery) = store.create()?;
    output::print(&keys.to_string());
    output::eprint(&format!(
        "the fleet's keys are above; they are public. Its private key is in {}. Move {} to another place, off this machine: it \
         signs too, if the other one is lost (devstream fleet recover). Nothing is signed yet, and nobody trusts the fleet; for \
         each machine, this one included, with the id and the key that `devstream identity` shows there: devstream fleet sign ID \
         --role device|service --key KEY",
        store.directory().display(),
        recovery.display()
    ));
    Ok(())
}

fn sign(store: &Store, owner: &Principal, key: PublicKey) -> Result<(), Failure> {
    let (keys, signer) = store.load()?;
    let validity = Validity::beginning(clock::now_utc());
    let certificate = certify(owner, &key, Arc::new(signer), validity)?;
    let signed = KnownPeer { key, origin: Origin::Fleet, since: validity.not_before };
    let mut former = None;
    store.signed().change(|peers| {
        former = peers.get(owner).copied().filter(|former| former.key != key);
        peers.set(owner.clone(), signed).map_err(|error| anyhow!("{error}"))
    })??;
    let instead = former.map(|former| {
        format!("; {} was signed before for the same id, and still holds until {}", former.key.short(), end(&former))
    });
    output::print(&format!("devstream trust fleet {keys} --role {} --certificate {certificate}", owner.role));
    output::eprint(&format!(
        "signed {owner}, {}, until {}{}; run the command above on its machine",
        key.short(),
        &validity.not_after.rfc3339()[..10],
        instead.unwrap_or_default()
    ));
    Ok(())
}

/// The last day of what was signed.
fn end(signed: &KnownPeer) -> String {
    signed.since.after(CERTIFICATE_TIME).rfc3339()[..10].to_owned()
}

/// A machine whose key was signed.
#[derive(Debug, Serialize)]
struct Entry {
    role: Role,
    id: PrincipalId,
    key: PublicKey,
    signed: String,
    until: String,
}

fn list(store: &Store, as_json: bool) -> Result<(), Failure> {
    store.load()?;
    let signed = store.signed().read()?;
    let entry = |(Principal { role, id }, known): (&Principal, &KnownPeer)| Entry {
        role: *role,
        id: id.clone(),
        key: known.key,
        signed: known.since.to_string(),
        until: known.since.after(CERTIFICATE_TIME).to_string(),
    };
    let entries: Vec<_> = signed.iter().map(entry).collect();
    if as_json {
        output::print(&serde_json::to_string_pretty(&entries).map_err(anyhow::Error::from)?);
    } else if entries.is_empty() {
        output::eprint("nothing is signed yet");
    } else {
        let row = |Entry { role, id, key, until, .. }: &Entry| {
            vec![role.to_string(), id.to_string(), until[..10].to_owned(), String::from(*key)]
        };
        output::print_table(&["ROLE", "ID", "UNTIL", "KEY"], entries.iter().map(row));
    }
    Ok(())
}

fn recover(store: &Store, file: &Path) -> Result<(), Failure> {
    let keys = store.recover(file).with_context(|| format!("cannot recover with {}", file.display()))?;
    output::print(&keys.to_string());
    output::eprint(
        "the recovery key signs from now on: every machine that trusts the fleet accepts it, and nothing has to be signed again. \
         If the other key may be in wrong hands, make a new fleet on another machine, and have every machine trust that instead",
    );
    Ok(())
}
