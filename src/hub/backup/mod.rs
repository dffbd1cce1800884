//! Backup and restore: one file with the registry and the keys, certificates and known sources of the state directory.
//!
//! The format is the registry's SQLite database with two more tables: `file` for the other files, and `backup` with the
//! time at which it was made. `revival` compares a restored backup with what happened after it.

mod revival;

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use rusqlite::{Connection, OpenFlags, params};

pub use self::revival::{Change, LaterChange};
use super::registry::sqlite::{CHANGE_COUNT, SqliteRegistry};
use super::registry::{Record, Registry as _};
use super::state::parts::StateParts;
use super::state::{
    AUTHORITY, AUTHORITY_KEY, AtPath as _, REGISTRY, StateDirectory, create_private_directory, write_private_bytes,
};
use crate::net::os::clock;
use crate::net::os::private_files::{UNFINISHED, sync_directory_of, unfinished_directory_in};
use crate::proto::admin::Enrolment;
use crate::proto::id::Role;
use crate::proto::timestamp::Timestamp;

/// Files that a hub recreates, and the activity log.
const EXCLUDED: [&str; 8] =
    [REGISTRY, CHANGE_COUNT, "lock", "admin.sock", "activity", "administration", "unauthenticated", UNFINISHED];

/// The limit on one file: keys and certificates are far smaller, anything larger does not belong in a state directory.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Writes a backup of a hub, running or not, with a consistent snapshot of its registry. Returns the number of
/// identities in it.
pub fn create(state: &Path, to: &Path) -> anyhow::Result<u64> {
    ensure!(!to.exists(), "{} already exists; choose another file", to.display());
    let parts = StateParts::find(state).at_path("cannot read", state)?;
    ensure!(!parts.is_fresh(), "no hub state in {}", state.display());
    if let Some(loss) = parts.loss(state, || false) {
        return Err(loss.into());
    }
    let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    ensure!(directory.is_dir(), "cannot write to {}: there is no such directory", directory.display());
    // A private directory until the file is complete.
    let scratch = unfinished_directory_in(directory);
    let scratch = scratch.with_context(|| format!("cannot write to {}", directory.display()))?;
    let snapshot = scratch.path().join("whole");
    let made = clock::now_rfc3339();
    let registry = open_registry(state).with_context(|| format!("cannot read {REGISTRY}"))?;
    registry.execute("VACUUM INTO ?", [&path_text(&snapshot)?])?;
    drop(registry);
    let backup = Connection::open(&snapshot)?;
    backup.execute_batch(
        "CREATE TABLE file (path TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT;
         CREATE TABLE backup (made INTEGER NOT NULL, exactly TEXT NOT NULL) STRICT;",
    )?;
    // Before the snapshot: a change in between counts as a later one.
    let seconds = Timestamp::parse(&made).context("the clock shows no time that can be written")?;
    backup.execute("INSERT INTO backup VALUES (?, ?)", params![seconds.0, made])?;
    for path in files(state, Path::new("")).at_path("cannot read", state)? {
        let content = read_file(state, &path).with_context(|| format!("cannot read {}", path.display()))?;
        backup.execute("INSERT INTO file VALUES (?, ?)", params![path_text(&path)?, content])?;
    }
    let identities = backup.query_row("SELECT count(*) FROM identity", [], |row| row.get(0))?;
    backup.close().map_err(|(_, error)| error)?;
    write_private_bytes(to, &fs::read(&snapshot).at_path("cannot read", &snapshot)?)?;
    Ok(identities)
}

/// A restored backup: what it has brought back.
#[derive(Debug)]
pub struct Restored {
    /// When the backup was made; earlier versions did not record it.
    pub made: Option<Timestamp>,
    /// The same as the log writes it, with milliseconds, unless an earlier version made the backup.
    made_exactly: Option<String>,
    /// The devices.
    pub devices: Vec<Record>,
    /// The services.
    pub services: Vec<Record>,
    /// The enrolment keys that are good for further devices.
    pub enrolments: Vec<Enrolment>,
    /// The changes after the backup, according to the logs in the directory; `None` if there are none.
    pub later: io::Result<Option<Vec<LaterChange>>>,
}

impl Restored {
    fn new(made: Option<Timestamp>, registry: &SqliteRegistry) -> anyhow::Result<Self> {
        let (devices, services) = (registry.list(Role::Device)?, registry.list(Role::Service)?);
        let now = clock::now_utc();
        let mut enrolments = registry.enrolments()?;
        enrolments.retain(|key| key.used < key.uses && now < key.until);
        Ok(Self { made, made_exactly: None, devices, services, enrolments, later: Ok(None) })
    }

    /// Returns the names of all, as logs have them.
    fn subjects(&self) -> impl Iterator<Item = String> {
        let identities = self.devices.iter().chain(&self.services).map(|record| record.principal.to_string());
        identities.chain(self.enrolments.iter().map(|key| format!("enrolment key {}", key.id)))
    }
}

/// Restores a backup into a state directory that holds no hub's state yet.
pub fn restore(from: &Path, state: &Path) -> anyhow::Result<Restored> {
    let content = fs::read(from).at_path("cannot read", from)?;
    let directory = StateDirectory::open(state)?;
    if let Some(file) = existing_state(state).at_path("cannot read", state)? {
        let (state, file) = (state.display(), file.display());
        bail!("{state} already holds a hub's state ({file}); move it away first, or choose another with --state-dir");
    }
    let scratch = unfinished_directory_in(state)?;
    let snapshot = scratch.path().join("whole");
    write_private_bytes(&snapshot, &content)?;
    let not_a_backup = || format!("{} is not a hub backup", from.display());
    let backup = Connection::open(&snapshot)?;
    // What SQLite says of any other file helps nobody.
    let expected_size = stored_size(&backup).ok().with_context(not_a_backup)?;
    ensure!(expected_size == content.len() as u64, "{} is truncated; copy it again", from.display());
    let integrity = integrity(&backup).with_context(not_a_backup)?;
    ensure!(integrity == "ok", "{} is damaged: {integrity}", from.display());
    let files = stored_files(&backup).with_context(not_a_backup)?;
    ensure_allowed(&files.iter().map(|(path, _)| path.as_str()).collect())?;
    let made = backup.query_row("SELECT made FROM backup", [], |row| Ok(Timestamp(row.get(0)?))).ok();
    let made_exactly = backup.query_row("SELECT exactly FROM backup", [], |row| row.get(0)).ok();
    backup.execute_batch("DROP TABLE file; DROP TABLE IF EXISTS backup; VACUUM")?;
    backup.close().map_err(|(_, error)| error)?;
    let registry = SqliteRegistry::open(&snapshot).with_context(not_a_backup)?;
    let mut restored = Restored { made_exactly, ..Restored::new(made, &registry)? };
    drop(registry);
    for (path, content) in files {
        let path = state.join(path);
        create_private_directory(path.parent().context("the file has no directory")?)?;
        write_private_bytes(&path, &content)?;
    }
    // That of the hub which was here: the backup may be older than its last change.
    remove_if_there(&state.join(CHANGE_COUNT))?;
    // Last: a registry makes the state complete.
    let registry = directory.registry_path();
    fs::rename(&snapshot, &registry).at_path("cannot create", &registry)?;
    sync_directory_of(&registry);
    restored.later = revival::later_changes(state, &restored);
    Ok(restored)
}

/// Returns a file that another hub left. SQLite would replay a leftover journal into the restored registry.
fn existing_state(state: &Path) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(state)? {
        let name = entry?.file_name();
        if name == AUTHORITY || name == AUTHORITY_KEY || name.to_string_lossy().starts_with(REGISTRY) {
            return Ok(Some(name.into()));
        }
    }
    Ok(None)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Returns the file's length according to SQLite's header.
fn stored_size(backup: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    backup.query_row(sql, [], |row| row.get(0))
}

/// Returns SQLite's integrity report: `ok`, or the first error.
fn integrity(backup: &Connection) -> rusqlite::Result<String> {
    backup.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
}

fn stored_files(backup: &Connection) -> rusqlite::Result<Vec<(String, Vec<u8>)>> {
    let mut query = backup.prepare("SELECT path, content FROM file")?;
    query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Checks that paths stay inside the state directory, that a backup has such files, and that all of them can be written: a
/// forged one must not replace the logs that are there, nor stop the restore halfway.
fn ensure_allowed(paths: &BTreeSet<&str>) -> anyhow::Result<()> {
    for path in paths {
        let parts = || Path::new(path).components();
        let is_normal = parts().all(|part| matches!(part, Component::Normal(_)))
            && parts().collect::<PathBuf>().to_str() == Some(path);
        let is_plain = !path.is_empty() && is_normal;
        ensure!(is_plain, "the backup holds a file outside the state directory: {path:?}");
        let is_excluded = EXCLUDED.iter().any(|prefix| path.starts_with(prefix)) || path.contains(char::is_control);
        let mut above = Path::new(path).ancestors().skip(1).filter_map(Path::to_str);
        let is_below_a_file = above.any(|directory| paths.contains(directory));
        ensure!(!is_excluded && !is_below_a_file, "the backup holds a file that no hub has in one: {path:?}");
    }
    Ok(())
}

/// Returns the files below a directory that belong in a backup, by their paths relative to the state directory.
fn files(state: &Path, below: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(state.join(below))? {
        let entry = entry?;
        let name = entry.file_name();
        let is_excluded = |prefix: &&str| name.to_string_lossy().starts_with(*prefix);
        if below.as_os_str().is_empty() && EXCLUDED.iter().any(is_excluded) {
            continue;
        }
        let path = below.join(name);
        match entry.metadata() {
            Ok(kind) if kind.is_dir() => found.extend(files(state, &path)?),
            Ok(kind) if kind.is_file() && kind.len() <= MAX_FILE_BYTES => found.push(path),
            Ok(kind) => {
                let (path, limit) = (entry.path(), MAX_FILE_BYTES / 1024);
                let advice = if kind.is_symlink() { "replace the link with its target" } else { "move it elsewhere" };
                let reason = format!("{} is not a regular file of up to {limit} KiB; {advice}", path.display());
                return Err(io::Error::other(reason));
            }
            // Replaced by a rename meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Opens the registry for reading, by the rules of [`read_file`]. SQLite follows no link to its journals, and gives those
/// that root creates to the registry's owner.
fn open_registry(state: &Path) -> anyhow::Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut directory = state.to_owned();
    if cfg!(unix) {
        // SQLite refuses a link in any part of the path, and the directory may be reached by one.
        directory = fs::canonicalize(state)?;
        flags |= OpenFlags::SQLITE_OPEN_NOFOLLOW;
    }
    let path = directory.join(REGISTRY);
    ensure_own(&fs::symlink_metadata(&path)?, state)?;
    Ok(Connection::open_with_flags(path, flags)?)
}

/// Reads a file of the state directory. The caller may be root: symbolic links are not followed, and the file must
/// belong to the directory's owner.
fn read_file(state: &Path, path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
    }
    let file = options.open(state.join(path))?;
    ensure_own(&file.metadata()?, state)?;
    let mut content = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content)?;
    ensure!(content.len() as u64 <= MAX_FILE_BYTES, "it is larger than {} KiB", MAX_FILE_BYTES / 1024);
    Ok(content)
}

/// Checks that a file is a regular one and belongs to the owner of the state directory.
fn ensure_own(found: &Metadata, state: &Path) -> anyhow::Result<()> {
    ensure!(found.is_file(), "it is not a regular file");
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        ensure!(found.uid() == fs::metadata(state)?.uid(), "its owner is not that of {}", state.display());
    }
    #[cfg(not(unix))]
    let _ = state;
    Ok(())
}

fn path_text(path: &Path) -> anyhow::Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
}
