//! Suspended machines and processes: on waking, every connection is probed, and a dead one is found at once, before its
//! idle timeout.

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::chaos::{Chaos, Direction, Fault};
use crate::support::machine::Machine;
use crate::support::process::Process;
use crate::support::roles::{Hub, ServiceProxy};
use crate::support::targets::{Target, is_alive};
use crate::support::{DEVICE, TIMEOUT, within};

/// Longer than the clock jump that counts as sleep.
const SLEEP: Duration = Duration::from_secs(12);

/// Probe timeout, delay before a stream resumes or a control connection is reopened, and reserve for a busy machine.
const SOON: Duration = Duration::from_secs(5 + 2 + 3);

/// The log line after waking up.
const LOOKING: &str = "probing all connections";

/// A hub, and a separate network for each other role.
struct Fixture {
    proxy: ServiceProxy,
    agent: Process,
    below: Chaos,
    above: Chaos,
    _target: Target,
    _hub: Hub,
    _machines: [Machine; 2],
}

impl Fixture {
    /// Starts the agent and the proxy on these machines.
    fn on(device: Machine, laptop: Machine) -> Self {
        let target = Target::echo();
        let hub = Hub::start(&Machine::new());
        device.ask(&["join", &hub.device_link(DEVICE)]);
        laptop.ask(&["join", &hub.service_link("alice")]);
        let [below, above] = [(); 2].map(|()| Chaos::in_front_of(&hub.address()));
        let forward = format!("target={}", target.port);
        let agent = device.start(&["device-agent", "--forward", &forward, "--hub", &below.address()]);
        agent.wait_line("is online");
        let proxy = ServiceProxy::start_with(&laptop, DEVICE, "0", &["--hub", &above.address()]);
        Self { proxy, agent, below, above, _target: target, _hub: hub, _machines: [device, laptop] }
    }

    fn alive(&self) -> TcpStream {
        let mut local = self.proxy.connect();
        is_alive(&mut local);
        local
    }
}

#[test]
fn a_stopped_proxy_finds_its_dead_leg_when_it_goes_on_and_its_stream_with_it() {
    let fixture = Fixture::on(Machine::new(), Machine::new());
    let mut local = fixture.alive();
    let process = &fixture.proxy.process;
    suspend(process, &mut local, || fixture.above.hit_all(Fault::BlackHole(Direction::Both)));
    within(SOON, "looking and coming back", || {
        process.wait_line(LOOKING);
        process.wait_line("resumed after");
    });
    is_alive(&mut local);
    fixture.alive();
}

#[test]
fn a_stopped_agent_finds_its_dead_legs_when_it_goes_on() {
    let fixture = Fixture::on(Machine::new(), Machine::new());
    let mut local = fixture.alive();
    let lines = fixture.agent.lines();
    suspend(&fixture.agent, &mut local, || fixture.below.hit_all(Fault::BlackHole(Direction::Both)));
    within(SOON, "looking and coming back", || {
        fixture.agent.wait_line_after(lines, LOOKING);
        fixture.agent.wait_line_after(lines, "is online");
        fixture.agent.wait_line_after(lines, "resumed after");
    });
    is_alive(&mut local);
    fixture.alive();
}

/// Suspends a process for longer than the detection limit, while this happens. The application must not notice.
fn suspend(process: &Process, local: &mut TcpStream, meanwhile: impl FnOnce() -> usize) {
    process.signal("STOP");
    assert!(meanwhile() > 0, "no leg is there");
    local.set_read_timeout(Some(SLEEP)).unwrap();
    assert_eq!(local.read(&mut [0]).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    local.set_read_timeout(Some(TIMEOUT)).unwrap();
    process.signal("CONT");
}
