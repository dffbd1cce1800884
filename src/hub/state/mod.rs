//! The hub's state directory: private, and locked by one hub at a time.
//!
//! In: a path. Out: the hub's authority, registry and keys, created together where no hub has run (`parts`).

pub mod parts;
pub mod share;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use self::parts::StateParts;
use super::certificate::authority::Authority;
use super::registry::sqlite::SqliteRegistry;
pub use crate::net::os::private_files::{
    AtPath, create_private_directory, read_credential, read_private, write_private, write_private_bytes,
    write_private_once,
};
use crate::net::os::random;
use crate::proto::id::HubId;
use crate::proto::resume::ResumeKey;
use crate::proto::secret::Secret;
use crate::proto::timestamp::Timestamp;

/// The registry's file. SQLite's journal files begin with the same name.
pub const REGISTRY: &str = "registry.sqlite";

/// The certificate of the hub's private authority.
pub const AUTHORITY: &str = "ca.pem";

/// The key of the hub's private authority. It is never replaced: every device and service pins it.
pub const AUTHORITY_KEY: &str = "ca.key";

/// The hub's id. It goes along in a backup: the hub that is restored elsewhere is this one, in another run.
const HUB_ID: &str = "hub.id";

/// The key that signs resume tickets.
const RESUME_KEY: &str = "resume.key";

/// The sources that have authenticated in the last weeks.
const KNOWN_SOURCES: &str = "known-sources";

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
        // The error names the path.
        create_private_directory(path).context("the state directory")?;
        // Windows does not lock a file that is opened for appending only.
        let lock = OpenOptions::new().create(true).read(true).append(true).open(path.join("lock"));
        let lock = lock.at_path("cannot open the lock in the state directory", path)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.into(), _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!(
                "another hub is running with the state directory {}; stop it, or choose another with --state-dir",
                path.display()
            ),
            Err(TryLockError::Error(error)) => Err(error).with_context(named),
        }
    }

    /// Loads the id, the authority, the registry and the resume key. They are created where no hub has run; elsewhere, a part
    /// that cannot be made again from the others is an error.
    pub fn load(&self) -> anyhow::Result<HubState> {
        let parts = StateParts::find(&self.path).at_path("cannot read", &self.path)?;
        let has_registry = parts.registry || parts.may_create_registry();
        let registry = if has_registry { Some(self.open_registry(&parts)?) } else { None };
        let nothing_known = || registry.as_ref().is_some_and(|registry| registry.is_empty().unwrap_or(false));
        if let Some(loss) = parts.loss(&self.path, nothing_known) {
            return Err(loss.into());
        }
        let registry = registry.context("there is no registry")?;
        // After the registry: an authority shows that the registry was complete.
        let authority = self.authority(&parts)?;
        let resume_key = self.resume_key(&parts)?;
        let id = self.hub_id()?;
        Ok(HubState { id, authority, registry, resume_key })
    }

    /// Returns the path of the registry.
    pub fn registry_path(&self) -> PathBuf {
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

    /// Returns the path of the sources that have authenticated in the last weeks.
    pub fn known_sources(&self) -> PathBuf {
        self.path.join(KNOWN_SOURCES)
    }

    /// Returns the directory for ACME accounts and certificates.
    pub fn acme(&self) -> PathBuf {
        self.path.join("acme")
    }

    fn open_registry(&self, parts: &StateParts) -> anyhow::Result<SqliteRegistry> {
        let path = self.registry_path();
        let has_authority = parts.certificate || parts.key;
        let open = if has_authority && parts.registry { SqliteRegistry::open_existing } else { SqliteRegistry::open };
        open(&path).with_context(|| format!("cannot use the registry {}", path.display()))
    }

    fn authority(&self, parts: &StateParts) -> anyhow::Result<Authority> {
        let (certificate, key) = (self.path.join(AUTHORITY), self.path.join(AUTHORITY_KEY));
        if parts.certificate {
            let context = || {
                format!(
                    "cannot use the certificate authority in {}; if {AUTHORITY} alone is damaged, remove it: it is made again \
                     from {AUTHORITY_KEY}",
                    self.path.display()
                )
            };
            let read = || fs::read_to_string(&certificate).at_path("cannot read", &certificate);
            let load = || Authority::load(&read()?, &read_private(&key)?);
            return load().with_context(context);
        }
        let authority = if parts.key {
            let authority = Authority::of_key(&read_private(&key)?);
            authority.with_context(|| format!("{} is damaged; {}", key.display(), parts::ADVICE))?
        } else {
            let authority = Authority::create()?;
            write_private(&key, &authority.key_pem())?;
            authority
        };
        write_private(&certificate, authority.certificate_pem())?;
        if parts.key {
            tracing::warn!(
                target: "hub",
                "{AUTHORITY} was missing and was made again from {AUTHORITY_KEY}: devices and services trust it as before"
            );
        }
        Ok(authority)
    }

    /// Reads the hub's id. One of an earlier version has none yet.
    fn hub_id(&self) -> anyhow::Result<HubId> {
        let path = self.path.join(HUB_ID);
        if !path.exists() {
            let id = HubId::from_bytes(random::bytes());
            write_private_once(&path, &id.to_string())?;
        }
        let id = read_private(&path)?.trim().parse();
        id.with_context(|| format!("{} is damaged; remove it to give the hub another id", path.display()))
    }

    fn resume_key(&self, parts: &StateParts) -> anyhow::Result<ResumeKey> {
        let path = self.path.join(RESUME_KEY);
        if !path.exists() {
            write_private_once(&path, &random::secret::<32>().reveal())?;
            if parts.key {
                tracing::warn!(
                    target: "hub",
                    "{RESUME_KEY} was missing and was made anew: streams that were interrupted before this start end"
                );
            }
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
}

/// The parts of a hub's state that it cannot run without.
pub struct HubState {
    /// The hub's id.
    pub id: HubId,
    /// The private authority.
    pub authority: Authority,
    /// The registry.
    pub registry: SqliteRegistry,
    /// The key that signs resume tickets.
    pub resume_key: ResumeKey,
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
