//! A hub that means harm, made of two honest ones and what carries between them: the operator's machine joined one, the
//! device the other, and both meet this test's own device and service there. To them it is one hub, which may do anything
//! with what they send.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::thread;

use devstream::proto::e2e::{END_TO_END, END_TO_END_HEADER};
use devstream::proto::http::STREAM_PROTOCOL_HEADER;
use devstream::proto::message::{StreamRequest, StreamResponse, ToHub, encode};
use devstream::proto::resume::RESUME_TOKEN_HEADER;
use devstream::proto::stream::{StreamControl, StreamProtocol};

use super::machine::Machine;
use super::raw::{RawClient, RawDevice, StreamGrant, Tls};
use super::response::HttpResponse;
use super::roles::{Agent, Hub, ServiceProxy};
use super::websocket::{BINARY, CLOSE, FINAL, Frame, PING, PONG, TEXT, WebSocket, frame};
use super::{DEVICE, POLL_INTERVAL};

/// The name of the device's only forward to the target.
pub(crate) const FORWARD: &str = "target";

/// The name of its other forward, to another target.
pub(crate) const OTHER_FORWARD: &str = "other";

/// The hub, and its victims.
pub(crate) struct EvilHub {
    pub(crate) laptop: Machine,
    pub(crate) device: Machine,
    pub(crate) agent: Agent,
    pub(crate) proxy: ServiceProxy,
    pub(crate) for_operators: Hub,
    pub(crate) for_devices: Hub,
    fake_device: RawDevice,
    fake_service: RawClient,
    kind: StreamKind,
}

/// What its streams are.
#[derive(Debug, Clone, Copy)]
struct StreamKind {
    protocol: StreamProtocol,
    end_to_end: bool,
}

/// Which victim sent something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    Service,
    Device,
}

impl EvilHub {
    /// Starts it with a device that has these targets.
    pub(crate) fn start(target: u16, other: u16) -> Self {
        Self::carrying(StreamKind { protocol: StreamProtocol::V1, end_to_end: true }, target, other)
    }

    /// Starts it with streams that outlive their WebSockets, encrypted end to end or not.
    pub(crate) fn resumable(end_to_end: bool, target: u16) -> Self {
        Self::carrying(StreamKind { protocol: StreamProtocol::Resumable, end_to_end }, target, target)
    }

    fn carrying(kind: StreamKind, target: u16, other: u16) -> Self {
        let [for_operators, for_devices] = [(); 2].map(|()| Hub::start(&Machine::new()));
        let [laptop, device] = if kind.end_to_end {
            [(); 2].map(|()| Machine::new().strict())
        } else {
            [Machine::new().plain(), Machine::new()]
        };
        laptop.ask(&["join", &for_operators.service_link("alice")]);
        device.ask(&["join", &for_devices.device_link(DEVICE)]);
        let fake_device = RawClient::join(&for_operators.device_link(DEVICE));
        let fake_service = RawClient::join(&for_devices.service_link("alice"));
        let fake_device = RawDevice::speaking(fake_device, &[FORWARD, OTHER_FORWARD], &[kind.protocol.as_str()]);
        let agent = Agent::start(&device, &[&format!("{FORWARD}={target}"), &format!("{OTHER_FORWARD}={other}")]);
        let proxy = ServiceProxy::start_with(&laptop, DEVICE, &format!("0={FORWARD}"), &[]);
        Self { laptop, device, agent, proxy, for_operators, for_devices, fake_device, fake_service, kind }
    }

    /// Another service of its own at the device.
    pub(crate) fn service(&self, name: &str) -> RawClient {
        RawClient::join(&self.for_devices.service_link(name))
    }

    /// The service that it presents to the device as the operator's.
    pub(crate) fn alice(&self) -> RawClient {
        self.fake_service.clone()
    }

    /// The operator's next request for a stream.
    pub(crate) fn asked(&mut self) -> StreamRequest {
        self.fake_device.request()
    }

    /// Accepts it, and returns its leg.
    pub(crate) fn accepts(&mut self, request: &StreamRequest, end_to_end: bool) -> Leg {
        self.says_that_it_accepts(request, end_to_end);
        Leg::attach(self.fake_device.identity.clone(), StreamGrant::from(request))
    }

    /// Accepts it, and brings no leg.
    pub(crate) fn says_that_it_accepts(&mut self, request: &StreamRequest, end_to_end: bool) {
        let accepted = StreamResponse { request_id: request.request_id, accepted: true, end_to_end, reason: None };
        let text = encode(&ToHub::StreamResponse(accepted));
        self.fake_device.control.text(&text).expect("the hub takes a message");
    }

    /// Refuses it with this text, as a device's message.
    pub(crate) fn refuses(&mut self, request: &StreamRequest, reason: &str) {
        let id = request.request_id;
        let text = format!(r#"{{"type":"streamResponse","requestId":"{id}","accepted":false,"reason":{reason}}}"#);
        self.fake_device.control.text(&text).expect("the hub takes a message");
    }

    /// Opens a stream to the device, as the operator's request was.
    pub(crate) fn asks(&self, name: &str) -> Leg {
        ask(&self.fake_service, DEVICE, name, self.kind)
    }

    /// Opens a stream to the device as another service, or without announcing encryption.
    pub(crate) fn asks_as(service: &RawClient, name: &str, end_to_end: bool) -> Leg {
        Self::asks_device_as(service, DEVICE, name, end_to_end)
    }

    /// The same to another device.
    pub(crate) fn asks_device_as(service: &RawClient, device: &str, name: &str, end_to_end: bool) -> Leg {
        ask(service, device, name, StreamKind { protocol: StreamProtocol::V1, end_to_end })
    }

    /// Accepts the operator's next stream, and opens one to the device.
    pub(crate) fn legs(&mut self) -> Legs {
        let request = self.asked();
        Legs { service: self.accepts(&request, self.kind.end_to_end), device: self.asks(FORWARD) }
    }

    /// Joins the operator's next stream to the device's, and carries what `change` makes of each message until either end is
    /// gone.
    pub(crate) fn carry(&mut self, change: impl FnMut(Sender, Frame) -> Vec<Frame> + Send + 'static) {
        let Legs { service, device } = self.legs();
        relay(service, device, change);
    }

    /// Carries one stream faithfully, in which the operator's machine sends this and gets it back.
    pub(crate) fn carry_faithfully(&mut self, text: &[u8]) {
        let mut local = self.proxy.connect();
        local.write_all(text).expect("the proxy reads");
        self.carry(|_, frame| vec![frame]);
        let mut echoed = vec![0; text.len()];
        local.read_exact(&mut echoed).expect("an echo");
        assert_eq!(echoed, text);
        local.shutdown(Shutdown::Write).expect("an end");
        assert_eq!(local.read(&mut [0]).expect("an end, and no reset"), 0);
    }
}

/// Opens a stream to a device as this service.
fn ask(service: &RawClient, device: &str, name: &str, kind: StreamKind) -> Leg {
    let mut headers = vec![(STREAM_PROTOCOL_HEADER, kind.protocol.as_str())];
    headers.extend(kind.end_to_end.then_some((END_TO_END_HEADER, END_TO_END)));
    let path = format!("/twins/{device}/streams/{name}");
    let mut grant = service.ask("POST", &path, &headers, "").grant();
    grant.protocol = Some(kind.protocol.as_str().into());
    Leg::attach(service.clone(), grant)
}

/// The two legs of a stream.
pub(crate) struct Legs {
    pub(crate) service: Leg,
    pub(crate) device: Leg,
}

impl Legs {
    /// Carries what `change` makes of the messages that are there; reports whether there were any.
    pub(crate) fn carry(&mut self, change: &mut impl FnMut(Sender, Frame) -> Vec<Frame>) -> io::Result<bool> {
        let mut carried = false;
        for sender in [Sender::Service, Sender::Device] {
            let (from, to) = match sender {
                Sender::Service => (&mut self.service, &mut self.device),
                Sender::Device => (&mut self.device, &mut self.service),
            };
            if let Some(received) = from.try_next()? {
                carried = true;
                for frame in change(sender, received) {
                    to.send(&frame)?;
                }
            }
        }
        Ok(carried)
    }
}

/// Carries between two legs in the background.
pub(crate) fn relay(service: Leg, device: Leg, mut change: impl FnMut(Sender, Frame) -> Vec<Frame> + Send + 'static) {
    let mut legs = Legs { service, device };
    thread::spawn(move || -> io::Result<()> {
        loop {
            if !legs.carry(&mut change)? {
                thread::park_timeout(POLL_INTERVAL);
            }
        }
    });
}

/// A leg of a stream that can be looked at without waiting.
pub(crate) struct Leg {
    tls: Tls,
    incoming: Vec<u8>,
    identity: RawClient,
    grant: StreamGrant,
    /// With which it returns, if the stream can be resumed.
    resume_token: Option<String>,
}

impl Leg {
    fn attach(identity: RawClient, grant: StreamGrant) -> Self {
        let attached = identity.attach_with_response(&grant).expect("a leg");
        Self::new(identity, grant, attached)
    }

    fn new(identity: RawClient, grant: StreamGrant, (socket, answer): (WebSocket, HttpResponse)) -> Self {
        let tls = socket.into_inner();
        tls.sock.set_nonblocking(true).expect("a socket can be polled");
        let resume_token = answer.header(RESUME_TOKEN_HEADER).map(str::to_owned);
        Self { tls, incoming: Vec::new(), identity, grant, resume_token }
    }

    /// Loses its connection and returns to the stream, as the victim at the other end has to.
    pub(crate) fn interrupt(&mut self) {
        let _ = self.tls.sock.shutdown(Shutdown::Both);
        let token = self.resume_token.take().expect("a stream that can be resumed");
        let resumed = super::poll("a way back", || self.identity.resume(&self.grant, &token).ok());
        *self = Self::new(self.identity.clone(), self.grant.clone(), resumed);
    }

    /// Waits for the number of bytes that the victim has received, with which it returns to the stream.
    pub(crate) fn resumed(&mut self) -> u64 {
        super::poll("the victim's return", || match self.try_next().expect("the leg is open") {
            Some(Frame::Text(text)) => match StreamControl::decode(&text) {
                Ok(StreamControl::Resume { received }) => Some(received),
                _ => None,
            },
            _ => None,
        })
    }

    /// Sends the victim a control message of the other end.
    pub(crate) fn control(&mut self, control: StreamControl) {
        self.send(&Frame::Text(control.encode())).expect("the leg is open");
    }

    /// Waits for a message with bytes of the stream.
    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        super::poll("bytes of the stream", || match self.try_next().expect("the leg is open") {
            Some(Frame::Bytes(bytes)) => Some(bytes),
            _ => None,
        })
    }

    /// Waits until the leg is closed or reset.
    pub(crate) fn wait_closed(&mut self) {
        super::poll("the end of the leg", || match self.try_next() {
            Ok(Some(Frame::Close(..))) | Err(_) => Some(()),
            Ok(_) => None,
        });
    }

    /// The next message, if it has arrived; an error at the end.
    pub(crate) fn try_next(&mut self) -> io::Result<Option<Frame>> {
        if let Some(whole) = self.take_frame()? {
            return Ok(Some(whole));
        }
        let mut chunk = [0; 16 * 1024];
        match self.tls.read(&mut chunk) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                self.incoming.extend_from_slice(&chunk[..read]);
                self.take_frame()
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, message: &Frame) -> io::Result<()> {
        match message {
            Frame::Text(text) => self.write(TEXT, text.as_bytes()),
            Frame::Bytes(bytes) => self.write(BINARY, bytes),
            Frame::Close(code, _) => self.write(CLOSE, &code.to_be_bytes()),
        }
    }

    fn write(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        self.tls.sock.set_nonblocking(false)?;
        let sent = self.tls.write_all(&frame(true, FINAL | opcode, payload)).and_then(|()| self.tls.flush());
        self.tls.sock.set_nonblocking(true)?;
        sent
    }

    /// Takes a whole frame from what has arrived. A hub's frames are not masked.
    fn take_frame(&mut self) -> io::Result<Option<Frame>> {
        let [first, second, rest @ ..] = self.incoming.as_slice() else { return Ok(None) };
        let (length, head) = match (*second, rest) {
            (126, [a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 4),
            (127, [a @ .., _]) if a.len() >= 8 => {
                let bytes: [u8; 8] = rest[..8].try_into().expect("eight bytes");
                (usize::try_from(u64::from_be_bytes(bytes)).expect("it fits in memory"), 10)
            }
            (126 | 127, _) => return Ok(None),
            (short, _) => (usize::from(short), 2),
        };
        if self.incoming.len() < head + length {
            return Ok(None);
        }
        let opcode = first & !FINAL;
        let payload: Vec<u8> = self.incoming.drain(..head + length).skip(head).collect();
        match opcode {
            TEXT => Ok(Some(Frame::Text(String::from_utf8(payload).expect("text is UTF-8")))),
            BINARY => Ok(Some(Frame::Bytes(payload))),
            CLOSE => {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                Ok(Some(Frame::Close(code, String::new())))
            }
            PING => self.write(PONG, &payload).map(|()| None),
            PONG => Ok(None),
            other => panic!("opcode {other}"),
        }
    }
}
