//! The hub's state directory: private, and locked by one hub at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::certificate::authority::Authority;
pub use crate::net::os::private_files::{
    AtPath, create_private_directory, read_credential, read_private, write_private, write_private_bytes,
    write_private_once,
};
use crate::net::os::random;
use crate::proto::resume::ResumeKey;
use crate::proto::secret::Secret;
use crate::proto::timestamp::Timestamp;

/// The registry's file. SQLite's journal files begin with the same name.
pub const REGISTRY: &str = "registry.sqlite";

/// The certificate of the hub's private authority. It is never replaced.
const AUTHORITY: &str = "ca.pem";

/// The sources that have authenticated lately.
pub const KNOWN_SOURCES: &str = "known-sources";

/// The locked state directory.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    _lock: File,
}

impl StateDirectory {
    /// Opens or creates the directory. Fails if others may read it, or if a hub uses it.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let named = || format!("the state directory {}", path.display());
        create_private_directory(path).with_context(named)?;
        // Windows does not lock a file that is opened for appending only.
        let lock = OpenOptions::new().create(true).read(true).append(true).open(path.join("lock"));
        let lock = lock.with_context(named)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.into(), _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!(
                "another hub is running with the state directory {}; stop it, or choose another with --state-dir",
                path.display()
            ),
            Err(TryLockError::Error(error)) => Err(error).with_context(named),
        }
    }

    /// Returns the path of the registry.
    pub fn registry(&self) -> PathBuf {
        self.path.join(REGISTRY)
    }

    /// Returns the path of the activity log.
    pub fn activity(&self) -> PathBuf {
        activity_log(&self.path)
    }

    /// Returns the path of the admin socket.
    pub fn admin_socket(&self) -> PathBuf {
        admin_socket(&self.path)
    }

    /// Returns the key that signs resume tickets, created on first use.
    pub fn resume_key(&self) -> anyhow::Result<ResumeKey> {
        let path = self.path.join("resume.key");
        if !path.exists() {
            write_private_once(&path, &random::secret::<32>().reveal())?;
        }
        let secret = Secret::parse(read_private(&path)?.trim());
        let secret = secret.with_context(|| {
            format!(
                "{} is damaged; remove it to create a new key, which ends streams that are interrupted now",
                path.display()
            )
        })?;
        Ok(ResumeKey::new(&secret))
    }

    /// Returns the path of the sources that have authenticated lately.
    pub fn known_sources(&self) -> PathBuf {
        self.path.join(KNOWN_SOURCES)
    }

    /// Returns the directory for ACME accounts and certificates.
    pub fn acme(&self) -> PathBuf {
        self.path.join("acme")
    }

    /// Returns the private certificate authority, created on first use.
    pub fn authority(&self) -> anyhow::Result<Authority> {
        let (certificate, key) = (self.path.join(AUTHORITY), self.path.join("ca.key"));
        if certificate.exists() {
            let context = || format!("cannot use the certificate authority in {}", self.path.display());
            let read = || fs::read_to_string(&certificate).at_path("cannot read", &certificate);
            let load = || anyhow::Ok(Authority::load(&read()?, &read_private(&key)?)?);
            return load().with_context(context);
        }
        let authority = Authority::create()?;
        write_private(&key, &authority.key_pem())?;
        // Written last: while it is missing, the next start creates both again.
        write_private(&certificate, authority.certificate_pem())?;
        Ok(authority)
    }
}

/// Returns the path of the activity log below a state directory.
pub fn activity_log(state: &Path) -> PathBuf {
    state.join("activity.jsonl")
}

/// Returns when a hub's state was created, by the wall clock of that time (the modification time of its `ca.pem`).
pub fn created_at(state: &Path) -> Option<Timestamp> {
    let modified = fs::metadata(state.join(AUTHORITY)).ok()?.modified().ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp(0).after(since))
}

/// Returns the path of the admin socket below a state directory.
pub fn admin_socket(state: &Path) -> PathBuf {
    state.join("admin.sock")
}
