//! The known devices and services: their keys, what each may reach, and the codes with which they may join.

use std::sync::Arc;

use crate::net::clock::Moment;
use crate::proto::admin::Scope;
use crate::proto::id::{Principal, Role};
use crate::proto::key::PublicKey;
use crate::proto::secret::SecretHash;

/// What is known of an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which.
    pub principal: Principal,
    /// When it was added.
    pub created: Moment,
    /// When it was last connected.
    pub last_seen: Option<Moment>,
    /// What a service may reach.
    pub scope: Scope,
    /// With what it proves itself.
    pub key: Option<StoredKey>,
}

/// A public key in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredKey {
    /// The key.
    pub key: PublicKey,
    /// Whether the hub's own user enrolled it on this machine, rather than with a join code.
    pub local: bool,
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
    /// The store failed.
    #[error("the registry failed: {0}")]
    Store(String),
}

/// Where identities are kept. Each call is one transaction; callers may be on any thread.
pub trait Registry: Send + Sync {
    /// Adds an identity, or changes the scope of one, and gives it a join code in place of any earlier one.
    fn add(
        &self,
        principal: &Principal,
        scope: &Scope,
        code: &SecretHash,
        until: Moment,
        now: Moment,
    ) -> Result<(), RegistryError>;

    /// Spends a join code: true if it was this identity's, unspent and in time, and the key is now the identity's.
    fn redeem(
        &self,
        principal: &Principal,
        code: &SecretHash,
        key: &PublicKey,
        now: Moment,
    ) -> Result<bool, RegistryError>;

    /// Gives an identity, new or not, a key of the hub's own user. A key that joined with a code is never replaced.
    fn enrol(&self, principal: &Principal, key: &PublicKey, now: Moment) -> Result<(), RegistryError>;

    /// One identity.
    fn find(&self, principal: &Principal) -> Result<Option<Record>, RegistryError>;

    /// All of one kind, in order of their ids.
    fn list(&self, role: Role) -> Result<Vec<Record>, RegistryError>;

    /// Forgets an identity, its key and its code.
    fn remove(&self, principal: &Principal) -> Result<(), RegistryError>;

    /// It was connected at this time.
    fn seen(&self, principal: &Principal, at: Moment) -> Result<(), RegistryError>;
}

/// The registry from async code: each call runs where blocking is allowed.
#[derive(Clone)]
pub struct Directory(Arc<dyn Registry>);

impl Directory {
    /// Around any registry.
    pub fn new(registry: impl Registry + 'static) -> Self {
        Self(Arc::new(registry))
    }

    /// Does something with the registry.
    pub async fn with<R, F>(&self, work: F) -> Result<R, RegistryError>
    where
        R: Send + 'static,
        F: FnOnce(&dyn Registry) -> Result<R, RegistryError> + Send + 'static,
    {
        let registry = self.0.clone();
        let done = tokio::task::spawn_blocking(move || work(registry.as_ref())).await;
        done.unwrap_or_else(|error| Err(RegistryError::Store(error.to_string())))
    }

    /// One identity.
    pub async fn find(&self, principal: &Principal) -> Result<Option<Record>, RegistryError> {
        let principal = principal.clone();
        self.with(move |registry| registry.find(&principal)).await
    }
}
