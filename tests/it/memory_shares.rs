//! A service that takes all it can of a hub's little memory, in every way it has: another one's streams open and carry.

use std::io::{self, Write as _};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use devstream::net::os::{clock, random};
use devstream::net::websocket::CLOSE_NORMAL;
use devstream::proto::id::StreamId;
use devstream::proto::limits::{EARLY_DATA_BYTES, STANDBYS_PER_IDENTITY};
use devstream::proto::message::{StreamRequest, encode};
use devstream::proto::refusal::RefusalKind;
use devstream::proto::resume::RESUME_TOKEN_HEADER;
use devstream::proto::standby::{StandbyOpenRequest, StandbyToHub};
use devstream::proto::stream::StreamProtocol;
use serde_json::Value;

use crate::support::machine::Machine;
use crate::support::raw::{RawClient, RawDevice, StreamGrant};
use crate::support::response::HttpResponse;
use crate::support::roles::{Agent, Hub, ServiceProxy};
use crate::support::targets::{Target, is_alive};
use crate::support::websocket::{Frame, WebSocket};
use crate::support::{DEVICE, TIMEOUT, poll};

/// The largest message that a hub takes, less its header.
const MESSAGE: usize = 255 * 1024;

/// Streams that take more than the hub's memory if each holds a message.
const STREAMS: usize = 60;

/// Streams of which the service's legs alone take it if each holds what it may.
const MANY_STREAMS: usize = 150;

/// Stalled streams that take less than half of what the hub has for streams, and more than a sixth.
const WITHIN_SHARE: usize = 6;

/// Most of it is a busy machine's. A stream is ended for its stalled reader after 10 s.
const SERVED_WITHIN: Duration = Duration::from_secs(11);

#[test]
fn a_service_whose_streams_all_stall_at_once_does_not_keep_others_out() {
    let site = Site::new(StreamProtocol::V1);
    let (streams, readers) = site.alice.streams().take(STREAMS).unzip();
    site.expect_bob_served_while_all_stall(streams, readers, "streamClosed");
}

#[test]
fn a_service_that_leaves_its_messages_unfinished_does_not_keep_others_out() {
    let site = Site::new(StreamProtocol::V1);
    let (mut streams, _readers): (Vec<_>, Vec<_>) = site.alice.streams().take(STREAMS).unzip();
    for leg in streams.iter_mut().map(|stream| &mut stream.leg) {
        // The hub may end one by then.
        let _ = leg.announce(256 * 1024).and_then(|()| leg.garbage(&vec![0; MESSAGE]));
    }
    site.expect_bob_served();
    site.hub.wait_activity("streamClosed", Some("ended"));
}

#[test]
fn a_service_with_as_many_streams_as_it_gets_does_not_keep_others_out() {
    let site = Site::new(StreamProtocol::V1);
    let streams: Vec<_> = site.alice.streams().take(1000).collect();
    assert!(streams.len() < 1000, "memory does not fill");
    let refused = site.hub.wait_activity("invoke", Some(RefusalKind::HubBusy.row().label));
    let reason = refused["properties"]["reason"].as_str().expect("a reason");
    assert!(reason.ends_with("by this service more than its share"), "{reason}");
    site.expect_bob_served();
}

#[test]
fn a_service_that_leaves_messages_unfinished_on_standby_connections_does_not_keep_others_out() {
    let site = Site::new(StreamProtocol::V1);
    let mut standbys: Vec<_> = (0..STANDBYS_PER_IDENTITY).map_while(|_| site.alice.client.standby().ok()).collect();
    for standby in &mut standbys {
        // The hub may close it by then.
        let _ = standby.announce(256 * 1024).and_then(|()| standby.garbage(&vec![0; MESSAGE]));
    }
    site.expect_bob_served();
    let refused = site.hub.wait_activity("authenticate", Some(RefusalKind::BadRequest.row().label));
    let properties = &refused["properties"];
    assert_eq!(properties["serviceId"], "alice", "{refused}");
    assert!(properties["reason"].as_str().is_some_and(|reason| reason.contains("too long")), "{refused}");
}

#[test]
fn a_service_with_as_many_streams_as_it_gets_takes_no_standby_connections_in_the_place_of_others_streams() {
    let site = Site::new(StreamProtocol::V1);
    let _streams: Vec<_> = site.alice.streams().take(1000).collect();
    let standbys = (0..STANDBYS_PER_IDENTITY).map_while(|_| site.alice.client.standby().ok());
    let standbys: Vec<_> = standbys.collect();
    // A reading of the memory may be a moment old.
    assert!(standbys.len() < 10, "{} standby connections", standbys.len());
    site.expect_bob_served();
}

#[test]
fn streams_that_can_be_resumed_wait_for_the_memory_that_others_need_and_return() {
    let site = Site::new(StreamProtocol::Resumable);
    let (streams, readers) = site.alice.streams().take(STREAMS).unzip();
    let (mut streams, interrupted) = site.expect_bob_served_while_all_stall(streams, readers, "streamInterrupted");
    let at = streams.iter().position(|stream| stream.request.request_id.to_string() == interrupted);
    let at = at.expect("one of hers");
    let mut stream = streams.swap_remove(at);
    assert_eq!(stream.leg.expect_close(), RefusalKind::Interrupted.row().close, "the service is told");
    drop(streams);
    // Until then it may take no connections.
    poll("memory for all", || (!site.hub.ask(&["status"]).contains("no new streams:")).then_some(()));
    let (service, device) = &stream.tickets;
    let (mut leg, _) =
        poll("the service's return", || site.alice.client.resume(&stream.grant, service.as_deref()?).ok());
    let grant = StreamGrant::from(&stream.request);
    let (mut reader, _) = poll("the device's return", || site.alice.at_device.resume(&grant, device.as_deref()?).ok());
    leg.bytes(b"more").expect("the hub takes it");
    assert_eq!(reader.expect_bytes(4), b"more");
}

#[test]
fn legs_that_return_alone_to_their_streams_do_not_keep_others_out() {
    let site = Site::new(StreamProtocol::Resumable);
    let mut legs = site.returned_alone(STREAMS);
    legs.iter_mut().for_each(|leg| fill(leg).expect("on the way to the hub"));
    (0..20).for_each(|_| site.expect_bob_served());
    assert!(!site.hub.ask(&["status"]).contains("no new streams"), "memory is short");
}

#[test]
fn legs_that_return_alone_give_way_where_memory_is_short() {
    let site = Site::new(StreamProtocol::Resumable);
    let mut legs = site.returned_alone(MANY_STREAMS);
    // The hub may close one by then.
    let _ = legs.iter_mut().try_for_each(fill);
    (0..20).for_each(|_| site.expect_bob_served());
    assert_eq!(first_close(legs), RefusalKind::Interrupted.row().close);
    let ended = |entry: &Value| entry["operationName"] == "streamClosed" && entry["properties"]["serviceId"] == "alice";
    assert!(!site.hub.activity().iter().any(ended), "it stays interrupted");
}

/// Connections without a request, of any number of machines.
#[test]
fn connections_without_a_request_that_fill_the_memory_give_way_before_streams() {
    let machine = Machine::new();
    let mut flags = vec!["--memory-budget", "16MiB", "--standbys", "0", "--auth-timeout", "2m"];
    flags.extend(["--max-unauthenticated", "2000", "--max-unauthenticated-per-source", "2000"]);
    let hub = Hub::start_with(&machine, &flags);
    let alice = Alice::at(&hub, StreamProtocol::Resumable);
    let carol = RawClient::join(&hub.service_link("carol"));
    let (mut streams, readers): (Vec<_>, Vec<_>) = alice.streams().take(WITHIN_SHARE).unzip();
    thread::scope(|scope| {
        for stream in &mut streams {
            scope.spawn(|| stream.stall());
        }
        let mut silent = Vec::new();
        while !hub.ask(&["status"]).contains("no new streams:") {
            assert!(silent.len() < 1000, "memory does not fill");
            silent.extend((0..10).map_while(|_| carol.try_dial().ok()));
            for connection in silent.iter_mut().rev().take(10) {
                // Most of a head, which is never complete. The hub may close it by then.
                let _ = connection.write_all(&[b'x'; 15 * 1024]);
            }
        }
        poll("a stream for carol", || (carol.open("web", &[]).answer().status == 200).then_some(()));
        let names = ["streamClosed", "streamInterrupted"];
        let ended = |entry: &Value| names.iter().any(|name| entry["operationName"] == *name);
        assert_eq!(hub.activity().into_iter().find(ended), None);
        drop(readers);
        drop(silent);
    });
}

#[test]
fn idle_standby_connections_are_closed_for_the_streams_of_others() {
    let site = Site::new(StreamProtocol::V1);
    let mut standbys = Vec::new();
    for number in 0.. {
        assert!(number < 20, "memory does not fill");
        let service = RawClient::join(&site.hub.service_link(&format!("idle-{number}")));
        let before = standbys.len();
        standbys.extend((0..STANDBYS_PER_IDENTITY).map_while(|_| service.standby().ok()));
        if standbys.len() < before + STANDBYS_PER_IDENTITY {
            break;
        }
    }
    let _streams: Vec<_> = site.alice.streams().take(1000).collect();
    site.expect_bob_served();
    // Which ones close is not said.
    assert_eq!(first_close(standbys), CLOSE_NORMAL, "its owner is told no error");
}

#[test]
fn a_service_whose_standby_connections_wait_for_a_device_does_not_keep_others_out() {
    let site = Site::new(StreamProtocol::V1);
    let _offline = RawClient::join(&site.hub.device_link("offline"));
    let mut standbys: Vec<_> = (0..STANDBYS_PER_IDENTITY).map_while(|_| site.alice.client.standby().ok()).collect();
    for standby in &mut standbys {
        let open = StandbyToHub::Open(StandbyOpenRequest {
            request_id: StreamId::from_bytes(random::bytes()),
            device: "offline".parse().unwrap(),
            stream_name: Some("web".parse().unwrap()),
            connect_timeout_ms: 60_000,
            response_timeout_ms: 60_000,
            protocols: vec![StreamProtocol::V1.as_str().into()],
            end_to_end: false,
            early: EARLY_DATA_BYTES.try_into().unwrap(),
            repeatable: false,
        });
        // The hub may close it by then.
        let mut send = || {
            standby.text(&encode(&open))?;
            standby.bytes(&[0; EARLY_DATA_BYTES])?;
            fill(standby)
        };
        let _ = send();
    }
    (0..20).for_each(|_| site.expect_bob_served());
}

/// Sends what a hub would hold for a leg without limits.
fn fill(leg: &mut WebSocket) -> io::Result<()> {
    leg.bytes(&[0; 64 * 1024])?;
    leg.announce(256 * 1024)?;
    leg.garbage(&vec![0; MESSAGE])
}

/// The code with which the first of these connections is closed.
fn first_close(connections: Vec<WebSocket>) -> u16 {
    let (sender, frames) = mpsc::sync_channel(connections.len());
    for mut connection in connections {
        let sender = sender.clone();
        thread::spawn(move || sender.send(connection.next()));
    }
    match frames.recv_timeout(TIMEOUT).expect("one is closed") {
        Ok(Frame::Close(code, _)) => code,
        other => panic!("{other:?}"),
    }
}

/// A hub with little memory, a service, bob, that was served by a device's echo, and another one, alice.
struct Site {
    hub: Hub,
    bob: ServiceProxy,
    alice: Alice,
    _machines: [Machine; 2],
    _agent: Agent,
    _echo: Target,
}

impl Site {
    fn new(protocol: StreamProtocol) -> Self {
        let (machine, laptop, echo) = (Machine::new(), Machine::new(), Target::echo());
        let hub = Hub::start_with(&machine, &["--memory-budget", "16MiB"]);
        let agent = Agent::start_as(&machine, "echo", &[&echo.port.to_string()]);
        laptop.ask(&["join", &hub.service_link("bob")]);
        let bob = ServiceProxy::start_with(&laptop, "echo", "0", &[]);
        is_alive(&mut bob.connect());
        let alice = Alice::at(&hub, protocol);
        Self { hub, bob, alice, _machines: [machine, laptop], _agent: agent, _echo: echo }
    }

    /// The service's legs of as many streams, interrupted since, which the device does not resume.
    fn returned_alone(&self, count: usize) -> Vec<WebSocket> {
        let streams: Vec<_> = self.alice.streams().take(count).map(|(stream, _reader)| stream.cut()).collect();
        assert_eq!(streams.len(), count, "she gets as many");
        poll("the interruption of all", || {
            let is_it = |entry: &&Value| entry["operationName"] == "streamInterrupted";
            (self.hub.activity().iter().filter(is_it).count() == count).then_some(())
        });
        let resume = |(grant, ticket): &(StreamGrant, String)| self.alice.client.resume(grant, ticket);
        streams.iter().map(|stream| resume(stream).expect("it may return").0).collect()
    }

    /// The same while all these streams are sent more than their readers take, until one gives way by this operation. Returns
    /// the streams without the readers, and the id of that one.
    fn expect_bob_served_while_all_stall(
        &self,
        mut streams: Vec<Stream>,
        readers: Vec<WebSocket>,
        operation: &str,
    ) -> (Vec<Stream>, String) {
        let gave_way = thread::scope(|scope| {
            for stream in &mut streams {
                scope.spawn(|| stream.stall());
            }
            let gave_way = poll("a stream that gives way", || {
                self.expect_bob_served();
                let is_it = |entry: &Value| {
                    let reason = entry["properties"]["reason"].as_str().unwrap_or_default();
                    entry["operationName"] == operation && reason.contains("its service holds more than its share")
                };
                self.hub.activity().into_iter().find(is_it)
            });
            drop(readers);
            gave_way
        });
        (streams, gave_way["properties"]["streamId"].as_str().expect("a stream").to_owned())
    }

    /// Bob is served before a reader counts as stalled, and the hub lives.
    fn expect_bob_served(&self) {
        let start = clock::now();
        is_alive(&mut self.bob.connect());
        assert!(start.elapsed() < SERVED_WITHIN, "it took {:?}", start.elapsed());
        assert!(self.hub.process.is_running());
    }
}

/// A service and the device of its streams.
struct Alice {
    client: RawClient,
    at_device: RawClient,
    requests: Receiver<StreamRequest>,
    protocol: StreamProtocol,
}

impl Alice {
    fn at(hub: &Hub, protocol: StreamProtocol) -> Self {
        let device = RawClient::join(&hub.device_link(DEVICE));
        let device = RawDevice::speaking(device, &["web"], &[protocol.as_str()]);
        let client = RawClient::join(&hub.service_link("alice"));
        Self { client, at_device: device.identity.clone(), requests: device.accepting(), protocol }
    }

    /// Streams and their readers, until the hub refuses one.
    fn streams(&self) -> impl Iterator<Item = (Stream, WebSocket)> {
        std::iter::from_fn(|| {
            let answer = self.client.open("web", &[("devstream-stream-protocol", self.protocol.as_str())]).answer();
            let grant = (answer.status == 200).then(|| answer.grant())?;
            let request = self.requests.recv_timeout(TIMEOUT).expect("the hub asks the device");
            let (reader, at_device) = self.at_device.attach_with_response(&StreamGrant::from(&request)).expect("a leg");
            reader.receive_little();
            let (leg, at_service) = self.client.attach_with_response(&grant).expect("a leg");
            let ticket = |answer: &HttpResponse| answer.header(RESUME_TOKEN_HEADER).map(str::to_owned);
            let tickets = (ticket(&at_service), ticket(&at_device));
            Some((Stream { request, grant, leg, tickets }, reader))
        })
    }
}

/// A stream that the device does not read.
struct Stream {
    request: StreamRequest,
    grant: StreamGrant,
    leg: WebSocket,
    /// With which the service and the device resume it.
    tickets: (Option<String>, Option<String>),
}

impl Stream {
    /// Cuts the service's connection. Returns what it resumes the stream with.
    fn cut(self) -> (StreamGrant, String) {
        (self.grant, self.tickets.0.expect("it can be resumed"))
    }

    /// Sends more than the kernel holds on the way to the device.
    fn stall(&mut self) {
        let message = vec![0; MESSAGE];
        let _all = (0..24).all(|_| self.leg.bytes(&message).is_ok());
    }
}
