//! The files of the owner's fleet: only their owner may read them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

use crate::cli::paths;
use crate::hub::state::{AtPath as _, create_private_directory, read_private, write_private};
use crate::net::e2e::known_file::KnownFile;
use crate::net::os::clock;
use crate::net::os::private_files::{hold_lock, read_up_to, sync_directory_of, unfinished_directory_in};
use crate::net::os::random;
use crate::proto::fleet::FleetKeys;
use crate::proto::id::Principal;
use crate::proto::invitations::{Invitations, MAX_INVITATIONS_BYTES};
use crate::proto::key::{PrivateKey, PublicKey};
use crate::proto::secret::KeySeed;
use crate::proto::text;

/// The private key that signs.
const KEY: &str = "key";

/// The public keys.
const PUBLIC: &str = "keys";

/// The private recovery key and the public keys, to be moved away.
const RECOVERY: &str = "recovery";

/// What was signed.
const SIGNED: &str = "signed";

/// The invitations that were made, and the file by whose lock they are changed.
const INVITATIONS: &str = "invitations";
const INVITATIONS_LOCK: &str = "invitations.lock";

/// Length limit of the recovery file, in bytes: more than its two lines.
const RECOVERY_BYTES: u64 = 1024;

/// The directory of the fleet.
#[derive(Debug)]
pub(in crate::cli) struct Store {
    directory: PathBuf,
    signed: KnownFile,
}

impl Store {
    /// Names this user's.
    pub(in crate::cli) fn of_user() -> anyhow::Result<Self> {
        let directory = paths::fleet()?;
        let signed = KnownFile::new(directory.join(SIGNED));
        Ok(Self { directory, signed })
    }

    /// Reports whether there is a fleet.
    pub(in crate::cli) fn exists(&self) -> bool {
        self.directory.join(KEY).exists()
    }

    pub(in crate::cli) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The keys that were signed, each since the beginning of its certificate.
    pub(in crate::cli) fn signed(&self) -> &KnownFile {
        &self.signed
    }

    /// Makes a fleet, and returns its keys and the file of the recovery key.
    pub(in crate::cli) fn create(&self) -> anyhow::Result<(FleetKeys, PathBuf)> {
        ensure!(!self.directory.join(KEY).exists(), "there is a fleet already, in {}", self.directory.display());
        self.ensure_key_not_lost()?;
        let parent = self.directory.parent().context("the fleet's directory has no parent")?;
        create_private_directory(parent)?;
        let (seed, spare) = (typeable_seed(), random::secret::<32>());
        let keys = FleetKeys::new(public_key(&seed), public_key(&spare));
        // All its files are there at once: of two that begin at the same time, one finds the other's.
        let scratch = unfinished_directory_in(parent).at_path("cannot write in", parent)?;
        let new = scratch.path().join("fleet");
        create_private_directory(&new)?;
        write_private(&new.join(RECOVERY), &format!("{}\n{keys}\n", spare.reveal()))?;
        write_private(&new.join(PUBLIC), &format!("{keys}\n"))?;
        write_private(&new.join(KEY), &seed.reveal())?;
        fs::rename(&new, &self.directory).at_path("cannot make the fleet in", &self.directory)?;
        sync_directory_of(&self.directory);
        Ok((keys, self.directory.join(RECOVERY)))
    }

    /// Fails where a fleet has left something other than its key.
    fn ensure_key_not_lost(&self) -> anyhow::Result<()> {
        let is_left = [PUBLIC, RECOVERY, SIGNED].iter().any(|name| self.directory.join(name).exists());
        ensure!(
            !is_left || self.directory.join(KEY).exists(),
            "the fleet's key is missing in {}; with its recovery key: devstream fleet recover FILE. To make another fleet, move \
             that directory away",
            self.directory.display()
        );
        Ok(())
    }

    /// Returns the public keys, and the private one that signs.
    pub(in crate::cli) fn load(&self) -> anyhow::Result<(FleetKeys, PrivateKey)> {
        let [key, public] = [KEY, PUBLIC].map(|name| self.directory.join(name));
        self.ensure_key_not_lost()?;
        ensure!(
            key.try_exists().at_path("cannot read", &key)?,
            "there is no fleet on this machine; make one: devstream fleet init"
        );
        let seed = KeySeed::parse(read_private(&key)?.trim());
        let seed = seed.with_context(|| format!("invalid key in {}", key.display()))?;
        let keys: Result<FleetKeys, _> = read_private(&public)?.trim().parse();
        let keys = keys.with_context(|| format!("invalid keys in {}", public.display()))?;
        let signer = PrivateKey::from_seed(&seed);
        let is_own = keys.keys().contains(&signer.public());
        ensure!(is_own, "{} is not one of the keys in {}", key.display(), public.display());
        Ok((keys, signer))
    }

    /// Returns the invitations that have not ended.
    pub(in crate::cli) fn invitations(&self) -> anyhow::Result<Invitations> {
        let path = self.directory.join(INVITATIONS);
        if !path.exists() {
            return Ok(Invitations::default());
        }
        let length = fs::metadata(&path).at_path("cannot read", &path)?.len();
        ensure!(length <= MAX_INVITATIONS_BYTES, "{} is larger than {MAX_INVITATIONS_BYTES} bytes", path.display());
        let invitations = Invitations::parse(&zeroize::Zeroizing::new(read_private(&path)?));
        let mut invitations = invitations.with_context(|| format!("invalid invitations in {}", path.display()))?;
        invitations.end(clock::now_utc());
        Ok(invitations)
    }

    /// Changes the invitations, unless `change` fails.
    pub(in crate::cli) fn change_invitations<O, E>(
        &self,
        change: impl FnOnce(&mut Invitations) -> Result<O, E>,
    ) -> anyhow::Result<Result<O, E>> {
        let lock = self.directory.join(INVITATIONS_LOCK);
        let lock = hold_lock(&lock).at_path("cannot lock", &lock)?;
        let mut invitations = self.invitations()?;
        let changed = change(&mut invitations);
        if changed.is_ok() {
            let text = zeroize::Zeroizing::new(invitations.reveal());
            write_private(&self.directory.join(INVITATIONS), &text)?;
        }
        drop(lock);
        Ok(changed)
    }

    /// Notes that a machine has its certificate, or the hub has it for that.
    pub(in crate::cli) fn note_stored(&self, owner: &Principal, key: &PublicKey) -> anyhow::Result<()> {
        self.change_invitations(|all| {
            all.note_stored(owner, key);
            Ok(())
        })?
    }

    /// Ends all invitations for a machine but that which this key of it has used.
    pub(in crate::cli) fn settle(&self, owner: &Principal, key: &PublicKey) -> anyhow::Result<()> {
        self.change_invitations(|all| {
            all.settle(owner, key);
            Ok(())
        })?
    }

    /// Ends all invitations for a machine, and reports whether there were any.
    pub(in crate::cli) fn forget_invitations(&self, owner: &Principal) -> anyhow::Result<bool> {
        self.change_invitations(|all| Ok(all.forget(owner)))?
    }

    /// Reports whether this machine may be waiting to be signed.
    pub(in crate::cli) fn awaits(&self, owner: &Principal) -> anyhow::Result<bool> {
        let invitations = self.invitations()?;
        Ok(invitations.awaited().contains(owner)
            || invitations.has_unnamed_for(owner) && self.signed.read()?.get(owner).is_none())
    }

    /// Has the recovery key of a file sign from now on.
    pub(in crate::cli) fn recover(&self, file: &Path) -> anyhow::Result<FleetKeys> {
        // Opening a pipe would wait for whoever writes to it.
        let is_regular = fs::metadata(file).at_path("cannot read", file)?.is_file();
        ensure!(is_regular, "it is no regular file");
        // It may be on a medium that has no permissions.
        let bytes = zeroize::Zeroizing::new(read_up_to(file, RECOVERY_BYTES)?);
        let text = zeroize::Zeroizing::new(text::decode(&bytes).context("it is not text")?);
        let (seed, keys) = text.trim().split_once('\n').context("it is no recovery key of a fleet")?;
        let seed = KeySeed::parse(seed.trim()).context("it is no recovery key of a fleet")?;
        let keys: FleetKeys = keys.trim().parse()?;
        ensure!(keys.keys().contains(&public_key(&seed)), "its keys do not belong together");
        let [key, public] = [KEY, PUBLIC].map(|name| self.directory.join(name));
        if public.exists() && read_private(&public)?.trim() != keys.to_string() {
            bail!("there is another fleet in {}; move that away first", self.directory.display());
        }
        if key.exists() && self.load()?.1.public() != public_key(&seed) {
            bail!("{} is there and signs; move it away if it is not to sign any more", key.display());
        }
        create_private_directory(&self.directory)?;
        write_private(&public, &format!("{keys}\n"))?;
        write_private(&key, &seed.reveal())?;
        Ok(keys)
    }
}

fn public_key(seed: &KeySeed) -> PublicKey {
    PrivateKey::from_seed(seed).public()
}

/// Returns a seed whose public key can be typed as an argument: it does not begin with a hyphen.
fn typeable_seed() -> KeySeed {
    loop {
        let seed = random::secret::<32>();
        if !String::from(public_key(&seed)).starts_with('-') {
            return seed;
        }
    }
}
