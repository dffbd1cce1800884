//! Access that is taken at one hub while another carries the stream, and NATS servers die.

use std::io::Read as _;
use std::thread;
use std::time::Duration;

use devstream::net::os::clock;

use super::super::figures::Figures;
use super::super::support::cluster::Cluster;
use super::super::support::nats::Nats;
use super::super::support::poll;
use super::super::support::targets::Target;
use super::{Outcome, opened};

/// Time from the command's start until the stream has ended, of 99 in 100 …
const USUAL: Duration = Duration::from_millis(300);

/// … and of each.
const ALWAYS: Duration = Duration::from_secs(1);

/// In each of so many rounds one of the NATS servers is killed just before.
const KILL_EVERY: usize = 5;

const SERVERS: usize = 3;

/// So many revocations.
pub(super) fn revocation(rounds: usize) -> Outcome {
    let (mut cluster, target) = (Cluster::over(Nats::start(SERVERS), 3, &[]), Target::echo());
    let _agent = cluster.agent_at(1, target.port);
    let proxies = [cluster.proxy_at(1), cluster.proxy_at(2)];
    let (mut times, mut kills) = (Vec::new(), 0);
    for round in 0..rounds {
        let mut stream = opened(proxies[round % proxies.len()].port);
        let server = (round % KILL_EVERY == KILL_EVERY - 1).then_some(round / KILL_EVERY % SERVERS);
        if let Some(server) = server {
            cluster.nats.kill(server);
            kills += 1;
        }
        // Never the hub that carries the stream.
        let hub = &cluster.hubs[round % 2 * 2];
        let start = clock::now();
        thread::scope(|scope| {
            scope.spawn(|| hub.machine().run(&["hub", "service", "disable", "alice"]));
            // Its end or a reset.
            let _ = stream.read(&mut [0]);
            times.push(start.elapsed());
        });
        if let Some(server) = server {
            cluster.nats.restart(server);
        }
        let other = &cluster.hubs[(round + 1) % cluster.hubs.len()];
        poll("access", || {
            let enable = other.machine().run(&["hub", "service", "enable", "alice"]);
            (enable.code == Some(0)).then_some(())
        });
    }
    let figures = Figures::of(times);
    let good = figures.p99 <= USUAL && figures.most <= ALWAYS;
    (format!("from the command to the end of the stream, {kills} NATS servers killed: {figures}"), good)
}
