//! PURE. Which streams give way when the hub is short of memory: those of the services that hold most of it, the ones
//! first whose ends take or send nothing, or next to nothing.
//!
//! A stream holds what its reader has not taken, and the part of a message that has arrived, for as long as both ends live.
//! One service with many of them would keep all others out, for whom some memory must always be left.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::proto::id::{Role, ServiceName, StreamId};
use crate::proto::limits::UNJOINED_LEG_BYTES;
use crate::proto::refusal::{Refusal, RefusalKind};

/// The time by which an end is behind before its stream is ended rather than interrupted: longer than a mobile network's
/// handover.
pub(in crate::hub) const STALL_TIME: Duration = Duration::from_secs(10);

/// The time for which a stream that cannot be resumed was watched before it may be ended, so that those come first whose
/// ends do nothing. Short: others, who are within their shares, wait meanwhile.
const WATCH_TIME: Duration = Duration::from_secs(1);

/// The bytes a second that an end must take or send, or else it falls behind: half of what a 2G network carries. Whoever
/// takes less on purpose, to keep the hub's memory from others, would otherwise need to take one byte now and then.
pub(in crate::hub) const MINIMUM_RATE: u64 = 8 * 1024;

/// How often the kernel's queues are looked at while memory is short.
pub(in crate::hub) const QUEUE_INTERVAL: Duration = Duration::from_secs(1);

/// The memory of a stream at rest, in bytes: two TLS connections and their tasks, measured with 500 of them.
pub(in crate::hub) const STREAM_BYTES: u64 = 28 * 1024;

/// The most that a leg holds beside [`STREAM_BYTES`] while it waits for its peer: what it may send ahead, and as much again in
/// a record of TLS.
const WAITING_LEG_BYTES: u64 = 2 * UNJOINED_LEG_BYTES as u64;

/// The progress of an end that something waits for: of its reading, or of its sending the rest of a message.
#[derive(Debug, Clone, Copy)]
pub(in crate::hub) struct Progress {
    /// The bytes that it has taken or sent, as seen last.
    moved: u64,
    /// The instant up to which they are enough, at [`MINIMUM_RATE`].
    paid_until: Instant,
    since: Instant,
    seen_at: Instant,
}

impl Progress {
    /// Begins with an end that has moved this many bytes by now.
    pub(in crate::hub) fn new(moved: u64, now: Instant) -> Self {
        Self { moved, paid_until: now, since: now, seen_at: now }
    }

    /// Notes how many it has moved by now. After a time without a look it may have been at rest, and begins anew.
    #[must_use]
    pub(in crate::hub) fn look(self, moved: u64, now: Instant) -> Self {
        if self.is_stale(now) {
            return Self::new(moved, now);
        }
        let more = moved.saturating_sub(self.moved);
        let paid = Duration::from_micros(more.saturating_mul(1_000_000) / MINIMUM_RATE);
        let paid_until = self.paid_until.checked_add(paid).map_or(now, |until| until.min(now));
        Self { moved: self.moved.max(moved), paid_until, seen_at: now, ..self }
    }

    /// Returns the bytes that it had moved when it was looked at last.
    pub(in crate::hub) fn moved(&self) -> u64 {
        self.moved
    }

    /// Returns the time by which it is behind.
    pub(in crate::hub) fn behind(&self, now: Instant) -> Duration {
        if self.is_stale(now) { Duration::ZERO } else { now.saturating_duration_since(self.paid_until) }
    }

    /// Returns the time for which something has waited for it.
    pub(in crate::hub) fn watched(&self, now: Instant) -> Duration {
        if self.is_stale(now) { Duration::ZERO } else { now.saturating_duration_since(self.since) }
    }

    fn is_stale(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.seen_at) > 5 * QUEUE_INTERVAL
    }
}

/// The memory for streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) struct Room {
    /// The bytes that all streams together may take.
    pub(in crate::hub) bytes: u64,
    /// The part of them that is used, by streams and whatever else has come since the start.
    pub(in crate::hub) used: u64,
}

/// The memory that is missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) struct Shortage {
    pub(in crate::hub) room: Room,
    /// The bytes to be freed.
    pub(in crate::hub) excess: u64,
    /// So little is left that connections are refused: whoever holds most gives way at once.
    pub(in crate::hub) is_critical: bool,
}

/// What an end of a stream is waited for to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) enum Awaited {
    /// To take bytes.
    Reading,
    /// To send the rest of a message.
    Sending,
}

/// Bytes that the hub holds until an end of a stream goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) struct HeldBytes {
    pub(in crate::hub) bytes: u64,
    pub(in crate::hub) end: Role,
    pub(in crate::hub) awaited: Awaited,
    /// The time by which it is behind.
    pub(in crate::hub) behind: Duration,
    /// The time for which it was watched.
    pub(in crate::hub) watched: Duration,
}

/// The memory of a stream.
#[derive(Debug, Clone)]
pub(in crate::hub) struct Holding {
    pub(in crate::hub) stream: StreamId,
    pub(in crate::hub) service: ServiceName,
    /// Both ends resume it after an interruption.
    pub(in crate::hub) is_resumable: bool,
    /// The bytes that it holds beside [`STREAM_BYTES`].
    pub(in crate::hub) held: Option<HeldBytes>,
}

impl Holding {
    /// A leg that waits to resume a stream, with what it may hold.
    pub(in crate::hub) fn waiting(stream: StreamId, service: ServiceName, end: Role) -> Self {
        let (behind, watched) = (Duration::ZERO, Duration::ZERO);
        let held = HeldBytes { bytes: WAITING_LEG_BYTES, end, awaited: Awaited::Sending, behind, watched };
        Self { stream, service, is_resumable: true, held: Some(held) }
    }

    fn bytes(&self) -> u64 {
        STREAM_BYTES + self.held.map_or(0, |held| held.bytes)
    }

    fn behind(&self) -> Duration {
        self.held.map_or(Duration::ZERO, |held| held.behind)
    }

    /// Reports whether the stream may give way. One at rest does not: its end would be noticed, and free little.
    fn may_give_way(&self, is_critical: bool) -> bool {
        let is_known = |held: HeldBytes| held.behind >= STALL_TIME || held.watched >= WATCH_TIME;
        self.held.is_some_and(|held| is_critical || self.is_resumable || is_known(held))
    }

    /// The refusal with which the stream gives way: an interruption, if it can go on later.
    pub(in crate::hub) fn refusal(&self) -> Refusal {
        // Short enough for a close frame beside the sentence.
        let (rate, seconds) = (MINIMUM_RATE / 1024, self.behind().as_secs());
        match self.held.filter(|held| held.behind >= STALL_TIME) {
            Some(HeldBytes { end, awaited: Awaited::Reading, .. }) => {
                Refusal::new(RefusalKind::NotRead, format!("the {end} took under {rate} KiB/s for {seconds} s"))
            }
            Some(HeldBytes { end, awaited: Awaited::Sending, .. }) => {
                let detail = format!("the {end} sent under {rate} KiB/s of a message for {seconds} s");
                Refusal::new(RefusalKind::NotRead, detail)
            }
            None if self.is_resumable => Refusal::new(RefusalKind::Interrupted, SHARE_EXCEEDED),
            None => Refusal::new(RefusalKind::NotRead, SHARE_EXCEEDED),
        }
    }
}

/// Why a stream gives way whose ends are not known to be at rest.
const SHARE_EXCEEDED: &str = "its service holds more than its share";

/// How many times what streams are known to hold they may take, with the allocator's gaps and the buffers around it: measured,
/// twice as much. Beyond it, memory is taken by something else.
const MOST_OVERHEAD: u64 = 3;

/// The holdings of all streams, by service.
#[derive(Debug)]
pub(in crate::hub) struct Holdings {
    /// With the memory that each takes.
    streams: Vec<(Holding, u64)>,
    of_service: HashMap<ServiceName, u64>,
    /// What each service may hold whatever the others do.
    share: u64,
}

impl Holdings {
    /// Sums up the holdings, for this number of services that have streams or may ask for one. Together they take what is used
    /// of the room.
    pub(in crate::hub) fn new(streams: Vec<Holding>, services: usize, room: Room) -> Self {
        let known: u64 = streams.iter().map(Holding::bytes).sum();
        let taken = room.used.clamp(known, known.saturating_mul(MOST_OVERHEAD));
        let share_of = |bytes: u64| u128::from(bytes) * u128::from(taken) / u128::from(known.max(1));
        let mut of_service = HashMap::new();
        let streams = streams.into_iter().map(|holding| {
            let bytes = u64::try_from(share_of(holding.bytes())).unwrap_or(u64::MAX);
            *of_service.entry(holding.service.clone()).or_default() += bytes;
            (holding, bytes)
        });
        let streams = streams.collect();
        Self { streams, of_service, share: room.bytes / u64::try_from(services.max(1)).unwrap_or(u64::MAX) }
    }

    /// Reports whether a service holds more than its share.
    pub(in crate::hub) fn exceeds_share(&self, service: &ServiceName) -> bool {
        self.of_service.get(service).is_some_and(|held| *held > self.share)
    }

    /// Chooses the streams that give way until enough is freed: of the service that then holds most, the one whose end is
    /// furthest behind. None of a service within its share.
    pub(in crate::hub) fn choose(mut self, shortage: Shortage) -> Vec<Holding> {
        let (mut chosen, mut freed) = (Vec::new(), 0);
        self.streams.retain(|(holding, _)| holding.may_give_way(shortage.is_critical));
        self.streams.sort_by_key(|(holding, bytes)| (holding.behind(), *bytes, holding.stream));
        while freed < shortage.excess {
            let held = |holding: &Holding| self.of_service.get(&holding.service).copied().unwrap_or_default();
            let candidates = self.streams.iter().enumerate().filter(|(_, (holding, _))| held(holding) > self.share);
            let Some((index, _)) = candidates.max_by_key(|(index, (holding, _))| (held(holding), *index)) else {
                break;
            };
            let (holding, bytes) = self.streams.remove(index);
            freed += bytes;
            if let Some(held) = self.of_service.get_mut(&holding.service) {
                *held -= bytes;
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
                (1..=seconds).fold(Progress::new(0, start), |reader, second| reader.look(taken(second), at(second)));
            assert_eq!(looked.watched(at(seconds)), Duration::from_secs(seconds));
            looked.behind(at(seconds)).as_secs()
        };
        assert_eq!(behind_after(12, &|_| 0), 12, "nothing");
        assert_eq!(behind_after(60, &|second| second), 59, "a byte a second");
        assert_eq!(behind_after(20, &|second| second / 8 * 16 * 1024), 16, "a message every 8 s");
        assert_eq!(behind_after(60, &|second| second * MINIMUM_RATE), 0, "the minimum");
        assert_eq!(behind_after(29, &|second| second / 10 * 1024 * 1024), 9, "much of it after pauses");
        let late = start + Duration::from_secs(3600);
        let looked = Progress::new(0, start).look(0, late);
        for unknown in [Progress::new(0, start), looked] {
            assert_eq!((unknown.behind(late), unknown.watched(late)), (Duration::ZERO, Duration::ZERO), "{unknown:?}");
        }
    }

    /// The bytes that a stream of these tests holds, all in all.
    const EACH: u64 = 2 * STREAM_BYTES;
    const ROOM: Room = Room { bytes: 10 * EACH, used: 0 };

    /// Streams of [`EACH`], numbered from `first`; the later ones are behind by more, and all were watched for long enough.
    fn streams(service: &str, first: u8, count: u8, stalled: u64) -> Vec<Holding> {
        let held = |number| HeldBytes {
            bytes: EACH - STREAM_BYTES,
            end: Role::Device,
            awaited: Awaited::Reading,
            behind: Duration::from_secs(stalled + u64::from(number)),
            watched: Duration::from_secs(60),
        };
        let holding = |number| Holding {
            stream: StreamId::from_bytes([number; 16]),
            service: service.parse().unwrap(),
            is_resumable: false,
            held: Some(held(number)),
        };
        (first..first + count).map(holding).collect()
    }

    /// The same streams, which nobody has watched.
    fn unwatched(streams: &[Holding], is_resumable: bool) -> Vec<Holding> {
        let unwatched = |holding: &Holding| {
            let held = holding.held.map(|held| HeldBytes { behind: Duration::ZERO, watched: Duration::ZERO, ..held });
            Holding { held, is_resumable, ..holding.clone() }
        };
        streams.iter().map(unwatched).collect()
    }

    fn chosen(streams: &[Vec<Holding>], services: usize, excess: u64) -> Vec<u8> {
        chosen_in(streams, services, Shortage { room: ROOM, excess, is_critical: false })
    }

    fn chosen_in(streams: &[Vec<Holding>], services: usize, shortage: Shortage) -> Vec<u8> {
        let holdings = Holdings::new(streams.concat(), services, shortage.room);
        let chosen = holdings.choose(shortage);
        chosen.iter().map(|holding| holding.stream.to_string()[..2].to_owned()).map(|text| hex(&text)).collect()
    }

    fn hex(text: &str) -> u8 {
        u8::from_str_radix(text, 16).unwrap()
    }

    #[test]
    fn the_streams_that_stalled_first_of_the_service_that_holds_most_give_way() {
        let (alice, carol) = (streams("alice", 0, 8, 20), streams("carol", 50, 4, 60));
        assert_eq!(chosen(&[alice.clone(), carol.clone()], 3, EACH * 3 / 2), [7, 6], "no more than needed");
        assert_eq!(chosen(&[carol, alice], 3, EACH), [7]);
    }

    #[test]
    fn a_service_is_left_its_share() {
        let alice = streams("alice", 0, 8, 20);
        assert_eq!(chosen(std::slice::from_ref(&alice), 2, u64::MAX), [7, 6, 5], "down to half of the room");
        assert_eq!(chosen(std::slice::from_ref(&alice), 1, u64::MAX).len(), 0, "nobody else asks");
        let many = [alice, streams("carol", 50, 3, 60)];
        assert_eq!(chosen(&many, 3, u64::MAX), [7, 6, 5, 4, 3], "carol is within a third");
        let holdings = Holdings::new(many.concat(), 3, ROOM);
        let exceeds = |service: &str| holdings.exceeds_share(&service.parse().unwrap());
        assert_eq!(["alice", "carol", "bob"].map(exceeds), [true, false, false]);
    }

    #[test]
    fn what_streams_take_beside_what_is_known_counts_up_to_a_multiple() {
        let exceeds = |count, used| {
            let holdings = Holdings::new(streams("alice", 0, count, 20), 2, Room { used, ..ROOM });
            holdings.exceeds_share(&"alice".parse().unwrap())
        };
        assert_eq!([4 * EACH, 5 * EACH, 6 * EACH].map(|used| exceeds(3, used)), [false, false, true]);
        assert!(!exceeds(1, ROOM.bytes), "one stream does not take all of that");
        let shortage = Shortage { room: Room { used: 8 * EACH, ..ROOM }, excess: 2 * EACH, is_critical: false };
        assert_eq!(chosen_in(&[streams("alice", 0, 4, 20)], 2, shortage).len(), 1, "each takes twice what is known");
    }

    #[test]
    fn streams_at_rest_count_and_do_not_give_way() {
        let at_rest: Vec<_> =
            streams("alice", 0, 20, 20).into_iter().map(|holding| Holding { held: None, ..holding }).collect();
        assert!(Holdings::new(at_rest.clone(), 3, ROOM).exceeds_share(&"alice".parse().unwrap()));
        let critical = Shortage { room: ROOM, excess: u64::MAX, is_critical: true };
        assert_eq!(chosen_in(&[at_rest], 3, critical).len(), 0);
    }

    #[test]
    fn a_stream_that_cannot_be_resumed_gives_way_once_it_was_watched_unless_memory_is_critical() {
        let alice = streams("alice", 0, 8, 0);
        let critical = Shortage { room: ROOM, excess: EACH, is_critical: true };
        assert_eq!(chosen(std::slice::from_ref(&alice), 2, EACH), [7], "the one that is furthest behind");
        let unknown = unwatched(&alice, false);
        assert_eq!(chosen(std::slice::from_ref(&unknown), 2, EACH).len(), 0);
        assert_eq!(chosen_in(&[unknown], 2, critical).len(), 1);
        let resumable = unwatched(&alice, true);
        assert_eq!(chosen(std::slice::from_ref(&resumable), 2, EACH).len(), 1);
        assert_eq!(resumable[0].refusal().kind, RefusalKind::Interrupted);
        assert_eq!(alice[0].refusal().detail.as_str(), SHARE_EXCEEDED);
        let stalled = &streams("alice", 1, 1, 10)[0];
        let stalled = [stalled.clone(), Holding { is_resumable: true, ..stalled.clone() }];
        for refusal in stalled.map(|holding| holding.refusal()) {
            assert_eq!(refusal.to_string(), RefusalKind::NotRead.row().sentence.to_owned() + STALLED);
        }
    }

    const STALLED: &str = " (the device took under 8 KiB/s for 11 s)";

    #[test]
    fn two_services_that_hold_too_much_give_way_in_turn() {
        let both = [streams("alice", 0, 8, 20), streams("carol", 50, 8, 20)];
        let chosen = chosen(&both, 4, 4 * EACH);
        assert_eq!(chosen.iter().filter(|number| **number < 50).count(), 2, "{chosen:?}");
    }
}
