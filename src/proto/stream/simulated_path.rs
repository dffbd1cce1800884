//! A simulated path, on a virtual clock: an endless sender, two TCP connections with BBR that meet at the hub, and a
//! receiver that writes at once. Packets are lost at random, and those after a lost one wait for its retransmission.
//!
//! BBR is reduced to what a window can do harm to (Linux, `tcp_bbr.c`): the start-up that ends for good once three
//! rounds in turn bring less than a quarter more, and the slow growth after it. Rounds count whether or not the sender
//! had something to send, as they do in Linux while losses are being repaired: all of the congestion window is in use
//! then (packet conservation), so the sender does not count as limited by its application.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use super::StreamControl;
use super::receive::ReceiveState;
use crate::proto::limits::{INITIAL_WINDOW, MAX_WINDOW};

const PACKET: u64 = 1448;
const INITIAL_PACKETS: u64 = 10;
/// Limit of unsent bytes in a socket, as Linux has it by default.
const SEND_BUFFER: u64 = 4 << 20;
const STARTUP_GAIN: f64 = 2.885;
/// Gains of the rounds after the start-up.
const CYCLE: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];

/// The path of one run: both legs alike.
#[derive(Debug, Clone, Copy)]
struct Path {
    mbit_per_second: u64,
    /// One way on one leg, in milliseconds.
    delay: u64,
    /// One packet in so many is lost.
    lost_one_in: u64,
    seed: u64,
}

/// A seeded generator of random numbers: xorshift64.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn one_in(&mut self, one_in: u64) -> bool {
        for (left, shift) in [(true, 13), (false, 7), (true, 17)] {
            self.0 ^= if left { self.0 << shift } else { self.0 >> shift };
        }
        self.0.is_multiple_of(one_in)
    }
}

/// Bytes in flight.
struct Flight {
    bytes: u64,
    sent_at: u64,
    delivered_before: u64,
    app_limited: bool,
}

/// One TCP connection's sender and the link after it; times are in milliseconds.
struct Leg {
    path: Path,
    queued: u64,
    credit: f64,
    /// By the time at which they are acknowledged.
    flights: BTreeMap<u64, Vec<Flight>>,
    /// Arrival times in order, with bytes.
    arriving: VecDeque<(u64, u64)>,
    in_flight: u64,
    delivered: u64,
    /// Bytes up to which samples are limited by the application.
    app_limited_until: u64,
    round_end: u64,
    rounds: u64,
    /// The best rates of the last rounds, in bytes per millisecond.
    samples: VecDeque<(u64, f64)>,
    full_rate: f64,
    plateaus: u32,
}

impl Leg {
    fn new(path: Path) -> Self {
        Self {
            path,
            queued: 0,
            credit: 0.0,
            flights: BTreeMap::new(),
            arriving: VecDeque::new(),
            in_flight: 0,
            delivered: 0,
            app_limited_until: 0,
            round_end: 0,
            rounds: 0,
            samples: VecDeque::new(),
            full_rate: 0.0,
            plateaus: 0,
        }
    }

    /// Has everything acknowledged and read, and the congestion control restarted.
    fn rest(&mut self, now: u64) {
        let rest = std::mem::take(&mut self.flights);
        rest.values().flatten().for_each(|flight| self.on_ack(flight, now));
        self.arriving.clear();
        (self.queued, self.app_limited_until) = (0, self.delivered);
        (self.plateaus, self.full_rate) = (0, 0.0);
    }

    fn rate(&self) -> f64 {
        let initial = (INITIAL_PACKETS * PACKET) as f64 / (2 * self.path.delay) as f64;
        self.samples.iter().map(|(_, rate)| *rate).fold(initial, f64::max)
    }

    fn gains(&self) -> (f64, f64) {
        if self.plateaus < 3 {
            (STARTUP_GAIN, STARTUP_GAIN)
        } else {
            (CYCLE[usize::try_from(self.rounds).unwrap() % CYCLE.len()], 2.0)
        }
    }

    /// Takes the acknowledgements of this millisecond, sends, and returns the bytes that arrive in order.
    fn tick(&mut self, now: u64, random: &mut Random) -> u64 {
        while let Some(acked) = self.flights.first_entry().filter(|entry| *entry.key() <= now) {
            acked.remove().iter().for_each(|flight| self.on_ack(flight, now));
        }
        self.send(now, random);
        let mut arrived = 0;
        while let Some((_, bytes)) = self.arriving.pop_front_if(|(at, _)| *at <= now) {
            arrived += bytes;
        }
        arrived
    }

    fn on_ack(&mut self, flight: &Flight, now: u64) {
        self.delivered += flight.bytes;
        self.in_flight -= flight.bytes;
        if self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
        let sample = (self.delivered - flight.delivered_before) as f64 / (now - flight.sent_at).max(1) as f64;
        let is_round_start = flight.delivered_before >= self.round_end;
        if is_round_start {
            self.round_end = self.delivered;
            self.rounds += 1;
        }
        if !flight.app_limited || sample >= self.rate() {
            match self.samples.back_mut().filter(|(round, _)| *round == self.rounds) {
                Some((_, best)) => *best = best.max(sample),
                None => self.samples.push_back((self.rounds, sample)),
            }
            self.samples.pop_front_if(|(round, _)| *round + 10 < self.rounds);
        }
        if is_round_start && self.plateaus < 3 {
            if self.rate() >= self.full_rate * 1.25 {
                (self.full_rate, self.plateaus) = (self.rate(), 0);
            } else {
                self.plateaus += 1;
            }
        }
    }

    fn send(&mut self, now: u64, random: &mut Random) {
        let (pacing, window) = self.gains();
        let link = (self.path.mbit_per_second * 125) as f64;
        let round_trip = 2 * self.path.delay;
        let congestion_window =
            (window * self.rate() * round_trip as f64).max((INITIAL_PACKETS * PACKET) as f64) as u64;
        self.credit = (self.credit + (pacing * self.rate()).min(link)).min(2.0 * link);
        while self.queued > 0 && self.credit >= PACKET as f64 && self.in_flight < congestion_window {
            let bytes = self.queued.min(PACKET);
            self.queued -= bytes;
            self.in_flight += bytes;
            self.credit -= bytes as f64;
            let repair = if random.one_in(self.path.lost_one_in) { round_trip } else { 0 };
            let arrival = (now + self.path.delay + repair).max(self.arriving.back().map_or(0, |(at, _)| *at));
            self.arriving.push_back((arrival, bytes));
            self.flights.entry(now + round_trip + repair).or_default().push(Flight {
                bytes,
                sent_at: now,
                delivered_before: self.delivered,
                app_limited: self.app_limited_until > 0,
            });
        }
        if self.queued == 0 && self.in_flight < congestion_window {
            self.app_limited_until = (self.delivered + self.in_flight).max(1);
        }
    }
}

/// Returns the MiB per second that a stream carries in the measured milliseconds after its start, on connections that
/// carried `before` bytes in another stream and then had their congestion control restarted.
fn throughput(path: Path, before: u64, measured: Range<u64>, has_window: bool) -> f64 {
    let (mut random, mut legs) = (Random::new(path.seed), [Leg::new(path), Leg::new(path)]);
    let mut start = run_stream(&mut legs, &mut random, 0, has_window, |_, received| received >= before).0;
    start += 10 * path.delay;
    legs.iter_mut().for_each(|leg| leg.rest(start));
    let mut at_start = 0;
    let (_, received) = run_stream(&mut legs, &mut random, start, has_window, |now, received| {
        if now - start <= measured.start {
            at_start = received;
        }
        now - start >= measured.end
    });
    (received - at_start) as f64 / f64::from(1 << 20) / ((measured.end - measured.start) as f64 / 1000.0)
}

/// Runs one stream until `is_over`; returns the time and the bytes received.
fn run_stream(
    legs: &mut [Leg; 2],
    random: &mut Random,
    start: u64,
    has_window: bool,
    mut is_over: impl FnMut(u64, u64) -> bool,
) -> (u64, u64) {
    let (mut now, mut incoming) = (start, ReceiveState::default());
    let (mut limit, mut sent, mut received) = (if has_window { INITIAL_WINDOW } else { u64::MAX }, 0, 0);
    let mut acks: VecDeque<(u64, u64)> = VecDeque::new();
    while !is_over(now, received) {
        while let Some((_, granted)) = acks.pop_front_if(|(at, _)| *at <= now) {
            limit = limit.max(granted);
        }
        let more = (limit - sent).min(SEND_BUFFER.saturating_sub(legs[0].queued));
        sent += more;
        legs[0].queued += more;
        legs[1].queued += legs[0].tick(now, random);
        let arrived = legs[1].tick(now, random);
        received += arrived;
        if has_window && arrived > 0 {
            let bytes = usize::try_from(arrived).unwrap();
            incoming.set_now(Duration::from_millis(now - start));
            incoming.on_bytes(bytes).unwrap();
            incoming.on_written(bytes);
            if let Some(StreamControl::Ack { bytes, window, .. }) = incoming.next_ack(MAX_WINDOW) {
                acks.push_back((now + 2 * legs[0].path.delay, bytes + window));
            }
        }
        now += 1;
    }
    (now, received)
}

/// The window may not end the start-up of the connections below: of all seeds, the slowest comes near to the median
/// without a window.
#[test]
fn a_lossy_path_is_as_fast_with_a_window_as_without_whatever_is_lost() {
    let results = |has_window| {
        let mut results: Vec<_> = (0..20)
            .map(|seed| {
                let path = Path { mbit_per_second: 200, delay: 50, lost_one_in: 100, seed };
                throughput(path, 1 << 20, 2500..5000, has_window)
            })
            .collect();
        results.sort_by(f64::total_cmp);
        results
    };
    let (without, with) = (results(false), results(true));
    assert!(with[0] >= 0.9 * without[10], "{with:.1?} MiB/s, without a window {without:.1?}");
}
