//! PURE. Which streams are ended when the hub is short of memory: those of the services that hold most of it, whose
//! readers take nothing, or next to nothing.
//!
//! A stream whose reader stops holds what was on its way, for as long as both ends live. One service with many of them
//! would keep all others out.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::proto::id::{Role, ServiceName, StreamId};
use crate::proto::refusal::{Refusal, RefusalKind};

/// The time by which a reader is behind before its stream may be ended: longer than a mobile network's handover, and the
/// others, who cannot open a stream meanwhile, still wait for it.
pub(in crate::hub) const STALL_TIME: Duration = Duration::from_secs(10);

/// The bytes a second that a reader must take, or else it falls behind: half of what a 2G network carries. Whoever takes
/// less on purpose, to keep the hub's memory from others, would otherwise need to take one byte now and then.
pub(in crate::hub) const MINIMUM_RATE: u64 = 8 * 1024;

/// How often the kernel's queues are looked at while memory is short.
pub(in crate::hub) const QUEUE_INTERVAL: Duration = Duration::from_secs(1);

/// What is known of a reader that something waits for.
#[derive(Debug, Clone, Copy)]
pub(in crate::hub) struct Reader {
    /// The bytes that it has taken, as seen last.
    taken: u64,
    /// The instant up to which they are enough, at [`MINIMUM_RATE`].
    paid_until: Instant,
    seen_at: Instant,
}

impl Reader {
    /// Begins with a reader that has taken this many bytes by now.
    pub(in crate::hub) fn new(taken: u64, now: Instant) -> Self {
        Self { taken, paid_until: now, seen_at: now }
    }

    /// Notes how many it has taken by now. After a time without a look it may have been at rest, and begins anew.
    #[must_use]
    pub(in crate::hub) fn look(self, taken: u64, now: Instant) -> Self {
        if self.is_stale(now) {
            return Self::new(taken, now);
        }
        let more = taken.saturating_sub(self.taken);
        let paid = Duration::from_micros(more.saturating_mul(1_000_000) / MINIMUM_RATE);
        let paid_until = self.paid_until.checked_add(paid).map_or(now, |until| until.min(now));
        Self { taken: self.taken.max(taken), paid_until, seen_at: now }
    }

    /// Returns the time by which it is behind.
    pub(in crate::hub) fn behind(&self, now: Instant) -> Duration {
        if self.is_stale(now) { Duration::ZERO } else { now.saturating_duration_since(self.paid_until) }
    }

    fn is_stale(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.seen_at) > 5 * QUEUE_INTERVAL
    }
}

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
    /// The time by which it is behind.
    pub(in crate::hub) behind: Duration,
}

impl Holding {
    /// The refusal with which the stream is ended.
    pub(in crate::hub) fn refusal(&self) -> Refusal {
        let (rate, seconds) = (MINIMUM_RATE / 1024, self.behind.as_secs());
        // Short enough for a close frame beside the sentence.
        let detail = format!("the {} took under {rate} KiB/s for {seconds} s", self.reader);
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

    /// Chooses the streams to end until enough is freed: of the service that then holds most, the one whose reader is
    /// furthest behind. None of a service within its share, and none whose reader keeps up with the minimum.
    pub(in crate::hub) fn choose(mut self, excess: u64) -> Vec<Holding> {
        let (mut chosen, mut freed) = (Vec::new(), 0);
        self.streams.retain(|holding| holding.behind >= STALL_TIME);
        self.streams.sort_by_key(|holding| (holding.behind, holding.stream));
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

    #[test]
    fn a_reader_that_trickles_falls_behind_and_one_that_reads_slowly_does_not() {
        let start = crate::net::os::clock::now();
        let behind_after = |seconds: u64, taken: &dyn Fn(u64) -> u64| {
            let at = |second| start + Duration::from_secs(second);
            let looked =
                (1..=seconds).fold(Reader::new(0, start), |reader, second| reader.look(taken(second), at(second)));
            looked.behind(at(seconds)).as_secs()
        };
        assert_eq!(behind_after(12, &|_| 0), 12, "nothing");
        assert_eq!(behind_after(60, &|second| second), 59, "a byte a second");
        assert_eq!(behind_after(20, &|second| second / 8 * 16 * 1024), 16, "a message every 8 s");
        assert_eq!(behind_after(60, &|second| second * MINIMUM_RATE), 0, "the minimum");
        assert_eq!(behind_after(29, &|second| second / 10 * 1024 * 1024), 9, "much of it after pauses");
        let late = start + Duration::from_secs(3600);
        assert_eq!(Reader::new(0, start).behind(late), Duration::ZERO, "nobody has looked");
        assert_eq!(Reader::new(0, start).look(0, late).behind(late), Duration::ZERO, "it begins anew");
    }

    /// Streams of 100 bytes each, numbered from `first`; the later ones have stalled for longer.
    fn streams(service: &str, first: u8, count: u8, stalled: u64) -> Vec<Holding> {
        let holding = |number| Holding {
            stream: StreamId::from_bytes([number; 16]),
            service: service.parse().unwrap(),
            bytes: 100,
            reader: Role::Device,
            behind: Duration::from_secs(stalled + u64::from(number)),
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
