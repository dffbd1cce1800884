//! The fleet campaign: thousands of agents reconnect to a hub that was killed and restarted.

use std::process::ExitCode;
use std::time::Duration;

use super::report;
use super::support::bytes::MIB;
use super::support::fleet::{Fleet, ONE_ADDRESS, Reconnect};
use super::support::machine::Machine;
use super::support::roles::Hub;

/// Time in which all must be back.
const BACK: Duration = Duration::from_secs(60);

/// Timeout of the first connection of all agents.
const ARRIVAL: Duration = Duration::from_secs(300);

/// Number of restarts.
const RESTARTS: usize = 2;

/// Runs the campaign with this number of agents.
pub(crate) fn campaign(count: &str) -> ExitCode {
    let Some(count) = count.parse().ok().filter(|count| *count > 0) else {
        report("usage: tests/fleet [AGENTS [--hubs HUBS]]");
        return ExitCode::from(2);
    };
    let mut hub = Hub::start_with(&Machine::new(), &ONE_ADDRESS);
    let fleet = Fleet::join(&hub, "fleet", count);
    fleet.wait_online(&hub, ARRIVAL);
    let returns: Vec<Reconnect> = (0..RESTARTS).map(|_| fleet.reconnect(&mut hub, &ONE_ADDRESS, ARRIVAL)).collect();
    let good = returns.iter().all(|back| back.took <= BACK && back.peak < 2 * back.steady);
    let each = |back: &Reconnect| {
        let [steady, peak] = [back.steady, back.peak].map(|bytes| bytes / MIB);
        format!("{:.1} s, {steady} MiB steady, {peak} MiB at most", back.took.as_secs_f64())
    };
    let figures: Vec<_> = returns.iter().map(each).collect();
    report(format!(
        "fleet: {count} agents back after {}: {}",
        figures.join("; "),
        if good { "passed" } else { "FAILED" }
    ));
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
