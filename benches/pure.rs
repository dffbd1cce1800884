//! The work per byte, message, request and stream, without IO: `cargo bench --bench pure`.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "in a benchmark a panic is the message, and criterion's macros are undocumented"
)]

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use devstream::hub::broker::{Broker, Input, LegAttach, LegCredential, LegExit, LegKey, OpenRequest, Output, Settings};
use devstream::net::os::clock;
use devstream::proto::auth::{Binding, Credential, Session};
use devstream::proto::http::Bridge;
use devstream::proto::id::{ConnectionId, DeviceId, HubId, Principal, Role, StreamId};
use devstream::proto::key::{PrivateKey, PublicKey};
use devstream::proto::limits::MAX_SENT_MESSAGE_BYTES;
use devstream::proto::message::{self, Hello, StreamResponse, ToDevice};
use devstream::proto::scope::Scope;
use devstream::proto::secret::{KeySeed, StreamToken};
use devstream::proto::stream::endpoint::{NextSend, StreamEndpoint};
use devstream::proto::stream::{StreamControl, StreamProtocol};
use devstream::proto::token_bucket::{Rate, TokenBucket};

/// Number of connected devices during the benchmark of streams.
const DEVICES: u64 = 10_000;

const SHARE: u64 = 16 << 20;

fn bytes_of_a_stream(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stream");
    group.throughput(Throughput::Bytes(MAX_SENT_MESSAGE_BYTES as u64));
    for protocol in StreamProtocol::ALL {
        let (mut from, mut to) = (StreamEndpoint::new(Some(protocol)), StreamEndpoint::new(Some(protocol)));
        let piece = Bytes::from(vec![7; MAX_SENT_MESSAGE_BYTES]);
        group.bench_function(format!("one message, {}", protocol.as_str()), |bencher| {
            bencher.iter(|| pass_on(&mut from, &mut to, &piece));
        });
    }
}

/// Passes a message through both ends, and its acknowledgement back.
fn pass_on(from: &mut StreamEndpoint, to: &mut StreamEndpoint, piece: &Bytes) {
    from.push_local(piece.clone());
    while let Some(NextSend::Bytes(bytes)) = from.next_send(SHARE) {
        from.on_flushed();
        to.on_bytes(&bytes).unwrap();
    }
    while let Some(bytes) = to.pop_local() {
        to.on_written(black_box(bytes).len());
    }
    while let Some(NextSend::Text(StreamControl::Ack { bytes, window, end })) = to.next_send(SHARE) {
        to.on_flushed();
        from.on_ack(bytes, window, end).unwrap();
    }
}

fn messages(criterion: &mut Criterion) {
    let ack = StreamControl::Ack { bytes: 1 << 40, window: 1 << 24, end: false }.encode();
    criterion.bench_function("decode an acknowledgement", |bencher| {
        bencher.iter(|| StreamControl::decode(black_box(&ack)).unwrap());
    });
    let request = ToDevice::StreamRequest(message::StreamRequest {
        request_id: StreamId::from_bytes([7; 16]),
        stream_name: "ssh".parse().unwrap(),
        url: "wss://hub.example.com:8443/bridges/hub.example.com/pi-42/7/device".into(),
        authorization_token: Some(StreamToken::new([7; 32])),
        reusable: false,
        protocol: Some("devstream.v1.resume".into()),
        service: "laptop".parse().unwrap(),
        source: ([192, 0, 2, 1], 50000).into(),
        end_to_end: false,
        resume_grant: None,
    });
    let text = message::encode(&request);
    criterion.bench_function("decode a request for a stream", |bencher| {
        bencher.iter(|| message::decode::<ToDevice>(black_box(&text)).unwrap());
    });
}

fn names(criterion: &mut Criterion) {
    criterion.bench_function("parse a device's id", |bencher| {
        bencher.iter(|| black_box("building-7.floor-3.pi-42").parse::<DeviceId>().unwrap());
    });
    let token = StreamToken::new([7; 32]).reveal();
    criterion.bench_function("parse and hash a token", |bencher| {
        bencher.iter(|| StreamToken::parse(black_box(&token)).unwrap().hash());
    });
    let mut bucket = TokenBucket::new(Rate::CONTROL_FRAMES, clock::now());
    criterion.bench_function("allow a ping", |bencher| bencher.iter(|| bucket.take(black_box(clock::now()))));
}

fn credentials(criterion: &mut Criterion) {
    let key = PrivateKey::from_seed(&KeySeed::new([7; 32]));
    let principal = Principal { role: Role::Service, id: "laptop".to_owned().try_into().unwrap() };
    let exporter = [7; 32];
    let path = "/devices/pi-42/streams/ssh";
    let binding = Binding { method: "POST", authority: "hub.example.com", path, session: Session::Channel(&exporter) };
    let header = Credential::sign(principal, &key, &binding).to_string();
    let public = key.public();
    criterion.bench_function("read and verify a credential", |bencher| {
        bencher.iter(|| black_box(&header).parse::<Credential>().unwrap().is_signed_by(&public, &binding));
    });
}

fn streams(criterion: &mut Criterion) {
    let mut scenario = BrokerScenario::new();
    criterion.bench_function("open and end a stream among 10,000 devices", |bencher| {
        bencher.iter_batched(|| (), |()| scenario.stream(), BatchSize::SmallInput);
    });
}

/// A broker with every device connected, of which one is requested all the time.
struct BrokerScenario {
    broker: Broker,
    now: Instant,
    next: u64,
}

impl BrokerScenario {
    fn new() -> Self {
        let mut counter = 0_u64;
        let random = move || {
            counter += 1;
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&counter.to_le_bytes());
            bytes[16..24].copy_from_slice(&counter.to_le_bytes());
            bytes
        };
        let mut scenario = Self {
            broker: Broker::new(Settings::default(), HubId::from_bytes([0; 16]), random),
            now: clock::now(),
            next: DEVICES,
        };
        for number in 0..DEVICES {
            let hello = Hello {
                version: "1".into(),
                run: number,
                protocols: vec![StreamProtocol::V1.as_str().into()],
                forwards: vec!["ssh".parse().unwrap()],
                accepts_any_name: false,
                reusable: false,
                certificates: false,
            };
            let (device, connection) = (format!("device-{number}").parse().unwrap(), ConnectionId(number));
            scenario.handle(Input::DeviceConnected { device, connection, hello, address: address() });
        }
        scenario
    }

    fn handle(&mut self, input: Input) -> Vec<Output> {
        // Far enough apart for the broker to forget ended streams.
        self.now += Duration::from_secs(1);
        self.broker.handle_timeout(self.now);
        self.broker.handle(input, self.now);
        std::iter::from_fn(|| self.broker.next_output()).collect()
    }

    fn connection(&mut self) -> ConnectionId {
        self.next += 1;
        ConnectionId(self.next)
    }

    /// Opens and ends a stream.
    fn stream(&mut self) {
        let (requester, device): (_, DeviceId) = (self.connection(), "device-4711".parse().unwrap());
        let request = OpenRequest {
            device: device.clone(),
            name: None,
            scope: Scope::everything(),
            until: None,
            service: "laptop".parse().unwrap(),
            source: address(),
            connect_timeout: Duration::ZERO,
            response_timeout: Duration::from_secs(30),
            protocols: vec![StreamProtocol::V1],
            end_to_end: false,
            stream: None,
            reusable: false,
            standby: false,
            early: bytes::Bytes::new(),
            repeatable: false,
        };
        let outputs = self.handle(Input::OpenRequested { requester, request });
        let device_request = outputs.into_iter().find_map(|output| {
            if let Output::RequestDevice { connection, request } = output { Some((connection, request)) } else { None }
        });
        let (connection, request) = device_request.unwrap();
        let response = StreamResponse { request_id: request.stream, accepted: true, end_to_end: false, reason: None };
        let outputs = self.handle(Input::DeviceResponded { connection, response, standby: false });
        let granted = outputs.into_iter().find_map(|output| {
            if let Output::CompleteOpen { result: answer, .. } = output { Some(answer.unwrap()) } else { None }
        });
        let (near, far) = (granted.unwrap(), request);
        let leg = self.side(&device, near.stream, Role::Service, &near.token);
        self.side(&device, far.stream, Role::Device, &far.token);
        self.handle(Input::LegLeft { leg, exit: LegExit::Aborted });
        self.handle(Input::RequesterLeft { requester });
        assert_eq!(self.broker.streams(), 0, "the stream has ended");
    }

    fn side(&mut self, device: &DeviceId, stream: StreamId, role: Role, token: &StreamToken) -> ConnectionId {
        let leg = self.connection();
        let id = if role == Role::Device { device.as_str() } else { "laptop" };
        self.handle(Input::LegAttached(LegAttach {
            leg,
            bridge: Bridge { hub: "hub.example.com".into(), device: device.clone(), stream, role },
            principal: Principal { role, id: id.to_owned().try_into().unwrap() },
            credential: LegCredential::Token(token.hash()),
            address: address(),
            scope: Scope::everything(),
            until: None,
            key: LegKey { key: PublicKey::from_bytes([0; 32]), until: None },
        }));
        leg
    }
}

fn address() -> SocketAddr {
    "192.0.2.1:50000".parse().unwrap()
}

criterion_group! {
    name = benches;
    // A few seconds in all, accurate to a few percent.
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(500));
    targets = bytes_of_a_stream, messages, names, credentials, streams
}
criterion_main!(benches);
