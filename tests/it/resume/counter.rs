//! A session with a real sshd that prints numbers, while everything around it goes wrong: none is missing, none comes
//! twice.

use std::fmt::Write as _;
use std::time::Duration;

use super::fixture::{DEAD_AFTER, Fixture, SILENCE};
use crate::support::chaos::{Chaos, Direction, Fault};
use crate::support::machine::Machine;
use crate::support::netns::NetNs;
use crate::support::process::Process;
use crate::support::roles::{Hub, ServiceProxy};
use crate::support::sshd::Sshd;
use crate::support::{DEVICE, TIMEOUT};

/// Numbers a second.
const PACE: u32 = 20;

#[test]
fn a_session_survives_a_hub_that_dies_again_and_again() {
    hub_dies(4, Duration::from_secs(1));
}

#[test]
fn a_session_survives_a_black_hole_whether_it_heals_or_not() {
    black_hole(DEAD_AFTER * 2, &SILENCE);
}

#[test]
fn a_session_survives_a_suspended_proxy() {
    stopped_proxy(DEAD_AFTER * 2, &SILENCE);
}

#[test]
fn a_session_survives_another_address_of_its_device() {
    another_address(&SILENCE);
}

/// Restarts of the hub, with this interval.
pub(crate) fn hub_dies(times: u32, every: Duration) -> String {
    let sshd = Sshd::start();
    let mut fixture = Fixture::forwarding(&[sshd.port], &SILENCE);
    let session = Session::start(&sshd, &Machine::new(), fixture.proxy.port, every * (times + 1));
    for _ in 0..times {
        session.look_on(every);
        fixture.hub.process.kill();
        fixture.start_hub();
    }
    fixture.assert_none_given_up();
    format!("{} numbers of a session whose hub died {times} times, one every {every:?}", session.ends_whole())
}

/// Everywhere for so long; then one of which nothing ever comes out, on the legs that there are.
pub(crate) fn black_hole(time: Duration, arguments: &'static [&'static str]) -> String {
    let sshd = Sshd::start();
    let fixture = Fixture::forwarding(&[sshd.port], arguments);
    let session = Session::start(&sshd, &Machine::new(), fixture.proxy.port, time * 3);
    session.look_on(time / 8);
    fixture.on_both_legs(|network| network.hit_everything(Fault::BlackHole(Direction::Both)));
    session.look_on(time);
    fixture.on_both_legs(Chaos::heal);
    session.assert_continues();
    // Meanwhile new connections failed like unauthenticated ones that time out.
    assert!(!fixture.hub.process.log().contains(": banned"), "{}", fixture.hub.process);
    fixture.above.hit_all(Fault::BlackHole(Direction::Both));
    session.look_on(time);
    session.assert_continues();
    fixture.assert_none_given_up();
    format!("{} numbers of a session with a black hole for {time:?}, and one that never healed", session.ends_whole())
}

/// For so long.
pub(crate) fn stopped_proxy(time: Duration, arguments: &'static [&'static str]) -> String {
    let sshd = Sshd::start();
    let fixture = Fixture::forwarding(&[sshd.port], arguments);
    let session = Session::start(&sshd, &Machine::new(), fixture.proxy.port, time * 2);
    session.look_on(time / 8);
    fixture.proxy.process.signal("STOP");
    session.look_on(time);
    fixture.proxy.process.signal("CONT");
    session.assert_continues();
    fixture.assert_none_given_up();
    format!("{} numbers of a session whose proxy stood still for {time:?}", session.ends_whole())
}

/// The device changes its address twice.
pub(crate) fn another_address(arguments: &[&str]) -> String {
    let [near, far] = NetNs::two();
    let (here, device) = (near.machine(), far.machine());
    let hub = Hub::start_at(&here, "10.0.0.1:0", &[&["--hostname", "10.0.0.1"], arguments].concat());
    device.ask(&["join", &hub.device_link(DEVICE)]);
    let sshd = far.enter(Sshd::start);
    let forward = format!("ssh={}", sshd.port);
    let agent = device.start(&[&["device-agent", "--forward", &forward], arguments].concat());
    agent.wait_line("is online");
    let proxy = ServiceProxy::start_with(&here, DEVICE, "0", arguments);
    let session = Session::start(&sshd, &here, proxy.port, Duration::from_secs(12));
    session.assert_continues();
    for (old, new) in [("10.0.0.2", "10.0.0.3"), ("10.0.0.3", "10.0.0.4")] {
        far.run(&format!("ip address del {old}/24 dev veth && ip address add {new}/24 dev veth"));
        hub.process.wait_line(&format!("is online from {new}"));
        session.assert_continues();
    }
    format!("{} numbers of a session whose device moved twice", session.ends_whole())
}

/// A session that counts.
struct Session {
    ssh: Process,
    numbers: u32,
}

impl Session {
    /// Counts for about so long, and has begun to.
    fn start(sshd: &Sshd, machine: &Machine, port: u16, time: Duration) -> Self {
        let numbers = PACE * u32::try_from(time.as_secs()).expect("not for ever");
        let pause = 1.0 / f64::from(PACE);
        let line = format!("i=0; while [ $i -lt {numbers} ]; do echo $i; i=$((i+1)); sleep {pause}; done");
        let ssh = Process::start(&mut sshd.ssh(machine, port, &line));
        let session = Self { ssh, numbers };
        session.assert_continues();
        session
    }

    /// Waits for this long; panics if the session ends.
    fn look_on(&self, time: Duration) {
        let end = self.ssh.find_line(0, "no number", time);
        assert!(end.is_none() && self.ssh.is_running(), "{}", self.ssh);
    }

    /// Waits for the next numbers.
    fn assert_continues(&self) {
        let lines = self.ssh.lines();
        let next = self.ssh.find_line(lines, "", TIMEOUT);
        assert!(next.is_some(), "no further number: {}", self.ssh);
    }

    /// Asserts that no number is missing or repeated; returns their count.
    fn ends_whole(self) -> u32 {
        let (whole, numbers) = (all(self.numbers), self.numbers);
        let finished = self.ssh.finish_within(TIMEOUT * 2);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        assert!(finished.stdout == whole, "{}", finished.stdout);
        numbers
    }
}

fn all(numbers: u32) -> String {
    (0..numbers).fold(String::new(), |mut text, number| {
        writeln!(text, "{number}").expect("a string takes text");
        text
    })
}
