//! PURE. At which hub a stream is opened, and which hub takes it over.
//!
//! A stream lives at the hub where its device is connected: only asking crosses hubs.

use std::cmp::Reverse;

use crate::proto::id::{HubId, StreamId};

/// What this hub knows of a device's control connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// The device is connected to this hub.
    Here,
    /// The device was connected to another hub, in this run of it.
    Elsewhere {
        /// The other hub.
        hub: HubId,
        /// The run of it that said so.
        run: u64,
    },
    /// All hubs have said that they do not have the device.
    Nowhere,
    /// No hub has said anything of the device.
    Unknown,
}

/// The state of another hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberState {
    /// Takes new connections and streams.
    Live,
    /// Answers for the devices that it still has, and takes nothing new.
    Draining,
    /// Has not been heard of for too long.
    Dead,
}

/// Another hub, as this one sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The hub.
    pub id: HubId,
    /// Its present run.
    pub run: u64,
    /// Its state.
    pub state: MemberState,
    /// The region that its operator gave it.
    pub region: Option<String>,
}

impl Member {
    fn answers(&self) -> bool {
        self.state != MemberState::Dead
    }
}

/// All hubs, as one of them sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// The hub that sees them.
    pub own: HubId,
    /// Its region.
    pub region: Option<String>,
    /// The others.
    pub others: Vec<Member>,
    /// The hub cannot ask the others: what it does not have itself it cannot call offline.
    pub isolated: bool,
    /// One that counts as dead may live.
    pub may_live: bool,
}

/// Where a stream is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// At this hub.
    Here,
    /// At this other hub, if it says so.
    AskHub(HubId),
    /// At the hub that says so when all are asked.
    AskAll,
    /// Nowhere: the device is offline.
    Offline,
    /// Nowhere: whether the device is offline cannot be known.
    Isolated,
}

impl Members {
    /// A hub that is the only one.
    pub fn alone(own: HubId) -> Self {
        Self { own, region: None, others: Vec::new(), isolated: false, may_live: false }
    }

    /// Decides where a stream to a device is opened.
    pub fn place(&self, presence: Presence) -> Placement {
        let is_current = |hub, run| self.others.iter().any(|it| it.id == hub && it.run == run && it.answers());
        match presence {
            Presence::Here => Placement::Here,
            _ if self.isolated => Placement::Isolated,
            Presence::Elsewhere { hub, run } if is_current(hub, run) => Placement::AskHub(hub),
            // Devices of a hub that was restarted, or is gone, connect wherever they get.
            Presence::Elsewhere { .. } | Presence::Unknown if self.others.iter().any(Member::answers) => {
                Placement::AskAll
            }
            Presence::Elsewhere { .. } | Presence::Unknown if self.may_live => Placement::Isolated,
            Presence::Elsewhere { .. } | Presence::Unknown | Presence::Nowhere => Placement::Offline,
        }
    }

    /// Returns the hubs at which the ends of a stream of this hub meet if this one is gone, the first that lives, by rendezvous
    /// hashing: a hub that comes or goes moves no stream but those of its own. Hubs of this one's region go first.
    pub fn successors(&self, stream: StreamId) -> Vec<HubId> {
        let candidates = self.others.iter().filter(|it| it.state == MemberState::Live && it.id != self.own);
        let mut candidates: Vec<_> = candidates.collect();
        candidates.sort_by_key(|it| (it.region != self.region, Reverse(weight(stream, it.id)), it.id));
        candidates.into_iter().map(|it| it.id).collect()
    }
}

/// The weight of a hub for a stream. All hubs must compute the same, in every version: both ids are random, so that mixing them
/// suffices.
fn weight(stream: StreamId, hub: HubId) -> u64 {
    let ids = [stream.bytes(), hub.bytes()];
    let (words, _) = ids.as_flattened().as_chunks::<8>();
    words.iter().fold(0, |hash, word| mix(hash ^ u64::from_be_bytes(*word)))
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::MemberState::{Dead, Draining, Live};
    use super::*;

    /// Streams per property.
    const STREAMS: u64 = 3000;

    fn hub(number: u64) -> HubId {
        HubId::from_bytes(random(number))
    }

    fn stream(number: u64) -> StreamId {
        StreamId::from_bytes(random(!number))
    }

    /// Ids are random.
    fn random(seed: u64) -> [u8; 16] {
        let words = [mix(seed).to_be_bytes(), mix(seed ^ 1 << 63).to_be_bytes()];
        words.as_flattened().try_into().unwrap()
    }

    fn member(number: u64, state: MemberState) -> Member {
        Member { id: hub(number), run: 1, state, region: None }
    }

    impl Members {
        fn first_successor(&self, stream: StreamId) -> Option<HubId> {
            self.successors(stream).first().copied()
        }
    }

    /// Hub 0's view of these others.
    fn members(others: &[(u64, MemberState)]) -> Members {
        let others = others.iter().map(|(number, state)| member(*number, *state)).collect();
        Members { others, ..Members::alone(hub(0)) }
    }

    #[test]
    fn a_stream_is_opened_where_its_device_is() {
        let (alone, three) = (members(&[]), members(&[(1, Live), (2, Draining), (3, Dead)]));
        let cut_off = Members { isolated: true, ..three.clone() };
        let gone = members(&[(3, Dead)]);
        let at = |number| Presence::Elsewhere { hub: hub(number), run: 1 };
        let restarted = Presence::Elsewhere { hub: hub(1), run: 2 };
        for (members, presence, placement) in [
            (&alone, Presence::Here, Placement::Here),
            (&alone, Presence::Unknown, Placement::Offline),
            (&alone, Presence::Nowhere, Placement::Offline),
            (&alone, at(1), Placement::Offline),
            (&three, Presence::Here, Placement::Here),
            (&three, at(1), Placement::AskHub(hub(1))),
            (&three, at(2), Placement::AskHub(hub(2))),
            (&three, at(3), Placement::AskAll),
            (&three, at(4), Placement::AskAll),
            (&three, restarted, Placement::AskAll),
            (&three, Presence::Unknown, Placement::AskAll),
            (&three, Presence::Nowhere, Placement::Offline),
            (&gone, Presence::Unknown, Placement::Offline),
            (&gone, at(3), Placement::Offline),
            (&cut_off, Presence::Here, Placement::Here),
            (&cut_off, at(1), Placement::Isolated),
            (&cut_off, Presence::Unknown, Placement::Isolated),
            (&cut_off, Presence::Nowhere, Placement::Isolated),
        ] {
            assert_eq!(members.place(presence), placement, "{presence:?} {members:?}");
        }
    }

    #[test]
    fn the_successor_is_another_hub_that_takes_streams() {
        assert_eq!(members(&[]).first_successor(stream(1)), None);
        assert_eq!(members(&[(1, Draining), (2, Dead)]).first_successor(stream(1)), None);
        let listed_itself = members(&[(0, Live), (1, Live), (2, Draining)]);
        assert!((0..STREAMS).all(|number| listed_itself.first_successor(stream(number)) == Some(hub(1))));
    }

    #[test]
    fn a_hub_that_comes_or_goes_moves_no_stream_but_those_of_its_own() {
        let before = members(&[(1, Live), (2, Live), (3, Live), (4, Draining)]);
        let mut reversed = before.clone();
        reversed.others.reverse();
        let without_3 = members(&[(1, Live), (2, Live), (3, Dead), (4, Draining)]);
        let with_5 = members(&[(1, Live), (2, Live), (3, Live), (5, Live)]);
        for stream in (0..STREAMS).map(stream) {
            let was = before.first_successor(stream);
            assert_eq!(reversed.first_successor(stream), was, "order means nothing");
            assert!(was == Some(hub(3)) || without_3.first_successor(stream) == was);
            let is = with_5.first_successor(stream);
            assert!(is == Some(hub(5)) || is == was);
        }
    }

    #[test]
    fn streams_are_spread_evenly_over_successors() {
        for count in 2..6 {
            let others: Vec<_> = (1..=count).map(|number| (number, Live)).collect();
            let members = members(&others);
            let mut spread = HashMap::<_, u64>::new();
            (0..STREAMS).for_each(|number| *spread.entry(members.first_successor(stream(number))).or_default() += 1);
            let share = STREAMS / count;
            let fits = |streams: &u64| (share * 9 / 10..=share * 11 / 10).contains(streams);
            assert!(spread.len() as u64 == count && spread.values().all(fits), "{count}: {spread:?}");
        }
    }

    #[test]
    fn the_weight_is_the_same_in_every_version() {
        let (stream, hub) = (StreamId::from_bytes([1; 16]), HubId::from_bytes([2; 16]));
        assert_eq!(weight(stream, hub), 0x33e5_0c2d_ffb5_9715);
    }

    #[test]
    fn a_hub_of_the_same_region_goes_first() {
        let mut members = members(&[(1, Live), (2, Live), (3, Live)]);
        members.region = Some("eu".into());
        members.others[2].region = Some("us".into());
        assert!(
            (0..STREAMS).any(|number| members.first_successor(stream(number)) == Some(hub(3))),
            "no other is of it"
        );
        members.others[1].region = Some("eu".into());
        assert!((0..STREAMS).all(|number| members.first_successor(stream(number)) == Some(hub(2))));
        members.others[1].state = Dead;
        assert!((0..STREAMS).any(|number| members.first_successor(stream(number)) == Some(hub(1))));
    }
}
