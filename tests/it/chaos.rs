//! The chaos proxy itself: each fault has its effect, and no other.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use devstream::net::os::clock;

use crate::support::bytes::{KIB, MIB, Observed, Pattern, StreamEnd, drain, echo_round_trip, reset};
use crate::support::chaos::{Chaos, Direction, Fault};
use crate::support::roles::connect;
use crate::support::targets::{Target, closed_port, is_alive};
use crate::support::{TIMEOUT, poll};

/// Time after which a direction without bytes counts as blocked; the machine's loopback delays nothing this long.
const NOTHING: Duration = Duration::from_millis(300);

struct Fixture {
    chaos: Chaos,
    target: Target,
}

impl Fixture {
    fn with(target: Target) -> Self {
        Self { chaos: Chaos::in_front_of(&format!("127.0.0.1:{}", target.port)), target }
    }

    fn connect(&self) -> TcpStream {
        connect(self.chaos.address().rsplit(':').next().unwrap().parse().unwrap())
    }

    /// A connection over which bytes have passed.
    fn alive(&self) -> TcpStream {
        let mut stream = self.connect();
        is_alive(&mut stream);
        stream
    }
}

#[test]
fn without_a_fault_bytes_and_ends_are_forwarded_and_counted() {
    let fixture = Fixture::with(Target::echo());
    let (mut first, _second) = (fixture.alive(), fixture.alive());
    echo_round_trip(&first, 5, 64 * MIB);
    first.shutdown(Shutdown::Write).unwrap();
    assert_eq!(drain(&mut first).end, StreamEnd::Eof);
    assert_eq!(fixture.target.seen(), Observed { bytes: 64 * MIB + KIB, end: StreamEnd::Eof });
    poll("the first one's end", || (fixture.chaos.live() == 1).then_some(()));
    assert_eq!(fixture.chaos.connections(), 2);
    assert_eq!(fixture.chaos.bytes(), 2 * (64 * MIB + 2 * KIB));
    reset(fixture.alive());
    let was_reset = Observed { bytes: KIB, end: StreamEnd::Reset };
    assert_eq!(fixture.target.seen(), was_reset, "what an end does passes as well");
    let mut nowhere =
        Fixture { chaos: Chaos::in_front_of(&format!("127.0.0.1:{}", closed_port())), ..fixture }.connect();
    assert_eq!(drain(&mut nowhere).end, StreamEnd::Reset);
}

#[test]
fn a_cut_resets_both_ends() {
    let fixture = Fixture::with(Target::echo());
    let mut stream = fixture.alive();
    assert_eq!(fixture.chaos.hit_one(1, Fault::Cut), Some(0));
    assert_eq!(drain(&mut stream).end, StreamEnd::Reset);
    assert_eq!(fixture.target.seen().end, StreamEnd::Reset);
    assert_eq!(fixture.chaos.hit_one(1, Fault::Cut), None, "nothing is left to be hit");
}

#[test]
fn a_close_ends_both_directions_or_one() {
    let fixture = Fixture::with(Target::sink());
    let mut stream = fixture.connect();
    poll("the connection", || (fixture.chaos.hit_all(Fault::Close(Direction::Both)) == 1).then_some(()));
    assert_eq!(drain(&mut stream).end, StreamEnd::Eof);
    assert_eq!(fixture.target.seen().end, StreamEnd::Eof);

    let fixture = Fixture::with(Target::answering_at_the_end());
    let mut stream = fixture.connect();
    stream.write_all(b"before").unwrap();
    poll("the bytes", || (fixture.chaos.bytes() == 6).then_some(()));
    assert_eq!(fixture.chaos.hit_all(Fault::Close(Direction::Up)), 1);
    let _ = stream.write_all(b"after");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "before", "the other direction still works");
}

#[test]
fn a_black_hole_drops_everything_in_one_direction_or_both() {
    let fixture = Fixture::with(Target::echo());
    for direction in [Direction::Up, Direction::Down, Direction::Both] {
        let mut stream = fixture.alive();
        assert!(fixture.chaos.hit_one(1, Fault::BlackHole(direction)).is_some());
        stream.write_all(b"hello").unwrap();
        assert_silent(&mut stream);
        fixture.chaos.heal();
        assert_eq!(drain(&mut stream).end, StreamEnd::Reset, "bytes are missing");
        let arrived = if direction == Direction::Down { 5 } else { 0 };
        assert_eq!(fixture.target.seen(), Observed { bytes: KIB + arrived, end: StreamEnd::Reset }, "{direction:?}");
    }
    let mut idle = fixture.alive();
    fixture.chaos.hit_all(Fault::BlackHole(Direction::Both));
    fixture.chaos.heal();
    is_alive(&mut idle);
    // A close inside a black hole does not arrive.
    fixture.chaos.hit_all(Fault::BlackHole(Direction::Both));
    reset(idle);
    thread::scope(|scope| {
        // A reset, unless the end was read before it.
        scope.spawn(|| assert_ne!(fixture.target.seen().end, StreamEnd::Stalled));
        poll("the hidden end", || (fixture.chaos.live() == 1).then_some(()));
        fixture.chaos.heal();
    });
}

#[test]
fn a_freeze_stalls_and_loses_nothing() {
    let fixture = Fixture::with(Target::source(5, 32 * MIB));
    let mut stream = fixture.connect();
    stream.read_exact(&mut [0; 1024]).unwrap();
    assert_eq!(fixture.chaos.hit_one(1, Fault::Freeze(Direction::Both)), Some(0));
    assert_eq!(fixture.chaos.hit_one(1, Fault::Freeze(Direction::Both)), None, "it is no other's turn");
    assert_eq!(fixture.target.seen().end, StreamEnd::Stalled);
    stream.set_read_timeout(Some(NOTHING)).unwrap();
    let Observed { bytes, end } = drain(&mut stream);
    assert_eq!(end, StreamEnd::Stalled);
    fixture.chaos.heal();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let pattern = Pattern::new(5).prefix(32 * MIB);
    let before = usize::try_from(1024 + bytes).unwrap();
    let mut rest = vec![0; pattern.len() - before];
    stream.read_exact(&mut rest).unwrap();
    assert!(rest == pattern[before..], "other bytes");
}

#[test]
fn a_delay_delays_and_changes_nothing_else() {
    let fixture = Fixture::with(Target::echo());
    let delay = Duration::from_millis(100);
    fixture.chaos.hit_everything(Fault::Delay { delay, jitter: delay });
    let mut stream = fixture.connect();
    let start = clock::now();
    is_alive(&mut stream);
    let took = clock::now() - start;
    assert!(took >= 2 * delay, "{took:?}");
    let start = clock::now();
    echo_round_trip(&stream, 5, 16 * MIB);
    let took = clock::now() - start;
    assert!(took < Duration::from_secs(20), "the delay limits no rate: {took:?}");
}

#[test]
fn a_trickle_limits_the_rate() {
    let fixture = Fixture::with(Target::source(5, 32 * KIB));
    fixture.chaos.hit_everything(Fault::Trickle(32 * KIB));
    let start = clock::now();
    Pattern::new(5).expect(&mut fixture.connect(), 32 * KIB);
    let took = clock::now() - start;
    assert!(took >= Duration::from_millis(900), "{took:?}");
}

#[test]
fn a_corruption_changes_one_bit() {
    let fixture = Fixture::with(Target::echo());
    let mut stream = fixture.alive();
    assert_eq!(fixture.chaos.hit_all(Fault::Corrupt(Direction::Down)), 1);
    let sent = Pattern::new(7).prefix(KIB);
    let mut received = sent.clone();
    stream.write_all(&sent).unwrap();
    stream.read_exact(&mut received).unwrap();
    let changed: u32 = sent.iter().zip(&received).map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!(changed, 1);
    is_alive(&mut stream);
}

#[test]
fn a_truncation_ends_where_a_record_does() {
    let record = [&[23, 3, 3, 1, 0][..], &[7; 256]].concat();
    for (sent, more, arrives) in [(0, 300, 0), (record.len(), 10, record.len()), (300, 500, 2 * record.len())] {
        let fixture = Fixture::with(Target::sink());
        let mut stream = fixture.connect();
        let records = record.repeat(4);
        stream.write_all(&records[..sent]).unwrap();
        poll("the bytes", || (fixture.chaos.live() == 1 && fixture.chaos.bytes() == sent as u64).then_some(()));
        fixture.chaos.hit_all(Fault::Truncate(Direction::Up));
        stream.write_all(&records[sent..sent + more]).unwrap();
        assert_eq!(fixture.target.seen(), Observed { bytes: arrives as u64, end: StreamEnd::Eof });
    }
}

#[test]
fn a_fault_on_everything_hits_new_connections_until_it_heals() {
    let fixture = Fixture::with(Target::echo());
    let mut old = fixture.alive();
    fixture.chaos.hit_everything(Fault::BlackHole(Direction::Both));
    let mut new = fixture.connect();
    for stream in [&mut old, &mut new] {
        stream.write_all(b"hello").unwrap();
        assert_silent(stream);
    }
    fixture.chaos.heal();
    fixture.alive();
    fixture.chaos.refuse();
    assert_eq!(drain(&mut fixture.connect()).end, StreamEnd::Reset);
    fixture.chaos.heal();
    fixture.alive();
}

#[test]
fn a_storm_follows_its_seed() {
    let stormed = |seed: u64| {
        let fixture = Fixture::with(Target::echo());
        let mut all: Vec<_> = (0..8).map(|_| fixture.alive()).collect();
        let storm = fixture.chaos.storm(seed, Duration::from_millis(5), Duration::ZERO, &[Fault::Cut]);
        assert!(all.iter_mut().all(|stream| drain(stream).end == StreamEnd::Reset));
        storm.hits()
    };
    let hits = stormed(1);
    assert_eq!(hits.len(), 8);
    assert_eq!(stormed(1), hits);
    assert_ne!(stormed(2), hits);

    let fixture = Fixture::with(Target::echo());
    let mut stream = fixture.alive();
    let (pause, lasting) = (Duration::from_millis(20), Duration::from_millis(5));
    let storm = fixture.chaos.storm(3, pause, lasting, &[Fault::Freeze(Direction::Both), Fault::Freeze(Direction::Up)]);
    while storm.hits().len() < 10 {
        is_alive(&mut stream);
    }
}

fn assert_silent(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(NOTHING)).unwrap();
    assert_eq!(drain(stream), Observed { bytes: 0, end: StreamEnd::Stalled });
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
}
