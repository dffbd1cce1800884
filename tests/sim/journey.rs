//! A whole stream on a virtual clock: two ends, the hub between them that may die and start again, a network that delays,
//! cuts and swallows, and applications that say and hear at their own pace. One seed a run.

mod hub;
mod side;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use devstream::hub::broker::{Broker, Input};
use devstream::proto::id::{ConnectionId, StreamId};
use devstream::proto::keepalive::{IdleTimeout, Keepalive};
use devstream::proto::limits::{DIAL_TIMEOUT, INITIAL_WINDOW, MAX_WINDOW};
use devstream::proto::refusal::RefusalKind;
use devstream::proto::resume::ResumeTicket;
use devstream::proto::stream::{Ending, StreamControl};
use devstream::proto::websocket::Endpoint;

use self::side::Side;
use super::Seed;
use super::world::mix;

const SEEDS: u64 = 10_000;

/// The longest that an application says.
const MOST: usize = 700_000;

/// Nothing goes wrong any more after this, and everybody reads on.
const TROUBLE: Duration = Duration::from_secs(150);

/// A run that is not over by then stands still.
const LIMIT: Duration = Duration::from_secs(4000);

#[test]
fn whole_streams_keep_their_promises_over_ten_thousand_seeds() {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let all = std::thread::scope(|scope| {
        let part = |first| move || (first..SEEDS).step_by(threads as usize).fold(Tally::default(), Tally::with);
        let running: Vec<_> = (0..threads).map(|first| scope.spawn(part(first))).collect();
        running.into_iter().map(|part| part.join().expect("said above")).fold(Tally::default(), Tally::plus)
    });
    let enough = all.clean > 3_000 && all.resumed > 10_000 && all.broken > 500;
    assert!(enough, "the model does not reach what it is to test: {all:?}");
}

/// What the runs came to.
#[derive(Debug, Default)]
struct Tally {
    clean: usize,
    broken: usize,
    /// One end had everything and left, and the other could not know that it had.
    unsure: usize,
    resumed: usize,
    hubs: u64,
    events: u64,
    bytes: usize,
}

impl Tally {
    fn with(self, seed: u64) -> Self {
        let _said = Seed(seed);
        self.plus(Journey::new(seed).run())
    }

    fn plus(self, other: Self) -> Self {
        Self {
            clean: self.clean + other.clean,
            broken: self.broken + other.broken,
            unsure: self.unsure + other.unsure,
            resumed: self.resumed + other.resumed,
            hubs: self.hubs + other.hubs,
            events: self.events + other.events,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// What travels.
#[derive(Debug, Clone)]
enum Message {
    Bytes(Bytes),
    Text(StreamControl),
    Ping,
    Pong,
    Close(u16, String),
    /// The answer to the upgrade.
    Welcome(Box<ResumeTicket>, Duration),
}

/// What happens at a time.
#[derive(Debug)]
enum Event {
    AtHub(usize, Message),
    AtSide(usize, Message),
    /// The connection is found to be gone.
    HubLoses(usize),
    SideLoses(usize),
    /// A side, or the hub, looks at its timers.
    Look(usize),
    HubLooks,
    /// An attempt to come back reaches the hub, is refused, or is given up.
    Knock(usize, u64),
    Refused(usize, u64, Option<RefusalKind>),
    /// A relay has ended.
    Farewell(u64, ConnectionId, bool),
    HubStops(u64),
    HubStarts,
    Fault,
}

/// What the hub does with a connection.
#[derive(Debug)]
enum Place {
    Waits(Vec<Message>),
    Joined(usize),
    Gone,
}

/// A connection between a side and one run of the hub.
struct Leg {
    side: usize,
    attempt: u64,
    run: u64,
    /// What is sent still arrives, towards the hub and from it.
    up: bool,
    down: bool,
    last_up: Instant,
    last_down: Instant,
    place: Place,
    keepalive: Keepalive,
    beat_at: Instant,
    said: Instant,
    heard: Instant,
}

struct Journey {
    dice: u64,
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
    /// The trouble is such that the stream must survive it.
    gentle: bool,
    grace: Duration,
    share: u64,
    faults: u64,
    idle_timeout: IdleTimeout,
    pattern: Bytes,
    tally: Tally,
}

impl Journey {
    fn new(seed: u64) -> Self {
        let start = tokio::time::Instant::now().into_std();
        let mut journey = Self {
            dice: mix(seed),
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
            gentle: seed.is_multiple_of(2),
            grace: Duration::from_secs(900),
            share: INITIAL_WINDOW,
            faults: 0,
            idle_timeout: IdleTimeout::default(),
            pattern: pattern(),
            tally: Tally::default(),
        };
        if !journey.gentle {
            journey.grace = Duration::from_secs(20 + journey.roll(130));
        }
        journey.share = INITIAL_WINDOW << journey.roll(4);
        journey.faults = journey.roll(12);
        journey.plan_applications();
        journey.hub_starts();
        journey.open();
        journey
    }

    fn run(mut self) -> Tally {
        self.look_soon(0);
        self.look_soon(1);
        let first = self.up_to(10_000);
        self.after(first, Event::Fault);
        while self.sides.iter().any(|side| side.ending.is_none()) {
            self.one_event();
        }
        // What the hub still knows of the stream ends with the grace.
        let until = self.now + self.grace + 3 * self.idle_timeout.dead_after;
        while self.events.first_key_value().is_some_and(|((at, _), _)| *at <= until) {
            self.one_event();
        }
        if let Some(broker) = &self.broker {
            assert_eq!((broker.streams(), broker.next_deadline()), (0, None), "the hub keeps what is over");
        }
        self.verdict()
    }

    fn one_event(&mut self) {
        let ((at, _), event) = self.events.pop_first().expect("somebody waits, and for nothing");
        assert!(at < self.start + LIMIT, "stands still");
        self.now = at;
        self.tally.events += 1;
        match event {
            Event::AtHub(leg, message) => self.at_hub(leg, message),
            Event::AtSide(leg, message) => self.at_side(leg, message),
            Event::HubLoses(leg) => self.hub_loses(leg),
            Event::SideLoses(leg) => self.side_loses(leg),
            Event::Look(side) => self.look(side),
            Event::HubLooks => self.hub_looks(),
            Event::Knock(side, attempt) => self.knock(side, attempt),
            Event::Refused(side, attempt, kind) => self.refused(side, attempt, kind),
            Event::Farewell(run, leg, lost) => self.farewell(run, leg, lost),
            Event::HubStops(run) => self.hub_stops(run),
            Event::HubStarts => self.hub_starts(),
            Event::Fault => self.fault(),
        }
        self.check();
    }

    /// No end keeps, or makes the other keep, more than its share.
    fn check(&self) {
        for side in &self.sides {
            assert!((side.said - side.acknowledged) as u64 <= self.share, "keeps too much");
            assert!((side.end.queued() + side.writing) as u64 <= self.share, "was sent too much");
        }
        assert!(self.share <= MAX_WINDOW);
    }

    fn verdict(mut self) -> Tally {
        let [device, service] = &self.sides;
        let clean = |side: &Side| side.ending == Some(Ending::Clean);
        let all = device.ended && service.ended;
        for (side, other) in [(device, service), (service, device)] {
            assert!(side.heard <= other.said);
            if clean(side) || side.ended {
                assert!(other.finished && side.heard == other.said, "ended cleanly, and not all had arrived");
            }
        }
        assert!(all || !clean(device) && !clean(service), "one end believes that all is well");
        match (clean(device), clean(service)) {
            (true, true) => self.tally.clean += 1,
            (false, false) => self.tally.broken += 1,
            (true, false) | (false, true) => self.tally.unsure += 1,
        }
        assert!(!self.gentle || all, "given up without need: {:?} {:?}", device.ending, service.ending);
        self.tally.hubs = self.run;
        self.tally.bytes = device.heard + service.heard;
        self.tally
    }

    /// Something goes wrong.
    fn fault(&mut self) {
        if self.now > self.start + TROUBLE || self.faults == 0 {
            return;
        }
        self.faults -= 1;
        let (side, long) = (self.either(), if self.gentle { 20 } else { 120 });
        match self.roll(if self.gentle { 9 } else { 13 }) {
            0 | 1 => self.cut(side),
            2 => self.swallow(side, true, false),
            3 => self.swallow(side, false, true),
            4 => self.swallow(side, true, true),
            5 => {
                self.swallow(side, true, true);
                let out = Duration::from_secs(self.roll(long));
                self.sides[side].away_until = self.now + out;
            }
            6 | 7 => self.hub_dies(long),
            8 => self.hub_drains(),
            9 => self.kill(),
            10 => self.revoke(),
            11 => self.stop(side),
            _ => self.sides[side].resets = true,
        }
        self.look_soon(side);
        // Often while both ends are still on their way back.
        let soon = [300, 3000, 40_000][self.roll(3) as usize];
        let next = self.up_to(soon);
        self.after(next, Event::Fault);
    }

    /// The connection of a side breaks; each end of it may notice, or not.
    fn cut(&mut self, side: usize) {
        let Some(leg) = self.sides[side].leg else { return };
        (self.legs[leg].up, self.legs[leg].down) = (false, false);
        if self.roll(4) > 0 {
            let late = self.up_to(3000);
            self.after(late, Event::SideLoses(leg));
        }
        if self.roll(4) > 0 {
            let late = self.up_to(3000);
            self.after(late, Event::HubLoses(leg));
        }
    }

    /// What is sent does not arrive any more, in one direction or both, and nobody says so.
    fn swallow(&mut self, side: usize, up: bool, down: bool) {
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
        self.legs[leg].said = self.now;
        let last = &mut self.legs[leg].last_down;
        *last = at.max(*last);
        let at = *last;
        self.at(at, Event::AtSide(leg, message));
    }

    fn delay(&mut self, side: usize) -> Duration {
        let usual = self.sides[side].distance;
        Duration::from_millis(usual + self.roll(1 + usual / 2))
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.order += 1;
        self.events.insert((at, self.order), event);
    }

    fn after(&mut self, pause: Duration, event: Event) {
        self.at(self.now + pause, event);
    }

    fn up_to(&mut self, millis: u64) -> Duration {
        Duration::from_millis(self.roll(millis))
    }

    fn either(&mut self) -> usize {
        usize::from(self.roll(2) == 0)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.random() % sides
    }

    fn random(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.dice)
    }
}

/// What both applications say: bytes that tell where they belong.
fn pattern() -> Bytes {
    static PATTERN: std::sync::OnceLock<Bytes> = std::sync::OnceLock::new();
    let byte_at = |position: usize| (mix(position as u64) >> 56) as u8;
    PATTERN.get_or_init(|| (0..=MOST).map(byte_at).collect()).clone()
}
