//! The tables, and the migrations of earlier versions.

use rusqlite::Connection;

use super::RegistryError;

/// The migrations: each makes a version out of the one before, the first out of an empty file. The version is in
/// SQLite's `user_version`. None of these may ever change.
const MIGRATIONS: &[&str] = &[
    "CREATE TABLE identity (
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
    ) STRICT;",
    // An empty list in a scope meant everything before this version, and means nothing since.
    "ALTER TABLE identity ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE identity ADD COLUMN enrolment INTEGER;
    UPDATE identity SET scope = json_set(scope, '$.devices', json('[\"*\"]'))
        WHERE role = 'service' AND json_array_length(scope, '$.devices') = 0;
    UPDATE identity SET scope = json_set(scope, '$.streams', json('[\"*\"]'))
        WHERE role = 'service' AND json_array_length(scope, '$.streams') = 0;
    ALTER TABLE key RENAME TO old_key;
    CREATE TABLE key (
        role TEXT NOT NULL, id TEXT NOT NULL, public BLOB NOT NULL, local INTEGER NOT NULL, added INTEGER NOT NULL,
        until INTEGER,
        PRIMARY KEY (role, id, public), FOREIGN KEY (role, id) REFERENCES identity ON DELETE CASCADE
    ) STRICT;
    INSERT INTO key SELECT role, id, public, local, added, NULL FROM old_key;
    DROP TABLE old_key;
    ALTER TABLE code ADD COLUMN overlap INTEGER;
    CREATE TABLE enrolment (
        id INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB NOT NULL UNIQUE, devices TEXT NOT NULL, uses INTEGER NOT NULL,
        used INTEGER NOT NULL, created INTEGER NOT NULL, until INTEGER NOT NULL
    ) STRICT;",
    "CREATE TABLE removed (role TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (role, id)) STRICT;",
    // Changes of identities and enrolment keys, for `change_count`. Lookups that ignore case.
    "CREATE TABLE change (count INTEGER NOT NULL) STRICT;
    INSERT INTO change VALUES (0);
    CREATE INDEX identity_nocase ON identity (role, id COLLATE NOCASE);",
    // A code that was used stays, so that who presents it again learns that.
    "ALTER TABLE code ADD COLUMN used INTEGER;",
    // What an owner of a fleet keeps beside a key.
    "ALTER TABLE key ADD COLUMN proof TEXT;
    ALTER TABLE key ADD COLUMN certificate TEXT;
    ALTER TABLE key ADD COLUMN certificate_by TEXT;",
    // The registry of several hubs: the last machines that an enrolment key has enrolled; for each key of the bucket the
    // value that the rows here are; and the bucket's id, in one row or none.
    "ALTER TABLE enrolment ADD COLUMN redeemers BLOB NOT NULL DEFAULT x'';
    CREATE TABLE mirrored (
        name TEXT PRIMARY KEY, version INTEGER NOT NULL, revocations INTEGER NOT NULL, revision INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE bucket (id TEXT NOT NULL) STRICT;",
];

/// Reports whether a file has no tables.
pub(super) fn is_blank(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA user_version", [], |row| Ok(row.get::<_, i64>(0)? == 0))
}

/// Migrates a file to the present version, in one transaction.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), RegistryError> {
    let transaction = connection.transaction()?;
    let version: usize = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version > MIGRATIONS.len() {
        let known = MIGRATIONS.len();
        let text = format!("its format {version} is newer than this devstream supports ({known}); upgrade devstream");
        return Err(RegistryError::Store(text));
    }
    for step in &MIGRATIONS[version..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len())?;
    Ok(transaction.commit()?)
}

#[cfg(test)]
pub(super) fn make_first_version(connection: &Connection) {
    connection.execute_batch(MIGRATIONS[0]).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
}
