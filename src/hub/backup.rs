//! Backup and restore: one file with the registry and the keys and certificates of the state directory.
//!
//! The format is the registry's SQLite database with one more table, `file`, for the other files.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use rusqlite::{Connection, OpenFlags, params};

use super::state::{
    AtPath as _, KNOWN_SOURCES, REGISTRY, StateDirectory, create_private_directory, write_private_bytes,
};

/// Files that a hub recreates, and the activity log.
const EXCLUDED: [&str; 6] = [REGISTRY, KNOWN_SOURCES, "lock", "admin.sock", "activity", "backup."];

/// The limit on one file: keys and certificates are far smaller, anything larger does not belong in a state directory.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Writes a backup of a hub, running or not, with a consistent snapshot of its registry. Returns the number of
/// identities in it.
pub fn create(state: &Path, to: &Path) -> anyhow::Result<u64> {
    ensure!(!to.exists(), "{} already exists; choose another file", to.display());
    let registry = state.join(REGISTRY);
    ensure!(registry.exists(), "no hub state in {}", state.display());
    let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A private directory until the file is complete.
    let scratch = tempfile::Builder::new().prefix("backup.").tempdir_in(directory);
    let scratch = scratch.with_context(|| format!("cannot write to {}", directory.display()))?;
    let snapshot = scratch.path().join("whole");
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(&registry, flags)?.execute("VACUUM INTO ?", [&path_text(&snapshot)?])?;
    let backup = Connection::open(&snapshot)?;
    backup.execute_batch("CREATE TABLE file (path TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT")?;
    for path in files(state, Path::new("")).at_path("cannot read", state)? {
        let content = read_file(state, &path).with_context(|| format!("cannot read {}", path.display()))?;
        backup.execute("INSERT INTO file VALUES (?, ?)", params![path_text(&path)?, content])?;
    }
    let identities = backup.query_row("SELECT count(*) FROM identity", [], |row| row.get(0))?;
    backup.close().map_err(|(_, error)| error)?;
    write_private_bytes(to, &fs::read(&snapshot).at_path("cannot read", &snapshot)?)?;
    Ok(identities)
}

/// Restores a backup into a state directory that holds no hub's state yet. Returns the number of identities.
pub fn restore(from: &Path, state: &Path) -> anyhow::Result<u64> {
    let content = fs::read(from).at_path("cannot read", from)?;
    let directory = StateDirectory::open(state)?;
    let registry = directory.registry();
    if let Some(file) = existing_state(state).at_path("cannot read", state)? {
        let (state, file) = (state.display(), file.display());
        bail!("{state} already holds a hub's state ({file}); move it away first, or choose another with --state-dir");
    }
    let scratch = tempfile::Builder::new().prefix("backup.").tempdir_in(state)?;
    let snapshot = scratch.path().join("whole");
    write_private_bytes(&snapshot, &content)?;
    let backup = Connection::open(&snapshot)?;
    let not_a_backup = || format!("{} is not a hub backup", from.display());
    let expected_size = stored_size(&backup).with_context(not_a_backup)?;
    ensure!(expected_size == content.len() as u64, "{} is truncated; copy it again", from.display());
    let integrity = integrity(&backup).with_context(not_a_backup)?;
    ensure!(integrity == "ok", "{} is damaged: {integrity}", from.display());
    let files = stored_files(&backup).with_context(not_a_backup)?;
    let identities =
        backup.query_row("SELECT count(*) FROM identity", [], |row| row.get(0)).with_context(not_a_backup)?;
    files.iter().try_for_each(|(path, _)| ensure_relative(path))?;
    for (path, content) in files {
        let path = state.join(path);
        create_private_directory(path.parent().context("the file has no directory")?)?;
        write_private_bytes(&path, &content)?;
    }
    backup.execute_batch("DROP TABLE file; VACUUM")?;
    backup.close().map_err(|(_, error)| error)?;
    // Last: a registry makes the state complete.
    fs::rename(&snapshot, &registry).at_path("cannot create", &registry)?;
    Ok(identities)
}

/// Returns a file that another hub left. SQLite would replay a leftover journal into the restored registry.
fn existing_state(state: &Path) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(state)? {
        let name = entry?.file_name();
        if name == "ca.pem" || name.to_string_lossy().starts_with(REGISTRY) {
            return Ok(Some(name.into()));
        }
    }
    Ok(None)
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

/// Checks that a path stays inside the state directory.
fn ensure_relative(path: &str) -> anyhow::Result<()> {
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    ensure!(plain, "the backup holds a file outside the state directory: {path}");
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
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let (found, owner) = (file.metadata()?, fs::metadata(state)?.uid());
        ensure!(found.is_file() && found.uid() == owner, "its owner is not that of {}", state.display());
    }
    let mut content = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content)?;
    ensure!(content.len() as u64 <= MAX_FILE_BYTES, "it is larger than {} KiB", MAX_FILE_BYTES / 1024);
    Ok(content)
}

fn path_text(path: &Path) -> anyhow::Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
}
