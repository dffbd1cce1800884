//! The file in which an end keeps the keys of its peers, beside its own identity.

use std::future::ready;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use parking_lot::Mutex;

use super::failure::Failure;
use super::peers::{Anchors, AnchorsFuture, FirstUse, KeepError, PeerKeys, decide, signed};
use crate::net::os::private_files::{
    AtPath as _, create_private_directory, hold_lock, read_private, write_private_for_owner,
};
use crate::proto::id::Principal;
use crate::proto::key::PublicKey;
use crate::proto::known::{KnownPeer, KnownPeers, MAX_KNOWN_FILE_BYTES, Origin, TooMany};
use crate::proto::refusal::Refusal;

/// Keeps others of this user's processes out while one changes the file.
const LOCK_SUFFIX: &str = "lock";

/// The keys of peers in a file that only its owner may read.
#[derive(Debug)]
pub struct KnownFile {
    path: PathBuf,
    /// The flag that selects this identity in `devstream trust`, after a space.
    trust_flag: String,
    read: Mutex<Option<(Version, Arc<KnownPeers>)>>,
    /// Those that could not be written, for as long as this process runs.
    unwritten: FirstUse,
    /// Why the last of them could not be.
    write_error: Mutex<Option<String>>,
}

/// What tells that a file has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    modified: SystemTime,
    length: u64,
}

impl KnownFile {
    /// Names the file, which need not exist.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            trust_flag: String::new(),
            read: Mutex::default(),
            unwritten: FirstUse::default(),
            write_error: Mutex::default(),
        }
    }

    /// Has advice to run `devstream trust` select this identity with a flag, which begins with a space.
    #[must_use]
    pub fn selected_with(self, trust_flag: String) -> Self {
        Self { trust_flag, ..self }
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns all known peers.
    pub fn read(&self) -> anyhow::Result<Arc<KnownPeers>> {
        let Some(version) = version_of(&self.path)? else { return Ok(Arc::default()) };
        let mut read = self.read.lock();
        if let Some((_, peers)) = read.as_ref().filter(|(known, _)| *known == version) {
            return Ok(peers.clone());
        }
        let peers = Arc::new(read_peers(&self.path, version.length)?);
        *read = Some((version, peers.clone()));
        Ok(peers)
    }

    /// Changes the file, unless `change` fails.
    pub fn change<O, E>(&self, change: impl FnOnce(&mut KnownPeers) -> Result<O, E>) -> anyhow::Result<Result<O, E>> {
        if let Some(directory) = self.path.parent() {
            create_private_directory(directory)?;
        }
        let lock = self.path.with_extension(LOCK_SUFFIX);
        let lock = hold_lock(&lock).at_path("cannot lock", &lock)?;
        let length = version_of(&self.path)?.map_or(0, |version| version.length);
        let before = if length == 0 { KnownPeers::default() } else { read_peers(&self.path, length)? };
        let mut peers = before.clone();
        let changed = change(&mut peers);
        if changed.is_ok() && peers != before {
            write_private_for_owner(&self.path, &peers.to_string())?;
            *self.read.lock() = None;
        }
        drop(lock);
        Ok(changed)
    }
}

fn version_of(path: &Path) -> anyhow::Result<Option<Version>> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(Version {
            modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            length: metadata.len(),
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at_path("cannot read", path),
    }
}

fn read_peers(path: &Path, length: u64) -> anyhow::Result<KnownPeers> {
    anyhow::ensure!(length <= MAX_KNOWN_FILE_BYTES, "{} is larger than {MAX_KNOWN_FILE_BYTES} bytes", path.display());
    KnownPeers::parse(&read_private(path)?).with_context(|| format!("invalid known keys in {}", path.display()))
}

fn no_room(error: TooMany) -> KeepError {
    KeepError::NoRoom(error.to_string())
}

impl PeerKeys for KnownFile {
    fn trust_flag(&self) -> &str {
        &self.trust_flag
    }

    fn anchors<'a>(&'a self, peer: &'a Principal) -> AnchorsFuture<'a> {
        let peers = self.read().map_err(|error| Refusal::local(format!("{error:#}")));
        let anchors = peers.and_then(|peers| match peers.get(peer).copied().or_else(|| self.unwritten.known(peer)) {
            Some(known) => Ok(Some(vec![known.key])),
            None => {
                let full = peers.ensure_room(peer).map_err(|full| Failure::NotKept(full.to_string()));
                full.map(|()| None).map_err(|failure| failure.refusal(peer, None, &self.trust_flag))
            }
        });
        Box::pin(ready(anchors))
    }

    fn ensure_readable(&self) -> Result<(), Refusal> {
        self.read().map(drop).map_err(|error| Refusal::local(format!("{error:#}")))
    }

    fn known(&self, peer: &Principal) -> Option<KnownPeer> {
        let known = self.read().ok().and_then(|peers| peers.get(peer).copied());
        known.or_else(|| self.unwritten.known(peer))
    }

    fn not_stored(&self, peer: &Principal) -> Option<String> {
        self.unwritten.known(peer).and_then(|_| self.write_error.lock().clone())
    }

    fn keep(&self, peer: &Principal, key: &PublicKey, anchors: &Anchors) -> Result<(), KeepError> {
        if self.known(peer).is_some_and(|known| known.key == *key) {
            return Ok(());
        }
        // A hub that invents peers makes each of them cost no more than a look.
        if let Ok(peers) = self.read() {
            peers.ensure_room(peer).map_err(no_room)?;
        }
        let kept = self.change(|peers| {
            let Some(known) = decide(peers.get(peer), key, anchors)? else { return Ok(None) };
            peers.set(peer.clone(), known).map_err(no_room)?;
            Ok(Some(known.origin))
        });
        let Principal { role, id } = peer;
        match kept {
            Ok(Ok(Some(Origin::Succeeded))) => tracing::info!(
                target: "end-to-end",
                "{id}: new end-to-end key {}; its former key vouches for it",
                key.short()
            ),
            Ok(Ok(Some(_))) => tracing::info!(
                target: "end-to-end",
                "{id}: new end-to-end key {}; kept on first use. Compare it with what `devstream identity` prints on the \
                 {role}'s machine",
                key.short()
            ),
            Ok(Ok(None)) => {}
            Ok(Err(refused)) => return Err(refused),
            // A machine whose disk is full or read-only is still reached; the next process meets the peer anew.
            Err(error) => {
                tracing::warn!(target: "end-to-end", "{id}: its end-to-end key {} is not kept: {error:#}", key.short());
                *self.write_error.lock() = Some(format!("{error:#}"));
                return self.unwritten.keep(peer, key, anchors);
            }
        }
        Ok(())
    }

    fn keep_signed(&self, peer: &Principal, key: &PublicKey) {
        if signed(self.known(peer).as_ref(), key).is_none() {
            return;
        }
        let kept = self.change(|peers| match signed(peers.get(peer), key) {
            Some(known) => peers.set(peer.clone(), known),
            None => Ok(()),
        });
        if !matches!(kept, Ok(Ok(()))) {
            self.unwritten.keep_signed(peer, key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::os::clock;
    use crate::net::os::private_files::write_private;
    use crate::proto::id::Role;
    use crate::proto::key::PrivateKey;
    use crate::proto::known::MAX_KNOWN_PEERS;
    use crate::proto::secret::KeySeed;

    fn key(seed: u8) -> PublicKey {
        PrivateKey::from_seed(&KeySeed::new([seed; 32])).public()
    }

    fn pi_42() -> Principal {
        Principal { role: Role::Device, id: "pi-42".parse().unwrap() }
    }

    /// A file in a directory that only its owner may read.
    fn in_private() -> (tempfile::TempDir, KnownFile) {
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().join("device");
        create_private_directory(&own).unwrap();
        (directory, KnownFile::new(own.join("known")))
    }

    #[tokio::test]
    async fn the_first_key_is_kept_for_other_processes_and_another_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("device").join("known");
        let [first, other] = [KnownFile::new(path.clone()), KnownFile::new(path)];
        assert_eq!(first.anchors(&pi_42()).await, Ok(None));
        assert_eq!(other.anchors(&pi_42()).await, Ok(None));
        first.keep(&pi_42(), &key(1), &None).unwrap();
        assert_eq!(other.anchors(&pi_42()).await, Ok(Some(vec![key(1)])));
        // Both had asked before the first kept its key.
        assert!(matches!(other.keep(&pi_42(), &key(2), &None), Err(KeepError::Another(known)) if known.key == key(1)));
        assert_eq!(first.keep(&pi_42(), &key(1), &None), Ok(()));
        first.keep(&pi_42(), &key(3), &Some(vec![key(1)])).unwrap();
        let known = other.known(&pi_42()).unwrap();
        assert_eq!((known.key, known.origin), (key(3), Origin::Succeeded));
    }

    #[tokio::test]
    async fn a_damaged_file_lets_no_new_key_in() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("known");
        write_private(&path, "device pi-42\n").unwrap();
        let file = KnownFile::new(path.clone());
        let refusal = file.anchors(&pi_42()).await.unwrap_err();
        assert!(refusal.to_string().contains(&path.display().to_string()), "{refusal}");
    }

    #[tokio::test]
    async fn a_process_that_stopped_with_the_lock_is_not_waited_for() {
        let (_directory, file) = in_private();
        let held = hold_lock(&file.path().with_extension(LOCK_SUFFIX)).unwrap();
        file.keep(&pi_42(), &key(1), &None).unwrap();
        assert!(file.keep(&pi_42(), &key(2), &None).is_err(), "the key holds for the process");
        assert!(!file.path().exists());
        drop(held);
        let other = Principal { role: Role::Device, id: "pi-43".parse().unwrap() };
        file.keep(&other, &key(1), &None).unwrap();
        assert!(file.read().unwrap().get(&other).is_some(), "written, since nobody holds the lock");
    }

    #[tokio::test]
    async fn first_contacts_that_a_hub_invents_change_nothing_once_the_file_is_full_and_are_not_waited_for() {
        let (_directory, file) = in_private();
        let invented = |number: usize| Principal { role: Role::Service, id: format!("s{number}").parse().unwrap() };
        let mut peers = KnownPeers::default();
        let known = KnownPeer { key: key(1), origin: Origin::FirstUse, since: clock::now_utc() };
        (0..MAX_KNOWN_PEERS - 3).for_each(|number| peers.set(invented(number), known).unwrap());
        write_private(file.path(), &peers.to_string()).unwrap();
        for number in MAX_KNOWN_PEERS - 3..MAX_KNOWN_PEERS {
            file.keep(&invented(number), &key(2), &None).unwrap();
        }
        let full = std::fs::read(file.path()).unwrap();
        // Whoever changes the file would wait a second for this.
        let _held = hold_lock(&file.path().with_extension(LOCK_SUFFIX)).unwrap();
        for number in MAX_KNOWN_PEERS..MAX_KNOWN_PEERS + 5000 {
            let refusal = file.anchors(&invented(number)).await.unwrap_err();
            assert!(refusal.with_hint().contains("devstream trust forget"), "{}", refusal.with_hint());
            let refused = file.keep(&invented(number), &key(3), &None);
            assert!(matches!(refused, Err(KeepError::NoRoom(_))), "{refused:?}");
        }
        assert_eq!(std::fs::read(file.path()).unwrap(), full);
        assert_eq!(file.keep(&invented(0), &key(1), &None), Ok(()), "it is known");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn where_nothing_can_be_written_a_key_holds_for_the_process() {
        let file = KnownFile::new("/proc/devstream/known".into());
        file.keep(&pi_42(), &key(1), &None).unwrap();
        assert_eq!(file.anchors(&pi_42()).await, Ok(Some(vec![key(1)])));
        assert!(file.keep(&pi_42(), &key(2), &None).is_err());
    }
}
