//! Enrolment keys: secrets with which many devices join, each with a key of its own.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::RegistryError;
use super::rows::corrupt_column;
use crate::hub::registry::{CodeCheck, CodeHash, Spent};
use crate::proto::admin::Enrolment;
use crate::proto::id::{Principal, Role};
use crate::proto::scope::Glob;
use crate::proto::secret::SecretHash;
use crate::proto::timestamp::Timestamp;

const SELECT: &str = "SELECT id, devices, uses, used, created, until FROM enrolment";

pub(super) fn add(
    connection: &Connection,
    devices: &Glob,
    uses: u32,
    code: &CodeHash,
    now: Timestamp,
) -> Result<u64, RegistryError> {
    let sql = "INSERT INTO enrolment (hash, devices, uses, used, created, until) VALUES (?, ?, ?, 0, ?, ?)";
    connection.execute(sql, params![code.hash.bytes(), devices.to_string(), uses, now.0, code.until.0])?;
    u64::try_from(connection.last_insert_rowid()).map_err(|error| RegistryError::Store(error.to_string()))
}

pub(super) fn list(connection: &Connection) -> Result<Vec<Enrolment>, RegistryError> {
    let mut query = connection.prepare_cached(&format!("{SELECT} ORDER BY id"))?;
    let rows = query.query_map([], enrolment)?;
    rows.map(|row| Ok(row?)).collect()
}

pub(super) fn remove(connection: &Connection, id: u64) -> Result<(), RegistryError> {
    let removed = connection.execute("DELETE FROM enrolment WHERE id = ?", [id])?;
    if removed == 0 { Err(RegistryError::UnknownEnrolment(id)) } else { Ok(()) }
}

/// Returns the number of the enrolment key with this code if it admits this identity, else why not. Looking up the hash of
/// 128 random bits leaks nothing by its timing.
pub(super) fn find(
    connection: &Connection,
    principal: &Principal,
    code: &SecretHash,
    now: Timestamp,
) -> Result<Result<u64, CodeCheck>, RegistryError> {
    let mut query = connection.prepare_cached(&format!("{SELECT} WHERE hash = ?"))?;
    let found = query.query_row([code.bytes()], enrolment).optional()?;
    Ok(match found.filter(|_| principal.role == Role::Device) {
        None => Err(CodeCheck::Wrong),
        Some(found) if now >= found.until => Err(CodeCheck::Spent(Spent::Expired(found.until))),
        Some(found) if found.used >= found.uses => Err(CodeCheck::Spent(Spent::UsedUp(found.uses))),
        Some(found) if !found.devices.matches(principal.id.as_str()) => Err(CodeCheck::NotCovered(found.devices)),
        Some(found) => Ok(found.id),
    })
}

/// Spends one use of an enrolment key.
pub(super) fn spend(connection: &Connection, id: u64) -> Result<(), RegistryError> {
    connection.execute("UPDATE enrolment SET used = used + 1 WHERE id = ?", [id])?;
    Ok(())
}

fn enrolment(row: &Row<'_>) -> rusqlite::Result<Enrolment> {
    let devices: String = row.get(1)?;
    Ok(Enrolment {
        id: row.get(0)?,
        devices: Glob::try_from(devices).map_err(|error| corrupt_column(1, error))?,
        uses: row.get(2)?,
        used: row.get(3)?,
        created: Timestamp(row.get(4)?),
        until: Timestamp(row.get(5)?),
    })
}
