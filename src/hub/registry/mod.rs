//! The known devices and services: their keys, what each may reach, and the codes with which they may join.

mod cache;
pub mod sqlite;

pub use cache::RegistryCache;

use std::time::Duration;

use super::auth::AuthzSubject;
use crate::proto::admin::Enrolment;
use crate::proto::id::{Principal, Role};
use crate::proto::key::PublicKey;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::scope::{Glob, Scope, ScopeChange};
use crate::proto::secret::SecretHash;
use crate::proto::timestamp::Timestamp;

/// What is known of an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which.
    pub principal: Principal,
    /// When it was added.
    pub created: Timestamp,
    /// When it was last connected.
    pub last_seen: Option<Timestamp>,
    /// Whether it is kept out.
    pub disabled: bool,
    /// What a service may reach.
    pub scope: Scope,
    /// The enrolment key it joined with.
    pub enrolment: Option<u64>,
    /// With what it proves itself, the newest first.
    pub keys: Vec<StoredKey>,
}

impl Record {
    /// What decides over what it may do.
    pub fn authz_subject(&self) -> AuthzSubject<'_> {
        AuthzSubject { principal: &self.principal, disabled: self.disabled, scope: &self.scope }
    }

    /// This key, if the identity has it and it is still good.
    pub fn valid_key(&self, key: &PublicKey, now: Timestamp) -> Option<&StoredKey> {
        self.keys.iter().find(|stored| stored.key == *key && stored.is_valid(now))
    }
}

/// A public key in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredKey {
    /// The key.
    pub key: PublicKey,
    /// Whether the hub's own user enrolled it on this machine, rather than with a join code.
    pub local: bool,
    /// When it was added.
    pub added: Timestamp,
    /// When it ends, if another one replaced it.
    pub until: Option<Timestamp>,
}

impl StoredKey {
    /// Whether it still proves anything.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// A one-time code, as the registry keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeHash {
    /// The code's hash.
    pub hash: SecretHash,
    /// Until when it is good.
    pub until: Timestamp,
}

/// What became of an identity of the hub's own user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enrolled {
    /// It was there, with this key.
    Unchanged,
    /// It was there, and has this key now.
    KeyReplaced,
    /// It is new.
    Created,
}

/// A join code that was good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redeemed {
    /// The enrolment key, if it was one.
    pub enrolment: Option<u64>,
    /// An earlier key of the identity is void from now on.
    pub replaced_at_once: bool,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The identity has a key that this change would replace.
    #[error("{0} has already joined, with another key")]
    AlreadyJoined(Principal),
    /// There is no such identity.
    #[error("there is no {0}")]
    Unknown(Principal),
    /// There is no such enrolment key.
    #[error("there is no enrolment key {0}")]
    UnknownEnrolment(u64),
    /// More patterns than can be looked through for each request.
    #[error("too many patterns in one scope")]
    ScopeTooLarge,
    /// The store failed.
    #[error("the registry failed: {0}")]
    Store(String),
}

impl RegistryError {
    /// What somebody elsewhere is told, while the hub's log has the rest.
    pub fn to_public_refusal(&self) -> Refusal {
        tracing::error!(target: "hub", "{self}");
        RefusalKind::HubFailed.into()
    }
}

/// Where identities are kept. Each call is one transaction; callers may be on any thread.
pub trait Registry: Send + Sync {
    /// Adds an identity, or changes the scope of one that has not joined, and gives it a join code in place of any
    /// earlier one.
    fn add(&self, principal: &Principal, scope: &Scope, code: &CodeHash, now: Timestamp) -> Result<(), RegistryError>;

    /// Gives an identity a join code for its next key. Once that is there, the one before it is good for `overlap`.
    fn rotate(&self, principal: &Principal, code: &CodeHash, overlap: Duration) -> Result<(), RegistryError>;

    /// Spends a join code: something if it was this identity's, unspent and in time, or that of an enrolment key for
    /// which the id is free, and the key is now the identity's. Asking again with the same key changes nothing, so
    /// that a machine whose answer was lost may.
    fn redeem(
        &self,
        principal: &Principal,
        code: &SecretHash,
        key: &PublicKey,
        now: Timestamp,
    ) -> Result<Option<Redeemed>, RegistryError>;

    /// Gives an identity, new or not, a key of the hub's own user. A key that joined with a code is never replaced.
    /// A new service may reach everything.
    fn enrol(&self, principal: &Principal, key: &PublicKey, now: Timestamp) -> Result<Enrolled, RegistryError>;

    /// Keeps an identity out, or lets it in again.
    fn set_disabled(&self, principal: &Principal, disabled: bool) -> Result<(), RegistryError>;

    /// Changes what an identity may reach, and gives the outcome.
    fn rescope(&self, principal: &Principal, change: ScopeChange) -> Result<Scope, RegistryError>;

    /// One identity.
    fn find(&self, principal: &Principal) -> Result<Option<Record>, RegistryError>;

    /// All of one kind, in order of their ids.
    fn list(&self, role: Role) -> Result<Vec<Record>, RegistryError>;

    /// How many devices and services there are.
    fn count(&self) -> Result<(u64, u64), RegistryError>;

    /// Forgets an identity, its keys and its code.
    fn remove(&self, principal: &Principal) -> Result<(), RegistryError>;

    /// They were connected at these times.
    fn set_last_seen(&self, last_seen_updates: &[(Principal, Timestamp)]) -> Result<(), RegistryError>;

    /// Makes an enrolment key, and gives its number.
    fn add_enrolment(&self, devices: &Glob, uses: u32, code: &CodeHash, now: Timestamp) -> Result<u64, RegistryError>;

    /// Every enrolment key.
    fn enrolments(&self) -> Result<Vec<Enrolment>, RegistryError>;

    /// Makes one void.
    fn remove_enrolment(&self, id: u64) -> Result<(), RegistryError>;
}
