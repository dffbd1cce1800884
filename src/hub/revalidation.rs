//! Validity of connections that outlive their request: identity, key and access are checked again when they change or
//! expire.

use std::time::{Duration, Instant};

use tokio::time::{sleep, sleep_until};

use super::auth::{Action, authorize};
use super::consequences::{Clocks, computed_again};
use super::registry::{Record, RegistryCache, RegistryError};
use super::shared::Shared;
use crate::net::os::clock;
use crate::proto::id::{Principal, Role};
use crate::proto::key::PublicKey;
use crate::proto::refusal::{Refusal, RefusalKind};

/// An identity that was found valid again.
pub(super) struct Revalidated {
    /// Its present record.
    pub(super) record: Record,
    /// The expiry of the key with which the connection authenticated, if the key was rotated.
    pub(super) key_expiry: Option<Instant>,
}

/// Looks an authenticated identity up again and checks that it may still do this with this key.
pub(super) async fn revalidate(
    registry: &RegistryCache,
    principal: &Principal,
    key: &PublicKey,
    action: Action<'_>,
) -> Result<Revalidated, Refusal> {
    let found = registry.find(principal).await;
    let record = found.map_err(|error| error.to_public_refusal())?;
    let record = record.ok_or(RefusalKind::AuthenticationFailed)?;
    let now = clock::now_utc();
    authorize(record.authz_subject(), action, now)?;
    let stored = record.valid_key(key, now).ok_or(RefusalKind::KeyReplaced)?;
    let key_expiry = Clocks::now().leg_key(stored).until;
    Ok(Revalidated { record, key_expiry })
}

/// The time until a registry that failed is asked again after the clock was set.
const RETRY: Duration = Duration::from_secs(5);

/// Computes the ends of access and keys again whenever the wall clock was set, until dropped: they are moments of that clock,
/// waited for on the monotonic one.
pub(super) async fn follow_clock(shared: &Shared) {
    let mut last = clock::Reading::now();
    loop {
        last.stepped().await;
        // Before the work: the clock may be set meanwhile.
        last = clock::Reading::now();
        tracing::warn!(target: "hub", "this machine slept or its clock was set; the ends of access and of keys are computed again");
        while let Err(error) = reconsider_all(shared).await {
            tracing::error!(target: "hub", "{error}; trying again in {} s", RETRY.as_secs());
            sleep(RETRY).await;
        }
    }
}

async fn reconsider_all(shared: &Shared) -> Result<(), RegistryError> {
    for role in [Role::Service, Role::Device] {
        let records = shared.registry.with(move |registry| registry.list(role)).await?;
        for Record { principal, keys, scope, .. } in records {
            if scope.until.is_some() || keys.iter().any(|key| key.until.is_some()) {
                reconsider(shared, principal).await?;
            } else {
                shared.registry.announce(&principal);
            }
        }
    }
    Ok(())
}

/// Tells the broker in turn with changes of the identity, as it is then.
async fn reconsider(shared: &Shared, principal: Principal) -> Result<(), RegistryError> {
    let (broker, subject) = (shared.streams.broker.clone(), principal.clone());
    let told = shared.registry.change(&subject, move |registry| {
        let found = registry.find(&principal)?;
        let inputs = found.map(|record| computed_again(&record, Clocks::now())).unwrap_or_default();
        inputs.into_iter().for_each(|input| broker.handle(input));
        Ok(())
    });
    told.await
}

/// Sleeps until the deadline; pends forever if there is none.
pub(super) async fn sleep_until_deadline(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
