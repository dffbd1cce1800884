//! The file of known keys: what is read is written again as the same, and no key is lost or doubled in silence.

use devstream::proto::known::{KnownPeers, MAX_KNOWN_PEERS};

use super::input::text;

pub fn check(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(peers) = KnownPeers::parse(text) else { return };
    assert_eq!(peers.iter().count(), text.lines().count(), "a line without a peer");
    assert!(peers.iter().count() <= MAX_KNOWN_PEERS);
    assert_eq!(KnownPeers::parse(&peers.to_string()), Ok(peers));
}
