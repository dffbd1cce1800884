//! PURE. Which hubs there are, by the beats that each sends once a second.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::other_hubs::OtherHubs;
use super::placement::{Member, MemberState, Members};
use super::stamp::Stamp;
use crate::proto::id::HubId;
use crate::proto::join::HubAddress;
use crate::proto::timestamp::Timestamp;

/// The interval of beats.
pub const BEAT_INTERVAL: Duration = Duration::from_secs(1);

/// The time without a beat after which a hub counts as dead: three in a row are lost.
pub const DEAD_AFTER: Duration = Duration::from_millis(3500);

/// The time for which a dead hub is remembered: the ends of its streams return within the longest interruption.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// The limit on hubs, dead ones included. Each hears of every device, so that no cluster has as many.
const MAX_HUBS: usize = 256;

/// What a hub says of itself once a second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// The hub.
    pub hub: HubId,
    /// Its run.
    pub run: u64,
    /// When it was sent, by the hub's hybrid clock: a beat that is not later than the last is a repetition.
    pub sent: Stamp,
    /// The address of its own, at which clients reach this hub and no other.
    pub address: HubAddress,
    /// The version of its program.
    pub version: String,
    /// The region that its operator gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The start of this run.
    pub since: Timestamp,
    /// The devices that are connected to it.
    pub devices: usize,
    /// Its streams.
    pub streams: usize,
    /// It takes no new streams and devices.
    #[serde(default)]
    pub draining: bool,
    /// It is about to end: this is its last beat.
    #[serde(default)]
    pub leaving: bool,
    /// The revision of the registry that its mirror has.
    pub revision: u64,
    /// The messages about its devices that this run has sent.
    #[serde(default)]
    pub news: u64,
    /// The hubs that have to tell all of their devices again: it has missed some of their news.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<HubId>,
}

/// A hub, as this one heard of it last.
#[derive(Debug, Clone)]
struct OtherHub {
    beat: Heartbeat,
    at: Instant,
    /// When it counted as dead.
    died: Option<Instant>,
    /// It counts as dead because the engine said that it does not listen, and no beat of it was missed: it may be connecting
    /// again, or somebody else said so.
    may_live: bool,
}

impl OtherHub {
    fn state(&self) -> MemberState {
        match self {
            Self { died: Some(_), .. } => MemberState::Dead,
            Self { beat: Heartbeat { draining: true, .. }, .. } => MemberState::Draining,
            Self { .. } => MemberState::Live,
        }
    }
}

/// All other hubs.
#[derive(Debug)]
pub struct MemberTable {
    own: HubId,
    region: Option<String>,
    heard: HashMap<HubId, OtherHub>,
    /// The engine is out of reach since then.
    isolated_since: Option<Instant>,
    /// When beats that did not come were looked for last.
    looked_at: Option<Instant>,
}

/// What follows from a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeartbeatEffect {
    /// Nothing new.
    Nothing,
    /// The hub's state is another one.
    Changed,
    /// The run of the hub was not known: it knows no device of this one.
    New,
}

impl MemberTable {
    /// A table without other hubs.
    pub fn new(own: HubId, region: Option<String>) -> Self {
        Self { own, region, heard: HashMap::new(), isolated_since: None, looked_at: None }
    }

    /// Takes note of a beat.
    pub fn hear(&mut self, beat: Heartbeat, now: Instant) -> HeartbeatEffect {
        if beat.hub == self.own || (self.heard.len() >= MAX_HUBS && !self.heard.contains_key(&beat.hub)) {
            return HeartbeatEffect::Nothing;
        }
        if self.heard.get(&beat.hub).is_some_and(|last| beat.sent <= last.beat.sent) {
            return HeartbeatEffect::Nothing;
        }
        let died = beat.leaving.then_some(now);
        let (hub, run) = (beat.hub, beat.run);
        let heard = OtherHub { beat, at: now, died, may_live: false };
        let (state, before) = (heard.state(), self.heard.insert(hub, heard));
        match before {
            Some(before) if before.beat.run == run && before.died.is_none() && before.state() == state => {
                HeartbeatEffect::Nothing
            }
            Some(before) if before.beat.run == run && state == MemberState::Dead => {
                if before.died.is_some() {
                    HeartbeatEffect::Nothing
                } else {
                    HeartbeatEffect::Changed
                }
            }
            Some(before) if before.beat.run == run && before.died.is_none() => HeartbeatEffect::Changed,
            // It may have been cut off, and have missed what was said meanwhile.
            Some(_) | None => HeartbeatEffect::New,
        }
    }

    /// A hub does not answer at all: the engine says that nobody listens in its name. Its streams go on elsewhere; of its devices
    /// nothing is known until its beats are missed too.
    pub fn bury(&mut self, hub: HubId, now: Instant) -> bool {
        let alive = self.heard.get_mut(&hub).filter(|heard| heard.died.is_none());
        alive.map(|heard| (heard.died, heard.may_live) = (Some(now), true)).is_some()
    }

    /// Reports whether a hub that counts as dead may live.
    pub fn may_one_live(&self) -> bool {
        self.heard.values().any(|heard| heard.may_live)
    }

    /// Returns the hubs that have just died of silence. While the engine is out of reach, silence says nothing.
    pub fn expire(&mut self, now: Instant) -> Vec<HubId> {
        self.heard.retain(|_, heard| heard.died.is_none_or(|died| now < died + REMEMBERED));
        if self.isolated_since.is_some() {
            return Vec::new();
        }
        if self.looked_at.replace(now).is_some_and(|last| last + 2 * BEAT_INTERVAL < now) {
            // This hub stood still, and has not read what they said meanwhile.
            self.heard.values_mut().for_each(|heard| heard.at = now);
        }
        let is_silent = |heard: &OtherHub| heard.at + DEAD_AFTER <= now;
        self.heard.values_mut().filter(|heard| is_silent(heard)).for_each(|heard| heard.may_live = false);
        let silent = self.heard.iter_mut().filter(|(_, heard)| heard.died.is_none() && is_silent(heard));
        silent.map(|(hub, heard)| (*hub, heard.died = Some(now)).0).collect()
    }

    /// The engine is out of reach, or in reach again: then the others have [`DEAD_AFTER`] for their next beats.
    pub fn set_isolated(&mut self, isolated: bool, now: Instant) -> bool {
        if isolated == self.isolated_since.is_some() {
            return false;
        }
        self.isolated_since = isolated.then_some(now);
        self.heard.values_mut().for_each(|heard| heard.at = now);
        true
    }

    /// The time since which the engine is out of reach.
    pub fn isolated_since(&self) -> Option<Instant> {
        self.isolated_since
    }

    /// Returns all hubs for the choice of one.
    pub fn members(&self) -> Members {
        let member = |heard: &OtherHub| Member {
            id: heard.beat.hub,
            run: heard.beat.run,
            state: heard.state(),
            region: heard.beat.region.clone(),
        };
        Members {
            own: self.own,
            region: self.region.clone(),
            others: self.heard.values().map(member).collect(),
            isolated: self.isolated_since.is_some(),
            may_live: self.may_one_live(),
        }
    }

    /// Returns a hub's own address, if it is alive.
    pub fn address(&self, hub: HubId) -> Option<&HubAddress> {
        self.heard.get(&hub).filter(|heard| heard.died.is_none()).map(|heard| &heard.beat.address)
    }

    /// Reports whether a hub is known to be alive.
    pub fn is_alive(&self, hub: HubId) -> bool {
        self.heard.get(&hub).is_some_and(|heard| heard.died.is_none())
    }

    /// Returns what the broker has to know of the others.
    pub fn other_hubs(&self) -> OtherHubs {
        let hubs = self.heard.iter().map(|(hub, heard)| (*hub, heard.died)).collect();
        OtherHubs { hubs, isolated: self.isolated_since.is_some() }
    }

    /// Returns the hubs that are alive.
    pub fn alive(&self) -> impl Iterator<Item = HubId> {
        self.heard.iter().filter(|(_, heard)| heard.died.is_none()).map(|(hub, _)| *hub)
    }

    /// Returns the addresses of the hubs that are dead.
    pub fn dead(&self) -> impl Iterator<Item = &HubAddress> {
        self.heard.values().filter(|heard| heard.died.is_some()).map(|heard| &heard.beat.address)
    }

    /// Returns the last beat of every other hub, how long ago it was heard, and the hub's state.
    pub fn beats(&self, now: Instant) -> impl Iterator<Item = (&Heartbeat, Duration, MemberState)> {
        self.heard.values().map(move |heard| (&heard.beat, now.saturating_duration_since(heard.at), heard.state()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(number: u8) -> HubId {
        HubId::from_bytes([number; 16])
    }

    /// Each is later than the last.
    fn beat(number: u8, run: u64) -> Heartbeat {
        static LAST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let sent = LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Heartbeat {
            sent: serde_json::from_value(sent.into()).unwrap(),
            hub: hub(number),
            run,
            address: format!("h{number}.hub.test").parse().unwrap(),
            version: "1.0.0".into(),
            region: None,
            since: Timestamp(0),
            devices: 0,
            streams: 0,
            draining: false,
            leaving: false,
            revision: 0,
            news: 0,
            behind: Vec::new(),
        }
    }

    fn states(table: &MemberTable) -> Vec<(HubId, MemberState)> {
        let mut states: Vec<_> = table.members().others.iter().map(|it| (it.id, it.state)).collect();
        states.sort_by_key(|(id, _)| *id);
        states
    }

    #[test]
    fn a_hub_is_dead_after_three_beats_that_did_not_come() {
        let (mut table, start) = (MemberTable::new(hub(0), None), tokio::time::Instant::now().into_std());
        assert_eq!(table.hear(beat(1, 1), start), HeartbeatEffect::New);
        assert_eq!(table.hear(beat(2, 1), start), HeartbeatEffect::New);
        assert_eq!(table.hear(beat(0, 1), start), HeartbeatEffect::Nothing, "its own");
        let later = start + 3 * BEAT_INTERVAL;
        assert_eq!(table.hear(beat(1, 1), later), HeartbeatEffect::Nothing);
        assert_eq!(table.expire(later), []);
        let dead = start + DEAD_AFTER;
        assert_eq!(table.expire(dead), [hub(2)]);
        assert_eq!(table.expire(dead), [], "told once");
        assert_eq!(states(&table), [(hub(1), MemberState::Live), (hub(2), MemberState::Dead)]);
        assert_eq!(table.other_hubs().hubs, [(hub(1), None), (hub(2), Some(dead))].into());
        assert!(table.address(hub(1)).is_some() && table.address(hub(2)).is_none());
        assert_eq!(table.hear(beat(2, 1), dead + BEAT_INTERVAL), HeartbeatEffect::New, "it was cut off or frozen");
        assert!(table.is_alive(hub(2)));
    }

    #[test]
    fn a_new_run_knows_nothing_and_a_last_beat_ends_one_at_once() {
        let (mut table, start) = (MemberTable::new(hub(0), None), tokio::time::Instant::now().into_std());
        table.hear(beat(1, 1), start);
        assert_eq!(table.hear(Heartbeat { draining: true, ..beat(1, 1) }, start), HeartbeatEffect::Changed);
        assert_eq!(states(&table), [(hub(1), MemberState::Draining)]);
        assert_eq!(table.hear(Heartbeat { leaving: true, ..beat(1, 1) }, start), HeartbeatEffect::Changed);
        assert_eq!(table.hear(Heartbeat { leaving: true, ..beat(1, 1) }, start), HeartbeatEffect::Nothing);
        assert_eq!(states(&table), [(hub(1), MemberState::Dead)]);
        assert_eq!(table.hear(beat(1, 2), start), HeartbeatEffect::New);
        assert_eq!(states(&table), [(hub(1), MemberState::Live)]);
        assert!(table.bury(hub(1), start) && !table.bury(hub(1), start) && !table.bury(hub(9), start));
    }

    #[test]
    fn a_beat_that_somebody_repeats_says_nothing() {
        let (mut table, start) = (MemberTable::new(hub(0), None), tokio::time::Instant::now().into_std());
        let [first, last] = [beat(1, 1), Heartbeat { leaving: true, ..beat(1, 1) }];
        table.hear(first.clone(), start);
        table.hear(last.clone(), start);
        assert_eq!(table.hear(first, start), HeartbeatEffect::Nothing, "it does not live again");
        assert!(!table.is_alive(hub(1)));
        table.hear(beat(1, 2), start);
        assert_eq!(table.hear(last, start), HeartbeatEffect::Nothing, "the next run does not end");
        assert!(table.is_alive(hub(1)));
    }

    #[test]
    fn a_hub_that_stood_still_takes_nobody_for_dead() {
        let (mut table, start) = (MemberTable::new(hub(0), None), tokio::time::Instant::now().into_std());
        table.hear(beat(1, 1), start);
        assert_eq!(table.expire(start), []);
        let thawed = start + 10 * DEAD_AFTER;
        assert_eq!(table.expire(thawed), [], "what was said meanwhile is not read yet");
        for beats in 1..4 {
            assert_eq!(table.expire(thawed + beats * BEAT_INTERVAL), []);
        }
        assert_eq!(table.expire(thawed + DEAD_AFTER), [hub(1)]);
    }

    #[test]
    fn a_hub_that_does_not_listen_may_live_until_its_beats_are_missed_too() {
        let (mut table, start) = (MemberTable::new(hub(0), None), tokio::time::Instant::now().into_std());
        table.hear(beat(1, 1), start);
        assert!(!table.may_one_live() && table.bury(hub(1), start));
        let presence = crate::hub::cluster::view::placement::Presence::Unknown;
        assert!(!table.is_alive(hub(1)) && table.may_one_live());
        assert_eq!(table.members().place(presence), super::super::placement::Placement::Isolated);
        for beats in 0..4 {
            assert_eq!(table.expire(start + beats * BEAT_INTERVAL), []);
            assert!(table.may_one_live());
        }
        table.expire(start + DEAD_AFTER);
        assert!(!table.may_one_live());
        assert_eq!(table.members().place(presence), super::super::placement::Placement::Offline);
        table.hear(Heartbeat { leaving: true, ..beat(1, 1) }, start + DEAD_AFTER);
        assert!(!table.may_one_live(), "it said so itself");
    }

    #[test]
    fn silence_while_the_engine_is_out_of_reach_kills_nobody() {
        let (mut table, start) = (MemberTable::new(hub(0), None), tokio::time::Instant::now().into_std());
        table.hear(beat(1, 1), start);
        assert!(table.set_isolated(true, start) && !table.set_isolated(true, start));
        assert_eq!(table.expire(start + 10 * DEAD_AFTER), []);
        assert!(table.members().isolated && table.is_alive(hub(1)));
        let back = start + 20 * DEAD_AFTER;
        assert!(table.set_isolated(false, back));
        for beats in 0..4 {
            assert_eq!(table.expire(back + beats * BEAT_INTERVAL), [], "its beats may be on their way");
        }
        assert_eq!(table.expire(back + DEAD_AFTER), [hub(1)]);
        assert_eq!(table.expire(back + DEAD_AFTER + REMEMBERED), []);
        assert_eq!(states(&table), []);
    }
}
