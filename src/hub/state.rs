//! The hub's state directory: nobody else's, and one hub's at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::net::authority::Authority;
pub use crate::net::os::private_files::{
    create_private_directory, read_credential, read_private, write_private, write_private_bytes, write_private_once,
};
use crate::net::os::random;
use crate::proto::resume::ResumeKey;
use crate::proto::secret::Secret;
use crate::proto::timestamp::Timestamp;

/// The registry's file; what SQLite puts beside it begins with the same name.
pub const REGISTRY: &str = "registry.sqlite";

/// The certificate of its authority, which is never changed.
const AUTHORITY: &str = "ca.pem";

/// The directory, locked.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    _lock: File,
}

impl StateDirectory {
    /// Opens or makes the directory. Fails if others may read it, or if a hub already uses it.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let named = || format!("the state directory {}", path.display());
        create_private_directory(path).with_context(named)?;
        // Windows locks no file that is opened to append alone.
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

    /// The secret with which tickets are signed, made on first use.
    pub fn resume_key(&self) -> anyhow::Result<ResumeKey> {
        let path = self.path.join("resume.key");
        if !path.exists() {
            write_private_once(&path, &random::secret::<32>().reveal())?;
        }
        let secret = Secret::parse(read_private(&path)?.trim());
        let secret = secret.with_context(|| {
            format!(
                "{} is damaged; without it a new one is made, and streams that are interrupted now end",
                path.display()
            )
        })?;
        Ok(ResumeKey::new(&secret))
    }

    /// What was agreed with certificate authorities elsewhere.
    pub fn acme(&self) -> PathBuf {
        self.path.join("acme")
    }

    /// The certificate authority, made on first use.
    pub fn authority(&self) -> anyhow::Result<Authority> {
        let (certificate, key) = (self.path.join(AUTHORITY), self.path.join("ca.key"));
        if certificate.exists() {
            let context = || format!("cannot use the certificate authority in {}", self.path.display());
            let load = || anyhow::Ok(Authority::load(&fs::read_to_string(&certificate)?, &read_private(&key)?)?);
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

/// When the state of a hub was made, by the clock of that time, if it can be told.
pub fn created_at(state: &Path) -> Option<Timestamp> {
    let modified = fs::metadata(state.join(AUTHORITY)).ok()?.modified().ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp(0).after(since))
}

/// Where it listens for its own user.
pub fn admin_socket(state: &Path) -> PathBuf {
    state.join("admin.sock")
}
