//! PURE. Which streams are ended when the hub is short of memory: those of the services that hold most of it, whose
//! readers take nothing.
//!
//! A stream whose reader stops holds what was on its way, for as long as both ends live. One service with many of them
//! would keep all others out.

use std::collections::HashMap;
use std::time::Duration;

use crate::proto::id::{Role, ServiceName, StreamId};
use crate::proto::refusal::{Refusal, RefusalKind};

/// The time for which a reader took nothing before its stream may be ended: longer than a mobile network's handover, and
/// the others, who cannot open a stream meanwhile, still wait for it.
pub(in crate::hub) const STALL_TIME: Duration = Duration::from_secs(10);

/// The memory that is missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) struct Shortage {
    /// The bytes that all streams together may take.
    pub(in crate::hub) room: u64,
    /// The bytes to be freed.
    pub(in crate::hub) excess: u64,
}

/// A stream with bytes for a reader that has not taken them yet.
#[derive(Debug, Clone)]
pub(in crate::hub) struct Holding {
    pub(in crate::hub) stream: StreamId,
    pub(in crate::hub) service: ServiceName,
    pub(in crate::hub) bytes: u64,
    /// The end that is to take them.
    pub(in crate::hub) reader: Role,
    /// The time for which it took nothing.
    pub(in crate::hub) stalled: Duration,
}

impl Holding {
    /// The refusal with which the stream is ended.
    pub(in crate::hub) fn refusal(&self) -> Refusal {
        let detail = format!("the {} read nothing for {} s", self.reader, self.stalled.as_secs());
        Refusal::new(RefusalKind::NotRead, detail)
    }
}

/// The holdings of all streams, by service.
#[derive(Debug)]
pub(in crate::hub) struct Holdings {
    streams: Vec<Holding>,
    of_service: HashMap<ServiceName, u64>,
    /// What each service may hold whatever the others do.
    share: u64,
}

impl Holdings {
    /// Sums up the holdings, for this number of services that have streams or ask for one.
    pub(in crate::hub) fn new(streams: Vec<Holding>, services: usize, room: u64) -> Self {
        let mut of_service = HashMap::new();
        for holding in &streams {
            *of_service.entry(holding.service.clone()).or_default() += holding.bytes;
        }
        Self { streams, of_service, share: room / u64::try_from(services.max(1)).unwrap_or(u64::MAX) }
    }

    /// Reports whether a service holds more than its share.
    pub(in crate::hub) fn exceeds_share(&self, service: &ServiceName) -> bool {
        self.of_service.get(service).is_some_and(|held| *held > self.share)
    }

    /// Chooses the streams to end until enough is freed: of the service that then holds most, the one whose reader has
    /// taken nothing for longest. None of a service within its share, and none whose reader takes something.
    pub(in crate::hub) fn choose(mut self, excess: u64) -> Vec<Holding> {
        let (mut chosen, mut freed) = (Vec::new(), 0);
        self.streams.retain(|holding| holding.stalled >= STALL_TIME);
        self.streams.sort_by_key(|holding| (holding.stalled, holding.stream));
        while freed < excess {
            let held = |holding: &Holding| self.of_service.get(&holding.service).copied().unwrap_or_default();
            let candidates = self.streams.iter().enumerate().filter(|(_, holding)| held(holding) > self.share);
            let Some((index, _)) = candidates.max_by_key(|(index, holding)| (held(holding), *index)) else { break };
            let holding = self.streams.remove(index);
            freed += holding.bytes;
            if let Some(held) = self.of_service.get_mut(&holding.service) {
                *held -= holding.bytes;
            }
            chosen.push(holding);
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Streams of 100 bytes each, numbered from `first`; the later ones have stalled for longer.
    fn streams(service: &str, first: u8, count: u8, stalled: u64) -> Vec<Holding> {
        let holding = |number| Holding {
            stream: StreamId::from_bytes([number; 16]),
            service: service.parse().unwrap(),
            bytes: 100,
            reader: Role::Device,
            stalled: Duration::from_secs(stalled + u64::from(number)),
        };
        (first..first + count).map(holding).collect()
    }

    fn chosen(streams: &[Vec<Holding>], services: usize, excess: u64) -> Vec<u8> {
        let holdings = Holdings::new(streams.concat(), services, 1000);
        let chosen = holdings.choose(excess);
        chosen.iter().map(|holding| holding.stream.to_string()[..2].to_owned()).map(|text| hex(&text)).collect()
    }

    fn hex(text: &str) -> u8 {
        u8::from_str_radix(text, 16).unwrap()
    }

    #[test]
    fn the_streams_that_stalled_first_of_the_service_that_holds_most_are_ended() {
        let (alice, carol) = (streams("alice", 0, 8, 20), streams("carol", 50, 4, 60));
        assert_eq!(chosen(&[alice.clone(), carol.clone()], 3, 150), [7, 6], "no more than needed");
        assert_eq!(chosen(&[carol, alice], 3, 100), [7]);
    }

    #[test]
    fn a_service_is_left_its_share_and_a_reader_that_takes_something_its_stream() {
        let alice = streams("alice", 0, 8, 20);
        assert_eq!(chosen(std::slice::from_ref(&alice), 2, 10_000), [7, 6, 5], "down to half of the room");
        assert_eq!(chosen(std::slice::from_ref(&alice), 1, 10_000).len(), 0, "nobody else asks");
        assert_eq!(chosen(&[streams("alice", 0, 8, 0)], 2, 10_000).len(), 0, "none has stalled for long enough");
        let many = [alice, streams("carol", 50, 3, 60)];
        assert_eq!(chosen(&many, 3, 10_000), [7, 6, 5, 4, 3], "carol is within a third");
        let holdings = Holdings::new(many.concat(), 3, 1000);
        let exceeds = |service: &str| holdings.exceeds_share(&service.parse().unwrap());
        assert_eq!(["alice", "carol", "bob"].map(exceeds), [true, false, false]);
    }

    #[test]
    fn two_services_that_hold_too_much_are_relieved_in_turn() {
        let both = [streams("alice", 0, 8, 20), streams("carol", 50, 8, 20)];
        let chosen = chosen(&both, 4, 400);
        assert_eq!(chosen.iter().filter(|number| **number < 50).count(), 2, "{chosen:?}");
    }
}
