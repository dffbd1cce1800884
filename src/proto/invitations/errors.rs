//! Why an invitation, its proof or its line in the file is not good.

use super::{Invited, MAX_INVITATIONS};
use crate::proto::id::{Principal, PrincipalId};
use crate::proto::key::PublicKey;
use crate::proto::timestamp::Timestamp;

/// Why a proof does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// None of the secrets here made it.
    #[error("its proof is of no invitation that was made here, or of one that has ended")]
    Unknown,
    /// The invitation is for another machine.
    #[error("its proof is of the invitation for {0}")]
    ForAnother(Invited),
    /// The invitation was used by another machine.
    #[error("its invitation was used before, by {id} with the key {}", key.short())]
    UsedByAnother {
        /// That machine.
        id: PrincipalId,
        /// Its key.
        key: PublicKey,
    },
    /// A stream does not decide which machine an invitation without an id is for.
    #[error("its invitation is for {invited}, and names no id; if this is the machine: devstream fleet sign {} --role {}", owner.id, owner.role)]
    NamesNone {
        /// What the invitation is for.
        invited: Invited,
        /// The machine that has used it.
        owner: Principal,
    },
    /// A stream does not replace a key that was signed.
    #[error("another key, {}, was signed for it; if it has joined anew: devstream fleet sign {} --role {}", signed.short(), owner.id, owner.role)]
    AnotherSigned {
        /// That key.
        signed: PublicKey,
        /// The machine.
        owner: Principal,
    },
    /// An invitation without an id does not bring back a machine that was forgotten.
    #[error(
        "it was forgotten here, and an invitation for {invited} does not bring it back; if it has joined anew, invite it by its id, or sign it by hand"
    )]
    Forgotten {
        /// What the invitation is for.
        invited: Invited,
    },
    /// An invitation without an id does not replace a key that was signed.
    #[error("another key, {}, was signed for it, and an invitation for {invited} replaces none", signed.short())]
    ReplacesNone {
        /// That key.
        signed: PublicKey,
        /// What the invitation is for.
        invited: Invited,
    },
}

/// The error for an invitation that has no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{MAX_INVITATIONS} invitations are open, which is the limit; the next one ends at {0}, and `devstream fleet forget ID` ends those \
     for a machine"
)]
pub struct TooMany(pub Timestamp);

/// The error for a line that is none of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {0} is no invitation")]
pub struct InvalidLine(pub usize);
