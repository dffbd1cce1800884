//! What an end of a stream knows of the keys of its peers.

use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;

use parking_lot::Mutex;

use crate::net::os::clock;
use crate::proto::id::Principal;
use crate::proto::key::PublicKey;
use crate::proto::known::{KnownPeer, KnownPeers, Origin};
use crate::proto::refusal::Refusal;

/// The keys that may vouch for a peer; `None` where it is met for the first time.
pub type Anchors = Option<Vec<PublicKey>>;

/// The answer of [`PeerKeys::anchors`].
pub type AnchorsFuture<'a> = Pin<Box<dyn Future<Output = Result<Anchors, Refusal>> + Send + 'a>>;

/// The source of the keys of peers.
pub trait PeerKeys: fmt::Debug + Send + Sync {
    /// Returns the keys that may vouch for this peer.
    fn anchors<'a>(&'a self, peer: &'a Principal) -> AnchorsFuture<'a>;

    /// Returns what is known of this peer on this machine.
    fn known(&self, peer: &Principal) -> Option<KnownPeer>;

    /// Returns why this peer's key is known to this process only; `None` if it is stored, or is not to be.
    fn not_stored(&self, _: &Principal) -> Option<String> {
        None
    }

    /// An error if what is known cannot be read: nothing is known then, and nothing that rests on that may be done.
    fn ensure_readable(&self) -> Result<(), Refusal> {
        Ok(())
    }

    /// Returns the flag with which a person selects this identity in `devstream trust`, after a space; none where the default
    /// is this one.
    fn trust_flag(&self) -> &str {
        ""
    }

    /// Keeps the key of a peer that was met for the first time, or that one of these anchors vouched for. An error is that
    /// another key of it has become known meanwhile, or that it has no place.
    fn keep(&self, peer: &Principal, key: &PublicKey, anchors: &Anchors) -> Result<(), KeepError>;

    /// Keeps the key of a peer that the fleet has signed, in place of any other, for a person who lists what is known. Where
    /// it has no place, the fleet vouches for it all the same.
    fn keep_signed(&self, peer: &Principal, key: &PublicKey);
}

/// The error for a key that is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeepError {
    /// Another key became known meanwhile.
    Another(KnownPeer),
    /// No more peers can be known.
    NoRoom(String),
}

/// Decides whether a key that a peer has presented is kept: returns what to keep, or nothing if it is known already.
pub fn decide(known: Option<&KnownPeer>, key: &PublicKey, anchors: &Anchors) -> Result<Option<KnownPeer>, KeepError> {
    let with = |origin| Ok(Some(KnownPeer { key: *key, origin, since: clock::now_utc() }));
    match known {
        None => with(Origin::FirstUse),
        Some(known) if known.key == *key => Ok(None),
        Some(known) if anchors.as_ref().is_some_and(|anchors| anchors.contains(&known.key)) => with(Origin::Succeeded),
        Some(known) => Err(KeepError::Another(*known)),
    }
}

/// Returns what to keep of a peer whose key the fleet has signed, or nothing if that is known already. A person's pin stays
/// for when no fleet is trusted any more.
pub fn signed(known: Option<&KnownPeer>, key: &PublicKey) -> Option<KnownPeer> {
    let stays =
        |known: &KnownPeer| known.origin == Origin::Pinned || known.key == *key && known.origin == Origin::Fleet;
    (!known.is_some_and(stays)).then(|| KnownPeer { key: *key, origin: Origin::Fleet, since: clock::now_utc() })
}

/// Keys of peers in memory alone, each kept at its first use: for programs that do not store any.
#[derive(Debug, Default)]
pub struct FirstUse(Mutex<KnownPeers>);

impl PeerKeys for FirstUse {
    fn anchors<'a>(&'a self, peer: &'a Principal) -> AnchorsFuture<'a> {
        let anchors = self.0.lock().get(peer).map(|known| vec![known.key]);
        Box::pin(ready(Ok(anchors)))
    }

    fn known(&self, peer: &Principal) -> Option<KnownPeer> {
        self.0.lock().get(peer).copied()
    }

    fn keep(&self, peer: &Principal, key: &PublicKey, anchors: &Anchors) -> Result<(), KeepError> {
        let mut peers = self.0.lock();
        match decide(peers.get(peer), key, anchors)? {
            Some(known) => peers.set(peer.clone(), known).map_err(|error| KeepError::NoRoom(error.to_string())),
            None => Ok(()),
        }
    }

    fn keep_signed(&self, peer: &Principal, key: &PublicKey) {
        let mut peers = self.0.lock();
        if let Some(known) = signed(peers.get(peer), key) {
            let _ = peers.set(peer.clone(), known);
        }
    }
}
