//! Opens that lose a connection on the way: made again where no byte of the application can have been passed on, and
//! refused only where one may have been.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use devstream::proto::http::STREAM_PROTOCOL_HEADER;
use devstream::proto::refusal::RefusalKind;

use super::fixture::Fixture;
use super::traffic::{Firsts, assert_once, remembering, says};
use crate::support::bytes::{StreamEnd, drain};
use crate::support::chaos::{Chaos, Direction, Fault};
use crate::support::raw::{RawClient, StreamGrant};
use crate::support::targets::{Target, is_alive};
use crate::support::websocket::{Frame, WebSocket};
use crate::support::{STREAM_PROTOCOL, poll, within};

/// A server that speaks first says this.
const GREETING: &[u8] = b"hello, who is there?";

const WITHOUT_STANDBYS: [&str; 2] = ["--standbys", "0"];

/// Longest time that an open takes whose connection was cut: an agent reconnects within a few seconds.
const A_WHILE: Duration = Duration::from_secs(20);

fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut received = vec![0; bytes.len()];
    stream.read_exact(&mut received).unwrap();
    assert_eq!(received, bytes);
}

/// The next bytes of a stream, whatever control messages precede them.
fn expect_bytes(stream: &mut WebSocket, bytes: &[u8]) {
    let received = loop {
        match stream.next() {
            Ok(Frame::Bytes(bytes)) => break bytes,
            Ok(Frame::Text(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(received, bytes);
}

#[test]
fn a_stream_whose_device_is_cut_off_before_the_service_joins_is_requested_again() {
    let target = Target::greeting_then_echoing(GREETING);
    for protocol in [None, Some(STREAM_PROTOCOL), Some("devstream.v1.resume")] {
        let fixture = Fixture::forwarding(&target);
        let bob = RawClient::join(&fixture.hub.service_link("bob"));
        // First on the control connection, then on a standby.
        for _ in 0..2 {
            let headers: Vec<_> = protocol.map(|protocol| (STREAM_PROTOCOL_HEADER, protocol)).into_iter().collect();
            let lines = fixture.agent.lines();
            let answer = bob.open("target", &headers).answer();
            let grant = StreamGrant { protocol: protocol.map(str::to_owned), ..answer.grant() };
            fixture.agent.wait_line_after(lines, "opened for bob");
            let lines = fixture.agent.lines();
            fixture.below.hit_all(Fault::Cut);
            fixture.agent.wait_line_after(lines, "opened for bob");
            let mut stream = bob.attach(&grant).unwrap_or_else(|answer| panic!("{protocol:?}: {answer:?}"));
            expect_bytes(&mut stream, GREETING);
            stream.bytes(b"it is me").unwrap();
            expect_bytes(&mut stream, b"it is me");
            drop(stream);
            fixture.settle();
        }
    }
}

#[test]
fn a_request_whose_response_is_lost_with_every_connection_of_the_agent_is_served_again() {
    // A ticket is used once: the service begins another session.
    for arguments in [&[][..], &["--connect-timeout", "20"], &["--plain"]] {
        let target = Target::greeting_then_echoing(GREETING);
        let fixture = Fixture::with(&target, [&[], &[], arguments]);
        (0..3).for_each(|number| is_greeted(&fixture, number));
        fixture.settle();
        (0..3).for_each(|_| assert!(target.seen().bytes > 0));
        let before = target.connections();
        // The first connection is the one for control.
        (1..fixture.below.connections()).for_each(|number| _ = fixture.below.hit(number, Fault::Freeze(Direction::Up)));
        let mut local = fixture.proxy.connect();
        poll("the target's connection", || (target.connections() > before).then_some(()));
        fixture.below.hit_all(Fault::Cut);
        expect(&mut local, GREETING);
        is_alive(&mut local);
        assert_eq!(target.seen().bytes, 0, "bytes of the application went to the abandoned connection");
    }
}

/// The earlier attempt holds the agent's only place while it rejoins.
#[test]
fn a_repeated_request_takes_the_place_of_the_abandoned_attempt_at_an_agent_at_its_limit() {
    let target = Target::greeting_then_echoing(GREETING);
    let fixture = Fixture::with(&target, [&[], &["--max-streams", "1"], &[]]);
    let bob = RawClient::join(&fixture.hub.service_link("bob"));
    let grant = bob.open("target", &[(STREAM_PROTOCOL_HEADER, "devstream.v1.resume")]).answer().grant();
    let grant = StreamGrant { protocol: Some("devstream.v1.resume".into()), ..grant };
    fixture.agent.wait_line("opened for bob");
    let lines = fixture.agent.lines();
    fixture.below.hit_all(Fault::Cut);
    fixture.agent.wait_line_after(lines, "opened for bob");
    let mut stream = bob.attach(&grant).unwrap();
    expect_bytes(&mut stream, GREETING);
    stream.bytes(b"it is me").unwrap();
    expect_bytes(&mut stream, b"it is me");
}

/// Opens one stream after another, each of which loses a connection after one record more, until one loses none.
/// Before each, `open` is called until it makes no new connection. Each has a hub and an agent of its own: an agent that
/// loses one short connection after another waits ever longer before the next.
fn cut_everywhere(start: impl Fn() -> Fixture, chaos: fn(&Fixture) -> &Chaos, open: impl Fn(&Fixture, u64)) {
    for records in 0.. {
        let fixture = start();
        for prepared in 0.. {
            let before = fixture.connections();
            open(&fixture, 1000 * (1 + records) + prepared);
            fixture.settle();
            if fixture.connections() == before || prepared > 4 {
                break;
            }
        }
        chaos(&fixture).cut_after(records);
        within(A_WHILE, &format!("a stream that is cut after {records} records"), || open(&fixture, records));
        if chaos(&fixture).revoke_cut() {
            assert!(records > 3, "{records} records open no stream");
            return;
        }
    }
}

/// Opens a stream on which the target speaks first.
fn is_greeted(fixture: &Fixture, number: u64) {
    let mut local = fixture.proxy.connect();
    let mut greeting = [0; GREETING.len()];
    let read = local.read_exact(&mut greeting);
    assert!(
        read.is_ok() && greeting == GREETING,
        "stream {number}: {read:?}, and the proxy says {}",
        fixture.proxy.process.log()
    );
    is_alive(&mut local);
    local.shutdown(Shutdown::Write).unwrap();
    assert_eq!(drain(&mut local).end, StreamEnd::Eof, "stream {number}");
}

/// Opens a stream on which the application speaks first. It is refused only if its first bytes have reached the target.
fn speaks_first(fixture: &Fixture, firsts: &Firsts, number: u64) {
    if !says(fixture, number) {
        poll("the bytes of a stream that was refused, at the target", || {
            firsts.lock().unwrap().contains_key(&number).then_some(())
        });
    }
    assert_once(firsts, &[]);
}

#[test]
fn an_open_whose_service_is_cut_off_after_any_message_is_made_again() {
    let target = Target::greeting_then_echoing(GREETING);
    for arguments in [&[][..], &WITHOUT_STANDBYS] {
        cut_everywhere(|| Fixture::with(&target, [&[], &[], arguments]), |fixture| &fixture.above, is_greeted);
    }
}

#[test]
fn an_open_whose_device_is_cut_off_after_any_message_is_made_again() {
    let target = Target::greeting_then_echoing(GREETING);
    for arguments in [&[][..], &WITHOUT_STANDBYS] {
        cut_everywhere(|| Fixture::with(&target, [&[], arguments, &[]]), |fixture| &fixture.below, is_greeted);
    }
}

#[test]
fn an_open_with_early_data_is_refused_only_if_that_has_reached_the_target() {
    let networks: [fn(&Fixture) -> &Chaos; 2] = [|fixture| &fixture.above, |fixture| &fixture.below];
    for chaos in networks {
        let (target, firsts) = remembering();
        cut_everywhere(
            || Fixture::forwarding(&target),
            chaos,
            |fixture, number| speaks_first(fixture, &firsts, number),
        );
    }
}

/// What a former agent took, the next one does not know, and a service takes no hub's word for it: bytes that went ahead of the
/// handshake are not sent again. Without them, the session is begun with the agent that is there.
#[test]
fn an_open_that_waits_while_the_agent_restarts_is_refused_only_if_bytes_of_the_application_went_ahead() {
    for (is_first, arguments) in [(false, &[][..]), (false, &WITHOUT_STANDBYS), (true, &WITHOUT_STANDBYS), (true, &[])]
    {
        let target = if is_first { Target::echo() } else { Target::greeting_then_echoing(GREETING) };
        let arguments = [&["--connect-timeout", "20"], arguments].concat();
        let mut fixture = Fixture::with(&target, [&["--metrics", "127.0.0.1:0"], &[], &arguments]);
        for number in 0..3 {
            if is_first { fixture.echo(number, 1) } else { is_greeted(&fixture, number) }
        }
        fixture.settle();
        (0..3).for_each(|_| assert!(target.seen().bytes > 0));
        fixture.agent.kill();
        poll("an offline device", || (fixture.hub.metric("devstream_devices_online") == 0).then_some(()));
        let mut local = fixture.proxy.connect();
        if is_first {
            local.write_all(&[1]).unwrap();
        }
        poll("a waiting stream", || (fixture.hub.metric("devstream_streams") == 1).then_some(()));
        fixture.agent = fixture.another_agent();
        if is_first && arguments.len() == 2 {
            assert!(local.read(&mut [0]).is_err(), "the application's byte was sent twice");
            fixture.proxy.process.wait_line(RefusalKind::LostWhileOpening.row().sentence);
            assert!(says(&fixture, 7), "the next stream");
            assert_eq!([target.seen().bytes, target.seen().bytes], [0, 8], "what the target got of the two");
        } else {
            expect(&mut local, if is_first { &[1] } else { GREETING });
            is_alive(&mut local);
        }
    }
}
