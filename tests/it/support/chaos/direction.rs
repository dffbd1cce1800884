//! One direction of a connection, with its faults.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use devstream::proto::backoff::jittered;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until};

use super::{Direction, Fault, Link, Shared, pick, splitmix64};

/// Read at once: large, so that a debug build carries hundreds of MiB a second.
const CHUNK: usize = 256 * 1024;
/// On its way without a delay …
const QUEUE: usize = 1024 * 1024;
/// … and with one, so that the delay does not limit the rate.
const DELAYED_QUEUE: usize = 16 * 1024 * 1024;
/// Writes per second of a trickle.
const DRIPS: u64 = 50;
/// A TLS record's head: type, version, length.
const RECORD_HEAD: usize = 5;

/// The faults in force for one direction.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Rules {
    closed: bool,
    truncated: bool,
    black_hole: bool,
    frozen: bool,
    delay: Duration,
    jitter: Duration,
    rate: Option<u64>,
    corruptions: u32,
}

impl Rules {
    /// Applies the part of the fault that concerns this direction.
    pub(super) fn apply(&mut self, fault: Fault, own: Direction) {
        let applies = |direction: Direction| direction == own || direction == Direction::Both;
        match fault {
            Fault::Cut => {}
            Fault::Close(direction) => self.closed |= applies(direction),
            Fault::Truncate(direction) => self.truncated |= applies(direction),
            Fault::BlackHole(direction) => self.black_hole |= applies(direction),
            Fault::Freeze(direction) => self.frozen |= applies(direction),
            Fault::Delay { delay, jitter } => (self.delay, self.jitter) = (delay, jitter),
            Fault::Trickle(rate) => self.rate = Some(rate),
            Fault::Corrupt(direction) => self.corruptions += u32::from(applies(direction)),
        }
    }

    /// Heals everything but ends.
    pub(super) fn heal(&mut self) {
        let Self { closed, truncated, corruptions, .. } = *self;
        *self = Self { closed, truncated, corruptions, ..Self::default() };
    }

    pub(super) fn is_healthy(&self) -> bool {
        !(self.closed || self.truncated || self.black_hole || self.frozen)
    }
}

/// Carries one direction of a connection to its end; an error is the connection's.
pub(super) async fn carry(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    (link, direction): (&Link, usize),
    shared: &Shared,
) -> io::Result<()> {
    let mut rules = link.rules[direction].subscribe();
    let mut channel = Channel { random: 2 * link.number + direction as u64, ..Channel::default() };
    let mut buffer = BytesMut::new();
    while !(channel.source_ended && channel.sink_ended) {
        let now = *rules.borrow_and_update();
        channel.cut_off |= now.closed || now.truncated && channel.records.is_at_an_edge();
        let passes = !now.frozen && !now.black_hole;
        if passes && channel.is_drained() {
            // If the other end has closed, its own direction shows it.
            let _ = to.shutdown().await;
            channel.sink_ended = true;
            continue;
        }
        buffer.reserve(CHUNK);
        let (front, due) = channel.front(now.rate);
        let (waits, is_due) = (passes && !front.is_empty(), due <= Instant::now());
        tokio::select! {
            biased;
            changed = rules.changed() => if changed.is_err() { return Ok(()) },
            written = to.write(front), if waits && is_due => {
                let written = written?;
                shared.bytes.fetch_add(written as u64, Ordering::Relaxed);
                channel.wrote(written, now.rate);
                channel.check_fuse()?;
            }
            () = sleep_until(due), if waits && !is_due => {}
            read = from.read_buf(&mut buffer), if !now.frozen && channel.has_room(&now) => match read {
                Ok(count) if count > 0 && now.black_hole => {
                    buffer.clear();
                    link.lost.store(true, Ordering::Relaxed);
                }
                Ok(count) if count > 0 => {
                    channel.take(buffer.split().freeze(), &now, shared);
                    channel.check_fuse()?;
                }
                Err(error) if !now.black_hole && !channel.cut_off => return Err(error),
                Ok(_) | Err(_) => {
                    channel.source_ended = true;
                    if now.black_hole {
                        link.end_left();
                    }
                }
            },
        }
    }
    Ok(())
}

/// Bytes in transit.
#[derive(Default)]
struct Channel {
    queue: VecDeque<(Instant, Bytes)>,
    queued: usize,
    /// Time of a trickle's next write.
    next: Option<Instant>,
    records: Records,
    corrupted: u32,
    random: u64,
    source_ended: bool,
    /// Drops further bytes.
    cut_off: bool,
    sink_ended: bool,
    /// Cuts the connection after the record that is passing …
    last: bool,
    /// … which has passed.
    burnt: bool,
}

impl Channel {
    fn has_room(&self, now: &Rules) -> bool {
        let limit = if now.delay.is_zero() { QUEUE } else { DELAYED_QUEUE };
        !self.source_ended && (self.cut_off || self.queued < limit)
    }

    /// Nothing more will be passed on.
    fn is_drained(&self) -> bool {
        !self.sink_ended && self.queue.is_empty() && (self.source_ended || self.cut_off)
    }

    /// Ends the connection once everything before its cut has passed.
    fn check_fuse(&self) -> io::Result<()> {
        if self.burnt && self.queue.is_empty() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }

    /// Drops what follows the record after which the connection is cut.
    fn burn(&mut self, bytes: &mut Bytes, shared: &Shared) {
        let mut records = self.records;
        let mut passed = 0;
        while passed < bytes.len() && !self.burnt {
            let starts = records.is_at_an_edge();
            let (length, _) = records.up_to_an_edge(&bytes[passed..]);
            let (passes, last) = if starts { shared.count_record() } else { (true, self.last) };
            (self.burnt, self.last) = (!passes || last && records.is_at_an_edge(), last);
            passed += if passes { length } else { 0 };
        }
        bytes.truncate(passed);
    }

    fn take(&mut self, mut bytes: Bytes, now: &Rules, shared: &Shared) {
        self.burn(&mut bytes, shared);
        if self.cut_off || bytes.is_empty() {
            return;
        }
        if now.truncated {
            let (length, edge) = self.records.up_to_an_edge(&bytes);
            bytes.truncate(length);
            self.cut_off = edge;
        } else {
            self.records.pass(&bytes);
        }
        self.random = splitmix64(self.random);
        if self.corrupted < now.corruptions {
            self.corrupted = now.corruptions;
            let mut changed = bytes.to_vec();
            let position = pick(self.random, changed.len());
            changed[position] ^= 1;
            bytes = changed.into();
        }
        let due = Instant::now() + now.delay + jittered(now.jitter, self.random);
        let due = self.queue.back().map_or(due, |(last, _)| due.max(*last));
        self.queued += bytes.len();
        self.queue.push_back((due, bytes));
    }

    /// The bytes to write next, and when.
    fn front(&self, rate: Option<u64>) -> (&[u8], Instant) {
        let now = Instant::now();
        let Some((due, bytes)) = self.queue.front() else { return (&[], now) };
        let drip = rate.map_or(bytes.len(), |rate| usize::try_from((rate / DRIPS).max(1)).unwrap());
        (&bytes[..bytes.len().min(drip)], self.next.filter(|_| rate.is_some()).map_or(*due, |next| next.max(*due)))
    }

    fn wrote(&mut self, count: usize, rate: Option<u64>) {
        self.queued -= count;
        let (_, bytes) = self.queue.front_mut().unwrap();
        bytes.advance(count);
        if bytes.is_empty() {
            self.queue.pop_front();
        }
        self.next = rate.map(|rate| Instant::now() + Duration::from_secs_f64(count as f64 / rate as f64));
    }
}

/// Tracks the boundaries of TLS records (RFC 8446 section 5.1).
#[derive(Default, Clone, Copy)]
struct Records {
    head: [u8; RECORD_HEAD],
    /// Bytes of the header received so far …
    seen: usize,
    /// … and of the body so many are missing.
    missing: usize,
}

impl Records {
    fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (length, _) = self.up_to_an_edge(bytes);
            bytes = &bytes[length..];
        }
    }

    fn is_at_an_edge(&self) -> bool {
        self.seen == 0
    }

    /// Returns how many of these bytes precede the next record boundary, and whether they reach it. There must be some.
    fn up_to_an_edge(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut taken = 0;
        loop {
            let rest = &bytes[taken..];
            if self.seen < RECORD_HEAD {
                let Some(byte) = rest.first() else { return (taken, false) };
                self.head[self.seen] = *byte;
                self.seen += 1;
                taken += 1;
                if self.seen == RECORD_HEAD {
                    self.missing = usize::from(u16::from_be_bytes([self.head[3], self.head[4]]));
                }
                continue;
            }
            let body = rest.len().min(self.missing);
            self.missing -= body;
            taken += body;
            if self.missing == 0 {
                self.seen = 0;
            }
            return (taken, self.missing == 0);
        }
    }
}
