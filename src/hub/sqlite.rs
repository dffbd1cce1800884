//! The registry in an SQLite file: every change is on disk before it is answered.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::registry::{Record, Registry, RegistryError, StoredKey};
use crate::net::clock::Moment;
use crate::proto::admin::Scope;
use crate::proto::id::{Principal, Role};
use crate::proto::key::PublicKey;
use crate::proto::secret::SecretHash;

/// The version of the tables below, kept in the file's `user_version`.
const VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE identity (
        role TEXT NOT NULL, id TEXT NOT NULL, created INTEGER NOT NULL, last_seen INTEGER, scope TEXT NOT NULL,
        PRIMARY KEY (role, id)
    ) STRICT;
    CREATE TABLE key (
        role TEXT NOT NULL, id TEXT NOT NULL, public BLOB NOT NULL, local INTEGER NOT NULL, added INTEGER NOT NULL,
        PRIMARY KEY (role, id), FOREIGN KEY (role, id) REFERENCES identity ON DELETE CASCADE
    ) STRICT;
    CREATE TABLE code (
        role TEXT NOT NULL, id TEXT NOT NULL, hash BLOB NOT NULL, until INTEGER NOT NULL,
        PRIMARY KEY (role, id), FOREIGN KEY (role, id) REFERENCES identity ON DELETE CASCADE
    ) STRICT;
";

/// Another program that has the file open, such as a backup, is waited for this long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The registry's file, open.
pub struct SqliteRegistry(Mutex<Connection>);

impl SqliteRegistry {
    /// Opens the file, or makes it.
    pub fn open(path: &Path) -> Result<Self, RegistryError> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        match version {
            0 => {
                let transaction = connection.transaction()?;
                transaction.execute_batch(TABLES)?;
                transaction.pragma_update(None, "user_version", VERSION)?;
                transaction.commit()?;
            }
            VERSION => {}
            newer => {
                let text = format!("it is of format {newer}, and this program knows {VERSION}: use a newer devstream");
                return Err(RegistryError::Store(text));
            }
        }
        Ok(Self(Mutex::new(connection)))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn add(
        &self,
        principal: &Principal,
        scope: &Scope,
        code: &SecretHash,
        until: Moment,
        now: Moment,
    ) -> Result<(), RegistryError> {
        self.change(|transaction| {
            if stored_key(transaction, principal)?.is_some() {
                return Err(RegistryError::AlreadyJoined(principal.clone()));
            }
            insert(transaction, principal, scope, now)?;
            let (role, id) = parts(principal);
            let sql = "INSERT OR REPLACE INTO code (role, id, hash, until) VALUES (?, ?, ?, ?)";
            transaction.execute(sql, params![role, id, code.bytes(), until.0])?;
            Ok(())
        })
    }

    fn redeem(
        &self,
        principal: &Principal,
        code: &SecretHash,
        key: &PublicKey,
        now: Moment,
    ) -> Result<bool, RegistryError> {
        self.change(|transaction| {
            let (role, id) = parts(principal);
            let sql = "SELECT hash, until FROM code WHERE role = ? AND id = ?";
            let found = transaction.query_row(sql, [role, id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            let Some((hash, until)): Option<([u8; 32], i64)> = found else { return Ok(false) };
            let taken = stored_key(transaction, principal)?.is_some();
            if SecretHash::from(hash) != *code || now.0 >= until || taken {
                return Ok(false);
            }
            transaction.execute("DELETE FROM code WHERE role = ? AND id = ?", [role, id])?;
            put_key(transaction, principal, key, false, now)?;
            Ok(true)
        })
    }

    fn enrol(&self, principal: &Principal, key: &PublicKey, now: Moment) -> Result<(), RegistryError> {
        self.change(|transaction| {
            match stored_key(transaction, principal)? {
                Some(stored) if stored.key == *key => return Ok(()),
                Some(stored) if !stored.local => return Err(RegistryError::AlreadyJoined(principal.clone())),
                Some(_) | None => {}
            }
            if find(transaction, principal)?.is_none() {
                insert(transaction, principal, &Scope::default(), now)?;
            }
            let (role, id) = parts(principal);
            transaction.execute("DELETE FROM code WHERE role = ? AND id = ?", [role, id])?;
            put_key(transaction, principal, key, true, now)
        })
    }

    fn find(&self, principal: &Principal) -> Result<Option<Record>, RegistryError> {
        find(&self.connection(), principal)
    }

    fn list(&self, role: Role) -> Result<Vec<Record>, RegistryError> {
        let connection = self.connection();
        let mut query = connection.prepare_cached(&format!("{SELECT} WHERE role = ? ORDER BY id"))?;
        let rows = query.query_map([role.as_str()], record)?;
        rows.map(|row| Ok(row?)).collect()
    }

    fn remove(&self, principal: &Principal) -> Result<(), RegistryError> {
        let (role, id) = parts(principal);
        let removed = self.connection().execute("DELETE FROM identity WHERE role = ? AND id = ?", [role, id])?;
        if removed == 0 { Err(RegistryError::Unknown(principal.clone())) } else { Ok(()) }
    }

    fn seen(&self, principal: &Principal, at: Moment) -> Result<(), RegistryError> {
        let (role, id) = parts(principal);
        let sql = "UPDATE identity SET last_seen = ? WHERE role = ? AND id = ?";
        self.connection().execute(sql, params![at.0, role, id])?;
        Ok(())
    }
}

impl From<rusqlite::Error> for RegistryError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.to_string())
    }
}

const SELECT: &str =
    "SELECT role, id, created, last_seen, scope, public, local FROM identity LEFT JOIN key USING (role, id)";

fn parts(principal: &Principal) -> (&str, &str) {
    (principal.role.as_str(), principal.id.as_str())
}

fn insert(connection: &Connection, principal: &Principal, scope: &Scope, now: Moment) -> Result<(), RegistryError> {
    let (role, id) = parts(principal);
    let scope = serde_json::to_string(scope).map_err(|error| RegistryError::Store(error.to_string()))?;
    let sql = "INSERT INTO identity (role, id, created, scope) VALUES (?, ?, ?, ?)
               ON CONFLICT (role, id) DO UPDATE SET scope = excluded.scope";
    connection.execute(sql, params![role, id, now.0, scope])?;
    Ok(())
}

fn put_key(
    connection: &Connection,
    principal: &Principal,
    key: &PublicKey,
    local: bool,
    now: Moment,
) -> Result<(), RegistryError> {
    let (role, id) = parts(principal);
    let sql = "INSERT OR REPLACE INTO key (role, id, public, local, added) VALUES (?, ?, ?, ?, ?)";
    connection.execute(sql, params![role, id, key.bytes(), local, now.0])?;
    Ok(())
}

fn find(connection: &Connection, principal: &Principal) -> Result<Option<Record>, RegistryError> {
    let (role, id) = parts(principal);
    let mut query = connection.prepare_cached(&format!("{SELECT} WHERE role = ? AND id = ?"))?;
    Ok(query.query_row([role, id], record).optional()?)
}

fn stored_key(connection: &Connection, principal: &Principal) -> Result<Option<StoredKey>, RegistryError> {
    Ok(find(connection, principal)?.and_then(|record| record.key))
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let wrong = |index: usize, error: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, error)
    };
    let role: String = row.get(0)?;
    let id: String = row.get(1)?;
    let scope: String = row.get(4)?;
    let public: Option<[u8; 32]> = row.get(5)?;
    let local: Option<bool> = row.get(6)?;
    Ok(Record {
        principal: Principal {
            role: role.parse().map_err(|error| wrong(0, Box::new(error)))?,
            id: id.try_into().map_err(|error| wrong(1, Box::new(error)))?,
        },
        created: Moment(row.get(2)?),
        last_seen: row.get::<_, Option<i64>>(3)?.map(Moment),
        scope: serde_json::from_str(&scope).map_err(|error| wrong(4, Box::new(error)))?,
        key: public.zip(local).map(|(key, local)| StoredKey { key: PublicKey::from_bytes(key), local }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::secret::JoinCode;

    fn device() -> Principal {
        Principal { role: Role::Device, id: "pi-42".to_owned().try_into().unwrap() }
    }

    fn key(byte: u8) -> PublicKey {
        PublicKey::from_bytes([byte; 32])
    }

    fn registry() -> SqliteRegistry {
        SqliteRegistry::open(Path::new(":memory:")).unwrap()
    }

    #[test]
    fn a_join_code_is_good_once_in_time_and_for_its_identity_only() {
        let (registry, code) = (registry(), JoinCode::new([1; 16]).hash());
        registry.add(&device(), &Scope::default(), &code, Moment(100), Moment(0)).unwrap();
        let other = Principal { role: Role::Service, ..device() };
        assert!(!registry.redeem(&other, &code, &key(1), Moment(1)).unwrap());
        assert!(!registry.redeem(&device(), &JoinCode::new([2; 16]).hash(), &key(1), Moment(1)).unwrap());
        assert!(!registry.redeem(&device(), &code, &key(1), Moment(100)).unwrap(), "late");
        assert!(registry.redeem(&device(), &code, &key(1), Moment(99)).unwrap());
        assert!(!registry.redeem(&device(), &code, &key(2), Moment(99)).unwrap(), "twice");
        assert_eq!(registry.find(&device()).unwrap().unwrap().key.unwrap().key, key(1));
    }

    #[test]
    fn a_local_user_never_replaces_a_key_that_joined() {
        let (registry, code) = (registry(), JoinCode::new([1; 16]).hash());
        registry.enrol(&device(), &key(1), Moment(0)).unwrap();
        registry.enrol(&device(), &key(2), Moment(0)).unwrap();
        registry.remove(&device()).unwrap();
        registry.add(&device(), &Scope::default(), &code, Moment(100), Moment(0)).unwrap();
        assert!(registry.redeem(&device(), &code, &key(3), Moment(0)).unwrap());
        let again = registry.enrol(&device(), &key(4), Moment(0));
        assert!(matches!(again, Err(RegistryError::AlreadyJoined(_))));
        let again = registry.add(&device(), &Scope::default(), &code, Moment(100), Moment(0));
        assert!(matches!(again, Err(RegistryError::AlreadyJoined(_))));
    }

    #[test]
    fn a_join_link_is_void_once_the_identity_has_a_key() {
        let (registry, code) = (registry(), JoinCode::new([1; 16]).hash());
        registry.add(&device(), &Scope::default(), &code, Moment(100), Moment(0)).unwrap();
        registry.enrol(&device(), &key(1), Moment(0)).unwrap();
        assert!(!registry.redeem(&device(), &code, &key(2), Moment(0)).unwrap());
    }

    #[test]
    fn removing_forgets_key_and_code() {
        let (registry, code) = (registry(), JoinCode::new([1; 16]).hash());
        registry.add(&device(), &Scope::default(), &code, Moment(100), Moment(0)).unwrap();
        registry.remove(&device()).unwrap();
        assert!(!registry.redeem(&device(), &code, &key(1), Moment(0)).unwrap());
        assert!(matches!(registry.remove(&device()), Err(RegistryError::Unknown(_))));
        assert_eq!(registry.list(Role::Device).unwrap(), []);
    }

    #[test]
    fn a_file_of_a_newer_format_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("registry.sqlite");
        drop(SqliteRegistry::open(&path).unwrap());
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let Err(error) = SqliteRegistry::open(&path) else { panic!("opened") };
        assert!(error.to_string().contains("99"), "{error}");
    }
}
