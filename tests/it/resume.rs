//! Resume: whatever is killed, cut or frozen between the endpoints, the applications
//! do not notice.

pub(crate) mod counter;
pub(crate) mod cuts;
pub(crate) mod fairness;
mod fixture;
pub(crate) mod paused;
mod places;
pub(crate) mod restarts;
mod tokens;

use std::thread;

use devstream::proto::refusal::RefusalKind;

use crate::support::bytes::{MIB, StreamEnd, drain, echo_to_eof};
use crate::support::roles::{Agent, Hub, OneMachine, ServiceProxy};
use crate::support::targets::{Target, is_alive};
use crate::support::{AT_ONCE, within};

#[test]
fn a_hub_that_is_killed_and_restarted_ends_no_stream() {
    const EACH: u64 = 64 * MIB;
    const KILLS: usize = 5;
    let target = Target::echo();
    let OneMachine { proxy, agent, mut hub, machine } = OneMachine::forwarding(target.port);
    thread::scope(|scope| {
        let mut streams: Vec<_> = (0..4).map(|seed| (seed, proxy.connect())).collect();
        streams.iter_mut().for_each(|(_, stream)| is_alive(stream));
        let transfers: Vec<_> =
            streams.into_iter().map(|(seed, stream)| scope.spawn(move || echo_to_eof(&stream, seed, EACH))).collect();
        for _ in 0..KILLS {
            let lines = proxy.process.lines();
            hub.process.kill();
            hub = Hub::start_on(&machine, hub.port, &[]);
            proxy.process.wait_line_after(lines, "resumed after");
        }
        assert!(transfers.iter().all(|transfer| !transfer.is_finished()), "too little to carry");
    });
    drop((agent, hub));
}

#[test]
fn an_application_that_waits_through_a_restart_of_the_hub_gets_its_answer() {
    let target = Target::echo();
    let OneMachine { proxy, agent: _agent, hub, machine } = OneMachine::forwarding(target.port);
    let mut local = proxy.connect();
    is_alive(&mut local);
    hub.process.signal("TERM");
    let finished = within(AT_ONCE * 2, "a hub whose streams outlive it", || hub.process.finish());
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let hub = Hub::start_on(&machine, hub.port, &[]);
    is_alive(&mut local);
    hub.wait_activity("streamResumed", Some("resumed"));
}

#[test]
fn a_restarted_agent_ends_its_former_streams() {
    let target = Target::echo();
    let OneMachine { proxy, agent, hub: _hub, machine } = OneMachine::forwarding(target.port);
    let mut local = proxy.connect();
    is_alive(&mut local);
    agent.process.kill();
    let _agent = Agent::start(&machine, &[&format!("target={}", target.port)]);
    assert_eq!(drain(&mut local).end, StreamEnd::Reset);
    proxy.process.wait_line(RefusalKind::NotResumed.row().sentence);
}

#[test]
fn an_endpoint_that_shuts_down_closes_its_streams_without_a_grace_time() {
    for proxy_stops in [true, false] {
        let target = Target::echo();
        let fixture = OneMachine::forwarding(target.port);
        let mut local = fixture.proxy.connect();
        is_alive(&mut local);
        let stopped = if proxy_stops { &fixture.proxy.process } else { &fixture.agent.process };
        for _ in 0..2 {
            stopped.signal("TERM");
        }
        assert_eq!(drain(&mut local).end, StreamEnd::Reset);
        assert_eq!(target.seen().end, StreamEnd::Reset);
    }
}

#[test]
fn streams_end_when_the_hub_is_gone_beyond_the_grace_time() {
    let target = Target::echo();
    let OneMachine { proxy, agent: _agent, hub, machine: _machine } =
        OneMachine::with_hub(target.port, &["--resume-grace", "3s"]);
    let mut local = proxy.connect();
    is_alive(&mut local);
    hub.process.kill();
    assert_eq!(drain(&mut local).end, StreamEnd::Reset);
    assert_eq!(target.seen().end, StreamEnd::Reset);
    proxy.process.wait_line(RefusalKind::NotResumed.row().sentence);
}

#[test]
fn either_end_can_refuse_to_resume() {
    let target = Target::echo();
    let fixture = OneMachine::forwarding(target.port);
    let proxy = ServiceProxy::start_with(&fixture.machine, "pi-42", "0", &["--no-resume"]);
    let mut local = proxy.connect();
    is_alive(&mut local);
    fixture.hub.process.kill();
    within(AT_ONCE, "a stream that does not resume", || assert_eq!(drain(&mut local).end, StreamEnd::Reset));
    within(AT_ONCE, "its target", || assert_eq!(target.seen().end, StreamEnd::Reset));
}
