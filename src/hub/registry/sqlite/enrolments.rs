//! Enrolment keys: secrets with which many devices join, each with a key of its own.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::RegistryError;
use super::rows::corrupt_column;
use crate::hub::registry::portable::Bytes;
use crate::hub::registry::{CodeCheck, CodeHash, Spent};
use crate::proto::admin::Enrolment;
use crate::proto::id::{Principal, Role};
use crate::proto::key::PublicKey;
use crate::proto::scope::Glob;
use crate::proto::secret::{SecretHash, sha256};
use crate::proto::timestamp::Timestamp;

const SELECT: &str = "SELECT id, devices, uses, used, created, until, redeemers FROM enrolment";

/// The last machines that an enrolment key has enrolled, which it remembers: one whose use was counted while its identity was
/// not stored, since a hub failed in between, comes back within seconds and costs no second use.
const REDEEMERS: usize = 64;

/// The bytes by which a machine is remembered.
const REDEEMER_BYTES: usize = 16;

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

/// Returns the number of the enrolment key with this code if it admits this identity with this key, else why not. Looking up
/// the hash of 128 random bits leaks nothing by its timing.
pub(super) fn find(
    connection: &Connection,
    principal: &Principal,
    code: &SecretHash,
    key: &PublicKey,
    now: Timestamp,
) -> Result<Result<u64, CodeCheck>, RegistryError> {
    let mut query = connection.prepare_cached(&format!("{SELECT} WHERE hash = ?"))?;
    let with_redeemers = |row: &Row<'_>| Ok((enrolment(row)?, redeemers(&row.get::<_, Vec<u8>>(6)?)));
    let found = query.query_row([code.bytes()], with_redeemers).optional()?;
    let is_counted = |redeemers: &[Bytes<REDEEMER_BYTES>]| redeemers.contains(&redeemer(principal, key));
    Ok(match found.filter(|_| principal.role == Role::Device) {
        None => Err(CodeCheck::Wrong),
        Some((found, _)) if now >= found.until => Err(CodeCheck::Spent(Spent::Expired(found.until))),
        Some((found, redeemers)) if found.used >= found.uses && !is_counted(&redeemers) => {
            Err(CodeCheck::Spent(Spent::UsedUp(found.uses)))
        }
        Some((found, _)) if !found.devices.matches(principal.id.as_str()) => Err(CodeCheck::NotCovered(found.devices)),
        Some((found, _)) => Ok(found.id),
    })
}

/// Spends one use of an enrolment key, unless this machine's is counted.
pub(super) fn spend(
    connection: &Connection,
    id: u64,
    principal: &Principal,
    key: &PublicKey,
) -> Result<(), RegistryError> {
    let select = "SELECT redeemers FROM enrolment WHERE id = ?";
    let mut last = redeemers(&connection.query_row(select, [id], |row| row.get::<_, Vec<u8>>(0))?);
    let redeemer = redeemer(principal, key);
    if last.contains(&redeemer) {
        return Ok(());
    }
    last.push(redeemer);
    let kept: Vec<_> = last.iter().skip(last.len().saturating_sub(REDEEMERS)).flat_map(|redeemer| redeemer.0).collect();
    connection.execute("UPDATE enrolment SET used = used + 1, redeemers = ? WHERE id = ?", params![kept, id])?;
    Ok(())
}

/// The machine that joins as an identity with a key.
fn redeemer(principal: &Principal, key: &PublicKey) -> Bytes<REDEEMER_BYTES> {
    let hash = sha256(&[&key.bytes()[..], principal.id.as_str().as_bytes()].concat());
    let mut redeemer = [0; REDEEMER_BYTES];
    redeemer.copy_from_slice(&hash[..REDEEMER_BYTES]);
    Bytes(redeemer)
}

/// Reads the column.
pub(super) fn redeemers(column: &[u8]) -> Vec<Bytes<REDEEMER_BYTES>> {
    column.as_chunks().0.iter().map(|redeemer| Bytes(*redeemer)).collect()
}

/// Returns the last number that an enrolment key was given.
pub(super) fn last_number(connection: &Connection) -> Result<u64, RegistryError> {
    let sql = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'enrolment'";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// Has later enrolment keys get numbers after this one.
pub(super) fn skip_to(connection: &Connection, number: u64) -> Result<(), RegistryError> {
    if last_number(connection)? < number {
        connection.execute("DELETE FROM sqlite_sequence WHERE name = 'enrolment'", [])?;
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('enrolment', ?)", [number])?;
    }
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
