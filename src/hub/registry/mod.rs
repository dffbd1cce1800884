//! The registry of devices and services: their keys, scopes and join codes.
//!
//! In: lookups for each request, changes by the hub's user and by machines that join. Out: records. `cache` serves
//! async code, `sqlite` stores; `mirrored` shares it among several hubs, as the values of `portable`.

mod cache;
#[cfg(test)]
mod calls;
mod denials;
pub mod mirrored;
pub mod portable;
pub mod sqlite;

pub use cache::RegistryCache;
pub use denials::DENIED_FOR;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use self::mirrored::BucketLoss;
use super::auth::AuthzSubject;
use crate::proto::admin::Enrolment;
use crate::proto::endorsement::Endorsement;
use crate::proto::id::{Principal, PrincipalId, Role};
use crate::proto::key::PublicKey;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::scope::{Glob, Scope, ScopeChange};
use crate::proto::secret::SecretHash;
use crate::proto::timestamp::Timestamp;

/// An identity's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The identity.
    pub principal: Principal,
    /// The time of its creation.
    pub created: Timestamp,
    /// The time of its last connection.
    pub last_seen: Option<Timestamp>,
    /// The identity is disabled.
    pub disabled: bool,
    /// A service's scope.
    pub scope: Scope,
    /// The enrolment key with which it joined.
    pub enrolment: Option<u64>,
    /// Its keys, the newest first.
    pub keys: Vec<StoredKey>,
}

impl Record {
    /// Returns the fields that authorisation needs.
    pub fn authz_subject(&self) -> AuthzSubject<'_> {
        AuthzSubject { principal: &self.principal, disabled: self.disabled, scope: &self.scope }
    }

    /// Returns the stored key if the identity has it and it is valid at `now`.
    pub fn valid_key(&self, key: &PublicKey, now: Timestamp) -> Option<&StoredKey> {
        self.keys.iter().find(|stored| stored.key == *key && stored.is_valid(now))
    }
}

/// What a list for services has of an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastSeen {
    /// Its id.
    pub id: PrincipalId,
    /// The time of its last connection.
    pub at: Option<Timestamp>,
    /// It has a key.
    pub joined: bool,
    /// It is disabled.
    pub disabled: bool,
}

/// A public key in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredKey {
    /// The key.
    pub key: PublicKey,
    /// Enrolled by the hub's own user on this machine, not with a join code.
    pub local: bool,
    /// The time at which it was added.
    pub added: Timestamp,
    /// The end of its validity, if another key replaced it.
    pub until: Option<Timestamp>,
}

impl StoredKey {
    /// Reports whether the key is valid at `now`.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// A one-time join code as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeHash {
    /// The code's hash.
    pub hash: SecretHash,
    /// Its expiry.
    pub until: Timestamp,
}

/// The outcome of an enrolment by the hub's own user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enrolled {
    /// The identity had this key.
    Unchanged,
    /// The identity has this key now, and no other.
    NewKey,
    /// The identity was created.
    Created,
}

/// What redeeming a join code would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeCheck {
    /// Nothing: the hub does not know the code, at least not for this identity.
    Wrong,
    /// Nothing: the code was right once. Who presents it has not guessed it, and may learn why it is refused.
    Spent(Spent),
    /// Nothing: the code is an enrolment key's, for ids of this pattern only.
    NotCovered(Glob),
    /// Nothing: the identity has the key, with this code or with any.
    HasKey {
        /// The code is or was the identity's last one, or is an enrolment key's: who repeats a join presents it.
        has_code: bool,
    },
    /// The identity gets the key.
    Good,
    /// Nothing: the code is an enrolment key's, and the identity was added by hand, joined with another key or was
    /// removed, or has the id of another one but for case.
    IdTaken,
}

/// Why a code is good no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// The identity joined with it, at this time.
    Used(Timestamp),
    /// As many devices as may have joined with this enrolment key.
    UsedUp(u32),
    /// The time at which it expired.
    Expired(Timestamp),
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Used(at) => write!(f, "it was used at {at}"),
            Self::UsedUp(uses) => write!(f, "{uses} of {uses} devices have joined with it"),
            Self::Expired(at) => write!(f, "it expired at {at}"),
        }
    }
}

/// A redeemed join code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redeemed {
    /// The enrolment key, if the code was one.
    pub enrolment: Option<u64>,
    /// The identity has the key from now on, and did not have it before.
    pub is_new: bool,
}

/// The reason why a change was refused.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The change would replace a key that joined.
    #[error("{0} has already joined with another key")]
    AlreadyJoined(Principal),
    /// The id of another device is a new device's but for case.
    #[error(
        "there is a device {0}, which is the same host name to ssh, as capitals make no difference there: choose another id"
    )]
    DiffersInCase(PrincipalId),
    /// The identity does not exist.
    #[error("there is no {0}")]
    Unknown(Principal),
    /// The identity does not have the key.
    #[error("{0} has another key")]
    UnknownKey(Principal),
    /// Another service has the hub keep a certificate for the key.
    #[error(
        "another service has stored the certificate of {0}; one that may reach every device and name can replace it"
    )]
    StoredByAnother(Principal),
    /// The enrolment key does not exist.
    #[error("there is no enrolment key {0}")]
    UnknownEnrolment(u64),
    /// The scope has more patterns than can be matched for each request.
    #[error("too many patterns in one scope")]
    ScopeTooLarge,
    /// The store is an earlier copy of itself.
    #[error(
        "the registry is an old copy: it has {has} of {made} changes of identities. What was removed since would be \
         admitted again, what has joined since would not. Put its {wal} back if that is elsewhere, or restore a backup; \
         to use it as it is, remove {}", marker.display()
    )]
    OldCopy {
        /// The number of changes in it.
        has: u64,
        /// The number of changes that were committed.
        made: u64,
        /// The name of the journal that may have the others.
        wal: String,
        /// The file with the number of changes.
        marker: PathBuf,
    },
    /// The engine that the hubs share does not answer.
    #[error(
        "changes are refused while the registry that the hubs share cannot be reached ({0}); join codes stay unspent, try again \
         later"
    )]
    Unreachable(String),
    /// What the hubs share is not what it was.
    #[error("changes are refused: the registry that the hubs share {0}; {advice}", advice = .0.advice())]
    BucketLost(BucketLoss),
    /// The bucket is to be founded and is.
    #[error(
        "the NATS account has the registry of another cluster; leave with `devstream hub cluster leave`, and found this one with \
         an account of its own, or join that one from a machine without a hub"
    )]
    Founded,
    /// There is no bucket to join.
    #[error(
        "the registry that the hubs share is not there yet: the first hub makes it once the NATS servers answer; \
         `devstream hub cluster status` shows when it is there"
    )]
    NotFounded,
    /// Others were faster each time.
    #[error("other hubs change the same at this moment; try again")]
    Contended,
    /// The store failed.
    #[error("the registry failed: {0}")]
    Store(String),
}

impl RegistryError {
    /// Logs the error and returns a refusal without its details.
    pub fn to_public_refusal(&self) -> Refusal {
        if let Self::Unreachable(_) | Self::BucketLost(_) | Self::Contended = self {
            tracing::warn!(target: "hub", "{self}");
            return RefusalKind::ChangesRefused.into();
        }
        tracing::error!(target: "hub", "{self}");
        RefusalKind::HubFailed.into()
    }
}

/// A store of identities. Each call is one transaction, from any thread.
pub trait Registry: Send + Sync {
    /// Adds an identity, or changes the scope of one that has not joined. The join code replaces any earlier one.
    fn add(&self, principal: &Principal, scope: &Scope, code: &CodeHash, now: Timestamp) -> Result<(), RegistryError>;

    /// Sets a join code for the identity's next key. Once redeemed, the former key stays valid for `overlap`.
    fn rotate(&self, principal: &Principal, code: &CodeHash, overlap: Duration) -> Result<(), RegistryError>;

    /// Looks up what [`Self::redeem`] would do, and changes nothing.
    fn check_code(
        &self,
        principal: &Principal,
        code: &SecretHash,
        key: &PublicKey,
        now: Timestamp,
    ) -> Result<CodeCheck, RegistryError>;

    /// Redeems a join code and adds the key to the identity. `None` unless the code is this identity's, unspent and
    /// valid, or that of an enrolment key for an id that is free: neither known nor removed. Repeating it with the same key changes nothing, so
    /// that a machine whose response was lost may retry.
    fn redeem(
        &self,
        principal: &Principal,
        code: &SecretHash,
        key: &PublicKey,
        now: Timestamp,
    ) -> Result<Option<Redeemed>, RegistryError>;

    /// Enrols a key of the hub's own user for an identity, new or not. A key that joined with a code is never replaced.
    /// A new service may reach everything.
    fn enrol(&self, principal: &Principal, key: &PublicKey, now: Timestamp) -> Result<Enrolled, RegistryError>;

    /// Sets the proof of a key, which only the holder of the key and its code has. It goes with the key.
    fn set_proof(&self, principal: &Principal, key: &PublicKey, proof: &str) -> Result<(), RegistryError>;

    /// Sets the certificate of a key for a service, and reports whether that is another one than before. It goes with the
    /// key. A service replaces its own; another's only if it may replace any.
    fn set_certificate(
        &self,
        principal: &Principal,
        key: &PublicKey,
        certificate: &str,
        by: (&PrincipalId, bool),
    ) -> Result<bool, RegistryError>;

    /// Returns what is kept beside the keys of an identity, the newest key first.
    fn endorsements(&self, principal: &Principal) -> Result<Vec<Endorsement>, RegistryError>;

    /// Disables or enables an identity.
    fn set_disabled(&self, principal: &Principal, disabled: bool) -> Result<(), RegistryError>;

    /// Changes an identity's scope and returns the result.
    fn rescope(&self, principal: &Principal, change: ScopeChange) -> Result<Scope, RegistryError>;

    /// Returns an identity's record.
    fn find(&self, principal: &Principal) -> Result<Option<Record>, RegistryError>;

    /// Returns the record of the only identity that has this id but for case.
    fn find_ignoring_case(&self, principal: &Principal) -> Result<Option<Record>, RegistryError>;

    /// Returns all identities of a role, in the order of their ids.
    fn list(&self, role: Role) -> Result<Vec<Record>, RegistryError>;

    /// Returns the identities of a role whose ids `covers` accepts, in the order of these.
    fn last_seen(&self, role: Role, covers: &dyn Fn(&PrincipalId) -> bool) -> Result<Vec<LastSeen>, RegistryError>;

    /// Returns the numbers of devices and services.
    fn count(&self) -> Result<(u64, u64), RegistryError>;

    /// Removes an identity with its keys and code. No enrolment key gives the id to a machine until it is added again.
    fn remove(&self, principal: &Principal) -> Result<(), RegistryError>;

    /// Stores the times of last connections.
    fn set_last_seen(&self, last_seen_updates: &[(Principal, Timestamp)]) -> Result<(), RegistryError>;

    /// Creates an enrolment key and returns its number.
    fn add_enrolment(&self, devices: &Glob, uses: u32, code: &CodeHash, now: Timestamp) -> Result<u64, RegistryError>;

    /// Returns every enrolment key.
    fn enrolments(&self) -> Result<Vec<Enrolment>, RegistryError>;

    /// Revokes an enrolment key.
    fn remove_enrolment(&self, id: u64) -> Result<(), RegistryError>;
}
