//! The join codes of identities: the last of each, used or not.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::RegistryError;
use super::rows::columns;
use crate::hub::registry::{CodeCheck, CodeHash, Spent};
use crate::proto::id::Principal;
use crate::proto::secret::SecretHash;
use crate::proto::timestamp::Timestamp;

/// Stores a code in place of any earlier one. With an overlap, it is for an additional key.
pub(super) fn put_code(
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

/// Returns how long the former key stays valid after the identity's code if this is it and it is valid, else why not. An
/// identity that has joined accepts only a code for its next key.
pub(super) fn find_code(
    connection: &Connection,
    principal: &Principal,
    code: &SecretHash,
    joined: bool,
    now: Timestamp,
) -> Result<Result<Duration, CodeCheck>, RegistryError> {
    let (role, id) = columns(principal);
    let sql = "SELECT hash, until, overlap, used FROM code WHERE role = ? AND id = ?";
    let found = connection.query_row(sql, [role, id], CodeRow::read).optional()?;
    Ok(match found.filter(|found| found.hash == *code) {
        None => Err(CodeCheck::Wrong),
        Some(CodeRow { used: Some(at), .. }) => Err(CodeCheck::Spent(Spent::Used(at))),
        Some(CodeRow { until, .. }) if now >= until => Err(CodeCheck::Spent(Spent::Expired(until))),
        Some(CodeRow { overlap: None, .. }) if joined => Err(CodeCheck::Wrong),
        Some(CodeRow { overlap, .. }) => Ok(Duration::from_secs(overlap.unwrap_or(0))),
    })
}

/// An identity's code.
struct CodeRow {
    hash: SecretHash,
    until: Timestamp,
    /// The overlap of the former key, in seconds; none if the code is for the first key.
    overlap: Option<u64>,
    used: Option<Timestamp>,
}

impl CodeRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            hash: SecretHash::from(row.get::<_, [u8; 32]>(0)?),
            until: Timestamp(row.get(1)?),
            overlap: row.get(2)?,
            used: row.get::<_, Option<i64>>(3)?.map(Timestamp),
        })
    }
}

pub(super) fn mark_used(connection: &Connection, principal: &Principal, now: Timestamp) -> Result<(), RegistryError> {
    let (role, id) = columns(principal);
    connection.execute("UPDATE code SET used = ? WHERE role = ? AND id = ?", params![now.0, role, id])?;
    Ok(())
}
