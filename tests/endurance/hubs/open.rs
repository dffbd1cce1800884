//! A stream to a device at another hub beside one to a device at the same hub.

use std::time::Duration;

use devstream::net::os::clock;

use super::super::figures::Figures;
use super::super::support::cluster::Cluster;
use super::super::support::roles::{ServiceProxy, connect};
use super::super::support::targets::Target;
use super::{Outcome, byte, opened, pass};

/// What another hub may add to the first byte, of 99 in 100.
const ADDED: Duration = Duration::from_millis(2);

/// Far longer than the proxy takes to have connections on standby again.
const REFILL: Duration = Duration::from_millis(150);

/// First and next opens of a proxy.
#[derive(Default)]
struct Opens {
    first: Vec<Duration>,
    next: Vec<Duration>,
}

impl Opens {
    /// Of a proxy that knows nothing yet.
    fn add(&mut self, proxy: &ServiceProxy) {
        pass(REFILL);
        self.first.push(first_byte(proxy));
        pass(REFILL);
        self.next.push(first_byte(proxy));
    }
}

/// So many of each, in turn. Those at the device's hub come twice: their difference is the noise.
pub(super) fn open(count: usize) -> Outcome {
    let (cluster, target) = (Cluster::start(2), Target::echo());
    let _agent = cluster.agent_at(0, target.port);
    drop(opened(cluster.proxy_at(1).port));
    let mut opens: [Opens; 3] = Default::default();
    for _ in 0..count {
        for (hub, opens) in [0, 1, 0].into_iter().zip(&mut opens) {
            opens.add(&cluster.proxy_at(hub));
        }
    }
    let [here, across, again] = opens.map(|opens| (Figures::of(opens.first), Figures::of(opens.next)));
    let noise = |of: fn(&(Figures, Figures)) -> Duration| of(&here).abs_diff(of(&again));
    let slowest = |of: fn(&(Figures, Figures)) -> Duration| of(&here).max(of(&again));
    let good = across.0.p99 <= slowest(|pair| pair.0.p99) + ADDED
        && across.1.p50 <= slowest(|pair| pair.1.p50) + noise(|pair| pair.1.p50);
    let show = |(first, next): (Figures, Figures)| format!("first {first}, next {next}");
    (format!("one hub: {}; across: {}; one hub again: {}", show(here), show(across), show(again)), good)
}

fn first_byte(proxy: &ServiceProxy) -> Duration {
    let start = clock::now();
    byte(&mut connect(proxy.port)).expect("the stream opens");
    start.elapsed()
}
