//! NATS away for minutes, under streams and devices.

use std::thread;
use std::time::Duration;

use devstream::net::os::clock;
use devstream::proto::admin::ClusterStatus;

use super::super::counting::Counting;
use super::super::report;
use super::super::stop_signal::StopSignal;
use super::super::support::cluster::Cluster;
use super::super::support::machine::Machine;
use super::super::support::nats::Nats;
use super::super::support::poll;
use super::super::support::roles::{Agent, ServiceProxy, pipe};
use super::super::support::targets::Target;
use super::{Outcome, pass};

/// Time from the return of NATS until all works again.
const BACK: Duration = Duration::from_secs(5);

const STREAMS: usize = 10;

/// For so many minutes.
pub(super) fn isolation(minutes: usize) -> Outcome {
    away(Duration::from_secs(60 * minutes as u64))
}

fn away(time: Duration) -> Outcome {
    let (mut cluster, target) = (Cluster::over(Nats::start(3), 2, &[]), Target::echo());
    let devices: Vec<_> = (0..2).map(|hub| device(&cluster, hub, target.port)).collect();
    let proxies: Vec<_> = (0..2).map(|hub| proxy(&cluster, hub)).collect();
    let stop: &'static StopSignal = Box::leak(Box::default());
    let streams = proxies.iter().flat_map(|proxy| (0..STREAMS).map(|_| Counting::start(proxy.connect(), stop)));
    let streams: Vec<_> = streams.collect();
    cluster.nats.kill_all();
    pass(time);
    let lost = devices.iter().filter(|(agent, _)| agent.process.log().matches("is online at").count() > 1).count();
    let start = clock::now();
    cluster.nats.restart_all();
    let listening = start.elapsed();
    let back = thread::scope(|scope| {
        let waits = [0, 1].map(|hub| {
            scope.spawn({
                let cluster = &cluster;
                move || works_again(cluster, hub)
            })
        });
        waits.into_iter().for_each(|wait| wait.join().expect("all works again"));
        start.elapsed() - listening
    });
    stop.set();
    let ends: Vec<_> = streams.into_iter().map(Counting::end).collect();
    let broken: Vec<_> = ends.iter().filter_map(|end| end.as_ref().err()).collect();
    broken.iter().for_each(|error| report(format!("hubs: isolation: a stream broke: {error}")));
    let numbers: u64 = ends.iter().flatten().map(|counted| counted.numbers).sum();
    let words = format!(
        "NATS away for {time:?}: {numbers} numbers on {} streams, {} broke, {lost} of {} devices were lost; all works again \
         after {back:.1?}",
        ends.len(),
        broken.len(),
        devices.len()
    );
    (words, broken.is_empty() && lost == 0 && back <= BACK)
}

fn device(cluster: &Cluster, hub: usize, target: u16) -> (Agent, Machine) {
    let (machine, id) = (Machine::new(), format!("wire-{hub}"));
    machine.ask(&["join", &cluster.hubs[0].device_link(&id)]);
    (Agent::start_as(&cluster.beginning_with(&machine, hub), &id, &[&format!("target={target}")]), machine)
}

/// Of the device at the other hub.
fn proxy(cluster: &Cluster, hub: usize) -> ServiceProxy {
    ServiceProxy::start_with(&cluster.laptop_at(hub), &format!("wire-{}", 1 - hub), "0", &[])
}

/// Waits for a change at this hub, an open across hubs through it, and its own word.
fn works_again(cluster: &Cluster, hub: usize) {
    let asked = &cluster.hubs[hub];
    poll("no isolation", || {
        let status: ClusterStatus = asked.json(&["cluster", "status"]);
        status.isolated_seconds.is_none().then_some(())
    });
    let add = ["hub", "device", "add", &format!("later-{hub}")];
    poll("a change", || (asked.machine().run(&add).code == Some(0)).then_some(()));
    let other = format!("wire-{}", 1 - hub);
    poll("an open", || (pipe(&cluster.laptop_at(hub), &other).code == Some(0)).then_some(()));
}
