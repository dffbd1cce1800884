//! Signing for the fleet whose key this machine has: `devstream fleet`, and streams that meet a machine which joined with an
//! invitation.
//!
//! In: the proof that the hub keeps beside a machine's key, and the invitations that were made here (`store`). Out: a
//! certificate, at the hub and for the stream at hand (`on_meeting`). What the hub says is not believed: the secret of an
//! invitation, which it does not have, made the proof for this role, id and key.

mod on_meeting;
mod store;

use std::sync::Arc;

use anyhow::anyhow;

pub(super) use self::on_meeting::FleetCertificates;
pub(super) use self::store::Store;
use crate::net::client::Client;
use crate::net::e2e::fleet::certify;
use crate::net::e2e::leaf::Voucher;
use crate::net::os::clock;
use crate::proto::fleet::{CERTIFICATE_TIME, Validity};
use crate::proto::id::Principal;
use crate::proto::invitations::{Claim, Occasion, ProofError, Redeemed};
use crate::proto::key::PublicKey;
use crate::proto::known::{KnownPeer, Origin};
use crate::proto::refusal::{Refusal, RefusalKind};

/// A key that was signed just now.
pub(super) struct Signed {
    pub(super) key: PublicKey,
    pub(super) certificate: Voucher,
    pub(super) validity: Validity,
    /// Another key that was signed for the same id before.
    pub(super) former: Option<KnownPeer>,
    /// This key was signed before, and the hub has had its certificate.
    pub(super) again: bool,
}

impl Signed {
    /// Its last day.
    pub(super) fn until(&self) -> String {
        self.validity.not_after.rfc3339()[..10].to_owned()
    }

    /// Words which other key was signed before, after what was signed now.
    pub(super) fn instead(&self) -> String {
        let instead = |former: &KnownPeer| {
            let end = former.since.after(CERTIFICATE_TIME).rfc3339();
            let key = former.key.short();
            format!("; instead of {key}, which was signed before for the same id, and still holds until {}", &end[..10])
        };
        self.former.as_ref().map(instead).unwrap_or_default()
    }
}

/// Why no key of a machine was signed.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotSigned {
    /// The hub is of a version that keeps no proofs.
    #[error("the hub is of an earlier version, which keeps no proofs of invitations")]
    EarlierHub,
    /// Nothing proves that a key is the machine's.
    #[error("it has not joined with an invitation")]
    NoProof,
    /// The proof does not hold.
    #[error(transparent)]
    ProofError(#[from] ProofError),
    /// The machine was forgotten here, or another key was signed for it, while the hub was given its certificate.
    #[error(
        "it was forgotten here, or another key of it signed, while the hub was given its certificate, which holds until its end"
    )]
    Forgotten,
    /// The hub refused, or could not be reached.
    #[error("{}", .0.clone().attributed().message())]
    Refused(#[from] Refusal),
    /// This machine's files failed.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

/// Signs a key with the fleet's.
pub(super) fn make(store: &Store, owner: &Principal, key: PublicKey) -> anyhow::Result<Signed> {
    let (_, signer) = store.load()?;
    let validity = Validity::beginning(clock::now_utc());
    let certificate = certify(owner, &key, Arc::new(signer), validity)?;
    let former = store.signed().read()?.get(owner).copied().filter(|former| former.key != key);
    Ok(Signed { key, certificate, validity, former, again: false })
}

/// Notes what was signed.
pub(super) fn record(store: &Store, owner: &Principal, signed: &Signed) -> anyhow::Result<()> {
    let known = KnownPeer { key: signed.key, origin: Origin::Fleet, since: signed.validity.not_before };
    store.signed().change(|peers| peers.set(owner.clone(), known).map_err(|error| anyhow!("{error}")))?
}

/// Signs the key of a machine whose proof is of an invitation that was made here. The certificate is not at the hub yet.
/// A key whose certificate the hub has had is signed again for a person who names its machine, and not otherwise; nor while its
/// successor is invited.
pub(super) async fn sign_proven(
    store: &Store,
    client: &Client,
    owner: &Principal,
    occasion: Occasion,
) -> Result<Signed, NotSigned> {
    let endorsements = client.endorsements(owner).await?.ok_or(NotSigned::EarlierHub)?;
    let mut refused = NotSigned::NoProof;
    // The newest key is first, and it is the reason of that one which counts.
    for endorsement in endorsements {
        let Some(proof) = &endorsement.proof else { continue };
        let (key, known) = (endorsement.key, store.signed().read()?.get(owner).copied());
        let claim = Claim { owner, key: &key, proof, signed: known.as_ref().map(|known| &known.key) };
        match store.change_invitations(|all| all.redeem(&claim, occasion))? {
            Ok(Redeemed::AlreadyStored) if occasion != Occasion::Named || store.invitations()?.is_open_for(owner) => {}
            Ok(redeemed) => {
                let again = redeemed == Redeemed::AlreadyStored;
                let signed = Signed { again, ..make(store, owner, key)? };
                record(store, owner, &signed)?;
                return Ok(signed);
            }
            Err(wrong_proof) if matches!(refused, NotSigned::NoProof) => refused = wrong_proof.into(),
            Err(_) => {}
        }
    }
    Err(refused)
}

/// Brings a certificate to its machine: by the hub, or, where that is this machine's own service, here.
pub(super) async fn deliver(
    store: &Store,
    client: &Client,
    owner: &Principal,
    signed: &Signed,
) -> Result<(), NotSigned> {
    let is_own = client.principal() == owner && client.accept_certificate(&signed.certificate.to_string()).is_ok();
    let stored = client.store_certificate(owner, signed.key, &signed.certificate).await;
    // The hub decides how long that takes.
    if store.signed().read()?.get(owner).is_none_or(|known| known.key != signed.key) {
        return Err(NotSigned::Forgotten);
    }
    match stored {
        Ok(()) => {}
        // A service may not store for itself, unless it may for all.
        Err(refusal) if is_own && refusal.kind == RefusalKind::NotPermitted => {}
        Err(refusal) => return Err(refusal.into()),
    }
    Ok(store.note_stored(owner, &signed.key)?)
}
