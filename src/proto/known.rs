//! PURE. The end-to-end keys of peers that this machine knows, and the text of the file that keeps them.
//!
//! One line for each peer, in words: role, id, key, how it became known, since when. For instance
//! `device pi-42 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo first-use 2026-11-28T09:00:00Z`.

use std::collections::BTreeMap;
use std::fmt;

use super::id::Principal;
use super::key::PublicKey;
use super::timestamp::Timestamp;

/// Limit of known peers: a hub can invent services, and each one that it invents at a device takes a place for good.
pub const MAX_KNOWN_PEERS: usize = 10_000;

/// Length limit of the file, in bytes: more than [`MAX_KNOWN_PEERS`] of the longest lines.
pub const MAX_KNOWN_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// How a key became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The peer presented it at the first contact.
    FirstUse,
    /// Somebody on this machine said so.
    Pinned,
    /// It succeeded a key that was known, which signed it.
    Succeeded,
    /// The fleet that this machine trusts signed it.
    Fleet,
}

impl Origin {
    const ALL: [Self; 4] = [Self::FirstUse, Self::Pinned, Self::Succeeded, Self::Fleet];

    /// Reports whether something has vouched for the key, beyond that the peer presented it first: a person, the former key or
    /// the fleet. Another key takes its place only where a person says so.
    pub fn is_vouched(self) -> bool {
        self != Self::FirstUse
    }

    /// The word in the file and in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FirstUse => "first-use",
            Self::Pinned => "pinned",
            Self::Succeeded => "succeeded",
            Self::Fleet => "fleet",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is known of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownPeer {
    /// Its identity key.
    pub key: PublicKey,
    /// The way in which the key became known.
    pub origin: Origin,
    /// The time at which it did.
    pub since: Timestamp,
}

/// The known peers, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownPeers(BTreeMap<Principal, KnownPeer>);

/// The error for a line that is none of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {0} is not of the form: device|service ID KEY first-use|pinned|succeeded|fleet TIME")]
pub struct InvalidLine(pub usize);

/// The error for a peer that has no place any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_KNOWN_PEERS} peers are known, which is the limit")]
pub struct TooMany;

impl KnownPeers {
    /// Parses the file. A line that cannot be read is an error: a pin must not be lost in silence.
    pub fn parse(text: &str) -> Result<Self, InvalidLine> {
        let mut peers = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let invalid = InvalidLine(index + 1);
            let (peer, known) = parse_line(line).ok_or(invalid)?;
            if peers.len() >= MAX_KNOWN_PEERS || peers.insert(peer, known).is_some() {
                return Err(invalid);
            }
        }
        Ok(Self(peers))
    }

    /// Returns what is known of a peer.
    pub fn get(&self, peer: &Principal) -> Option<&KnownPeer> {
        self.0.get(peer)
    }

    /// Fails if this peer is not known, and no more can be.
    pub fn ensure_room(&self, peer: &Principal) -> Result<(), TooMany> {
        if self.0.len() >= MAX_KNOWN_PEERS && !self.0.contains_key(peer) { Err(TooMany) } else { Ok(()) }
    }

    /// Sets the key of a peer.
    pub fn set(&mut self, peer: Principal, known: KnownPeer) -> Result<(), TooMany> {
        self.ensure_room(&peer)?;
        self.0.insert(peer, known);
        Ok(())
    }

    /// Forgets a peer, and returns what was known of it.
    pub fn remove(&mut self, peer: &Principal) -> Option<KnownPeer> {
        self.0.remove(peer)
    }

    /// All known peers, devices first.
    pub fn iter(&self) -> impl Iterator<Item = (&Principal, &KnownPeer)> {
        self.0.iter()
    }
}

impl fmt::Display for KnownPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(Principal { role, id }, KnownPeer { key, origin, since })| {
            writeln!(f, "{role} {id} {} {origin} {since}", String::from(*key))
        })
    }
}

fn parse_line(line: &str) -> Option<(Principal, KnownPeer)> {
    let mut words = line.split(' ');
    let mut next = || words.next();
    let (role, id) = (next()?.parse().ok()?, next()?.parse().ok()?);
    let key = next()?.parse().ok()?;
    let origin = next()?;
    let origin = Origin::ALL.into_iter().find(|known| known.as_str() == origin)?;
    let since = Timestamp::parse(next()?)?;
    next().is_none().then_some((Principal { role, id }, KnownPeer { key, origin, since }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::id::Role;
    use crate::proto::key::PrivateKey;
    use crate::proto::secret::KeySeed;

    fn peer(role: Role, id: &str) -> Principal {
        Principal { role, id: id.parse().unwrap() }
    }

    fn known(seed: u8, origin: Origin) -> KnownPeer {
        let key = PrivateKey::from_seed(&KeySeed::new([seed; 32])).public();
        KnownPeer { key, origin, since: Timestamp(1_795_856_400) }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut peers = KnownPeers::default();
        peers.set(peer(Role::Service, "alice"), known(1, Origin::Pinned)).unwrap();
        peers.set(peer(Role::Device, "pi-42"), known(2, Origin::FirstUse)).unwrap();
        peers.set(peer(Role::Device, "pi-43"), known(3, Origin::Succeeded)).unwrap();
        peers.set(peer(Role::Device, "pi-44"), known(4, Origin::Fleet)).unwrap();
        let text = peers.to_string();
        assert_eq!(KnownPeers::parse(&text), Ok(peers));
        assert!(text.starts_with("device pi-42 ") && text.contains("Z\nservice alice "), "{text}");
    }

    #[test]
    fn only_a_key_of_a_first_contact_gives_way_unasked() {
        let vouched = Origin::ALL.into_iter().filter(|origin| origin.is_vouched());
        assert_eq!(vouched.collect::<Vec<_>>(), [Origin::Pinned, Origin::Succeeded, Origin::Fleet]);
    }

    #[test]
    fn a_damaged_line_is_an_error_that_names_it() {
        let mut peers = KnownPeers::default();
        peers.set(peer(Role::Device, "pi-42"), known(1, Origin::FirstUse)).unwrap();
        let line = peers.to_string();
        for (text, at) in [
            (line.replace("device", "gateway"), 1),
            (format!("{line}{}", line.trim_end()), 2),
            (format!("{line}\n"), 2),
            (line.replace("first-use", "unknown"), 1),
            (line.replace("Z\n", "Z more\n"), 1),
            (line.replace("2026", ""), 1),
        ] {
            assert_eq!(KnownPeers::parse(&text), Err(InvalidLine(at)), "{text}");
        }
        for length in 1..line.trim_end().len() {
            assert!(KnownPeers::parse(&line[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn the_peers_of_a_hub_that_invents_some_are_limited_and_push_none_out() {
        let mut peers = KnownPeers::default();
        let known = known(1, Origin::FirstUse);
        for number in 0..MAX_KNOWN_PEERS {
            peers.set(peer(Role::Service, &format!("s{number}")), known).unwrap();
        }
        assert_eq!(peers.set(peer(Role::Service, "another"), known), Err(TooMany));
        assert_eq!(peers.set(peer(Role::Service, "s0"), known), Ok(()), "it is known already");
        assert!(peers.to_string().len() as u64 <= MAX_KNOWN_FILE_BYTES);
        assert_eq!(KnownPeers::parse(&peers.to_string()), Ok(peers));
    }
}
