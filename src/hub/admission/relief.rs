//! PURE. Which streams give way when the hub is short of memory: those of the services that hold most of it, the ones
//! first whose ends take or send nothing, or next to nothing.
//!
//! A stream holds what its reader has not taken, and the part of a message that has arrived, for as long as both ends live.
//! One service with many of them would keep all others out, for whom some memory must always be left.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::hub::broker::WaitingLeg;
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

/// The memory of a connection without a stream, in bytes: measured, from 16 KiB of a device that waits for requests to
/// 23 KiB of one that has sent none.
const CONNECTION_BYTES: u64 = 20 * 1024;

/// The most that a leg holds beside [`STREAM_BYTES`] while it waits for its peer: what it may send ahead, as much again in
/// a record of TLS, and a block of 64 KiB that was read ahead of that. Measured, 124 KiB in all.
const WAITING_LEG_BYTES: u64 = 2 * UNJOINED_LEG_BYTES as u64 + 64 * 1024;

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
    /// The connections, those of streams among them.
    pub(in crate::hub) connections: u64,
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
    /// Its connections.
    pub(in crate::hub) legs: u64,
    /// Both ends resume it after an interruption.
    pub(in crate::hub) is_resumable: bool,
    /// The bytes that it holds beside [`STREAM_BYTES`].
    pub(in crate::hub) held: Option<HeldBytes>,
}

impl Holding {
    /// A leg that waits for the other one, to open a stream or to resume it, with what it may hold.
    pub(in crate::hub) fn waiting(leg: WaitingLeg<'_>) -> Self {
        let WaitingLeg { stream, service, end, is_resumable, is_late } = leg;
        let (behind, watched) = (Duration::ZERO, if is_late { WATCH_TIME } else { Duration::ZERO });
        let held = HeldBytes { bytes: WAITING_LEG_BYTES, end, awaited: Awaited::Sending, behind, watched };
        Self { stream, service: service.clone(), legs: 1, is_resumable, held: Some(held) }
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
    /// of the room, less what connections without a stream hold: no service loses a stream for those.
    pub(in crate::hub) fn new(streams: Vec<Holding>, services: usize, room: Room) -> Self {
        let known: u64 = streams.iter().map(Holding::bytes).sum();
        let others = room.connections.saturating_sub(streams.iter().map(|holding| holding.legs).sum());
        let used = room.used.saturating_sub(others.saturating_mul(CONNECTION_BYTES));
        let taken = used.clamp(known, known.saturating_mul(MOST_OVERHEAD));
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
mod tests;
