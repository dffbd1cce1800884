//! The hub's state directory: nobody else's, and one hub's at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::net::authority::Authority;

/// The registry's file; what SQLite puts beside it begins with the same name.
pub const REGISTRY: &str = "registry.sqlite";

/// The directory, locked.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    _lock: File,
}

impl StateDirectory {
    /// Opens or makes the directory. Fails if others may read it, or if a hub already uses it.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        private_directory(path).with_context(|| format!("the state directory {}", path.display()))?;
        let lock = OpenOptions::new().create(true).append(true).open(path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.into(), _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!(
                "another hub is running with the state directory {}; stop it, or choose another with --state-dir",
                path.display()
            ),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// The registry's file.
    pub fn registry(&self) -> PathBuf {
        self.path.join(REGISTRY)
    }

    /// The activity log.
    pub fn activity(&self) -> PathBuf {
        activity_log(&self.path)
    }

    /// The admin socket.
    pub fn admin_socket(&self) -> PathBuf {
        admin_socket(&self.path)
    }

    /// The certificate authority, made on first use.
    pub fn authority(&self) -> anyhow::Result<Authority> {
        let (certificate, key) = (self.path.join("ca.pem"), self.path.join("ca.key"));
        if certificate.exists() {
            let context = || format!("cannot use the certificate authority in {}", self.path.display());
            let load = || anyhow::Ok(Authority::load(&fs::read_to_string(&certificate)?, &private_file(&key)?)?);
            return load().with_context(context);
        }
        let authority = Authority::create()?;
        write_private(&key, &authority.key_pem())?;
        // Written last: while it is missing, the next start makes both anew.
        write_private(&certificate, authority.certificate_pem())?;
        Ok(authority)
    }
}

/// Where a hub with this state directory writes its activity log.
pub fn activity_log(state: &Path) -> PathBuf {
    state.join("activity.jsonl")
}

/// Where it listens for its own user.
pub fn admin_socket(state: &Path) -> PathBuf {
    state.join("admin.sock")
}

/// Makes a directory that only its owner may enter, or checks that it is one.
pub fn private_directory(path: &Path) -> anyhow::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    refuse_if_open(path, "chmod 700")
}

/// Reads a file that only its owner may read.
pub fn private_file(path: &Path) -> anyhow::Result<String> {
    refuse_if_open(path, "chmod 600")?;
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Reads a file that the service manager handed over. It lets this service in with an access control list, whose mask
/// shows as the group's bits.
pub fn credential_file(path: &Path) -> anyhow::Result<String> {
    refuse_if_open_to(0o007, path, "chmod o=")?;
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Writes a file that only its owner may read, whole or not at all.
pub fn write_private(path: &Path, content: &str) -> anyhow::Result<()> {
    write_private_bytes(path, content.as_bytes())
}

/// The same for what is no text.
pub fn write_private_bytes(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let written = whole(path, content).and_then(|file| Ok(file.persist(path)?));
    written.map(drop).with_context(|| format!("cannot write {}", path.display()))
}

/// The same, unless the file is already there: then it is left as it is.
pub fn write_private_once(path: &Path, content: &str) -> anyhow::Result<()> {
    match whole(path, content.as_bytes()).and_then(|file| Ok(file.persist_noclobber(path)?)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot write {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The content on disk, under a name of its own (temporary files are made 0600).
fn whole(path: &Path, content: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn refuse_if_open(path: &Path, remedy: &str) -> anyhow::Result<()> {
    refuse_if_open_to(0o077, path, remedy)
}

#[cfg(unix)]
fn refuse_if_open_to(others: u32, path: &Path, remedy: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path).with_context(|| path.display().to_string())?.permissions().mode() & 0o777;
    if mode & others != 0 {
        let path = path.display();
        bail!("{path} may be read by others (mode {mode:03o}), which a secret's place may not: {remedy} {path}");
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_if_open_to(_: u32, _: &Path, _: &str) -> anyhow::Result<()> {
    Ok(())
}
