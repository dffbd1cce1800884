//! `devstream fleet`: the keys of the owner's fleet, on the owner's own machine, and what they sign.
//!
//! In: join links (`invite`), or the id, role and key of a machine (`sign`). Out: links with invitations; certificates, at the
//! hub or as the command with which the machine keeps its own; and a list of what was signed. The hub has no say in it.

mod invite;
mod sign;

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use super::args::FleetCommand;
use super::signer::Store;
use super::{Failure, output};
use crate::proto::fleet::CERTIFICATE_TIME;
use crate::proto::id::{Principal, PrincipalId, Role};
use crate::proto::key::PublicKey;
use crate::proto::known::KnownPeer;

pub(super) async fn run(command: FleetCommand) -> Result<(), Failure> {
    let store = Store::of_user()?;
    match command {
        FleetCommand::Init => init(&store),
        FleetCommand::Invite { id } => invite::run(&store, id),
        FleetCommand::Sign(sign) => Box::pin(sign::run(&store, *sign)).await,
        FleetCommand::List { output } => list(&store, output.json),
        FleetCommand::Recover { file } => recover(&store, &file),
    }
}

fn init(store: &Store) -> Result<(), Failure> {
    let (keys, recovery) = store.create()?;
    output::print(&keys.to_string());
    output::eprint(&format!(
        "the fleet's keys are above; they are public. Its private key is in {}. Move {} to another place, off this machine: it \
         signs too, if the other one is lost (devstream fleet recover). Nothing is signed yet, and nobody trusts the fleet. For \
         each machine that is to join, this one included: devstream fleet invite. For each that has joined, with the id and the key that \
         `devstream identity` shows there: devstream fleet sign ID --role device|service --key KEY",
        store.directory().display(),
        recovery.display()
    ));
    Ok(())
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
