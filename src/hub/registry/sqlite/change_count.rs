//! The number of changes of identities, in the database and in a file beside it: a database that is behind the file is
//! an old copy, such as one without its journal.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

use rusqlite::Connection;

use crate::hub::registry::RegistryError;

/// The name of the file.
pub const CHANGE_COUNT: &str = "identity-changes";

/// The limit on what is read of the file: a number and a newline, with room for what a person adds.
const MAX_BYTES: u64 = 64;

/// The open file. A number is written over the last one, of the same length, hence whole after a crash. It follows the
/// commit and is not synced: after a loss of power it may be behind the database, never ahead of it.
pub(super) struct ChangeCount(File);

impl ChangeCount {
    /// Opens or creates the file beside the database and brings it up to the database's count. Refuses a database that
    /// is behind it.
    pub(super) fn open(database: &Path, count: u64) -> Result<Self, RegistryError> {
        let path = database.with_file_name(CHANGE_COUNT);
        let failed = |error: io::Error| RegistryError::Store(format!("{}: {error}", path.display()));
        let mut options = OpenOptions::new();
        options.create(true).read(true).write(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path).map_err(failed)?;
        match stored(&mut file).map_err(failed)? {
            Some(made) if made > count => {
                let wal = format!("{}-wal", database.file_name().unwrap_or_default().display());
                return Err(RegistryError::OldCopy { has: count, made, wal, marker: path });
            }
            Some(made) if made == count => {}
            Some(_) | None => put(&mut file, count).map_err(failed)?,
        }
        Ok(Self(file))
    }

    /// Stores the count of a committed change. A failure costs the detection of an old copy until the next change.
    pub(super) fn store(&mut self, count: u64) {
        if let Err(error) = put(&mut self.0, count) {
            tracing::warn!(target: "hub", %error, "could not write {CHANGE_COUNT}: an old copy of the registry may go unnoticed");
        }
    }
}

/// Returns the number of changes in the database.
pub(super) fn read(connection: &Connection) -> Result<u64, RegistryError> {
    Ok(connection.query_row("SELECT count FROM change", [], |row| row.get(0))?)
}

/// Counts a change. Returns the number of changes.
pub(super) fn increment(connection: &Connection) -> Result<u64, RegistryError> {
    Ok(connection.query_row("UPDATE change SET count = count + 1 RETURNING count", [], |row| row.get(0))?)
}

/// Returns the number in the file; `None` if there is none.
fn stored(file: &mut File) -> io::Result<Option<u64>> {
    let mut text = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).trim().parse().ok())
}

fn put(file: &mut File, count: u64) -> io::Result<()> {
    file.rewind()?;
    file.write_all(format!("{count:020}\n").as_bytes())
}
