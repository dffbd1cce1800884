//! A reader that pauses for long is not timed out, and costs the hub little.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::Duration;

use super::fixture::{DEAD_AFTER, Fixture, SILENCE};
use crate::support::bytes::{MIB, Observed, Pattern, StreamEnd, drain};
use crate::support::chaos::Fault;
use crate::support::targets::Target;

const READERS: u64 = 8;

/// More than every buffer on the way, and every window.
const EACH: u64 = 48 * MIB;

/// Memory that the hub may use for each.
const HUB_MEMORY: u64 = MIB;

#[test]
fn a_reader_that_pauses_for_long_is_never_timed_out_and_gets_every_byte() {
    pause(4 * DEAD_AFTER, &SILENCE);
}

/// Runs for this long with every window full, and cuts every leg. Returns the figures.
pub(crate) fn pause(time: Duration, arguments: &'static [&'static str]) -> String {
    let target = Target::source(5, EACH);
    let fixture = Fixture::forwarding(&[target.port], arguments);
    // What the first stream takes of a process, all later ones use as well.
    let mut first = fixture.proxy.connect();
    first.read_exact(&mut [0]).unwrap();
    drop(first);
    let before = fixture.hub.process.memory().now;
    let mut readers: Vec<_> = (0..READERS).map(|_| fixture.proxy.connect()).collect();
    readers.iter_mut().for_each(|reader| reader.read_exact(&mut [0]).unwrap());
    for _ in 0..READERS {
        assert_eq!(seen_stalled(&target), StreamEnd::Stalled, "the source is held back");
    }
    assert_no_warning_for(&fixture, time / 2);
    let each = fixture.hub.process.memory().now.saturating_sub(before) / READERS;
    assert!(each <= HUB_MEMORY, "the hub keeps {each} bytes for each");

    let lines = fixture.proxy.process.lines();
    fixture.on_both_legs(|network| _ = network.hit_all(Fault::Cut));
    fixture.proxy.process.wait_line_after(lines, "resumed after");
    assert_no_warning_for(&fixture, time / 2);
    let later = fixture.hub.process.memory().now.saturating_sub(before) / READERS;
    assert!(later <= HUB_MEMORY, "the hub keeps {later} bytes for each, after a cut");
    readers.iter_mut().for_each(read_on);
    fixture.assert_none_given_up();
    format!(
        "{READERS} readers paused for {time:?}: {each} and {later} bytes of the hub's memory for each, all bytes right"
    )
}

/// The one that ended first is not meant.
fn seen_stalled(target: &Target) -> StreamEnd {
    loop {
        let seen = target.seen();
        if seen.end != StreamEnd::Reset {
            return seen.end;
        }
    }
}

/// Asserts that no role logs a warning for this long.
fn assert_no_warning_for(fixture: &Fixture, time: Duration) {
    let lines = fixture.proxy.process.lines();
    let complaint = fixture.proxy.process.find_line(lines, "warning", time);
    assert!(complaint.is_none_or(|line| line.contains("resumed after")), "{}", fixture.proxy.process);
}

/// Reads the remaining bytes and the end.
fn read_on(reader: &mut TcpStream) {
    let mut all = std::io::Cursor::new(Pattern::new(5).prefix(1)).chain(&mut *reader);
    Pattern::new(5).expect(&mut all, EACH);
    assert_eq!(drain(reader), Observed { bytes: 0, end: StreamEnd::Eof });
}
