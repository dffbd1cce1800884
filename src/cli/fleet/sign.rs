//! `devstream fleet sign`: by hand, by the proofs of invitations, and again before certificates end.

use crate::cli::args::{FleetSign, HubArgs};
use crate::cli::identity::{client_factory, default_service_id};
use crate::cli::signer::{NotSigned, Store, deliver, make, record, sign_proven};
use crate::cli::trust::{another_key, peer};
use crate::cli::{Failure, output};
use crate::net::client::Client;
use crate::net::os::clock;
use crate::proto::fleet::{CERTIFICATE_TIME, Validity};
use crate::proto::id::{Principal, Role};
use crate::proto::invitations::{Occasion, ProofError};
use crate::proto::key::PublicKey;
use crate::proto::known::KnownPeer;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proxy::devices::list_devices;

pub(super) async fn run(store: &Store, sign: FleetSign) -> Result<(), Failure> {
    store.load()?;
    match (sign.id, sign.key) {
        (Some(id), Some(key)) => by_hand(store, &peer(sign.role, id), key, sign.replace),
        (Some(id), None) => one(store, &client(sign.hub).await?, &peer(sign.role, id)).await,
        (None, _) => all(store, &client(sign.hub).await?).await,
    }
}

/// Returns a client of the hub where the proofs are.
async fn client(hub: HubArgs) -> Result<Client, Failure> {
    let principal = Principal { role: Role::Service, id: default_service_id(&hub)? };
    Ok(client_factory(principal, hub).client().await?)
}

fn by_hand(store: &Store, owner: &Principal, key: PublicKey, replace: bool) -> Result<(), Failure> {
    let (keys, _) = store.load()?;
    let signed = make(store, owner, key)?;
    if let Some(former) = signed.former.filter(|_| !replace) {
        let how = format!("signed until {}", &former.since.after(CERTIFICATE_TIME).rfc3339()[..10]);
        return Err(another_key(owner, &former.key, &how, &key).into());
    }
    // First: where that fails, nothing is listed as signed whose certificate nobody has seen.
    store.settle(owner, &key)?;
    record(store, owner, &signed)?;
    output::print(&format!("devstream trust fleet {keys} --role {} --certificate {}", owner.role, signed.certificate));
    output::eprint(&format!(
        "signed {owner}, {}, until {}{}; run the command above on its machine",
        key.short(),
        signed.until(),
        signed.instead()
    ));
    Ok(())
}

async fn one(store: &Store, client: &Client, owner: &Principal) -> Result<(), Failure> {
    let why = match prove(store, client, owner, Occasion::Named).await {
        Ok(line) => {
            output::print(&line);
            return Ok(());
        }
        Err(why) => why,
    };
    if let NotSigned::NoProof | NotSigned::ProofError(ProofError::Unknown) = &why
        && let Some(known) = store.signed().read()?.get(owner).copied()
    {
        if store.invitations()?.is_open_for(owner) {
            return Err(successor_awaited(owner, known.key).into());
        }
        if let Ok(line) = renew(store, client, owner, known.key).await {
            output::print(&line);
            return Ok(());
        }
    }
    let by_hand = by_hand_command(owner);
    Err(match why {
        NotSigned::Refused(refusal) => refusal.attributed().into(),
        NotSigned::Failed(error) => error.into(),
        NotSigned::Forgotten => Failure::Other(anyhow::anyhow!("{owner}: {why}")),
        NotSigned::EarlierHub => Failure::Other(anyhow::anyhow!("{owner}: {why}; {by_hand}")),
        NotSigned::NoProof | NotSigned::ProofError(_) => {
            Refusal::worded(RefusalKind::NotInFleet, format!("{owner} is not signed: {why}")).advised(by_hand).into()
        }
    })
}

/// Words how a machine is signed that has no proof of an invitation for it.
fn by_hand_command(Principal { role, id }: &Principal) -> String {
    format!(
        "by hand: devstream fleet sign {id} --role {role} --key KEY, with the key that `devstream identity` shows there"
    )
}

/// The refusal to sign a key anew that may be a lost machine's: the hub says which keys have joined.
fn successor_awaited(owner: &Principal, former: PublicKey) -> Refusal {
    let Principal { role, id } = owner;
    let why = format!("{owner} is not signed again: an invitation for it is open, and it has not joined with that");
    let anyway = format!(
        "to sign its former key all the same: devstream fleet sign {id} --role {role} --key {}",
        String::from(former)
    );
    Refusal::worded(RefusalKind::NotInFleet, why).advised(anyway)
}

/// Signs every machine that has proved to have an invitation, and renews every certificate that ends soon.
async fn all(store: &Store, client: &Client) -> Result<(), Failure> {
    let mut done = Outcomes::new(client);
    let mut awaited = store.invitations()?.awaited();
    if store.invitations()?.has_unnamed(Role::Device) {
        let signed = store.signed().read()?;
        let devices = list_devices(client).await.map_err(Refusal::attributed)?;
        let devices = devices.into_iter().map(|device| peer(Role::Device, device.id.into()));
        let invitations = store.invitations()?;
        let may_wait = |device: &Principal| signed.get(device).is_none() && invitations.has_unnamed_for(device);
        awaited.extend(devices.filter(may_wait));
        awaited.sort();
        awaited.dedup();
    }
    let named = store.invitations()?.awaited();
    for owner in &awaited {
        match prove(store, client, owner, Occasion::All).await {
            // Most devices have nothing to do with an invitation that names none.
            Err(NotSigned::NoProof) if !named.contains(owner) => {}
            Err(NotSigned::NoProof) => done.say(format!("{owner}: has not joined with its invitation yet")),
            Err(NotSigned::EarlierHub) => {
                let by_hand = "sign by hand: devstream fleet sign ID --role ROLE --key KEY";
                return Err(Failure::Other(anyhow::anyhow!("{}; {by_hand}", NotSigned::EarlierHub)));
            }
            outcome => done.add(owner, if named.contains(owner) { "invited" } else { LISTED }, outcome),
        }
    }
    let (signed, now) = (store.signed().read()?, clock::now_utc());
    let is_in_window = |known: &KnownPeer| {
        let validity = Validity::beginning(known.since);
        validity.is_due(now) && now <= validity.not_after
    };
    let invitations = store.invitations()?;
    for (owner, known) in signed.iter().filter(|(_, known)| is_in_window(known)) {
        if invitations.is_open_for(owner) {
            // There is time for it: an invitation ends before the certificate does.
            done.say(format!("{owner}: not renewed, since an invitation for it is open"));
            continue;
        }
        done.add(owner, "signed", renew(store, client, owner, known.key).await);
    }
    done.into_result()
}

/// Signs a machine by its proof.
async fn prove(store: &Store, client: &Client, owner: &Principal, occasion: Occasion) -> Result<String, NotSigned> {
    let signed = sign_proven(store, client, owner, occasion).await?;
    deliver(store, client, owner, &signed).await?;
    let how = if signed.again {
        format!("its key {}, as before, signed again", signed.key.short())
    } else {
        "signed".to_owned()
    };
    Ok(format!("{owner}: proof of the invitation checked; {how} until {}{}", signed.until(), signed.instead()))
}

/// Signs a key again that was signed before. The machine takes the certificate from the hub.
async fn renew(store: &Store, client: &Client, owner: &Principal, key: PublicKey) -> Result<String, NotSigned> {
    let signed = make(store, owner, key)?;
    deliver(store, client, owner, &signed).await?;
    // Not before: what did not arrive is tried again.
    record(store, owner, &signed)?;
    Ok(format!("{owner}: renewed until {}, for its key {}", signed.until(), key.short()))
}

/// Reports whether the hub refused since that machine is disabled, and not this one.
fn is_of_disabled(refusal: &Refusal, owner: &Principal) -> bool {
    refusal.kind == RefusalKind::Disabled && refusal.detail.as_str().eq_ignore_ascii_case(&owner.to_string())
}

/// How a machine is known of which nothing here says that it is to be signed.
const LISTED: &str = "listed by the hub";

/// The machines' outcomes.
struct Outcomes<'a> {
    client: &'a Client,
    any: bool,
    failed: bool,
    wrong_proof: bool,
}

impl<'a> Outcomes<'a> {
    fn new(client: &'a Client) -> Self {
        Self { client, any: false, failed: false, wrong_proof: false }
    }

    fn say(&mut self, line: String) {
        self.any = true;
        output::print(&line);
    }

    fn add(&mut self, owner: &Principal, how_known: &str, outcome: Result<String, NotSigned>) {
        let Principal { role, id } = owner;
        let forget = format!("if it was removed: devstream fleet forget {id} --role {role}");
        match outcome {
            Ok(line) => self.say(line),
            // Whoever disabled it decided so, and that is no failure of a timer's.
            Err(NotSigned::Refused(refusal)) if is_of_disabled(&refusal, owner) => {
                self.say(format!("{owner}: not signed, since it is disabled at the hub; {forget}"));
            }
            Err(NotSigned::Refused(refusal)) if refusal.kind == RefusalKind::UnknownDevice => {
                self.any = true;
                self.failed = true;
                let own = &self.client.principal().id;
                let why = format!("{how_known}, but this hub has no such device, or {own} may not reach it");
                output::warning(&format!("{owner}: {why}; {forget}"));
            }
            Err(NotSigned::Refused(refusal)) if refusal.kind == RefusalKind::BadRequest => {
                self.any = true;
                self.failed = true;
                output::warning(&format!("{owner}: {}; {forget}", NotSigned::Refused(refusal)));
            }
            Err(why) => {
                self.any = true;
                self.failed = true;
                let is_wrong = matches!(why, NotSigned::ProofError(_));
                let next = if is_wrong { format!("; {}", by_hand_command(owner)) } else { String::new() };
                self.wrong_proof |= is_wrong;
                let listed = if how_known == LISTED { ", which the hub lists" } else { "" };
                output::warning(&format!("{owner}{listed}: {why}{next}"));
            }
        }
    }

    fn into_result(self) -> Result<(), Failure> {
        if !self.any {
            output::eprint("no machine waits to be signed, and no certificate ends soon; nothing was changed");
        }
        match (self.failed, self.wrong_proof) {
            (false, _) => Ok(()),
            (true, true) => Err(Failure::AlreadyReported(RefusalKind::NotInFleet.row().exit)),
            (true, false) => Err(Failure::AlreadyReported(1)),
        }
    }
}
