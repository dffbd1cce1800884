//! The changes of the registry, on a connection: within a transaction that stores them, or within one that is only a trial.

use std::time::Duration;

use rusqlite::Connection;

use super::codes::{find_code, mark_used, put_code};
use super::portable;
use super::rows::{self, find, find_existing, insert, join, knows_code, update};
use super::{endorsements, enrolments};
use crate::hub::registry::portable::{Content, Subject};
use crate::hub::registry::{CodeCheck, CodeHash, Enrolled, Redeemed, RegistryError};
use crate::proto::id::{Principal, PrincipalId};
use crate::proto::key::PublicKey;
use crate::proto::scope::{Glob, Scope, ScopeChange};
use crate::proto::secret::SecretHash;
use crate::proto::timestamp::Timestamp;

/// The changes of one transaction.
pub struct Changes<'a> {
    connection: &'a Connection,
    /// `None` unless it is a trial.
    touched: Option<Vec<Touched>>,
}

/// What a trial touches.
pub(super) struct Touched {
    pub(super) subject: Subject,
    pub(super) before: Option<Content>,
}

impl<'a> Changes<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self { connection, touched: None }
    }

    /// Remembers what is touched, as it was.
    pub(super) fn trial(connection: &'a Connection) -> Self {
        Self { connection, touched: Some(Vec::new()) }
    }

    pub(super) fn connection(&self) -> &Connection {
        self.connection
    }

    /// What was touched, in the order in which it is to be stored elsewhere.
    pub(super) fn into_touched(self) -> Vec<Touched> {
        self.touched.unwrap_or_default()
    }

    /// Called before a subject is changed.
    fn touch(&mut self, subject: Subject) -> Result<(), RegistryError> {
        if let Some(touched) = &mut self.touched {
            let before = portable::export(self.connection, &subject)?;
            touched.push(Touched { subject, before });
        }
        Ok(())
    }

    fn touch_identity(&mut self, principal: &Principal) -> Result<(), RegistryError> {
        self.touch(Subject::Identity(principal.clone()))
    }

    pub(in crate::hub::registry) fn add(
        &mut self,
        principal: &Principal,
        scope: &Scope,
        code: &CodeHash,
        now: Timestamp,
    ) -> Result<(), RegistryError> {
        self.touch_identity(principal)?;
        match find(self.connection, principal)? {
            Some(record) if !record.keys.is_empty() => return Err(RegistryError::AlreadyJoined(principal.clone())),
            Some(_) => {}
            None => rows::ensure_distinct(self.connection, principal)?,
        }
        insert(self.connection, principal, scope, None, now)?;
        rows::forget_removal(self.connection, principal)?;
        put_code(self.connection, principal, code, None)
    }

    pub(in crate::hub::registry) fn rotate(
        &mut self,
        principal: &Principal,
        code: &CodeHash,
        overlap: Duration,
    ) -> Result<(), RegistryError> {
        self.touch_identity(principal)?;
        find_existing(self.connection, principal)?;
        put_code(self.connection, principal, code, Some(overlap))
    }

    pub(in crate::hub::registry) fn redeem(
        &mut self,
        principal: &Principal,
        code: &SecretHash,
        key: &PublicKey,
        now: Timestamp,
    ) -> Result<Option<Redeemed>, RegistryError> {
        let Ok(redeemable) = redeemable(self.connection, principal, code, key, now)? else {
            self.touch_identity(principal)?;
            return Ok(None);
        };
        // The use first: where the hub fails in between, one is lost and none is given.
        if let Redeemable::Enrolment(id) = redeemable {
            self.touch(Subject::Enrolment(id))?;
        }
        self.touch_identity(principal)?;
        Ok(Some(match redeemable {
            Redeemable::HasKey { enrolment } => Redeemed { enrolment, is_new: false },
            Redeemable::Code { overlap } => {
                mark_used(self.connection, principal, now)?;
                join(self.connection, principal, key, overlap, now)?;
                Redeemed { enrolment: None, is_new: true }
            }
            Redeemable::Enrolment(id) => {
                enrolments::spend(self.connection, id, principal, key)?;
                insert(self.connection, principal, &Scope::default(), Some(id), now)?;
                join(self.connection, principal, key, Duration::ZERO, now)?;
                Redeemed { enrolment: Some(id), is_new: true }
            }
        }))
    }

    pub(in crate::hub::registry) fn enrol(
        &mut self,
        principal: &Principal,
        key: &PublicKey,
        now: Timestamp,
    ) -> Result<Enrolled, RegistryError> {
        self.touch_identity(principal)?;
        let done = match find(self.connection, principal)? {
            Some(record) if record.valid_key(key, now).is_some() => return Ok(Enrolled::Unchanged),
            Some(record) if record.keys.iter().any(|stored| !stored.local) => {
                return Err(RegistryError::AlreadyJoined(principal.clone()));
            }
            Some(_) => Enrolled::NewKey,
            None => {
                rows::ensure_distinct(self.connection, principal)?;
                insert(self.connection, principal, &Scope::everything(), None, now)?;
                rows::forget_removal(self.connection, principal)?;
                Enrolled::Created
            }
        };
        rows::delete_credentials(self.connection, principal)?;
        rows::put_key(self.connection, principal, key, true, now)?;
        Ok(done)
    }

    pub(in crate::hub::registry) fn set_proof(
        &mut self,
        principal: &Principal,
        key: &PublicKey,
        proof: &str,
    ) -> Result<(), RegistryError> {
        self.touch_identity(principal)?;
        endorsements::set_proof(self.connection, principal, key, proof)
    }

    pub(in crate::hub::registry) fn set_certificate(
        &mut self,
        principal: &Principal,
        key: &PublicKey,
        certificate: &str,
        by: (&PrincipalId, bool),
    ) -> Result<bool, RegistryError> {
        self.touch_identity(principal)?;
        endorsements::set_certificate(self.connection, principal, key, certificate, by)
    }

    pub(in crate::hub::registry) fn set_disabled(
        &mut self,
        principal: &Principal,
        disabled: bool,
    ) -> Result<(), RegistryError> {
        self.touch_identity(principal)?;
        let sql = "UPDATE identity SET disabled = ? WHERE role = ? AND id = ?";
        update(self.connection, principal, sql, disabled)
    }

    pub(in crate::hub::registry) fn rescope(
        &mut self,
        principal: &Principal,
        change: ScopeChange,
    ) -> Result<Scope, RegistryError> {
        self.touch_identity(principal)?;
        let mut scope = find_existing(self.connection, principal)?.scope;
        change.apply(&mut scope);
        if !scope.within_limits() {
            return Err(RegistryError::ScopeTooLarge);
        }
        insert(self.connection, principal, &scope, None, Timestamp(0))?;
        Ok(scope)
    }

    pub(in crate::hub::registry) fn remove(&mut self, principal: &Principal) -> Result<(), RegistryError> {
        self.touch_identity(principal)?;
        rows::remove(self.connection, principal)
    }

    pub(in crate::hub::registry) fn add_enrolment(
        &mut self,
        devices: &Glob,
        uses: u32,
        code: &CodeHash,
        now: Timestamp,
    ) -> Result<u64, RegistryError> {
        let id = enrolments::add(self.connection, devices, uses, code, now)?;
        if let Some(touched) = &mut self.touched {
            touched.push(Touched { subject: Subject::Enrolment(id), before: None });
        }
        Ok(id)
    }

    pub(in crate::hub::registry) fn remove_enrolment(&mut self, id: u64) -> Result<(), RegistryError> {
        self.touch(Subject::Enrolment(id))?;
        enrolments::remove(self.connection, id)
    }
}

/// Looks up what redeeming a code would do.
pub(super) fn check_code(
    connection: &Connection,
    principal: &Principal,
    code: &SecretHash,
    key: &PublicKey,
    now: Timestamp,
) -> Result<CodeCheck, RegistryError> {
    Ok(match redeemable(connection, principal, code, key, now)? {
        Err(nothing) => nothing,
        Ok(Redeemable::HasKey { .. }) => CodeCheck::HasKey { has_code: knows_code(connection, principal, code)? },
        Ok(Redeemable::Code { .. } | Redeemable::Enrolment(_)) => CodeCheck::Good,
    })
}

/// What a join code is good for.
enum Redeemable {
    /// Nothing more: the identity has this key.
    HasKey { enrolment: Option<u64> },
    /// Another key for the identity, whose former one stays valid for the overlap.
    Code { overlap: Duration },
    /// A use of this enrolment key.
    Enrolment(u64),
}

/// Returns what the code is good for, else why it is good for nothing.
fn redeemable(
    connection: &Connection,
    principal: &Principal,
    code: &SecretHash,
    key: &PublicKey,
    now: Timestamp,
) -> Result<Result<Redeemable, CodeCheck>, RegistryError> {
    let record = find(connection, principal)?;
    if let Some(record) = record.as_ref().filter(|record| record.valid_key(key, now).is_some()) {
        return Ok(Ok(Redeemable::HasKey { enrolment: record.enrolment }));
    }
    let joined = record.as_ref().is_some_and(|record| !record.keys.is_empty());
    match find_code(connection, principal, code, joined, now)? {
        Err(CodeCheck::Wrong) => {}
        found => return Ok(found.map(|overlap| Redeemable::Code { overlap })),
    }
    let enrolment = match enrolments::find(connection, principal, code, key, now)? {
        Ok(enrolment) => enrolment,
        Err(nothing) => return Ok(Err(nothing)),
    };
    // An id that was added by hand is for the machine with its join link, and one that was removed stays so.
    let is_distinct = match rows::ensure_distinct(connection, principal) {
        Err(RegistryError::DiffersInCase(_)) => false,
        other => other.map(|()| true)?,
    };
    let is_free = record.is_none() && is_distinct && !rows::was_removed(connection, principal)?;
    Ok(if is_free { Ok(Redeemable::Enrolment(enrolment)) } else { Err(CodeCheck::IdTaken) })
}
