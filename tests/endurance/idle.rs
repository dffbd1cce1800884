//! The idle campaign: the cost of thousands of idle devices for their hub.

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use super::stop_signal::StopSignal;
use super::support::bytes::KIB;
use super::support::fleet::{Fleet, ONE_ADDRESS};
use super::support::machine::Machine;
use super::support::process::Process;
use super::support::roles::Hub;
use super::{mib, report};

/// Timeout of the connection of all devices.
const ARRIVAL: Duration = Duration::from_secs(300);

/// Time for the last devices to be welcomed and pinged.
const REST: Duration = Duration::from_secs(5);

/// Memory of the hub per idle device, in KiB, at most.
const KIB_PER_DEVICE: f64 = 25.0;

/// Processor time of the hub for 10,000 idle devices, in percent of one core, at most.
const PERCENT_OF_A_CORE: f64 = 2.0;

/// `getconf CLK_TCK` on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Runs the campaign with this number of devices for this number of minutes.
pub(crate) fn campaign(devices: &str, minutes: &str) -> ExitCode {
    let (Ok(count @ 1..), Ok(minutes @ 1..)) = (devices.parse::<usize>(), minutes.parse::<u64>()) else {
        report("usage: tests/idle [DEVICES [MINUTES]]");
        return ExitCode::from(2);
    };
    let hub = Hub::start_with(&Machine::new(), &[&ONE_ADDRESS[..], &["--metrics", "127.0.0.1:0"]].concat());
    StopSignal::default().wait_for(REST);
    let alone = hub.process.memory().now;
    let fleet = Fleet::join(&hub, "idle", count);
    fleet.wait_online(&hub, ARRIVAL);
    StopSignal::default().wait_for(REST);

    let (connections, used) = (hub.metric("devstream_connections_total"), processor_time(&hub.process));
    let time = Duration::from_secs(60 * minutes);
    StopSignal::default().wait_for(time);
    let percent = (processor_time(&hub.process) - used) / time.as_secs_f64() * 100.0;
    let returns = hub.metric("devstream_connections_total") - connections;
    let memory = hub.process.memory().now;
    let each = memory.saturating_sub(alone) as f64 / KIB as f64 / count as f64;

    let allowed = PERCENT_OF_A_CORE * count as f64 / 10_000.0;
    let good = each <= KIB_PER_DEVICE && percent <= allowed.max(0.1) && returns == 0;
    report(format!(
        "idle: {count} devices for {minutes} min: {each:.1} KiB each beside the hub's {} MiB, {percent:.2} % of a core, \
         {returns} came back: {}",
        mib(alone as i64),
        if good { "passed" } else { "FAILED" },
    ));
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns the processor time of a process, user and system, in seconds.
fn processor_time(process: &Process) -> f64 {
    let stat = fs::read_to_string(process.proc().join("stat")).expect("the process runs");
    // The name in parentheses may hold spaces; the times are the 14th and 15th fields.
    let fields = stat.rsplit_once(')').expect("a name").1.split_whitespace().skip(11).take(2);
    fields.map(|ticks| ticks.parse::<f64>().expect("a number") / TICKS_PER_SECOND).sum()
}
