//! Connections that have not proved who they are: how many, from where, and what is held against their sources.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::penalty::{Offence, Penalties, Rules, Verdict, network};
use crate::net::{clock, random};

/// How many there may be.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    /// In all. From half of them on, some are sent away at random, the more the fewer places are left (as sshd's
    /// MaxStartups): whoever holds all the places does not keep everybody out.
    pub in_all: usize,
    /// From one source.
    pub per_source: usize,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Strangers {
    places: Places,
    counts: Mutex<Counts>,
    penalties: Mutex<Penalties>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    sources: HashMap<IpAddr, usize>,
}

/// Why somebody is not even listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turned {
    /// Its source is kept away.
    Banned,
    /// Too many strangers.
    Crowd,
    /// Too many strangers from one source.
    Swarm,
}

impl Strangers {
    /// Nobody yet.
    pub(super) fn new(places: Places, rules: Rules) -> Self {
        Self { places, counts: Mutex::default(), penalties: Mutex::new(Penalties::new(rules)) }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.counts().all
    }

    /// How many sources are kept away or slowed.
    pub(super) fn penalised(&self) -> usize {
        self.penalties().enforced(clock::now())
    }

    /// One more, unless there are too many.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Stranger, Turned> {
        if self.verdict(address) == Verdict::Banned {
            return Err(Turned::Banned);
        }
        let source = network(address);
        let mut counts = self.counts();
        let own = counts.sources.get(&source).copied().unwrap_or(0);
        if own >= self.places.per_source {
            return Err(Turned::Swarm);
        }
        if is_dropped(counts.all, self.places.in_all, random::dice()) {
            return Err(Turned::Crowd);
        }
        counts.all += 1;
        counts.sources.insert(source, own + 1);
        Ok(Stranger { strangers: self.clone(), source })
    }

    /// How to deal with a source.
    pub(super) fn verdict(&self, source: IpAddr) -> Verdict {
        self.penalties().verdict(source, clock::now())
    }

    /// A source did something wrong. Returns true if that has consequences from now on.
    pub(super) fn offended(&self, source: IpAddr, offence: Offence) -> bool {
        self.penalties().offended(source, offence, clock::now())
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn penalties(&self) -> MutexGuard<'_, Penalties> {
        self.penalties.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the next one is sent away: never below half, always when full.
fn is_dropped(all: usize, most: usize, dice: u64) -> bool {
    let start = most / 2;
    if all < start {
        return false;
    }
    let (over, span) = ((all - start) as u64, (most - start).max(1) as u64);
    all >= most || dice % span < over
}

/// A place among the strangers, given back when dropped.
#[derive(Debug)]
pub(super) struct Stranger {
    strangers: Arc<Strangers>,
    source: IpAddr,
}

impl Stranger {
    /// It has proved who it is.
    pub(super) fn known(self) -> Known {
        self.strangers.penalties().good_arrived(self.source);
        Known { strangers: self.strangers.clone(), source: self.source }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut counts = self.strangers.counts();
        counts.all -= 1;
        if let Some(own) = counts.sources.get_mut(&self.source) {
            *own -= 1;
            if *own == 0 {
                counts.sources.remove(&self.source);
            }
        }
    }
}

/// A connection that has proved who it is: for as long as it lasts, its source is not kept away.
#[derive(Debug)]
pub(super) struct Known {
    strangers: Arc<Strangers>,
    source: IpAddr,
}

impl Drop for Known {
    fn drop(&mut self) {
        self.strangers.penalties().good_left(self.source, clock::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_network_takes_no_more_than_its_share_of_places_and_gives_them_back() {
        let strangers = Arc::new(Strangers::new(Places { in_all: 1000, per_source: 64 }, Rules::default()));
        let mut places = Vec::new();
        for host in 0..64 {
            places.push(strangers.admit(address(&format!("2001:db8:1:2::{host:x}"))).unwrap());
        }
        let again = strangers.admit(address("2001:db8:1:2:ffff::1"));
        assert_eq!(again.err(), Some(Turned::Swarm), "the same /64");
        assert!(strangers.admit(address("2001:db8:1:3::1")).is_ok(), "another /64");
        assert!(strangers.admit(address("192.0.2.1")).is_ok());
        places.pop();
        assert!(strangers.admit(address("2001:db8:1:2::1")).is_ok(), "a place came back");
    }

    #[test]
    fn the_fuller_it_is_the_more_are_sent_away_and_none_below_half() {
        let dropped = |all| (0..1000).filter(|dice| is_dropped(all, 1000, *dice)).count();
        assert_eq!([0, 499, 500, 750, 1000].map(dropped), [0, 0, 0, 500, 1000]);
        assert!(is_dropped(0, 0, 1), "no places at all");
    }

    #[test]
    fn who_holds_a_good_connection_or_has_just_lost_one_is_not_kept_away() {
        let strangers = Arc::new(Strangers::new(Places { in_all: 10, per_source: 10 }, Rules::default()));
        let (fleet, thief) = (address("192.0.2.1"), address("192.0.2.2"));
        let known = strangers.admit(fleet).unwrap().known();
        for source in [fleet, thief].repeat(4) {
            strangers.offended(source, Offence::WrongProof);
        }
        assert_eq!(strangers.verdict(fleet), Verdict::Slowed);
        assert!(strangers.admit(fleet).is_ok());
        drop(known);
        assert!(strangers.admit(fleet).is_ok(), "it wants its streams back");
        assert_eq!(strangers.admit(thief).err(), Some(Turned::Banned));
        assert_eq!((strangers.count(), strangers.penalised()), (0, 2));
    }
}
