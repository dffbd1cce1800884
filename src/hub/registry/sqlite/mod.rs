//! The registry in an SQLite file.
//!
//! In: calls of the [`Registry`] trait, one transaction each. Out: records; a change is committed before it is
//! confirmed. `schema` migrates, `rows` and `enrolments` hold the queries.

mod enrolments;
mod rows;
mod schema;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use self::rows::{columns, find, find_existing, insert, join, records, update};
use super::{CodeHash, Enrolled, Record, Redeemed, Registry, RegistryError};
use crate::proto::admin::Enrolment;
use crate::proto::id::{Principal, Role};
use crate::proto::key::PublicKey;
use crate::proto::scope::{Glob, Scope, ScopeChange};
use crate::proto::secret::SecretHash;
use crate::proto::timestamp::Timestamp;

/// The time to wait for another program that holds the file, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// SQLite's cache in KiB: the kernel caches the file, and devices are looked up when they connect.
const CACHE_KIB: i64 = 256;

/// The open registry.
pub struct SqliteRegistry(Mutex<Connection>);

impl SqliteRegistry {
    /// Opens or creates the file and migrates an earlier version.
    pub fn open(path: &Path) -> Result<Self, RegistryError> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        schema::migrate(&mut connection)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.release_memory()?;
        Ok(Self(Mutex::new(connection)))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock()
    }

    fn change<R>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<R, RegistryError>) -> Result<R, RegistryError> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = work(&transaction)?;
        transaction.commit()?;
        Ok(result)
    }
}

impl Registry for SqliteRegistry {
    fn add(&self, principal: &Principal, scope: &Scope, code: &CodeHash, now: Timestamp) -> Result<(), RegistryError> {
        self.change(|transaction| {
            if find(transaction, principal)?.is_some_and(|record| !record.keys.is_empty()) {
                return Err(RegistryError::AlreadyJoined(principal.clone()));
            }
            insert(transaction, principal, scope, None, now)?;
            put_code(transaction, principal, code, None)
        })
    }

    fn rotate(&self, principal: &Principal, code: &CodeHash, overlap: Duration) -> Result<(), RegistryError> {
        self.change(|transaction| {
            find_existing(transaction, principal)?;
            put_code(transaction, principal, code, Some(overlap))
        })
    }

    fn redeem(
        &self,
        principal: &Principal,
        code: &SecretHash,
        key: &PublicKey,
        now: Timestamp,
    ) -> Result<Option<Redeemed>, RegistryError> {
        self.change(|transaction| {
            let record = find(transaction, principal)?;
            if let Some(record) = record.as_ref().filter(|record| record.valid_key(key, now).is_some()) {
                return Ok(Some(Redeemed { enrolment: record.enrolment, replaced_at_once: false }));
            }
            let joined = record.as_ref().is_some_and(|record| !record.keys.is_empty());
            if let Some(overlap) = spend_code(transaction, principal, code, joined, now)? {
                join(transaction, principal, key, overlap, now)?;
                return Ok(Some(Redeemed { enrolment: None, replaced_at_once: joined && overlap.is_zero() }));
            }
            let free = record.is_none_or(|record| record.keys.is_empty() && !record.disabled);
            let enrolment = if free { enrolments::spend(transaction, principal, code, now)? } else { None };
            let Some(enrolment) = enrolment else { return Ok(None) };
            insert(transaction, principal, &Scope::default(), Some(enrolment), now)?;
            join(transaction, principal, key, Duration::ZERO, now)?;
            Ok(Some(Redeemed { enrolment: Some(enrolment), replaced_at_once: false }))
        })
    }

    fn enrol(&self, principal: &Principal, key: &PublicKey, now: Timestamp) -> Result<Enrolled, RegistryError> {
        self.change(|transaction| {
            let done = match find(transaction, principal)? {
                Some(record) if record.valid_key(key, now).is_some() => return Ok(Enrolled::Unchanged),
                Some(record) if record.keys.iter().any(|stored| !stored.local) => {
                    return Err(RegistryError::AlreadyJoined(principal.clone()));
                }
                Some(_) => Enrolled::KeyReplaced,
                None => {
                    insert(transaction, principal, &Scope::everything(), None, now)?;
                    Enrolled::Created
                }
            };
            rows::delete_credentials(transaction, principal)?;
            rows::put_key(transaction, principal, key, true, now)?;
            Ok(done)
        })
    }

    fn set_disabled(&self, principal: &Principal, disabled: bool) -> Result<(), RegistryError> {
        update(&self.connection(), principal, "UPDATE identity SET disabled = ? WHERE role = ? AND id = ?", disabled)
    }

    fn rescope(&self, principal: &Principal, change: ScopeChange) -> Result<Scope, RegistryError> {
        self.change(|transaction| {
            let mut scope = find_existing(transaction, principal)?.scope;
            change.apply(&mut scope);
            if !scope.within_limits() {
                return Err(RegistryError::ScopeTooLarge);
            }
            insert(transaction, principal, &scope, None, Timestamp(0))?;
            Ok(scope)
        })
    }

    fn find(&self, principal: &Principal) -> Result<Option<Record>, RegistryError> {
        find(&self.connection(), principal)
    }

    fn list(&self, role: Role) -> Result<Vec<Record>, RegistryError> {
        records(&self.connection(), role)
    }

    fn count(&self) -> Result<(u64, u64), RegistryError> {
        let sql =
            "SELECT count(*) FILTER (WHERE role = 'device'), count(*) FILTER (WHERE role = 'service') FROM identity";
        Ok(self.connection().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    fn remove(&self, principal: &Principal) -> Result<(), RegistryError> {
        let (role, id) = columns(principal);
        let removed = self.connection().execute("DELETE FROM identity WHERE role = ? AND id = ?", [role, id])?;
        if removed == 0 { Err(RegistryError::Unknown(principal.clone())) } else { Ok(()) }
    }

    fn set_last_seen(&self, last_seen_updates: &[(Principal, Timestamp)]) -> Result<(), RegistryError> {
        self.change(|transaction| {
            let sql = "UPDATE identity SET last_seen = ? WHERE role = ? AND id = ?";
            let mut update = transaction.prepare_cached(sql)?;
            for (principal, at) in last_seen_updates {
                let (role, id) = columns(principal);
                update.execute(params![at.0, role, id])?;
            }
            Ok(())
        })
    }

    fn add_enrolment(&self, devices: &Glob, uses: u32, code: &CodeHash, now: Timestamp) -> Result<u64, RegistryError> {
        enrolments::add(&self.connection(), devices, uses, code, now)
    }

    fn enrolments(&self) -> Result<Vec<Enrolment>, RegistryError> {
        enrolments::list(&self.connection())
    }

    fn remove_enrolment(&self, id: u64) -> Result<(), RegistryError> {
        enrolments::remove(&self.connection(), id)
    }
}

impl From<rusqlite::Error> for RegistryError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.to_string())
    }
}

/// Stores a code in place of any earlier one. With an overlap, it is for an additional key.
fn put_code(
    connection: &Connection,
    principal: &Principal,
    code: &CodeHash,
    overlap: Option<Duration>,
) -> Result<(), RegistryError> {
    let (role, id) = columns(principal);
    let overlap = overlap.map(|overlap| i64::try_from(overlap.as_secs()).unwrap_or(i64::MAX));
    let sql = "INSERT OR REPLACE INTO code (role, id, hash, until, overlap) VALUES (?, ?, ?, ?, ?)";
    connection.execute(sql, params![role, id, code.hash.bytes(), code.until.0, overlap])?;
    Ok(())
}

/// Spends the identity's code if it is valid, and returns how long the former key stays valid. An identity that has
/// joined accepts only a code for its next key.
fn spend_code(
    connection: &Connection,
    principal: &Principal,
    code: &SecretHash,
    joined: bool,
    now: Timestamp,
) -> Result<Option<Duration>, RegistryError> {
    let (role, id) = columns(principal);
    let sql = "SELECT hash, until, overlap FROM code WHERE role = ? AND id = ?";
    let found = connection.query_row(sql, [role, id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    let Some((hash, until, overlap)): Option<([u8; 32], i64, Option<u64>)> = found else { return Ok(None) };
    if SecretHash::from(hash) != *code || now.0 >= until || (joined && overlap.is_none()) {
        return Ok(None);
    }
    connection.execute("DELETE FROM code WHERE role = ? AND id = ?", [role, id])?;
    Ok(Some(Duration::from_secs(overlap.unwrap_or(0))))
}
