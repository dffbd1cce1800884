//! Acknowledgements, windows and resumptions are the hub's to forge: they are outside the session. In a plain stream each of
//! these attacks has its effect; in one that is encrypted end to end it breaks the stream.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;

use devstream::net::os::clock;
use devstream::proto::limits::INITIAL_WINDOW;
use devstream::proto::refusal::RefusalKind;
use devstream::proto::stream::StreamControl;

use crate::support::bytes::StreamEnd;
use crate::support::evil_hub::{EvilHub, Legs, Sender};
use crate::support::targets::Target;
use crate::support::websocket::Frame;
use crate::support::{POLL_INTERVAL, TIMEOUT};

const FIRST: &[u8] = b"first ";
const SECOND: &[u8] = b"second ";
const THIRD: &[u8] = b"third ";

/// One stream in the hub's hands, and what it has carried.
struct Intercepted {
    local: TcpStream,
    legs: Legs,
    /// The bytes of the service, and the number of the device's.
    up: Vec<u8>,
    down: u64,
    /// What the operator's program has received.
    received: Vec<u8>,
}

impl Intercepted {
    /// Opens a stream that carries [`FIRST`] and its echo. Nobody acknowledges anything, so that each end keeps all it sent.
    fn open(hub: &mut EvilHub) -> Self {
        let mut local = hub.proxy.connect();
        local.write_all(FIRST).unwrap();
        let mut carried = Self { legs: hub.legs(), local, up: Vec::new(), down: 0, received: Vec::new() };
        assert!(carried.carry_until(|received| received == FIRST), "{:?}", carried.received);
        carried
    }

    /// Sends bytes of the operator's program.
    fn say(&mut self, bytes: &[u8]) {
        // A stream that is broken already takes none.
        let _ = self.local.write_all(bytes);
    }

    /// Takes what the service sends next, which goes no further.
    fn intercept(&mut self) {
        let bytes = self.legs.service.bytes();
        self.up.extend(bytes);
    }

    /// Carries until the operator's program has received what it waits for; false if its connection is closed before.
    fn carry_until(&mut self, is_enough: impl Fn(&[u8]) -> bool) -> bool {
        let deadline = clock::now() + TIMEOUT;
        let Self { local, legs, up, down, received } = self;
        local.set_nonblocking(true).unwrap();
        let mut change = |sender, frame: Frame| {
            match &frame {
                Frame::Text(text) if text.contains("\"ack\"") || text.contains("\"resume\"") => return vec![],
                Frame::Bytes(bytes) if sender == Sender::Service => up.extend(bytes),
                Frame::Bytes(bytes) => *down += bytes.len() as u64,
                Frame::Text(_) | Frame::Close(..) => {}
            }
            vec![frame]
        };
        let mut are_legs_open = true;
        let mut chunk = [0; 1024];
        let is_open = loop {
            assert!(clock::now() < deadline, "it goes on after {:?}", String::from_utf8_lossy(received));
            let is_carrying = are_legs_open
                && legs.carry(&mut change).unwrap_or_else(|_| {
                    are_legs_open = false;
                    false
                });
            match local.read(&mut chunk) {
                Ok(0) => break false,
                Ok(read) => received.extend(&chunk[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => break false,
            }
            if is_enough(received) {
                break true;
            }
            if !is_carrying {
                thread::park_timeout(POLL_INTERVAL);
            }
        };
        local.set_nonblocking(false).unwrap();
        is_open
    }

    /// Asserts what came of an attack: in a plain stream, these bytes; in one that is encrypted end to end, a break.
    fn expect(mut self, hub: &EvilHub, target: &Target, end_to_end: bool, in_plain: &[u8], attack: &str) {
        if !end_to_end {
            assert!(self.carry_until(|received| received == in_plain), "{attack}: {:?}", self.received);
            return;
        }
        assert!(!self.carry_until(|received| received.len() > FIRST.len()), "{attack}: {:?}", self.received);
        assert_eq!(self.received, FIRST, "{attack}");
        let seen = target.seen();
        assert_eq!((seen.bytes, seen.end), (FIRST.len() as u64, StreamEnd::Reset), "{attack}");
        hub.agent.process.wait_line(RefusalKind::StreamAltered.row().sentence);
    }
}

fn start(end_to_end: bool) -> (EvilHub, Target) {
    let target = Target::echo();
    (EvilHub::resumable(end_to_end, target.port), target)
}

#[test]
fn counts_that_it_forges_when_a_stream_is_resumed_repeat_and_leave_out_nothing() {
    for end_to_end in [true, false] {
        let (mut hub, target) = start(end_to_end);
        let mut carried = Intercepted::open(&mut hub);
        carried.legs.service.interrupt();
        assert_eq!(carried.legs.service.resumed(), carried.down);
        carried.legs.service.control(StreamControl::Resume { received: 0 });
        carried.say(THIRD);
        carried.expect(&hub, &target, end_to_end, b"first first third ", "the service sends all again");

        let mut carried = Intercepted::open(&mut hub);
        carried.say(SECOND);
        carried.intercept();
        carried.legs.service.interrupt();
        carried.legs.service.resumed();
        carried.legs.service.control(StreamControl::Resume { received: carried.up.len() as u64 });
        carried.say(THIRD);
        carried.expect(&hub, &target, end_to_end, b"first third ", "the device never received the second");

        let mut carried = Intercepted::open(&mut hub);
        carried.legs.device.interrupt();
        assert_eq!(carried.legs.device.resumed(), carried.up.len() as u64);
        carried.legs.device.control(StreamControl::Resume { received: carried.down });
        carried.legs.device.send(&Frame::Bytes(carried.up.clone())).unwrap();
        carried.expect(&hub, &target, end_to_end, b"first first ", "the hub repeats all to the device");
    }
}

#[test]
fn an_acknowledgement_that_it_forges_leaves_out_nothing() {
    for end_to_end in [true, false] {
        let (mut hub, target) = start(end_to_end);
        let mut carried = Intercepted::open(&mut hub);
        carried.say(SECOND);
        carried.intercept();
        let bytes = carried.up.len() as u64;
        carried.legs.service.control(StreamControl::Ack { bytes, window: u64::MAX, end: false });
        carried.say(THIRD);
        carried.expect(&hub, &target, end_to_end, b"first third ", "the second is acknowledged");
    }
}

#[test]
fn counts_that_no_peer_can_have_break_the_stream() {
    let (mut hub, _target) = start(true);
    let ack = |bytes, end| StreamControl::Ack { bytes, window: INITIAL_WINDOW, end };
    for attack in
        ["more than was sent", "an end that was not sent", "a resumption beyond what was sent", "an unasked one"]
    {
        let mut carried = Intercepted::open(&mut hub);
        let sent = carried.up.len() as u64;
        if attack == "a resumption beyond what was sent" {
            carried.legs.service.interrupt();
            carried.legs.service.resumed();
        }
        carried.legs.service.control(match attack {
            "more than was sent" => ack(sent + 1, false),
            "an end that was not sent" => ack(sent, true),
            "an unasked one" => StreamControl::Resume { received: sent },
            _ => StreamControl::Resume { received: sent + 1 },
        });
        assert!(!carried.carry_until(|received| received.len() > FIRST.len()), "{attack}");
        assert_eq!(carried.received, FIRST, "{attack}");
    }
}

#[test]
fn two_streams_whose_resumptions_it_crosses_both_break() {
    for end_to_end in [true, false] {
        let (mut hub, target) = start(end_to_end);
        let [mut first, mut second] = [(); 2].map(|()| Intercepted::open(&mut hub));
        for carried in [&mut first, &mut second] {
            carried.legs.service.interrupt();
            carried.legs.device.interrupt();
            assert_eq!(carried.legs.service.resumed(), carried.down);
            assert_eq!(carried.legs.device.resumed(), carried.up.len() as u64);
            // Each is to go on where it is.
            carried.legs.service.control(StreamControl::Resume { received: carried.up.len() as u64 });
            carried.legs.device.control(StreamControl::Resume { received: carried.down });
        }
        std::mem::swap(&mut first.legs.device, &mut second.legs.device);
        for mut carried in [first, second] {
            carried.say(THIRD);
            carried.expect(&hub, &target, end_to_end, b"first third ", "one's bytes go to the other");
        }
    }
}
