//! What is kept beside keys: proofs and certificates of fleets.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::RegistryError;
use super::rows::columns;
use crate::proto::endorsement::Endorsement;
use crate::proto::id::{Principal, PrincipalId};
use crate::proto::key::PublicKey;

pub(super) fn set_proof(
    connection: &Connection,
    principal: &Principal,
    key: &PublicKey,
    proof: &str,
) -> Result<(), RegistryError> {
    let (role, id) = columns(principal);
    let sql = "UPDATE key SET proof = ? WHERE role = ? AND id = ? AND public = ? AND proof IS NULL";
    connection.execute(sql, params![proof, role, id, key.bytes()])?;
    Ok(())
}

pub(super) fn set_certificate(
    connection: &Connection,
    principal: &Principal,
    key: &PublicKey,
    certificate: &str,
    (by, replaces_any): (&PrincipalId, bool),
) -> Result<bool, RegistryError> {
    let (role, id) = columns(principal);
    let select = "SELECT certificate, certificate_by FROM key WHERE role = ? AND id = ? AND public = ?";
    let kept = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Option<String>>(0)?, row.get::<_, Option<String>>(1)?));
    let found = connection.query_row(select, params![role, id, key.bytes()], kept).optional()?;
    let (present, stored_by) = found.ok_or_else(|| RegistryError::UnknownKey(principal.clone()))?;
    if present.as_deref() == Some(certificate) {
        return Ok(false);
    }
    if !replaces_any && stored_by.is_some_and(|stored_by| stored_by != by.as_str()) {
        return Err(RegistryError::StoredByAnother(principal.clone()));
    }
    let update = "UPDATE key SET certificate = ?, certificate_by = ? WHERE role = ? AND id = ? AND public = ?";
    connection.execute(update, params![certificate, by.as_str(), role, id, key.bytes()])?;
    Ok(true)
}

pub(super) fn of(connection: &Connection, principal: &Principal) -> Result<Vec<Endorsement>, RegistryError> {
    let (role, id) = columns(principal);
    let sql = "SELECT public, proof, certificate FROM key WHERE role = ? AND id = ? ORDER BY added DESC, rowid DESC";
    let mut query = connection.prepare_cached(sql)?;
    let endorsement = |row: &rusqlite::Row<'_>| {
        Ok(Endorsement { key: PublicKey::from_bytes(row.get(0)?), proof: row.get(1)?, certificate: row.get(2)? })
    };
    Ok(query.query_map([role, id], endorsement)?.collect::<Result<_, _>>()?)
}
