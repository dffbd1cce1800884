//! Many streams, one after the other on the same connections: each has its own bytes, exactly once.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::fixture::{Fixture, LITTLE};
use crate::support::bytes::{MIB, drain, echo_to_eof, reset};
use crate::support::chaos::{Chaos, Direction, Fault};
use crate::support::rng::Rng;
use crate::support::targets::Target;
use crate::support::{poll, within};

const WORKERS: usize = 16;

/// Streams of each worker.
const STREAMS: usize = 120;

/// A target resets a connection that begins with this.
const RESET: u8 = 0xff;

/// Bytes that no other stream has: each word says whose it is, and which.
fn words(stream: u32, count: usize) -> Vec<u8> {
    (0..count).flat_map(|index| (u64::from(stream) << 32 | index as u64).to_be_bytes()).collect()
}

#[test]
fn streams_of_every_length_and_end_never_see_each_others_bytes() {
    let target = Target::echo_watched(|position, bytes| position == 0 && bytes.first() == Some(&RESET));
    let fixture = Fixture::forwarding(&target);
    fixture.warm(3);
    let held = others(&fixture);
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let fixture = &fixture;
            scope.spawn(move || {
                let mut rng = Rng::new(worker as u64);
                for number in 0..STREAMS {
                    let stream = u32::try_from(worker * STREAMS + number).unwrap();
                    one_of_many(&fixture.proxy.connect(), stream, &mut rng);
                }
            });
        }
    });
    let streams = (WORKERS * STREAMS) as u64;
    let [above, below] = fixture.connections();
    // Streams that were reset take their connections with them.
    assert!(above < 2 * streams && below < streams, "{above} and {below} connections for {streams} streams");
    fixture.echo(1, LITTLE);
    poll("no more files than before, but for what stands by", || {
        others(&fixture).iter().zip(&held).all(|(now, before)| now <= before).then_some(())
    });
    for role in [&fixture.proxy.process, &fixture.agent, &fixture.hub.process] {
        assert!(!role.log().contains("interrupted"), "nobody cut anything");
    }
}

/// Files that each has open, but for its connections through the network.
fn others(fixture: &Fixture) -> [usize; 3] {
    let [above, below] = [fixture.above.live(), fixture.below.live()];
    let open = [&fixture.proxy.process, &fixture.agent, &fixture.hub.process].map(|process| process.open_files());
    let connections = [above, below, above + below];
    std::array::from_fn(|index| open[index].saturating_sub(connections[index]))
}

/// Runs a stream of a random kind.
fn one_of_many(local: &TcpStream, stream: u32, rng: &mut Rng) {
    let mut reader = local;
    let mut writer = local;
    let lengths = [0, 1, 16, 1500, 2048, 2100, 9000];
    let sent = words(stream, lengths[rng.random_below(lengths.len())]);
    match rng.random_below(20) {
        0 => {
            // The stream may be reset before everything is written.
            let _ = writer.write_all(&[&[RESET], sent.as_slice()].concat());
            let mut all = Vec::new();
            let read = reader.read_to_end(&mut all);
            assert!(read.is_err() && all.is_empty(), "stream {stream}: {read:?} and {} bytes", all.len());
        }
        1 => {
            writer.write_all(&sent).unwrap();
            let some = rng.random_below(sent.len() + 1);
            let mut back = vec![0; some];
            reader.read_exact(&mut back).unwrap();
            assert!(back == sent[..some], "stream {stream}: other bytes");
            reset(local.try_clone().unwrap());
            let _ = local.shutdown(Shutdown::Both);
        }
        _ => {
            let mut back = Vec::new();
            thread::scope(|scope| {
                scope.spawn(|| {
                    for piece in sent.chunks(1 + rng.random_below(30_000)) {
                        writer.write_all(piece).unwrap();
                    }
                    local.shutdown(Shutdown::Write).unwrap();
                });
                reader.read_to_end(&mut back).unwrap();
            });
            assert!(back == sent, "stream {stream}: {} bytes for {}", back.len(), sent.len());
        }
    }
}

/// The first bytes of each connection to a target, with their count.
pub(super) type Firsts = Arc<Mutex<HashMap<u64, usize>>>;

pub(super) fn remembering() -> (Target, Firsts) {
    let firsts = Firsts::default();
    let noted = firsts.clone();
    let target = Target::echo_watched(move |position, bytes| {
        if let (0, Some(first)) = (position, bytes.first_chunk()) {
            *noted.lock().unwrap().entry(u64::from_be_bytes(*first)).or_default() += 1;
        }
        false
    });
    (target, firsts)
}

/// Opens a local connection that sends at once. Returns whether the echo arrived; otherwise the connection was reset.
pub(super) fn says(fixture: &Fixture, number: u64) -> bool {
    let mut local = fixture.proxy.connect();
    let mut back = [0; 8];
    let said = local.write_all(&number.to_be_bytes()).and_then(|()| local.read_exact(&mut back)).is_ok();
    assert!(!said || back == number.to_be_bytes(), "{number}: other bytes");
    if said {
        local.shutdown(Shutdown::Write).unwrap();
        drain(&mut local);
    }
    said
}

/// Asserts that everything echoed arrived once, and nothing more often.
pub(super) fn assert_once(firsts: &Firsts, echoed: &[u64]) {
    let firsts = firsts.lock().unwrap();
    for (number, count) in firsts.iter() {
        assert_eq!(*count, 1, "{number} came to the target {count} times");
    }
    for number in echoed {
        assert!(firsts.contains_key(number), "{number} came from nowhere");
    }
}

#[test]
fn early_data_arrives_once_though_the_response_is_lost() {
    let (target, firsts) = remembering();
    let fixture = Fixture::forwarding(&target);
    let mut echoed = Vec::new();
    for (round, (chaos, fault)) in [
        (&fixture.above, Fault::BlackHole(Direction::Down)),
        (&fixture.above, Fault::Freeze(Direction::Down)),
        (&fixture.above, Fault::Freeze(Direction::Up)),
        (&fixture.below, Fault::BlackHole(Direction::Up)),
        (&fixture.below, Fault::Freeze(Direction::Up)),
        (&fixture.below, Fault::Freeze(Direction::Down)),
    ]
    .into_iter()
    .enumerate()
    {
        let number = 1 + 2 * round as u64;
        warm_with_data(&fixture, 1000 * number);
        let first = u64::from(std::ptr::eq(chaos, &raw const fixture.below));
        (first..chaos.connections()).for_each(|number| _ = chaos.hit(number, fault));
        if within(Duration::from_secs(20), &format!("an answer after {fault:?}"), || says(&fixture, number)) {
            echoed.push(number);
        }
        chaos.heal();
        assert!(says(&fixture, number + 1), "the next stream after {fault:?}");
        echoed.push(number + 1);
    }
    assert_once(&firsts, &echoed);
}

fn warm_with_data(fixture: &Fixture, first: u64) {
    for number in first..first + 6 {
        assert!(says(fixture, number));
    }
    fixture.settle();
}

#[test]
fn early_data_that_one_agent_delivered_is_not_delivered_by_the_next() {
    let (target, firsts) = remembering();
    let fixture = Fixture::forwarding(&target);
    warm_with_data(&fixture, 100);
    fixture.below.hit_all(Fault::BlackHole(Direction::Up));
    thread::scope(|scope| {
        let asked = scope.spawn(|| says(&fixture, 1));
        poll("the first bytes at the target", || firsts.lock().unwrap().contains_key(&1).then_some(()));
        let next = fixture.another_agent();
        asked.join().unwrap();
        next
    });
    assert_once(&firsts, &[]);
    fixture.agent.kill();
}

#[test]
fn early_data_arrives_once_whatever_the_network_does() {
    const ROUNDS: u64 = 25;
    let faults = [
        Fault::Cut,
        Fault::BlackHole(Direction::Up),
        Fault::BlackHole(Direction::Down),
        Fault::BlackHole(Direction::Both),
        Fault::Freeze(Direction::Up),
        Fault::Freeze(Direction::Down),
        Fault::Freeze(Direction::Both),
    ];
    let (target, firsts) = remembering();
    let fixture = Fixture::with(&target, [&["--dead-after", "4"]; 3]);
    warm_with_data(&fixture, 1 << 40);
    let storm =
        |chaos: &Chaos, seed| chaos.storm(seed, Duration::from_millis(150), Duration::from_millis(2500), &faults);
    let storms = [storm(&fixture.above, 1), storm(&fixture.below, 2)];
    let echoed: Vec<u64> = thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|worker| {
                let fixture = &fixture;
                let numbers = worker * ROUNDS..(worker + 1) * ROUNDS;
                scope.spawn(move || numbers.filter(|number| says(fixture, 1 << 32 | number)).collect::<Vec<_>>())
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).map(|number| 1 << 32 | number).collect()
    });
    drop(storms);
    [&fixture.above, &fixture.below].into_iter().for_each(Chaos::heal);
    assert!(!echoed.is_empty(), "nothing came through");
    poll("a stream", || says(&fixture, 1).then_some(()));
    firsts.lock().unwrap().remove(&1);
    assert_once(&firsts, &echoed);
}

#[test]
fn a_stream_that_loses_its_connections_resumes_and_the_next_ones_work() {
    const LENGTH: u64 = 24 * MIB;
    let target = Target::echo();
    let mut fixture = Fixture::forwarding(&target);
    for round in 0..4 {
        fixture.warm(3);
        let (before, lines) = (fixture.connections(), fixture.proxy.process.lines());
        let local = fixture.proxy.connect();
        let bytes = fixture.above.bytes();
        let transfer = thread::spawn(move || echo_to_eof(&local, round, LENGTH));
        poll("a part of it", || (fixture.above.bytes() > bytes + LENGTH / 4).then_some(()));
        assert_eq!(fixture.connections(), before, "it is on a connection that stood by");
        match round {
            0 => _ = fixture.above.hit_all(Fault::Cut),
            1 => _ = fixture.below.hit_all(Fault::Cut),
            2 => [&fixture.above, &fixture.below].into_iter().for_each(|chaos| _ = chaos.hit_all(Fault::Cut)),
            _ => {
                fixture.hub.process.kill();
                fixture.start_hub();
            }
        }
        assert!(!transfer.is_finished(), "too little to carry");
        transfer.join().unwrap();
        fixture.proxy.process.wait_line_after(lines, "resumed after");
        fixture.echo(round, LITTLE);
    }
}
