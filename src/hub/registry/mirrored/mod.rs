//! The registry of several hubs: each reads its own SQLite file, a full mirror of a bucket that they share.
//!
//! In: calls of the [`Registry`] trait; values that other hubs put. Out: a change is tried on the mirror, put into the bucket
//! in place of the value that it was made from, then taken by the mirror. `engine` calls the bucket within deadlines, `mirror`
//! compares and heals, `founding` fills a bucket, `follower` takes what others put, with `batches`; `state` is what is known of
//! it all.

mod batches;
mod engine;
mod follower;
mod founding;
mod mirror;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::follower::follow;
pub use self::mirror::{Mirror, Report};
pub use self::state::{BucketLoss, MirrorStatus};
use super::sqlite::{Changed, Changes, Trial};
use super::{CodeCheck, CodeHash, Enrolled, LastSeen, Record, Redeemed, Registry, RegistryError};
use crate::proto::admin::Enrolment;
use crate::proto::endorsement::Endorsement;
use crate::proto::id::{Principal, PrincipalId, Role};
use crate::proto::key::PublicKey;
use crate::proto::scope::{Glob, Scope, ScopeChange};
use crate::proto::secret::SecretHash;
use crate::proto::timestamp::Timestamp;

/// The limit on attempts of one change: each but the last found that another hub had been faster. Where a fleet joins with one
/// enrolment key at all hubs, one attempt in two or three succeeds, and takes milliseconds.
const ATTEMPTS: u32 = 64;

/// The registry, for [`RegistryCache`](super::RegistryCache). Calls block: reads on the file, changes on the bucket too.
pub struct MirroredRegistry {
    mirror: Arc<Mirror>,
    /// Held while a machine joins with an enrolment key: all of a fleet change the same value.
    enrolling: parking_lot::Mutex<()>,
}

impl MirroredRegistry {
    /// Reads from this mirror.
    pub fn new(mirror: Arc<Mirror>) -> Self {
        Self { mirror, enrolling: parking_lot::Mutex::default() }
    }

    /// Makes a change here and in the bucket. It is tried again on what another hub has put meanwhile.
    fn change<R>(&self, work: impl Fn(&mut Changes<'_>) -> Result<R, RegistryError>) -> Result<R, RegistryError> {
        let mut deadline = None;
        let mut has_settled = false;
        for _ in 0..ATTEMPTS {
            let Trial { result, subjects, changed } = self.mirror.sqlite().trial(&work)?;
            if result.is_err() && !has_settled && subjects.iter().any(|subject| self.mirror.refresh(subject)) {
                has_settled = true;
                continue;
            }
            if result.is_err() || changed.is_empty() {
                return result;
            }
            let until = match deadline {
                Some(until) => until,
                None => *deadline.insert(self.mirror.begin_change()?),
            };
            if self.put_all(changed, until)? {
                return result;
            }
        }
        Err(RegistryError::Contended)
    }

    /// Puts the values of a change in order. Returns false if another hub has put one of them meanwhile, which the mirror then
    /// has.
    fn put_all(&self, changed: Vec<Changed>, deadline: Instant) -> Result<bool, RegistryError> {
        for Changed { subject, value, revision } in changed {
            match self.mirror.put(&subject, &value, revision, deadline)? {
                Some(revision) => drop(self.mirror.sqlite().accept(&subject, &value, revision, false)?),
                None => {
                    self.mirror.settle(&subject, deadline)?;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

impl Registry for MirroredRegistry {
    fn add(&self, principal: &Principal, scope: &Scope, code: &CodeHash, now: Timestamp) -> Result<(), RegistryError> {
        self.change(|changes| changes.add(principal, scope, code, now))
    }

    fn rotate(&self, principal: &Principal, code: &CodeHash, overlap: Duration) -> Result<(), RegistryError> {
        self.change(|changes| changes.rotate(principal, code, overlap))
    }

    fn check_code(
        &self,
        principal: &Principal,
        code: &SecretHash,
        key: &PublicKey,
        now: Timestamp,
    ) -> Result<CodeCheck, RegistryError> {
        self.mirror.sqlite().check_code(principal, code, key, now)
    }

    fn redeem(
        &self,
        principal: &Principal,
        code: &SecretHash,
        key: &PublicKey,
        now: Timestamp,
    ) -> Result<Option<Redeemed>, RegistryError> {
        let is_new = self.mirror.sqlite().find(principal)?.is_none();
        let _turn = is_new.then(|| self.enrolling.lock());
        self.change(|changes| changes.redeem(principal, code, key, now))
    }

    fn enrol(&self, principal: &Principal, key: &PublicKey, now: Timestamp) -> Result<Enrolled, RegistryError> {
        self.change(|changes| changes.enrol(principal, key, now))
    }

    fn set_proof(&self, principal: &Principal, key: &PublicKey, proof: &str) -> Result<(), RegistryError> {
        self.change(|changes| changes.set_proof(principal, key, proof))
    }

    fn set_certificate(
        &self,
        principal: &Principal,
        key: &PublicKey,
        certificate: &str,
        by: (&PrincipalId, bool),
    ) -> Result<bool, RegistryError> {
        self.change(|changes| changes.set_certificate(principal, key, certificate, by))
    }

    fn endorsements(&self, principal: &Principal) -> Result<Vec<Endorsement>, RegistryError> {
        self.mirror.sqlite().endorsements(principal)
    }

    fn set_disabled(&self, principal: &Principal, disabled: bool) -> Result<(), RegistryError> {
        self.change(|changes| changes.set_disabled(principal, disabled))
    }

    fn rescope(&self, principal: &Principal, change: ScopeChange) -> Result<Scope, RegistryError> {
        self.change(|changes| changes.rescope(principal, change.clone()))
    }

    fn find(&self, principal: &Principal) -> Result<Option<Record>, RegistryError> {
        self.mirror.sqlite().find(principal)
    }

    fn find_ignoring_case(&self, principal: &Principal) -> Result<Option<Record>, RegistryError> {
        self.mirror.sqlite().find_ignoring_case(principal)
    }

    fn list(&self, role: Role) -> Result<Vec<Record>, RegistryError> {
        self.mirror.sqlite().list(role)
    }

    fn last_seen(&self, role: Role, covers: &dyn Fn(&PrincipalId) -> bool) -> Result<Vec<LastSeen>, RegistryError> {
        self.mirror.sqlite().last_seen(role, covers)
    }

    fn count(&self) -> Result<(u64, u64), RegistryError> {
        self.mirror.sqlite().count()
    }

    fn remove(&self, principal: &Principal) -> Result<(), RegistryError> {
        self.change(|changes| changes.remove(principal))
    }

    fn set_last_seen(&self, last_seen_updates: &[(Principal, Timestamp)]) -> Result<(), RegistryError> {
        self.mirror.sqlite().set_last_seen(last_seen_updates)
    }

    fn add_enrolment(&self, devices: &Glob, uses: u32, code: &CodeHash, now: Timestamp) -> Result<u64, RegistryError> {
        self.change(|changes| changes.add_enrolment(devices, uses, code, now))
    }

    fn enrolments(&self) -> Result<Vec<Enrolment>, RegistryError> {
        self.mirror.sqlite().enrolments()
    }

    fn remove_enrolment(&self, id: u64) -> Result<(), RegistryError> {
        self.change(|changes| changes.remove_enrolment(id))
    }
}
