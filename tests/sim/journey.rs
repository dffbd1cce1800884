//! A whole stream on a virtual clock: two ends, the hub between them, which crashes and restarts, a network that
//! delays, cuts and drops, and applications that write and read at their own pace. One seed per run.

mod hub;
mod side;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use devstream::hub::broker::{Broker, Input};
use devstream::proto::id::{ConnectionId, StreamId};
use devstream::proto::keepalive::{IdleTimeout, Keepalive};
use devstream::proto::limits::{DIAL_TIMEOUT, INITIAL_WINDOW, MAX_WINDOW, STREAM_RESERVE};
use devstream::proto::refusal::RefusalKind;
use devstream::proto::resume::ResumeTicket;
use devstream::proto::stream::{Ending, StreamControl};
use devstream::proto::websocket::WebSocketRole;

use self::side::Side;
use super::Seed;
use super::world::mix;

const SEEDS: u64 = 10_000;

/// The most that an application writes, in bytes.
const MAX_BYTES: usize = 700_000;

/// Time after which there are no more faults, and every application reads.
const FAULT_PERIOD: Duration = Duration::from_secs(150);

/// Time after which a run counts as stalled.
const LIMIT: Duration = Duration::from_secs(4000);

#[test]
fn whole_streams_keep_their_invariants_over_ten_thousand_seeds() {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let all = std::thread::scope(|scope| {
        let part = |first| move || (first..SEEDS).step_by(threads as usize).fold(Tally::default(), Tally::with);
        let running: Vec<_> = (0..threads).map(|first| scope.spawn(part(first))).collect();
        running
            .into_iter()
            .map(|part| part.join().expect("the panic is printed above"))
            .fold(Tally::default(), Tally::plus)
    });
    let enough = all.clean > 3_000 && all.resumed > 10_000 && all.broken > 500;
    assert!(enough, "the model does not reach what it should test: {all:?}");
}

/// The results of the runs.
#[derive(Debug, Default)]
struct Tally {
    clean: usize,
    broken: usize,
    /// Runs in which one end had everything and left, and the other could not know it.
    uncertain: usize,
    resumed: usize,
    hubs: u64,
    events: u64,
    bytes: usize,
}

impl Tally {
    fn with(self, seed: u64) -> Self {
        let _seed = Seed(seed);
        self.plus(Simulation::new(seed).run())
    }

    fn plus(self, other: Self) -> Self {
        Self {
            clean: self.clean + other.clean,
            broken: self.broken + other.broken,
            uncertain: self.uncertain + other.uncertain,
            resumed: self.resumed + other.resumed,
            hubs: self.hubs + other.hubs,
            events: self.events + other.events,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// A message between an end and the hub.
#[derive(Debug, Clone)]
enum Message {
    Bytes(Bytes),
    Text(StreamControl),
    Ping,
    Pong,
    Close(u16, String),
    /// The response to the upgrade.
    Upgraded(Box<ResumeTicket>, Duration),
}

/// A scheduled event.
#[derive(Debug)]
enum Event {
    AtHub(usize, Message),
    AtSide(usize, Message),
    /// One end notices the loss of the connection.
    HubDisconnects(usize),
    SideDisconnects(usize),
    /// An end, or the hub, polls its timers.
    PollSide(usize),
    PollHub,
    /// An attempt to rejoin reaches the hub, is refused, or times out.
    RejoinArrives(usize, u64),
    Refused(usize, u64, Option<RefusalKind>),
    /// A relay has ended.
    RelayEnded(u64, ConnectionId, bool),
    HubStops(u64),
    HubStarts,
    Fault,
}

/// The hub's use of a connection.
#[derive(Debug)]
enum LegState {
    Waiting(Vec<Message>),
    Joined(usize),
    Closed,
}

/// A connection between an end and one run of the hub.
struct Leg {
    side: usize,
    attempt: u64,
    run: u64,
    /// `true` while messages arrive, towards the hub and from it.
    up: bool,
    down: bool,
    last_up: Instant,
    last_down: Instant,
    state: LegState,
    keepalive: Keepalive,
    keepalive_at: Instant,
    last_write: Instant,
    last_read: Instant,
}

struct Simulation {
    rng: u64,
    start: Instant,
    now: Instant,
    order: u64,
    events: BTreeMap<(Instant, u64), Event>,
    sides: [Side; 2],
    legs: Vec<Leg>,
    broker: Option<Broker>,
    run: u64,
    stream: StreamId,
    stopping: bool,
    /// The faults are such that the stream must survive them.
    survivable: bool,
    grace: Duration,
    share: u64,
    /// Limit of the bytes that an end keeps, which may be less.
    kept_share: u64,
    faults: u64,
    idle_timeout: IdleTimeout,
    pattern: Bytes,
    tally: Tally,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let start = tokio::time::Instant::now().into_std();
        let mut simulation = Self {
            rng: mix(seed),
            start,
            now: start,
            order: 0,
            events: BTreeMap::new(),
            sides: [Side::new(0, start), Side::new(1, start)],
            legs: Vec::new(),
            broker: None,
            run: 0,
            stream: StreamId::from_bytes([0; 16]),
            stopping: false,
            survivable: seed.is_multiple_of(2),
            grace: Duration::from_secs(900),
            share: INITIAL_WINDOW,
            kept_share: INITIAL_WINDOW,
            faults: 0,
            idle_timeout: IdleTimeout::default(),
            pattern: pattern(),
            tally: Tally::default(),
        };
        if !simulation.survivable {
            simulation.grace = Duration::from_secs(20 + simulation.random_below(130));
        }
        simulation.share = INITIAL_WINDOW << simulation.random_below(4);
        simulation.kept_share = [STREAM_RESERVE, simulation.share][simulation.random_below(2) as usize];
        simulation.faults = simulation.random_below(12);
        simulation.plan_applications();
        simulation.hub_starts();
        simulation.open();
        simulation
    }

    fn run(mut self) -> Tally {
        self.poll_soon(0);
        self.poll_soon(1);
        let first = self.up_to(10_000);
        self.after(first, Event::Fault);
        while self.sides.iter().any(|side| side.ending.is_none()) {
            self.one_event();
        }
        // The hub forgets the stream at the end of the grace time.
        let until = self.now + self.grace + 3 * self.idle_timeout.dead_after;
        while self.events.first_key_value().is_some_and(|((at, _), _)| *at <= until) {
            self.one_event();
        }
        if let Some(broker) = &self.broker {
            assert_eq!((broker.streams(), broker.next_deadline()), (0, None), "the hub keeps an ended stream");
        }
        self.outcome()
    }

    fn one_event(&mut self) {
        let ((at, _), event) = self.events.pop_first().expect("an end waits, and no event is left");
        assert!(at < self.start + LIMIT, "stalled");
        self.now = at;
        self.tally.events += 1;
        match event {
            Event::AtHub(leg, message) => self.at_hub(leg, message),
            Event::AtSide(leg, message) => self.at_side(leg, message),
            Event::HubDisconnects(leg) => self.hub_disconnects(leg),
            Event::SideDisconnects(leg) => self.side_disconnects(leg),
            Event::PollSide(side) => self.poll_side(side),
            Event::PollHub => self.poll_hub(),
            Event::RejoinArrives(side, attempt) => self.rejoin_arrives(side, attempt),
            Event::Refused(side, attempt, kind) => self.refused(side, attempt, kind),
            Event::RelayEnded(run, leg, lost) => self.relay_ended(run, leg, lost),
            Event::HubStops(run) => self.hub_stops(run),
            Event::HubStarts => self.hub_starts(),
            Event::Fault => self.fault(),
        }
        self.check();
    }

    /// No end keeps, or makes the other keep, more than its share.
    fn check(&self) {
        for side in &self.sides {
            assert!((side.bytes_written - side.acknowledged) as u64 <= self.kept_share, "keeps too much");
            assert!(side.end.undelivered() as u64 <= self.share, "was sent too much");
        }
        assert!(self.share <= MAX_WINDOW);
    }

    fn outcome(mut self) -> Tally {
        let [device, service] = &self.sides;
        let clean = |side: &Side| side.ending == Some(Ending::Clean);
        let all = device.ended && service.ended;
        for (side, other) in [(device, service), (service, device)] {
            assert!(side.bytes_read <= other.bytes_written);
            if clean(side) || side.ended {
                assert!(
                    other.finished && side.bytes_read == other.bytes_written,
                    "ended cleanly, and not all had arrived"
                );
            }
        }
        assert!(all || !clean(device) && !clean(service), "one end reports success, and the other does not");
        match (clean(device), clean(service)) {
            (true, true) => self.tally.clean += 1,
            (false, false) => self.tally.broken += 1,
            (true, false) | (false, true) => self.tally.uncertain += 1,
        }
        assert!(!self.survivable || all, "given up without need: {:?} {:?}", device.ending, service.ending);
        self.tally.hubs = self.run;
        self.tally.bytes = device.bytes_read + service.bytes_read;
        self.tally
    }

    /// Injects a fault.
    fn fault(&mut self) {
        if self.now > self.start + FAULT_PERIOD || self.faults == 0 {
            return;
        }
        self.faults -= 1;
        let (side, long) = (self.either(), if self.survivable { 20 } else { 120 });
        match self.random_below(if self.survivable { 9 } else { 13 }) {
            0 | 1 => self.cut(side),
            2 => self.black_hole(side, true, false),
            3 => self.black_hole(side, false, true),
            4 => self.black_hole(side, true, true),
            5 => {
                self.black_hole(side, true, true);
                let out = Duration::from_secs(self.random_below(long));
                self.sides[side].offline_until = self.now + out;
            }
            6 | 7 => self.hub_dies(long),
            8 => self.hub_drains(),
            9 => self.kill(),
            10 => self.revoke(),
            11 => self.stop(side),
            _ => self.sides[side].resets = true,
        }
        self.poll_soon(side);
        // Often while both ends are still rejoining.
        let soon = [300, 3000, 40_000][self.random_below(3) as usize];
        let next = self.up_to(soon);
        self.after(next, Event::Fault);
    }

    /// Cuts the connection of an end; each side of it may notice or not.
    fn cut(&mut self, side: usize) {
        let Some(leg) = self.sides[side].leg else { return };
        (self.legs[leg].up, self.legs[leg].down) = (false, false);
        if self.random_below(4) > 0 {
            let late = self.up_to(3000);
            self.after(late, Event::SideDisconnects(leg));
        }
        if self.random_below(4) > 0 {
            let late = self.up_to(3000);
            self.after(late, Event::HubDisconnects(leg));
        }
    }

    /// Drops what is sent, in one direction or both, silently.
    fn black_hole(&mut self, side: usize, up: bool, down: bool) {
        for leg in self.legs.iter_mut().filter(|leg| leg.side == side) {
            leg.up &= !up;
            leg.down &= !down;
        }
    }

    fn send_up(&mut self, leg: usize, message: Message) {
        let at = self.now + self.delay(self.legs[leg].side);
        let last = &mut self.legs[leg].last_up;
        *last = at.max(*last);
        let at = *last;
        self.at(at, Event::AtHub(leg, message));
    }

    fn send_down(&mut self, leg: usize, message: Message) {
        let at = self.now + self.delay(self.legs[leg].side);
        self.legs[leg].last_write = self.now;
        let last = &mut self.legs[leg].last_down;
        *last = at.max(*last);
        let at = *last;
        self.at(at, Event::AtSide(leg, message));
    }

    fn delay(&mut self, side: usize) -> Duration {
        let usual = self.sides[side].latency;
        Duration::from_millis(usual + self.random_below(1 + usual / 2))
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.order += 1;
        self.events.insert((at, self.order), event);
    }

    fn after(&mut self, pause: Duration, event: Event) {
        self.at(self.now + pause, event);
    }

    fn up_to(&mut self, millis: u64) -> Duration {
        Duration::from_millis(self.random_below(millis))
    }

    fn either(&mut self) -> usize {
        usize::from(self.random_below(2) == 0)
    }

    fn random_below(&mut self, sides: u64) -> u64 {
        self.random() % sides
    }

    fn random(&mut self) -> u64 {
        self.rng = self.rng.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.rng)
    }
}

/// The bytes that both applications write: each identifies its offset.
fn pattern() -> Bytes {
    static PATTERN: std::sync::OnceLock<Bytes> = std::sync::OnceLock::new();
    let byte_at = |position: usize| (mix(position as u64) >> 56) as u8;
    PATTERN.get_or_init(|| (0..=MAX_BYTES).map(byte_at).collect()).clone()
}
