//! The registry in an SQLite file.
//!
//! In: calls of the [`Registry`] trait, one transaction each. Out: records; a change is committed before it is
//! confirmed. `schema` migrates, `changes` makes them, `rows`, `codes`, `endorsements` and `enrolments` hold the queries,
//! `change_count` detects an old copy. `mirrored` has it follow a bucket of several hubs, with the values of `portable`.

mod change_count;
mod changes;
mod codes;
mod endorsements;
mod enrolments;
mod mirrored;
mod portable;
mod rows;
mod schema;
#[cfg(test)]
mod tests;

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::time::Duration;

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

pub use self::change_count::CHANGE_COUNT;
use self::change_count::ChangeCount;
pub use self::changes::Changes;
pub use self::mirrored::{Accepted, Changed, Trial};
use self::rows::{columns, find, records};
use super::{CodeCheck, CodeHash, Enrolled, LastSeen, Record, Redeemed, Registry, RegistryError};
use crate::proto::admin::Enrolment;
use crate::proto::endorsement::Endorsement;
use crate::proto::id::{Principal, PrincipalId, Role};
use crate::proto::key::PublicKey;
use crate::proto::scope::{Glob, Scope, ScopeChange};
use crate::proto::secret::SecretHash;
use crate::proto::timestamp::Timestamp;

/// The time to wait for another program that holds the file, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// SQLite's cache in KiB: the kernel caches the file, and devices are looked up when they connect.
const CACHE_KIB: i64 = 256;

/// SQLite's name for a database without a file.
const IN_MEMORY: &str = ":memory:";

/// The open registry.
pub struct SqliteRegistry(Mutex<Store>);

struct Store {
    connection: Connection,
    /// `None` for a database without a file.
    change_count: Option<ChangeCount>,
}

impl SqliteRegistry {
    /// Opens or creates the file and migrates an earlier version. An earlier copy of the file is refused.
    pub fn open(path: &Path) -> Result<Self, RegistryError> {
        make_private(path).map_err(|error| RegistryError::Store(format!("{}: {error}", path.display())))?;
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        schema::migrate(&mut connection)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.release_memory()?;
        let change_count = match path == Path::new(IN_MEMORY) {
            true => None,
            false => Some(ChangeCount::open(path, change_count::read(&connection)?)?),
        };
        Ok(Self(Mutex::new(Store { connection, change_count })))
    }

    /// Opens a file that a hub has used. One without tables is not created anew.
    pub fn open_existing(path: &Path) -> Result<Self, RegistryError> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        if schema::is_blank(&connection)? {
            let lost = "it has no tables: it was emptied, or copied without its -wal file; restore a backup";
            return Err(RegistryError::Store(lost.into()));
        }
        drop(connection);
        Self::open(path)
    }

    /// Reports whether it has neither identities nor enrolment keys, and never had any.
    pub fn is_empty(&self) -> Result<bool, RegistryError> {
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM identity) AND NOT EXISTS (SELECT 1 FROM enrolment)
                   AND NOT EXISTS (SELECT 1 FROM removed) AND (SELECT count FROM change) = 0";
        Ok(self.connection().query_row(sql, [], |row| row.get(0))?)
    }

    fn connection(&self) -> MappedMutexGuard<'_, Connection> {
        MutexGuard::map(self.0.lock(), |store| &mut store.connection)
    }

    /// Changes identities or enrolment keys in one transaction, and counts that if any row was changed.
    fn change<R>(&self, work: impl FnOnce(&mut Changes<'_>) -> Result<R, RegistryError>) -> Result<R, RegistryError> {
        let mut store = self.0.lock();
        let Store { connection, change_count } = &mut *store;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before = transaction.total_changes();
        let result = work(&mut Changes::new(&transaction))?;
        if transaction.total_changes() == before {
            return Ok(result);
        }
        let count = change_count::increment(&transaction)?;
        transaction.commit()?;
        if let Some(change_count) = change_count {
            change_count.store(count);
        }
        Ok(result)
    }
}

impl Registry for SqliteRegistry {
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
        changes::check_code(&self.connection(), principal, code, key, now)
    }

    fn redeem(
        &self,
        principal: &Principal,
        code: &SecretHash,
        key: &PublicKey,
        now: Timestamp,
    ) -> Result<Option<Redeemed>, RegistryError> {
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
        endorsements::of(&self.connection(), principal)
    }

    fn set_disabled(&self, principal: &Principal, disabled: bool) -> Result<(), RegistryError> {
        self.change(|changes| changes.set_disabled(principal, disabled))
    }

    fn rescope(&self, principal: &Principal, change: ScopeChange) -> Result<Scope, RegistryError> {
        self.change(|changes| changes.rescope(principal, change))
    }

    fn find(&self, principal: &Principal) -> Result<Option<Record>, RegistryError> {
        find(&self.connection(), principal)
    }

    fn find_ignoring_case(&self, principal: &Principal) -> Result<Option<Record>, RegistryError> {
        rows::find_ignoring_case(&self.connection(), principal)
    }

    fn list(&self, role: Role) -> Result<Vec<Record>, RegistryError> {
        records(&self.connection(), role)
    }

    fn last_seen(&self, role: Role, covers: &dyn Fn(&PrincipalId) -> bool) -> Result<Vec<LastSeen>, RegistryError> {
        rows::last_seen(&self.connection(), role, covers)
    }

    fn count(&self) -> Result<(u64, u64), RegistryError> {
        let sql =
            "SELECT count(*) FILTER (WHERE role = 'device'), count(*) FILTER (WHERE role = 'service') FROM identity";
        Ok(self.connection().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    fn remove(&self, principal: &Principal) -> Result<(), RegistryError> {
        self.change(|changes| changes.remove(principal))
    }

    fn set_last_seen(&self, last_seen_updates: &[(Principal, Timestamp)]) -> Result<(), RegistryError> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = "UPDATE identity SET last_seen = ? WHERE role = ? AND id = ?";
        let mut update = transaction.prepare_cached(sql)?;
        for (principal, at) in last_seen_updates {
            let (role, id) = columns(principal);
            update.execute(params![at.0, role, id])?;
        }
        drop(update);
        Ok(transaction.commit()?)
    }

    fn add_enrolment(&self, devices: &Glob, uses: u32, code: &CodeHash, now: Timestamp) -> Result<u64, RegistryError> {
        self.change(|changes| changes.add_enrolment(devices, uses, code, now))
    }

    fn enrolments(&self) -> Result<Vec<Enrolment>, RegistryError> {
        enrolments::list(&self.connection())
    }

    fn remove_enrolment(&self, id: u64) -> Result<(), RegistryError> {
        self.change(|changes| changes.remove_enrolment(id))
    }
}

impl From<rusqlite::Error> for RegistryError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.to_string())
    }
}

/// Has the file, and the journals beside it, readable by their owner only. SQLite gives new journals the file's mode.
fn make_private(path: &Path) -> io::Result<()> {
    if path == Path::new(IN_MEMORY) {
        return Ok(());
    }
    OpenOptions::new().create(true).append(true).open(path)?;
    #[cfg(unix)]
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        remove_access_of_others(Path::new(&file))?;
    }
    Ok(())
}

/// Leaves alone what others cannot read: not every file system lets its permissions be changed.
#[cfg(unix)]
fn remove_access_of_others(file: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    match std::fs::metadata(file) {
        Ok(found) if found.permissions().mode() & 0o077 != 0 => {
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}
