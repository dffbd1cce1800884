//! A service whose streams are not read, at a hub that is short of memory: the others get in.

use std::collections::HashMap;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use devstream::proto::refusal::RefusalKind;
use serde_json::Value;

use crate::support::machine::Machine;
use crate::support::raw::{RawClient, RawDevice, StreamGrant};
use crate::support::roles::{Agent, Hub, ServiceProxy};
use crate::support::targets::{Target, is_alive};
use crate::support::websocket::{Frame, WebSocket};
use crate::support::{DEVICE, TIMEOUT};

/// The largest message that a hub takes, less its header: it takes most of the memory.
const MESSAGE: usize = 255 * 1024;

/// More than the kernel holds on the way to a reader that receives little.
const MESSAGES: usize = 24;

/// Streams that take more than the hub's memory if each holds a message.
const STREAMS: usize = 60;

/// The time between two messages that the slow reader takes.
const SLOW: Duration = Duration::from_millis(200);

#[test]
fn streams_that_are_not_read_end_where_they_keep_others_out_and_one_of_another_service_that_is_read_slowly_goes_on() {
    let (machine, laptop, echo) = (Machine::new(), Machine::new(), Target::echo());
    let hub = Hub::start_with(&machine, &["--memory-budget", "24MiB"]);
    let _agent = Agent::start_as(&machine, "echo", &[&echo.port.to_string()]);
    laptop.ask(&["join", &hub.service_link("bob")]);
    let bob = ServiceProxy::start_with(&laptop, "echo", "0", &[]);
    let device = RawDevice::online(RawClient::join(&hub.device_link(DEVICE)), &["web"]);
    let [alice, carol] = ["alice", "carol"].map(|name| RawClient::join(&hub.service_link(name)));
    let at_device = device.identity.clone();
    let requests = device.accepting();
    let (ended, ends) = sync_channel(STREAMS + 1);
    let open = |service: &RawClient| {
        let grant = service.open("web", &[("devstream-stream-protocol", "devstream.v1")]).answer().grant();
        let request = requests.recv_timeout(TIMEOUT).expect("the hub asks the device");
        let reader = at_device.attach(&StreamGrant::from(&request)).expect("a leg");
        reader.receive_little();
        (request.request_id.to_string(), service.attach(&grant).expect("a leg"), reader)
    };
    let (slow, leg, mut slow_reader) = open(&carol);
    fill(leg, slow.clone(), usize::MAX, ended.clone());
    let streams: Vec<_> = (0..STREAMS).map(|_| open(&alice)).collect();
    let mut readers = HashMap::new();
    for (stream, leg, reader) in streams {
        fill(leg, stream.clone(), MESSAGES, ended.clone());
        readers.insert(stream, reader);
    }

    let served = thread::spawn(move || is_alive(&mut bob.connect()));
    while !served.is_finished() {
        assert!(slow_reader.next().is_ok(), "a stream that is read ends");
        thread::park_timeout(SLOW);
    }
    served.join().expect("bob gets in");
    let row = RefusalKind::NotRead.row();
    let of_reason =
        |entry: &Value| entry["properties"]["reason"].as_str().is_some_and(|reason| reason.contains(row.sentence));
    hub.wait_activity("streamClosed", Some("ended"));
    let logged: Vec<_> = hub.activity().into_iter().filter(of_reason).collect();
    assert!(logged.iter().all(|entry| entry["properties"]["serviceId"] == "alice"), "{logged:#?}");
    assert!(logged.iter().all(|entry| entry["properties"]["streamId"] != slow.as_str()), "{logged:#?}");
    // Only who has sent all its messages reads why its stream ended.
    let has_ended = |stream: &str| logged.iter().any(|entry| entry["properties"]["streamId"] == stream);
    let mut told = std::iter::from_fn(|| ends.recv_timeout(TIMEOUT).ok());
    let (stream, (code, reason)) = told.find(|(stream, _)| has_ended(stream)).expect("a service is told");
    assert_eq!(code, row.close);
    assert!(reason.contains(row.sentence) && reason.contains("(its service holds more than its share)"), "{reason}");
    let mut reader = readers.remove(&stream).expect("one that is not read");
    // A close frame comes after what the device does not take, if at all.
    while let Ok(frame) = reader.next() {
        assert!(matches!(&frame, Frame::Bytes(_)) || matches!(&frame, Frame::Close(code, _) if *code == row.close));
    }
}

/// Sends messages until they are gone or the stream ends, and reports its close.
fn fill(mut leg: WebSocket, stream: String, messages: usize, ended: SyncSender<(String, (u16, String))>) {
    thread::spawn(move || {
        let message = vec![0; MESSAGE];
        if (0..messages).all(|_| leg.bytes(&message).is_ok())
            && let Ok(Frame::Close(code, reason)) = leg.next()
        {
            let _ = ended.send((stream, (code, reason)));
        }
    });
}
