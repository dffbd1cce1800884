//! Files with secrets: only their owner may read them, and writes are atomic.

use std::fs::{self, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};

use super::clock;
use super::owner::advice;

/// The start of the names of unfinished files.
pub const UNFINISHED: &str = ".devstream-unfinished-";

/// The age from which an unfinished file is nobody's: a write takes milliseconds, and a process that was stopped in between may go
/// on.
const ABANDONED_AFTER: Duration = Duration::from_secs(60 * 60);

/// Attempts to get the lock, and the time between two: a second in all, in which a session may wait.
const LOCK_ATTEMPTS: u32 = 100;
const LOCK_INTERVAL: Duration = Duration::from_millis(10);

/// Creates a directory that only its owner may enter; an existing one must be like that, and this user's or root's.
pub fn create_private_directory(path: &Path) -> anyhow::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).at_path("cannot create", path)?;
    require_private(path, "chmod 700")
}

/// Reads a file that only its owner may read, who is this user or root; refuses others.
pub fn read_private(path: &Path) -> anyhow::Result<String> {
    require_private(path, "chmod 600")?;
    fs::read_to_string(path).at_path("cannot read", path)
}

/// Reads a credential of the service manager, which others may not read. The service gets access by an access control
/// list, whose mask appears as the group's permissions.
pub fn read_credential(path: &Path) -> anyhow::Result<String> {
    check_owner(path)?;
    check_mode(path, 0o007, "chmod o=")?;
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Reads a secret of at most `limit` bytes that another user may have provided. The rule is sshd's: a file of our own
/// must be closed to everybody else; one that another user owns, such as root, may be readable by its group, as with
/// Debian's `ssl-cert` and systemd's credentials.
pub fn read_secret(path: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let owner = metadata(path)?.uid();
        let ours = owner == rustix::process::geteuid().as_raw();
        check_mode(path, if ours { 0o077 } else { 0o027 }, if ours { "chmod 600" } else { "chmod o=" })?;
    }
    read_up_to(path, limit)
}

/// Names the path in errors of the file system, which do not.
pub trait AtPath<T> {
    /// Adds what failed, such as `cannot read`, and the path.
    fn at_path(self, what: &str, path: &Path) -> anyhow::Result<T>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at_path(self, what: &str, path: &Path) -> anyhow::Result<T> {
        self.map_err(|error| match advice(&error, path) {
            Some(advice) => anyhow!("{what} {}: {error}; {advice}", path.display()),
            None => anyhow::Error::new(error).context(format!("{what} {}", path.display())),
        })
    }
}

/// Reads a file of at most `limit` bytes; a larger one is an error.
pub fn read_up_to(path: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    let mut content = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut content));
    let read = read.at_path("cannot read", path)?;
    anyhow::ensure!(read as u64 <= limit, "{} is larger than {limit} bytes", path.display());
    Ok(content)
}

/// Writes a private file of text, atomically.
pub fn write_private(path: &Path, content: &str) -> anyhow::Result<()> {
    write_private_bytes(path, content.as_bytes())
}

/// Writes a private file of bytes, atomically.
pub fn write_private_bytes(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let written = write_temporary(path, content).and_then(|file| Ok(file.persist(path)?));
    written.map(|_| sync_directory_of(path)).at_path("cannot write", path)
}

/// Writes a private file of text, atomically, for the owner of its directory: root changes what another user's service keeps.
pub fn write_private_for_owner(path: &Path, content: &str) -> anyhow::Result<()> {
    let written = write_temporary(path, content.as_bytes()).and_then(|file| {
        give_to_owner(file.as_file(), path)?;
        Ok(file.persist(path)?)
    });
    written.map(|_| sync_directory_of(path)).at_path("cannot write", path)
}

/// Opens the file by whose lock processes take turns, and creates it if need be, for the owner of its directory.
fn open_lock_for_owner(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // What the owner has linked there is not root's to open or to give away.
        options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    let file = options.open(path)?;
    give_to_owner(&file, path)?;
    Ok(file)
}

/// Locks a file, which others hold for as long as a write takes: one that is stopped meanwhile is not waited for.
#[expect(clippy::disallowed_methods, reason = "waiting for a file lock has no deadline of its own")]
pub fn hold_lock(path: &Path) -> io::Result<fs::File> {
    let file = open_lock_for_owner(path)?;
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_INTERVAL),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "another process holds it"))
}

/// Gives a file of root's at this path to the owner of its directory.
#[cfg(unix)]
fn give_to_owner(file: &fs::File, path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    let Some(directory) = path.parent().filter(|_| rustix::process::geteuid().is_root()) else { return Ok(()) };
    let (found, owner) = (file.metadata()?, fs::metadata(directory)?);
    if found.uid() == owner.uid() || found.nlink() > 1 {
        return Ok(());
    }
    fchown(file, Some(owner.uid()), Some(owner.gid()))
}

/// Files are their directory's here.
#[cfg(not(unix))]
fn give_to_owner(_: &fs::File, _: &Path) -> io::Result<()> {
    Ok(())
}

/// Writes a private file, atomically, unless it exists already.
pub fn write_private_once(path: &Path, content: &str) -> anyhow::Result<()> {
    match write_temporary(path, content.as_bytes()).and_then(|file| Ok(file.persist_noclobber(path)?)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error).at_path("cannot write", path),
        _ => {
            sync_directory_of(path);
            Ok(())
        }
    }
}

/// Has a file that was renamed to this path keep its name over a loss of power, as far as the file system can: without, the
/// directory may still name the former file, whole.
#[cfg(unix)]
pub fn sync_directory_of(path: &Path) {
    let _ = fs::File::open(directory_of(path)).and_then(|directory| directory.sync_all());
}

/// The file system sees to it here.
#[cfg(not(unix))]
pub fn sync_directory_of(_: &Path) {}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes the content to a temporary file in the same directory, which has mode 0600, and syncs it.
fn write_temporary(path: &Path, content: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    let mut file = unfinished_file_in(directory_of(path))?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Creates a file that takes the place of another one once it is whole. It is removed when dropped. An error does not name it:
/// the caller names the file that it is for.
pub fn unfinished_file_in(directory: &Path) -> io::Result<tempfile::NamedTempFile> {
    remove_abandoned(directory);
    tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(directory).map_err(|error| {
        let said = error.to_string();
        let cause = said.split(" at path ").next().unwrap_or(&said);
        io::Error::new(error.kind(), cause.to_owned())
    })
}

/// Creates a directory for files that are moved from there once they are whole. It is removed when dropped.
pub fn unfinished_directory_in(directory: &Path) -> io::Result<tempfile::TempDir> {
    remove_abandoned(directory);
    tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(directory)
}

/// Removes what writers that were killed have left in a directory. It may be secret. What cannot be removed is in nobody's way.
fn remove_abandoned(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(UNFINISHED)) {
        let is_abandoned = |found: &fs::Metadata| found.modified().is_ok_and(|at| age(at) >= ABANDONED_AFTER);
        let _ = match entry.metadata() {
            Ok(found) if !is_abandoned(&found) => continue,
            Ok(found) if found.is_dir() => fs::remove_dir_all(entry.path()),
            Ok(_) | Err(_) => fs::remove_file(entry.path()),
        };
    }
}

/// The time since this one of the wall clock; none if it is ahead.
fn age(at: SystemTime) -> Duration {
    let now = Duration::from_secs(u64::try_from(clock::now_utc().0).unwrap_or_default());
    now.saturating_sub(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// Refuses a path that others may access, or that is another user's.
fn require_private(path: &Path, remedy: &str) -> anyhow::Result<()> {
    check_owner(path)?;
    check_mode(path, 0o077, remedy)
}

/// Refuses a path of another user, who could read and replace it, and names the command that changes that.
#[cfg(unix)]
fn check_owner(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let (owner, us) = (metadata(path)?.uid(), rustix::process::geteuid().as_raw());
    if !is_trusted(owner, us) {
        let path = path.display();
        anyhow::bail!("{path}: belongs to another user ({owner}), who can replace it; run as root: chown {us} {path}");
    }
    Ok(())
}

/// Reports whether this user may rely on the owner's files. Root reads anybody's: those of the user that a hub runs as,
/// and in a container those of another user of the host.
#[cfg(unix)]
fn is_trusted(owner: u32, us: u32) -> bool {
    const ROOT: u32 = 0;
    [ROOT, us].contains(&owner) || us == ROOT
}

/// Refuses a path with any of these permission bits, and names the command that removes them.
#[cfg(unix)]
fn check_mode(path: &Path, bits: u32, remedy: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata(path)?.permissions().mode() & 0o777;
    if mode & bits != 0 {
        let path = path.display();
        anyhow::bail!("{path}: permissions {mode:04o} are too open; run: {remedy} {path}");
    }
    Ok(())
}

#[cfg(unix)]
fn metadata(path: &Path) -> anyhow::Result<fs::Metadata> {
    fs::metadata(path).at_path("cannot read", path)
}

#[cfg(not(unix))]
fn check_owner(_: &Path) -> anyhow::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: u32, _: &str) -> anyhow::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn private_files_are_ones_own_or_roots_and_root_reads_all() {
        for (owner, us, trusted) in [(7, 7, true), (0, 7, true), (8, 7, false), (8, 0, true), (0, 0, true)] {
            assert_eq!(is_trusted(owner, us), trusted, "{owner} {us}");
        }
    }

    #[test]
    fn a_directory_that_cannot_be_created_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let below = file.path().join("identity");
        let error = format!("{:#}", create_private_directory(&below).unwrap_err());
        assert!(error.starts_with(&format!("cannot create {}: ", below.display())), "{error}");
    }

    #[test]
    fn an_own_secret_must_be_private_and_within_the_limit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path();
        fs::write(path, "secret").unwrap();
        for (mode, accepted) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o660, false)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_secret(path, 6).is_ok(), accepted, "{mode:o}");
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(read_secret(path, 5).is_err(), "too large");
    }

    #[test]
    fn what_root_writes_for_the_owner_of_a_directory_is_the_owners_and_no_link_is_followed() {
        use std::os::unix::fs::{MetadataExt as _, chown, symlink};
        const OWNER: u32 = 65533;
        let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
        let [file, lock, link] = ["known", "known.lock", "link.lock"].map(|name| directory.path().join(name));
        symlink(elsewhere.path(), &link).unwrap();
        if rustix::process::geteuid().is_root() {
            chown(directory.path(), Some(OWNER), Some(OWNER)).unwrap();
        }
        write_private_for_owner(&file, "text").unwrap();
        drop(open_lock_for_owner(&lock).unwrap());
        assert!(open_lock_for_owner(&link).is_err());
        let owner = |path: &Path| (fs::metadata(path).unwrap().uid(), fs::metadata(path).unwrap().gid());
        let ours = owner(elsewhere.path());
        for path in [&file, &lock] {
            assert_eq!(owner(path), owner(directory.path()), "{path:?}");
        }
        assert_eq!(owner(elsewhere.path()), ours);
    }

    #[test]
    fn what_a_killed_writer_left_is_removed_by_the_next_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let make = |name: &str| {
            let file = fs::File::create(path(name)).unwrap();
            file.set_modified(long_ago).unwrap();
        };
        let written = write_temporary(&path("key"), b"secret").unwrap();
        let unfinished = written.into_temp_path().keep().unwrap();
        fs::File::open(&unfinished).unwrap().set_modified(long_ago).unwrap();
        let abandoned = unfinished_directory_in(directory.path()).unwrap().keep();
        fs::write(abandoned.join("key"), "secret").unwrap();
        fs::File::open(&abandoned).unwrap().set_modified(long_ago).unwrap();
        let under_way = write_temporary(&path("key"), b"secret").unwrap();
        assert!(under_way.path().exists() && !unfinished.exists() && !abandoned.exists());
        make("key.old");
        make(".hidden");
        write_private(&path("key"), "secret").unwrap();
        under_way.persist(path("other")).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".hidden", "key", "key.old", "other"]);
    }

    #[test]
    fn an_error_of_a_denied_path_names_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let denied: io::Result<()> = Err(io::ErrorKind::PermissionDenied.into());
        let said = denied.at_path("cannot read", &directory.path().join("key")).unwrap_err();
        assert!(format!("{said:#}").contains(" is this user's own, "), "{said:#}");
    }
}
