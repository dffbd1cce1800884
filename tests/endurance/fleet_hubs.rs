//! The fleet campaign over several hubs: one is killed, and its agents and streams go on at the others.

use std::collections::HashSet;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use devstream::net::os::clock;
use devstream::proto::admin::ClusterStatus;

use super::counting::Counting;
use super::figures::Figures;
use super::report;
use super::stop_signal::StopSignal;
use super::support::cluster::Cluster;
use super::support::fleet::{Arrivals, Fleet, ONE_ADDRESS};
use super::support::machine::Machine;
use super::support::nats::Nats;
use super::support::process::processor_time;
use super::support::roles::{Agent, Hub, ServiceProxy};
use super::support::targets::Target;

/// Time from the kill until an agent is online at another hub, of 99 in 100.
const CONTROL: Duration = Duration::from_secs(5);

/// Time from the kill until a stream goes on, of 99 in 100.
const RESUMED: Duration = Duration::from_secs(3);

/// Streams of each hub.
const STREAMS: usize = 100;

/// Timeout of the first connection, and of the return, of all agents.
const ARRIVAL: Duration = Duration::from_secs(300);

/// Time of undisturbed counting before and after.
const CALM: Duration = Duration::from_secs(3);

/// Runs the campaign with these numbers of agents and hubs.
pub(crate) fn campaign(count: &str, hubs: &str) -> ExitCode {
    let (Ok(count @ 1..), Ok(hubs @ 2..)) = (count.parse::<usize>(), hubs.parse::<usize>()) else {
        report("usage: tests/fleet [AGENTS [--hubs HUBS]]");
        return ExitCode::from(2);
    };
    let (cluster, target) = (Cluster::over(Nats::start(3), hubs, &ONE_ADDRESS), Target::echo());
    let wires: Vec<_> = (0..hubs).map(|hub| Wire::start(&cluster, hub, target.port)).collect();
    let stop: &'static StopSignal = Box::leak(Box::default());
    let counting: Vec<Vec<_>> = wires.iter().map(|wire| wire.count(stop)).collect();
    let (_fleet, arrivals) = Fleet::across(&cluster.hubs, "fleet", count);
    wait("the first arrival", || all_arrived(&arrivals, None) >= count);
    stop.wait_for(CALM);
    let at_killed = devices(&cluster.hubs[0]);
    let (busy, killed) = (busy(&cluster), clock::now());
    cluster.hubs[0].process.kill();
    // Without the wires' own agent.
    let back = wait("the return", || all_arrived(&arrivals, Some(killed)) >= at_killed - 1);
    let shares = shares(&cluster, &busy, back - killed);
    stop.wait_for(CALM);
    stop.set();
    let control = Figures::of(returns(&arrivals, killed));
    let streams: Vec<Vec<_>> = counting.into_iter().map(|all| all.into_iter().map(Counting::end).collect()).collect();
    let broken: Vec<_> = streams.iter().flatten().filter_map(|end| end.as_ref().err()).collect();
    broken.iter().take(5).for_each(|error| report(format!("fleet: a stream broke: {error}")));
    let resumed = streams[0].iter().flatten().map(|counted| counted.answered.saturating_duration_since(killed));
    let resumed: Vec<_> = resumed.collect();
    let numbers: u64 = streams.iter().flatten().flatten().map(|counted| counted.numbers).sum();
    let resumed = (!resumed.is_empty()).then(|| Figures::of(resumed));
    let good = broken.is_empty() && control.p99 <= CONTROL && resumed.is_some_and(|figures| figures.p99 <= RESUMED);
    report(format!(
        "fleet: {count} agents, {hubs} hubs, one killed: agents online elsewhere: {control}; its streams went on: {}; {numbers} \
         numbers on {} streams, {} broke; {shares}: {}",
        resumed.map_or_else(|| "none".into(), |figures| figures.to_string()),
        hubs * STREAMS,
        broken.len(),
        if good { "passed" } else { "FAILED" }
    ));
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A device at one hub, and a service at the next one, with streams.
struct Wire {
    _agent: Agent,
    /// The agent reads what it stored there again.
    _machine: Machine,
    proxy: ServiceProxy,
}

impl Wire {
    fn start(cluster: &Cluster, hub: usize, target: u16) -> Self {
        let (machine, id) = (Machine::new(), format!("wire-{hub}"));
        machine.ask(&["join", &cluster.hubs[0].device_link(&id)]);
        let forward = format!("target={target}");
        let agent = Agent::start_as(&cluster.beginning_with(&machine, hub), &id, &[&forward]);
        let laptop = cluster.laptop_at((hub + 1) % cluster.hubs.len());
        Self { _agent: agent, _machine: machine, proxy: ServiceProxy::start_with(&laptop, &id, "0", &[]) }
    }

    fn count(&self, stop: &'static StopSignal) -> Vec<Counting> {
        (0..STREAMS).map(|_| Counting::start(self.proxy.connect(), stop)).collect()
    }
}

/// The number of agents that were online, after this time if there is one.
fn all_arrived(arrivals: &Arrivals, after: Option<Instant>) -> usize {
    let arrivals = arrivals.lock().unwrap();
    let late = arrivals.iter().filter(|(_, at)| after.is_none_or(|after| *at > after));
    late.map(|(number, _)| number).collect::<HashSet<_>>().len()
}

/// For each agent that came back, the time that its first return took.
fn returns(arrivals: &Arrivals, killed: Instant) -> Vec<Duration> {
    let (arrivals, mut seen) = (arrivals.lock().unwrap(), HashSet::new());
    let after = arrivals.iter().filter(|(_, at)| *at > killed);
    after.filter(|(number, _)| seen.insert(*number)).map(|(_, at)| *at - killed).collect()
}

fn devices(hub: &Hub) -> usize {
    hub.json::<ClusterStatus>(&["cluster", "status"]).hubs[0].devices
}

fn wait(what: &str, mut done: impl FnMut() -> bool) -> Instant {
    let start = clock::now();
    while !done() {
        assert!(start.elapsed() < ARRIVAL, "{what} took too long");
        thread::park_timeout(Duration::from_millis(10));
    }
    clock::now()
}

/// Processor time until now of the hubs that stay, and of the agents.
fn busy(cluster: &Cluster) -> [Duration; 2] {
    let hubs = cluster.hubs[1..].iter().map(|hub| hub.process.processor_time()).sum();
    [hubs, processor_time(std::process::id())]
}

fn shares(cluster: &Cluster, before: &[Duration; 2], time: Duration) -> String {
    let now = busy(cluster);
    let [hubs, agents] = [0, 1].map(|of| (now[of] - before[of]).as_secs_f64() / time.as_secs_f64());
    format!("meanwhile the hubs took {hubs:.2} processors and the agents {agents:.2}")
}
