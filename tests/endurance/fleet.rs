//! The fleet campaign: thousands of agents come back to a hub that was killed and started again.

use std::process::ExitCode;
use std::time::Duration;

use super::say;
use super::support::bytes::MIB;
use super::support::fleet::{Fleet, ONE_ADDRESS, Reconnect};
use super::support::machine::Machine;
use super::support::roles::Hub;

/// All are back within this.
const BACK: Duration = Duration::from_secs(60);

/// For all of them to come for the first time.
const ARRIVAL: Duration = Duration::from_secs(300);

/// How often the hub dies.
const DEATHS: usize = 2;

/// With so many agents, as typed.
pub(crate) fn campaign(count: &str) -> ExitCode {
    let Some(count) = count.parse().ok().filter(|count| *count > 0) else {
        say("usage: tests/fleet [AGENTS]");
        return ExitCode::from(2);
    };
    let mut hub = Hub::start_with(&Machine::new(), &ONE_ADDRESS);
    let fleet = Fleet::join(&hub, "fleet", count);
    fleet.wait_online(&hub, ARRIVAL);
    let returns: Vec<Reconnect> = (0..DEATHS).map(|_| fleet.reconnect(&mut hub, &ONE_ADDRESS, ARRIVAL)).collect();
    let good = returns.iter().all(|back| back.took <= BACK && back.peak < 2 * back.steady);
    let each = |back: &Reconnect| {
        let [steady, peak] = [back.steady, back.peak].map(|bytes| bytes / MIB);
        format!("{:.1} s, {steady} MiB steady, {peak} MiB at most", back.took.as_secs_f64())
    };
    let figures: Vec<_> = returns.iter().map(each).collect();
    say(format!("fleet: {count} agents back after {}: {}", figures.join("; "), if good { "passed" } else { "FAILED" }));
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
