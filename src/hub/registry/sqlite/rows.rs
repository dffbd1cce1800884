//! Identities and their keys as rows.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::RegistryError;
use serde_json::Value;

use crate::hub::registry::{LastSeen, Record, StoredKey};
use crate::proto::id::{Principal, PrincipalId, Role};
use crate::proto::key::PublicKey;
use crate::proto::limits::KEYS_PER_IDENTITY;
use crate::proto::scope::{Glob, Scope};
use crate::proto::secret::SecretHash;
use crate::proto::timestamp::Timestamp;

const SELECT: &str = "SELECT role, id, created, last_seen, scope, disabled, enrolment FROM identity";

const SELECT_KEYS: &str = "SELECT public, local, added, until";

pub(super) fn columns(principal: &Principal) -> (&str, &str) {
    (principal.role.as_str(), principal.id.as_str())
}

/// Inserts an identity, or changes the scope of an existing one.
pub(super) fn insert(
    connection: &Connection,
    principal: &Principal,
    scope: &Scope,
    enrolment: Option<u64>,
    now: Timestamp,
) -> Result<(), RegistryError> {
    if !scope.within_limits() {
        return Err(RegistryError::ScopeTooLarge);
    }
    let (role, id) = columns(principal);
    let scope = serde_json::to_string(scope).map_err(|error| RegistryError::Store(error.to_string()))?;
    let sql = "INSERT INTO identity (role, id, created, scope, enrolment) VALUES (?, ?, ?, ?, ?)
               ON CONFLICT (role, id) DO UPDATE
               SET scope = excluded.scope, enrolment = coalesce(excluded.enrolment, enrolment)";
    connection.execute(sql, params![role, id, now.0, scope, enrolment])?;
    Ok(())
}

/// Deletes an identity, and remembers its id: no enrolment key gives that to a machine.
pub(super) fn remove(connection: &Connection, principal: &Principal) -> Result<(), RegistryError> {
    let (role, id) = columns(principal);
    let removed = connection.execute("DELETE FROM identity WHERE role = ? AND id = ?", [role, id])?;
    if removed == 0 {
        return Err(RegistryError::Unknown(principal.clone()));
    }
    connection.execute("INSERT OR IGNORE INTO removed (role, id) VALUES (?, ?)", [role, id])?;
    Ok(())
}

/// Forgets that an identity was removed: it is added again. One whose id differs in case stays removed, which says nothing
/// while there is this one, nor once this one is removed.
pub(super) fn forget_removal(connection: &Connection, principal: &Principal) -> Result<(), RegistryError> {
    let (role, id) = columns(principal);
    connection.execute("DELETE FROM removed WHERE role = ? AND id = ?", [role, id])?;
    Ok(())
}

/// Reports whether an identity was removed, whatever the case of its id, and not added again.
pub(super) fn was_removed(connection: &Connection, principal: &Principal) -> Result<bool, RegistryError> {
    let (role, id) = columns(principal);
    let sql = "SELECT EXISTS (SELECT 1 FROM removed WHERE role = ? AND id = ? COLLATE NOCASE)";
    Ok(connection.query_row(sql, [role, id], |row| row.get(0))?)
}

/// Reports whether a code is or was the identity's last one, or is an enrolment key's, good or not.
pub(super) fn knows_code(
    connection: &Connection,
    principal: &Principal,
    code: &SecretHash,
) -> Result<bool, RegistryError> {
    let (role, id) = columns(principal);
    let sql = "SELECT EXISTS (SELECT 1 FROM code WHERE role = ?1 AND id = ?2 AND hash = ?3)
                   OR EXISTS (SELECT 1 FROM enrolment WHERE hash = ?3)";
    Ok(connection.query_row(sql, params![role, id, code.bytes()], |row| row.get(0))?)
}

/// Changes one field of an existing identity.
pub(super) fn update(
    connection: &Connection,
    principal: &Principal,
    sql: &str,
    value: impl ToSql,
) -> Result<(), RegistryError> {
    let (role, id) = columns(principal);
    let changed = connection.execute(sql, params![value, role, id])?;
    if changed == 0 { Err(RegistryError::Unknown(principal.clone())) } else { Ok(()) }
}

/// Adds the key of a machine that joined; former keys stay valid for `overlap`.
pub(super) fn join(
    connection: &Connection,
    principal: &Principal,
    key: &PublicKey,
    overlap: Duration,
    now: Timestamp,
) -> Result<(), RegistryError> {
    let (role, id) = columns(principal);
    let until = now.after(overlap);
    let sql = "UPDATE key SET until = min(coalesce(until, ?1), ?1) WHERE role = ?2 AND id = ?3";
    connection.execute(sql, params![until.0, role, id])?;
    put_key(connection, principal, key, false, now)?;
    let sql = "DELETE FROM key WHERE role = ?1 AND id = ?2 AND (until <= ?3 OR public NOT IN (
                   SELECT public FROM key WHERE role = ?1 AND id = ?2 ORDER BY added DESC, rowid DESC LIMIT ?4))";
    connection.execute(sql, params![role, id, now.0, KEYS_PER_IDENTITY])?;
    Ok(())
}

pub(super) fn put_key(
    connection: &Connection,
    principal: &Principal,
    key: &PublicKey,
    local: bool,
    now: Timestamp,
) -> Result<(), RegistryError> {
    let (role, id) = columns(principal);
    let sql = "INSERT OR REPLACE INTO key (role, id, public, local, added) VALUES (?, ?, ?, ?, ?)";
    connection.execute(sql, params![role, id, key.bytes(), local, now.0])?;
    Ok(())
}

/// Deletes an identity's keys and code.
pub(super) fn delete_credentials(connection: &Connection, principal: &Principal) -> Result<(), RegistryError> {
    let (role, id) = columns(principal);
    connection.execute("DELETE FROM code WHERE role = ? AND id = ?", [role, id])?;
    connection.execute("DELETE FROM key WHERE role = ? AND id = ?", [role, id])?;
    Ok(())
}

pub(super) fn find(connection: &Connection, principal: &Principal) -> Result<Option<Record>, RegistryError> {
    let (role, id) = columns(principal);
    let mut query = connection.prepare_cached(&format!("{SELECT} WHERE role = ? AND id = ?"))?;
    let found = query.query_row([role, id], record).optional()?;
    found.map(|record| load_keys(connection, record)).transpose()
}

/// Returns the record of the only identity that has this id but for case.
pub(super) fn find_ignoring_case(
    connection: &Connection,
    principal: &Principal,
) -> Result<Option<Record>, RegistryError> {
    let (role, id) = columns(principal);
    let mut query = connection.prepare_cached(&format!("{SELECT} WHERE role = ? AND id = ? COLLATE NOCASE LIMIT 2"))?;
    let mut found: Vec<Record> = query.query_map([role, id], record)?.collect::<Result<_, _>>()?;
    let only = if found.len() == 1 { found.pop() } else { None };
    only.map(|record| load_keys(connection, record)).transpose()
}

/// Checks that a new device has no other's id but for case. Devices are host names of ssh, which has no case in them.
pub(super) fn ensure_distinct(connection: &Connection, principal: &Principal) -> Result<(), RegistryError> {
    let other = if principal.role == Role::Device { find_ignoring_case(connection, principal)? } else { None };
    other.map_or(Ok(()), |other| Err(RegistryError::DiffersInCase(other.principal.id)))
}

/// Returns an identity's record, or `Unknown`.
pub(super) fn find_existing(connection: &Connection, principal: &Principal) -> Result<Record, RegistryError> {
    find(connection, principal)?.ok_or_else(|| RegistryError::Unknown(principal.clone()))
}

pub(super) fn records(connection: &Connection, role: Role) -> Result<Vec<Record>, RegistryError> {
    let mut query = connection.prepare_cached(&format!("{SELECT} WHERE role = ? ORDER BY id"))?;
    let rows = query.query_map([role.as_str()], record)?;
    let mut records: Vec<Record> = rows.collect::<Result<_, _>>()?;
    let mut keys = keys_of_all(connection, role)?;
    for record in &mut records {
        record.keys = keys.remove(record.principal.id.as_str()).unwrap_or_default();
    }
    Ok(records)
}

/// Returns the identities whose ids `covers` accepts. Any service may ask for this, so it reads nothing else, and keeps
/// nothing of the others.
pub(super) fn last_seen(
    connection: &Connection,
    role: Role,
    covers: &dyn Fn(&PrincipalId) -> bool,
) -> Result<Vec<LastSeen>, RegistryError> {
    let mut query = connection.prepare_cached(
        "SELECT id, last_seen, EXISTS (SELECT 1 FROM key WHERE key.role = identity.role AND key.id = identity.id), disabled
         FROM identity WHERE role = ? ORDER BY id",
    )?;
    let mut rows = query.query([role.as_str()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let id: PrincipalId = row.get::<_, String>(0)?.try_into().map_err(|error| corrupt_column(0, error))?;
        if covers(&id) {
            found.push(LastSeen {
                id,
                at: row.get::<_, Option<i64>>(1)?.map(Timestamp),
                joined: row.get(2)?,
                disabled: row.get(3)?,
            });
        }
    }
    Ok(found)
}

/// Returns the keys of all identities of a role in one query.
fn keys_of_all(connection: &Connection, role: Role) -> Result<HashMap<String, Vec<StoredKey>>, RegistryError> {
    let sql = format!("{SELECT_KEYS}, id FROM key WHERE role = ? ORDER BY added DESC, rowid DESC");
    let mut query = connection.prepare_cached(&sql)?;
    let rows = query.query_map([role.as_str()], |row| Ok((row.get::<_, String>(4)?, stored_key(row)?)))?;
    let mut keys: HashMap<String, Vec<StoredKey>> = HashMap::new();
    for row in rows {
        let (id, key) = row?;
        keys.entry(id).or_default().push(key);
    }
    Ok(keys)
}

fn load_keys(connection: &Connection, mut record: Record) -> Result<Record, RegistryError> {
    let (role, id) = columns(&record.principal);
    let sql = format!("{SELECT_KEYS} FROM key WHERE role = ? AND id = ? ORDER BY added DESC, rowid DESC");
    let mut query = connection.prepare_cached(&sql)?;
    let keys = query.query_map([role, id], stored_key)?.collect::<Result<_, _>>()?;
    record.keys = keys;
    Ok(record)
}

fn stored_key(row: &Row<'_>) -> rusqlite::Result<StoredKey> {
    Ok(StoredKey {
        key: PublicKey::from_bytes(row.get(0)?),
        local: row.get(1)?,
        added: Timestamp(row.get(2)?),
        until: row.get::<_, Option<i64>>(3)?.map(Timestamp),
    })
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let role: String = row.get(0)?;
    let id: String = row.get(1)?;
    let scope: String = row.get(4)?;
    Ok(Record {
        principal: Principal {
            role: role.parse().map_err(|error| corrupt_column(0, error))?,
            id: id.try_into().map_err(|error| corrupt_column(1, error))?,
        },
        created: Timestamp(row.get(2)?),
        last_seen: row.get::<_, Option<i64>>(3)?.map(Timestamp),
        scope: parse_scope(&scope).map_err(|error| corrupt_column(4, error))?,
        disabled: row.get(5)?,
        enrolment: row.get(6)?,
        keys: Vec::new(),
    })
}

/// Parses a scope. The first format accepted invalid patterns: they match no id, and are dropped.
fn parse_scope(text: &str) -> serde_json::Result<Scope> {
    let mut scope: Value = serde_json::from_str(text)?;
    for list in ["devices", "streams"] {
        if let Some(Value::Array(globs)) = scope.get_mut(list) {
            globs.retain(|glob| glob.as_str().is_some_and(|glob| glob.parse::<Glob>().is_ok()));
        }
    }
    serde_json::from_value(scope)
}

/// The error for a column with an invalid value.
pub(super) fn corrupt_column(index: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(error))
}
