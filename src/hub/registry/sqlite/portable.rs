//! Identities and enrolment keys as portable values: read from the rows, and written to them as they are elsewhere.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::rows::{self, columns};
use super::{enrolments, rows::corrupt_column};
use crate::hub::registry::RegistryError;
use crate::hub::registry::portable::{
    Bytes, Content, PortableCode, PortableEnrolment, PortableIdentity, PortableKey, Subject,
};
use crate::proto::id::Principal;
use crate::proto::key::PublicKey;
use crate::proto::scope::Glob;

/// Returns a subject as it is; `None` if it is unknown and was never removed.
pub(super) fn export(connection: &Connection, subject: &Subject) -> Result<Option<Content>, RegistryError> {
    match subject {
        Subject::Identity(principal) => export_identity(connection, principal),
        Subject::Enrolment(number) => export_enrolment(connection, *number),
    }
}

/// Makes a subject what it is elsewhere. Its last connection stays as it is here.
pub(super) fn import(connection: &Connection, subject: &Subject, content: &Content) -> Result<(), RegistryError> {
    match (subject, content) {
        (Subject::Identity(principal), Content::Identity(identity)) => import_identity(connection, principal, identity),
        (Subject::Identity(principal), Content::Removed) => {
            let (role, id) = columns(principal);
            connection.execute("DELETE FROM identity WHERE role = ? AND id = ?", [role, id])?;
            connection.execute("INSERT OR IGNORE INTO removed (role, id) VALUES (?, ?)", [role, id])?;
            Ok(())
        }
        (Subject::Enrolment(number), Content::Enrolment(enrolment)) => import_enrolment(connection, *number, enrolment),
        (Subject::Enrolment(number), Content::Removed) => {
            connection.execute("DELETE FROM enrolment WHERE id = ?", [number])?;
            enrolments::skip_to(connection, *number)
        }
        (Subject::Identity(_), Content::Enrolment(_)) | (Subject::Enrolment(_), Content::Identity(_)) => {
            Err(RegistryError::Store(format!("the value of {subject} is another kind's")))
        }
    }
}

/// Returns every subject: what is known, what was removed, the enrolment keys that were revoked while they were shared, and
/// the last number of one, so that no later one gets it.
pub(super) fn subjects(connection: &Connection) -> Result<Vec<Subject>, RegistryError> {
    let mut query = connection.prepare("SELECT role, id FROM identity UNION SELECT role, id FROM removed")?;
    let identities = query.query_map([], |row| {
        let (role, id): (String, String) = (row.get(0)?, row.get(1)?);
        Ok(Subject::Identity(Principal {
            role: role.parse().map_err(|error| corrupt_column(0, error))?,
            id: id.try_into().map_err(|error| corrupt_column(1, error))?,
        }))
    })?;
    let mut subjects: Vec<_> = identities.collect::<Result<_, _>>()?;
    let sql = "SELECT id FROM enrolment UNION SELECT seq FROM sqlite_sequence WHERE name = 'enrolment' AND seq > 0
               UNION SELECT CAST(substr(name, 5) AS INTEGER) FROM mirrored WHERE name GLOB 'enr.*'";
    let mut query = connection.prepare(sql)?;
    let numbers = query.query_map([], |row| Ok(Subject::Enrolment(row.get(0)?)))?;
    for number in numbers {
        subjects.push(number?);
    }
    Ok(subjects)
}

fn export_identity(connection: &Connection, principal: &Principal) -> Result<Option<Content>, RegistryError> {
    let Some(record) = rows::find(connection, principal)? else {
        let (role, id) = columns(principal);
        let sql = "SELECT EXISTS (SELECT 1 FROM removed WHERE role = ? AND id = ?)";
        let is_removed = connection.query_row(sql, [role, id], |row| row.get(0))?;
        return Ok(Some(Content::Removed).filter(|_| is_removed));
    };
    Ok(Some(Content::Identity(Box::new(PortableIdentity {
        created: record.created.0,
        scope: record.scope,
        disabled: record.disabled,
        enrolment: record.enrolment,
        keys: keys(connection, principal)?,
        code: code(connection, principal)?,
    }))))
}

fn keys(connection: &Connection, principal: &Principal) -> Result<Vec<PortableKey>, RegistryError> {
    let (role, id) = columns(principal);
    let sql = "SELECT public, local, added, until, proof, certificate, certificate_by FROM key
               WHERE role = ? AND id = ? ORDER BY added DESC, rowid DESC";
    let mut query = connection.prepare_cached(sql)?;
    let key = |row: &Row<'_>| {
        Ok(PortableKey {
            key: PublicKey::from_bytes(row.get(0)?),
            local: row.get(1)?,
            added: row.get(2)?,
            until: row.get(3)?,
            proof: row.get(4)?,
            certificate: row.get(5)?,
            certificate_by: row.get(6)?,
        })
    };
    Ok(query.query_map([role, id], key)?.collect::<Result<_, _>>()?)
}

fn code(connection: &Connection, principal: &Principal) -> Result<Option<PortableCode>, RegistryError> {
    let (role, id) = columns(principal);
    let sql = "SELECT hash, until, overlap, used FROM code WHERE role = ? AND id = ?";
    let code = |row: &Row<'_>| {
        Ok(PortableCode { hash: Bytes(row.get(0)?), until: row.get(1)?, overlap: row.get(2)?, used: row.get(3)? })
    };
    Ok(connection.prepare_cached(sql)?.query_row([role, id], code).optional()?)
}

fn import_identity(
    connection: &Connection,
    principal: &Principal,
    identity: &PortableIdentity,
) -> Result<(), RegistryError> {
    let (role, id) = columns(principal);
    let scope = serde_json::to_string(&identity.scope).map_err(|error| RegistryError::Store(error.to_string()))?;
    let sql = "INSERT INTO identity (role, id, created, scope, disabled, enrolment) VALUES (?, ?, ?, ?, ?, ?)
               ON CONFLICT (role, id) DO UPDATE SET created = excluded.created, scope = excluded.scope,
               disabled = excluded.disabled, enrolment = excluded.enrolment";
    let values = params![role, id, identity.created, scope, identity.disabled, identity.enrolment];
    connection.execute(sql, values)?;
    rows::forget_removal(connection, principal)?;
    rows::delete_credentials(connection, principal)?;
    let sql = "INSERT INTO key (role, id, public, local, added, until, proof, certificate, certificate_by)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    // The oldest first: among those of one second, the last row is the newest.
    for key in identity.keys.iter().rev() {
        let PortableKey { key, local, added, until, proof, certificate, certificate_by } = key;
        let values = params![role, id, key.bytes(), local, added, until, proof, certificate, certificate_by];
        connection.execute(sql, values)?;
    }
    if let Some(PortableCode { hash, until, overlap, used }) = &identity.code {
        let sql = "INSERT INTO code (role, id, hash, until, overlap, used) VALUES (?, ?, ?, ?, ?, ?)";
        connection.execute(sql, params![role, id, hash.0, until, overlap, used])?;
    }
    Ok(())
}

fn export_enrolment(connection: &Connection, number: u64) -> Result<Option<Content>, RegistryError> {
    let sql = "SELECT hash, devices, uses, used, redeemers, created, until FROM enrolment WHERE id = ?";
    let enrolment = |row: &Row<'_>| {
        let devices: String = row.get(1)?;
        Ok(Content::Enrolment(Box::new(PortableEnrolment {
            hash: Bytes(row.get(0)?),
            devices: Glob::try_from(devices).map_err(|error| corrupt_column(1, error))?,
            uses: row.get(2)?,
            used: row.get(3)?,
            redeemers: enrolments::redeemers(&row.get::<_, Vec<u8>>(4)?),
            created: row.get(5)?,
            until: row.get(6)?,
        })))
    };
    let found = connection.prepare_cached(sql)?.query_row([number], enrolment).optional()?;
    let is_past = || enrolments::last_number(connection).map(|last| number <= last);
    match found {
        None if is_past()? => Ok(Some(Content::Removed)),
        found => Ok(found),
    }
}

fn import_enrolment(connection: &Connection, number: u64, enrolment: &PortableEnrolment) -> Result<(), RegistryError> {
    let PortableEnrolment { hash, devices, uses, used, redeemers, created, until } = enrolment;
    let redeemers = redeemers.iter().map(|redeemer| redeemer.0).collect::<Vec<_>>().concat();
    let sql = "INSERT OR REPLACE INTO enrolment (id, hash, devices, uses, used, redeemers, created, until)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    connection.execute(sql, params![number, hash.0, devices.to_string(), uses, used, redeemers, created, until])?;
    Ok(())
}
