//! The campaign of `tests/cuts`: the tests of resumable streams, at full length, one after the other.

use std::time::Duration;

use super::report;
use super::resume::{counter, cuts, fairness, paused, restarts};
use super::support::bytes::MIB;

/// Limits of the time from a hub's end to the next bytes, at the median and the 95th percentile.
const BACK: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(5)];

/// Limit of an echo's 99th percentile beside stalled or saturated readers; more is tolerated up to [`SLOWER`].
const PROMPT: Duration = Duration::from_millis(20);

/// Limit of the same as a multiple of an echo through an idle hub.
const SLOWER: u32 = 5;

type Trial = (&'static str, fn() -> String);

/// The tests; each returns its figures, or panics.
const TRIALS: [Trial; 9] = [
    ("transfer", || cuts::transfer(cuts::Size { streams: 8, bytes: 1024 * MIB, hits: 200, heal_every: 25, seed: 1 })),
    ("restarts", restarts_in_time),
    ("fairness", echoes_in_time),
    ("counter-hub", || counter::hub_dies(24, Duration::from_secs(5))),
    ("counter-black-hole", || counter::black_hole(Duration::from_secs(60), &[])),
    ("counter-stopped", || counter::stopped_proxy(Duration::from_secs(90), &[])),
    ("counter-address", || counter::another_address(&[])),
    ("paused", || paused::pause(Duration::from_secs(600), &[])),
    ("paused-impatient", || paused::pause(Duration::from_secs(60), &["--dead-after", "4"])),
];

/// Runs the tests of these names, or all. Returns the number of unknown names.
pub(crate) fn run(names: &[String]) -> usize {
    let unknown = names.iter().filter(|name| TRIALS.iter().all(|(known, _)| known != name));
    let unknown = unknown.inspect(|name| report(format!("cuts: no trial is named {name}"))).count();
    let chosen: Vec<_> =
        TRIALS.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|n| n == name)).collect();
    for (name, trial) in &chosen {
        report(format!("cuts: {name}: {}", trial()));
    }
    report(format!("cuts: {} trials: {}", chosen.len(), if unknown == 0 { "passed" } else { "FAILED" }));
    unknown
}

fn restarts_in_time() -> String {
    let figures = restarts::restart(20, 100);
    assert!(figures.p50 <= BACK[0] && figures.p95 <= BACK[1], "{figures}");
    figures.to_string()
}

fn echoes_in_time() -> String {
    let figures = fairness::echo_beside(fairness::Size { frozen: 100, echoes: 100, rounds: 100 });
    assert!(figures.beside <= PROMPT.max(figures.idle * SLOWER), "{figures}");
    figures.to_string()
}
