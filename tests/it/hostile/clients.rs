//! Agent and proxy against a hub that violates the protocol.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use devstream::proto::limits::{CLOSE_TIMEOUT, MAX_RECEIVED_MESSAGE_BYTES};
use devstream::proto::message::{ToDevice, encode};

use crate::support::bytes::MIB;
use crate::support::certificates::{Authority, Files, NAME, Pair};
use crate::support::fake_hub::{FakeHub, Tls, welcome};
use crate::support::machine::Machine;
use crate::support::malformed::{self, Malformed};
use crate::support::process::Process;
use crate::support::rng::Rng;
use crate::support::roles::{Agent, Hub, ServiceProxy};
use crate::support::targets::{Target, is_alive};
use crate::support::websocket::{BINARY, FINAL, PING, TEXT, WebSocket, frame};
use crate::support::{DEVICE, POLL_INTERVAL, SOON, poll, within};

/// An agent and a proxy of a real hub, with the certificate to impersonate it.
struct OrphanedRoles {
    proxy: ServiceProxy,
    agent: Process,
    files: Files,
    pair: Pair,
    port: u16,
    machine: Machine,
    device: Machine,
    target: Target,
    laptop: Machine,
    _folder: Machine,
}

impl OrphanedRoles {
    /// Starts the roles, carries one stream, and stops the hub.
    fn by_its_hub() -> Self {
        let (folder, authority, target) = (Machine::new(), Authority::new(), Target::echo());
        let ca = authority.file(&folder);
        let [machine, device, laptop] = [(); 3].map(|()| Machine::new().plain().with("SSL_CERT_FILE", &ca));
        let files = Files::in_directory(machine.home());
        let pair = authority.certify(NAME);
        files.write(&pair);
        let hub = Hub::start_with(&machine, &with(&files));
        device.ask(&["join", &hub.device_link(DEVICE)]);
        laptop.ask(&["join", &hub.service_link("alice")]);
        let agent = Agent::start(&device, &[&format!("target={}", target.port)]).process;
        let proxy = ServiceProxy::start(&laptop);
        is_alive(&mut proxy.connect());
        let port = hub.port;
        hub.process.kill();
        Self { proxy, agent, files, pair, port, machine, laptop, _folder: folder, device, target }
    }

    /// Has the laptop know this port as the streaming endpoint of its hub, and starts its proxy again.
    fn join_with_endpoint(&mut self, port: u16) {
        let file = self.laptop.home().join(".local/share/devstream/service/identity.toml");
        let identity = fs::read_to_string(&file).unwrap();
        let others = identity.lines().filter(|line| !line.starts_with("streaming_endpoint"));
        let endpoint = format!("streaming_endpoint = \"{NAME}:{port}\"");
        fs::write(&file, others.chain([endpoint.as_str()]).collect::<Vec<_>>().join("\n")).unwrap();
        self.proxy = ServiceProxy::start(&self.laptop);
    }

    fn impostor(&self) -> FakeHub {
        FakeHub::on(self.port, &self.pair)
    }

    /// Accepts the agent at the hub's impostor.
    fn agent_at(&self, impostor: &FakeHub) -> WebSocket<Tls> {
        let lines = self.agent.lines();
        let control = impostor.agent();
        self.agent.wait_line_after(lines, "is online");
        control
    }

    /// Restarts the hub, and asserts that everything works; the exit codes show panics.
    fn end(self, impostor: FakeHub) {
        drop(impostor);
        let lines = self.agent.lines();
        let _hub = Hub::start_on(&self.machine, self.port, &with(&self.files));
        let _agent = if self.agent.is_running() {
            self.agent.wait_line_after(lines, "is online");
            None
        } else {
            Some(Agent::start(&self.device, &[&format!("target={}", self.target.port)]))
        };
        is_alive(&mut self.proxy.connect());
    }
}

/// Arguments of the hub. No stream may resume at its impostor.
fn with(files: &Files) -> Vec<&str> {
    [&["--hostname", NAME, "--no-resume"], files.arguments().as_slice()].concat()
}

/// Reports whether a local connection ends; some of the hub's bytes may precede the end.
fn is_over(mut local: TcpStream) -> bool {
    let end = local.read_to_end(&mut Vec::new());
    end.map_or_else(|error| !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), |_| true)
}

/// Writes the rest of a large frame; the peer may have closed the connection by then.
fn say(stream: &mut WebSocket<Tls>, Malformed { what, bytes, code }: &Malformed) {
    if stream.garbage(bytes).is_ok() {
        assert_eq!(stream.end(), Some(*code), "{what}");
    }
}

#[test]
fn malformed_frames_from_a_hub_end_an_agents_stream() {
    let fixture = OrphanedRoles::by_its_hub();
    let impostor = fixture.impostor();
    let mut agent = fixture.agent_at(&impostor);
    let before = fixture.agent.memory().now;
    for malformed in malformed::all(false, MAX_RECEIVED_MESSAGE_BYTES) {
        say(&mut impostor.stream_of(&mut agent, "target"), &malformed);
    }
    assert_grown_little(&fixture.agent, before);
    drop(agent);
    fixture.end(impostor);
}

#[test]
fn an_agent_whose_stream_was_given_up_was_advised_to_join_again() {
    let fixture = OrphanedRoles::by_its_hub();
    let impostor = fixture.impostor();
    let mut agent = fixture.agent_at(&impostor);
    let lines = fixture.agent.lines();
    impostor.leg_of(&mut agent, "target").respond(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n");
    let line = fixture.agent.wait_line_after(lines, "could not open the stream");
    assert!(line.contains("its token is void") && !line.contains("join"), "{line}");
    drop(agent);
    fixture.end(impostor);
}

#[test]
fn malformed_frames_from_a_hub_end_a_proxys_stream() {
    let fixture = OrphanedRoles::by_its_hub();
    fixture.agent.kill();
    let impostor = fixture.impostor();
    let before = fixture.proxy.process.memory().now;
    for malformed in malformed::all(false, MAX_RECEIVED_MESSAGE_BYTES) {
        let local = fixture.proxy.connect();
        let mut stream = impostor.stream_of_proxy();
        say(&mut stream, &malformed);
        // A peer that violated the protocol is closed without a grace time.
        assert!(within(CLOSE_TIMEOUT / 2, &malformed.what, || is_over(local)), "{}", malformed.what);
    }
    assert_grown_little(&fixture.proxy.process, before);
    fixture.end(impostor);
}

#[test]
fn an_unresponsive_standby_endpoint_delays_no_stream() {
    let mut fixture = OrphanedRoles::by_its_hub();
    fixture.agent.kill();
    // It accepts connections without responding.
    let nowhere = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = nowhere.local_addr().unwrap().port();
    fixture.join_with_endpoint(port);
    fixture.proxy.process.wait_line("warning: ");
    let impostor = fixture.impostor();
    for _ in 0..3 {
        let mut local = fixture.proxy.connect();
        let mut stream = within(SOON, "a stream", || impostor.stream_of_proxy_offering(port));
        stream.bytes(b"hello").unwrap();
        let mut heard = [0; 5];
        local.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hello");
    }
    nowhere.set_nonblocking(true).unwrap();
    poll("that it was tried", || nowhere.accept().ok());
    assert!(nowhere.accept().is_err(), "and not again and again");
    fixture.end(impostor);
}

fn assert_grown_little(process: &Process, before: u64) {
    let growth = process.memory().now.saturating_sub(before);
    assert!(growth < 4 * MIB, "{growth} bytes for nothing: {process}");
}

#[test]
fn an_agent_leaves_a_hub_with_malformed_messages_and_retries() {
    let fixture = OrphanedRoles::by_its_hub();
    let impostor = fixture.impostor();
    let pings = frame(false, FINAL | PING, b"x").repeat(1000);
    for (nonsense, code) in
        [(frame(false, FINAL | TEXT, b"{}"), 1008), (frame(true, FINAL | TEXT, b"{}"), 1002), (pings, 1008)]
    {
        let mut agent = impostor.agent();
        agent.garbage(&nonsense).unwrap();
        assert_eq!(agent.expect_close(), code, "{:?}", &nonsense[..4]);
    }
    fixture.end(impostor);
}

#[test]
fn a_hub_that_repeats_itself_fills_no_log_of_an_agent() {
    let fixture = OrphanedRoles::by_its_hub();
    let impostor = fixture.impostor();
    let mut agent = fixture.agent_at(&impostor);
    let lines = fixture.agent.lines();
    for message in [welcome(), ToDevice::Drain { reconnect_delay_ms: 1 }] {
        let text = encode(&message);
        (0..1000).for_each(|_| agent.text(&text).expect("the agent reads"));
    }
    // It has read all before it answers.
    drop(impostor.stream_of(&mut agent, "target"));
    let log = fixture.agent.log();
    let said = |words: &str| log.lines().skip(lines).filter(|line| line.contains(words)).count();
    assert!(said("is online") <= 2 && said("the hub is shutting down or restarting") <= 2, "{log}");
    drop(agent);
    fixture.end(impostor);
}

#[test]
fn a_proxy_survives_any_server_in_its_hubs_place() {
    const SEEDS: u64 = 500;
    let fixture = OrphanedRoles::by_its_hub();
    fixture.agent.kill();
    let impostor = fixture.impostor();
    let open_files = fixture.proxy.process.open_files();
    let over = AtomicBool::new(false);
    let ending = StopGuard(&over);
    thread::scope(|scope| {
        let ending = ending;
        scope.spawn(|| {
            let mut seed = 0;
            while !over.load(Ordering::Relaxed) {
                let Some(client) = impostor.try_accept() else {
                    thread::park_timeout(POLL_INTERVAL);
                    continue;
                };
                answer_with_garbage(&impostor, client, &mut Rng::new(seed));
                seed += 1;
            }
        });
        for _ in 0..SEEDS {
            assert!(is_over(fixture.proxy.connect()));
        }
        drop(ending);
    });
    poll("as few open files as before", || (fixture.proxy.process.open_files() <= open_files).then_some(()));
    fixture.end(impostor);
}

/// Ends the answers when the test does, however it does.
struct StopGuard<'a>(&'a AtomicBool);

impl Drop for StopGuard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends garbage in place of TLS, of a response, of an upgrade, or after one; then closes.
fn answer_with_garbage(impostor: &FakeHub, mut client: TcpStream, rng: &mut Rng) {
    if rng.random_below(4) == 0 {
        // The client may have left.
        let _ = client.write_all(&rng.garbage(&[b"\x15\x03\x03\x00\x02\x02\x28".to_vec()]));
        return;
    }
    let Some(mut request) = impostor.receive(client) else { return };
    let asks = request.head.starts_with("POST");
    match (asks, rng.random_below(4)) {
        (true, 1..) => impostor.grant(request),
        (false, 1..) => {
            let frames =
                [frame(false, FINAL | TEXT, br#"{"type":"end","bytes":0}"#), frame(false, FINAL | BINARY, b"x")];
            let _ = request.upgrade().garbage(&rng.garbage(&frames));
        }
        (_, 0) => request.respond(&rng.garbage(&answers())),
    }
}

/// Responses of a hub, and others that no hub sends.
fn answers() -> Vec<Vec<u8>> {
    [
        "HTTP/1.1 200 OK\r\niothub-streaming-is-accepted: True\r\niothub-streaming-url: wss://localhost/standby\r\n\
         iothub-streaming-auth-token: x\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 47\r\n\r\n{\"refusal\":{\"kind\":\"unknownDevice\",\"detail\":\"\"}}",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "HTTP/1.1 302 Found\r\nlocation: https://localhost/\r\ncontent-length: 0\r\n\r\n",
    ]
    .map(|answer| answer.as_bytes().to_vec())
    .to_vec()
}
