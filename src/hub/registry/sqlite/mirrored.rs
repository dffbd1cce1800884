//! The registry as a mirror of a bucket that several hubs share: changes on trial, values as they are taken from the bucket,
//! and for each key the value that the rows are.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::changes::{Changes, Touched};
use super::{SqliteRegistry, portable, rows};
use crate::hub::registry::portable::{Content, Merged, Subject, Versioned, merge};
use crate::hub::registry::{Record, RegistryError};

/// The outcome of a change that was made and taken back.
pub struct Trial<R> {
    /// The outcome of the change.
    pub result: Result<R, RegistryError>,
    /// The subjects that it looked at.
    pub subjects: Vec<Subject>,
    /// What it changed, in the order in which it is to be put.
    pub changed: Vec<Changed>,
}

/// A subject that a change makes another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The subject.
    pub subject: Subject,
    /// Its next value.
    pub value: Versioned,
    /// The revision of its present one in the bucket; 0 if it is not there.
    pub revision: u64,
}

/// What became of a value from the bucket.
#[derive(Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The mirror has it already.
    Unchanged,
    /// The mirror has it now. For an identity the records before and after.
    Taken(Option<Box<Record>>, Option<Box<Record>>),
    /// The mirror would change an identity that it has.
    Deferred,
    /// The bucket is to get this one.
    Heal(Versioned),
}

impl SqliteRegistry {
    /// Makes a change, reports what it would do, and takes it back.
    pub fn trial<R>(
        &self,
        work: impl FnOnce(&mut Changes<'_>) -> Result<R, RegistryError>,
    ) -> Result<Trial<R>, RegistryError> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut changes = Changes::trial(&transaction);
        let result = work(&mut changes);
        let touched = changes.into_touched();
        let subjects = touched.iter().map(|touched| touched.subject.clone()).collect();
        let mut changed = Vec::new();
        for Touched { subject, before } in touched.into_iter().filter(|_| result.is_ok()) {
            let Some(after) = portable::export(&transaction, &subject)? else { continue };
            if before.as_ref() != Some(&after) {
                changed.push(next(&transaction, subject, before.as_ref(), after)?);
            }
        }
        Ok(Trial { result, subjects, changed })
    }

    /// Takes a value that the bucket has at this revision, unless the mirror's own holds. One that changes an identity is
    /// deferred if `may_defer`.
    pub fn accept(
        &self,
        subject: &Subject,
        theirs: &Versioned,
        revision: u64,
        may_defer: bool,
    ) -> Result<Accepted, RegistryError> {
        self.change(|changes| accept(changes.connection(), subject, theirs, revision, may_defer))
    }

    /// The same for many, in one transaction.
    pub fn accept_all(
        &self,
        values: &[(Subject, Versioned, u64)],
        may_defer: bool,
    ) -> Result<Vec<Accepted>, RegistryError> {
        self.change(|changes| {
            let connection = changes.connection();
            values.iter().map(|(subject, theirs, at)| accept(connection, subject, theirs, *at, may_defer)).collect()
        })
    }

    /// Makes the value that a subject has here the mirror's, if that has none.
    pub fn adopt(&self, subject: &Subject, value: &Versioned) -> Result<(), RegistryError> {
        self.change(|changes| match known(changes.connection(), subject)? {
            Some(_) => Ok(()),
            None => record(changes.connection(), subject, value, 0),
        })
    }

    /// Returns the mirror's value; `None` if it never took or put one.
    pub fn mirrored(&self, subject: &Subject) -> Result<Option<(Versioned, u64)>, RegistryError> {
        mirrored(&self.connection(), subject)
    }

    /// Returns the subjects that `is_listed` denies, of those that the mirror has a value of, at most `limit`.
    pub fn missing(&self, limit: usize, is_listed: &dyn Fn(&str) -> bool) -> Result<Vec<Subject>, RegistryError> {
        let connection = self.connection();
        let mut query = connection.prepare("SELECT name FROM mirrored")?;
        let mut rows = query.query([])?;
        let mut missing = Vec::new();
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            if missing.len() < limit && !is_listed(&name) {
                missing.extend(Subject::of_key(&name));
            }
        }
        Ok(missing)
    }

    /// Returns every subject with its value: for one without, its first.
    pub fn values(&self) -> Result<Vec<Changed>, RegistryError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        let mut values = Vec::new();
        for subject in portable::subjects(&transaction)? {
            if let Some((value, revision)) = mirrored(&transaction, &subject)? {
                values.push(Changed { subject, value, revision });
            } else if let Some(content) = portable::export(&transaction, &subject)? {
                values.push(next(&transaction, subject, None, content)?);
            }
        }
        Ok(values)
    }

    /// Returns the number of values that the mirror has, and the highest revision of one.
    pub fn mirror_size(&self) -> Result<(u64, u64), RegistryError> {
        let sql = "SELECT count(*), coalesce(max(revision), 0) FROM mirrored";
        Ok(self.connection().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    /// Returns the id of the bucket that it mirrors.
    pub fn bucket_id(&self) -> Result<Option<String>, RegistryError> {
        Ok(self.connection().query_row("SELECT id FROM bucket", [], |row| row.get(0)).optional()?)
    }

    /// Has it mirror the bucket with this id. What it knows of another one's values is forgotten.
    pub fn set_bucket_id(&self, id: &str) -> Result<(), RegistryError> {
        self.change(|changes| {
            let connection = changes.connection();
            connection.execute_batch("DELETE FROM mirrored; DELETE FROM bucket;")?;
            connection.execute("INSERT INTO bucket (id) VALUES (?)", [id])?;
            Ok(())
        })
    }
}

fn accept(
    connection: &Connection,
    subject: &Subject,
    theirs: &Versioned,
    revision: u64,
    may_defer: bool,
) -> Result<Accepted, RegistryError> {
    let ours = mirrored(connection, subject)?;
    match ours.as_ref().map(|(ours, _)| merge(ours, theirs)) {
        Some(Merged::New(value)) => return Ok(Accepted::Heal(value)),
        Some(Merged::Ours) => return Ok(ours.map_or(Accepted::Unchanged, |(ours, _)| Accepted::Heal(ours))),
        Some(Merged::Theirs) | None => {}
    }
    if ours.as_ref().is_some_and(|(ours, _)| ours == theirs) {
        if ours.is_some_and(|(_, known)| known != revision) {
            record(connection, subject, theirs, revision)?;
        }
        return Ok(Accepted::Unchanged);
    }
    let find = || match subject {
        Subject::Identity(principal) => rows::find(connection, principal),
        Subject::Enrolment(_) => Ok(None),
    };
    let before = find()?;
    if may_defer && before.is_some() {
        return Ok(Accepted::Deferred);
    }
    portable::import(connection, subject, &theirs.content)?;
    record(connection, subject, theirs, revision)?;
    Ok(Accepted::Taken(before.map(Box::new), find()?.map(Box::new)))
}

/// Returns the value that follows the mirror's.
fn next(
    connection: &Connection,
    subject: Subject,
    before: Option<&Content>,
    after: Content,
) -> Result<Changed, RegistryError> {
    let (version, revocations, revision) = known(connection, &subject)?.unwrap_or_default();
    let value = Versioned::next(version, revocations, before, after);
    Ok(Changed { subject, value, revision })
}

fn mirrored(connection: &Connection, subject: &Subject) -> Result<Option<(Versioned, u64)>, RegistryError> {
    let Some((version, revocations, revision)) = known(connection, subject)? else { return Ok(None) };
    // A row without a subject: the mirror was made from a file that somebody changed.
    let content = portable::export(connection, subject)?;
    Ok(content.map(|content| (Versioned { version, revocations, content }, revision)))
}

/// Returns the version, the revocations and the revision of the value that the mirror has.
fn known(connection: &Connection, subject: &Subject) -> Result<Option<(u64, u64, u64)>, RegistryError> {
    let sql = "SELECT version, revocations, revision FROM mirrored WHERE name = ?";
    let known = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    Ok(connection.prepare_cached(sql)?.query_row([subject.key()], known).optional()?)
}

fn record(connection: &Connection, subject: &Subject, value: &Versioned, revision: u64) -> Result<(), RegistryError> {
    let sql = "INSERT OR REPLACE INTO mirrored (name, version, revocations, revision) VALUES (?, ?, ?, ?)";
    let values = params![subject.key(), value.version, value.revocations, revision];
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

#[cfg(test)]
mod tests;
