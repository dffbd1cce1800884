//! `devstream fleet`: the keys of the owner's fleet, on the owner's own machine, and what they sign.
//!
//! In: join links (`invite`), or the id, role and key of a machine (`sign`). Out: links with invitations; certificates, at the
//! hub or as the command with which the machine keeps its own; and a list of what was signed. The hub has no say in it.

mod invite;
mod sign;

use std::path::Path;

use anyhow::{Context as _, anyhow};
use serde::Serialize;

use super::args::FleetCommand;
use super::signer::Store;
use super::trust::peer;
use super::{Failure, output};
use crate::proto::fleet::CERTIFICATE_TIME;
use crate::proto::id::{Principal, PrincipalId, Role};
use crate::proto::key::PublicKey;
use crate::proto::known::KnownPeer;

pub(super) async fn run(command: FleetCommand) -> Result<(), Failure> {
    let store = Store::of_user()?;
    match command {
        FleetCommand::Init => init(&store),
        FleetCommand::Invite { id } => invite::run(&store, id.as_deref()),
        FleetCommand::Sign(sign) => Box::pin(sign::run(&store, *sign)).await,
        FleetCommand::Forget { id, role } => forget(&store, &peer(role, id)),
        FleetCommand::List { output } => list(&store, output.json),
        FleetCommand::Recover { file } => recover(&store, &file),
    }
}

fn init(store: &Store) -> Result<(), Failure> {
    let (keys, recovery) = store.create()?;
    output::print(&keys.to_string());
    let (directory, signed) = (store.directory().display(), store.signed().path().display());
    for line in [
        format!("the fleet's keys are above; they are public; its private key is in {directory}"),
        format!(
            "move {} to another place, off this machine: it signs too, if the other one is lost (devstream fleet \
             recover)",
            recovery.display()
        ),
        format!("once machines are signed, keep a copy of {signed} with it: what is in it is renewed"),
        "nothing is signed yet, and nobody trusts the fleet".to_owned(),
        "next, for each machine that is to join, this one included: devstream fleet invite".to_owned(),
        "or, for each that has joined, with the id and the key that `devstream identity` shows there: devstream fleet \
         sign ID --role device|service --key KEY"
            .to_owned(),
    ] {
        output::eprint(&line);
    }
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
        let open = match store.invitations()?.open() {
            0 => String::new(),
            1 => "; 1 invitation is open".to_owned(),
            open => format!("; {open} invitations are open"),
        };
        output::eprint(&format!("nothing is signed yet{open}"));
    } else {
        let row = |Entry { role, id, key, until, .. }: &Entry| {
            vec![role.to_string(), id.to_string(), until[..10].to_owned(), String::from(*key)]
        };
        output::print_table(&["ROLE", "ID", "UNTIL", "KEY"], entries.iter().map(row));
    }
    Ok(())
}

fn forget(store: &Store, owner: &Principal) -> Result<(), Failure> {
    store.load()?;
    // First: a stream could have it signed meanwhile.
    let was_invited = store.forget_invitations(owner)?;
    let signed = store.signed().change(|peers| anyhow::Ok(peers.remove(owner)))??;
    let Principal { role, id } = owner;
    let held = match signed {
        Some(known) => {
            let end = known.since.after(CERTIFICATE_TIME).rfc3339();
            let key = known.key.short();
            let by_hub = format!("only the hub keeps it out until then: devstream hub {role} remove {id}");
            format!(
                "; its certificate for the key {key} cannot be taken back, and holds until {}; {by_hub}",
                &end[..10]
            )
        }
        None if was_invited => String::new(),
        None => return Err(anyhow!("{owner} was neither signed nor invited here; nothing was changed").into()),
    };
    output::eprint(&format!("{owner} is not signed again, and no invitation for it is open{held}"));
    Ok(())
}

fn recover(store: &Store, file: &Path) -> Result<(), Failure> {
    let keys = store.recover(file).with_context(|| format!("cannot recover with {}", file.display()))?;
    output::print(&keys.to_string());
    let signed = store.signed();
    let renewed = if signed.read()?.iter().next().is_some() {
        "as before, `devstream fleet sign` renews it".to_owned()
    } else {
        format!(
            "nothing renews it before its end, since there is no list of it here: copy the file `signed` of the former machine to {}, or \
             sign each machine anew, with an invitation or by hand",
            signed.path().display()
        )
    };
    output::eprint(&format!(
        "the recovery key signs from now on, and every machine that trusts the fleet accepts it. What the other key signed holds until \
         its end; {renewed}. If the other key may be in wrong hands, make a new fleet on another machine, and have every machine \
         trust that instead"
    ));
    Ok(())
}
