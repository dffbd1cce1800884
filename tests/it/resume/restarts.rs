//! Hub restarts under load: time from the hub's end to the first byte through its successor.

use std::fmt;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use devstream::net::os::clock;

use super::fixture::{Fixture, show};
use crate::support::targets::{Target, is_alive};

/// The ways in which the hub ends, in turn.
const SIGNALS: [&str; 2] = ["KILL", "TERM"];

#[test]
fn every_stream_resumes_after_every_restart_of_the_hub() {
    show(restart(4, 40));
}

/// For every stream, the time from the hub's end to the next byte.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) restarts: usize,
    pub(crate) streams: usize,
    pub(crate) p50: Duration,
    pub(crate) p95: Duration,
    pub(crate) most: Duration,
}

/// So many restarts with so many streams, all of which go on every time.
pub(crate) fn restart(restarts: usize, streams: usize) -> Figures {
    let target = Target::echo();
    let mut fixture = Fixture::forwarding(&[target.port], &[]);
    let mut locals: Vec<_> = (0..streams).map(|_| fixture.alive()).collect();
    let took = Mutex::new(Vec::new());
    for signal in SIGNALS.iter().cycle().take(restarts) {
        let start = clock::now();
        fixture.hub.process.signal(signal);
        thread::scope(|scope| {
            for local in &mut locals {
                scope.spawn(|| {
                    is_alive(local);
                    took.lock().unwrap().push(start.elapsed());
                });
            }
            fixture.hub.process.wait_end();
            fixture.start_hub();
        });
    }
    fixture.assert_none_given_up();
    let mut took = took.into_inner().unwrap();
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    Figures { restarts, streams, p50: at(50), p95: at(95), most: at(100) }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { restarts, streams, p50, p95, most } = self;
        write!(
            f,
            "{restarts} restarts with {streams} streams: next bytes after {p50:.1?} (p50), {p95:.1?} (p95), {most:.1?} at most"
        )
    }
}
