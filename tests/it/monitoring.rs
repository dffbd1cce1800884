//! The exported metrics, compared with the events.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use devstream::net::os::clock;

use crate::support::TIMEOUT;
use crate::support::bytes::{StreamEnd, drain};
use crate::support::machine::Machine;
use crate::support::raw::RawClient;
use crate::support::roles::{Agent, Hub, ServiceProxy, connect};
use crate::support::targets::{Target, is_alive};

/// Scraped values, by name and labels.
type Scrape = BTreeMap<String, f64>;

struct Fixture {
    machine: Machine,
    hub: Hub,
    port: u16,
}

impl Fixture {
    fn new(arguments: &[&str]) -> Self {
        let machine = Machine::new().plain();
        let hub = Hub::start_with(&machine, &[&["--metrics", "127.0.0.1:0"], arguments].concat());
        let line = hub.process.wait_line("hub: metrics on http://127.0.0.1:");
        let port = line.strip_suffix("/metrics").unwrap().rsplit(':').next().unwrap().parse().unwrap();
        Self { machine, hub, port }
    }

    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = connect(self.port);
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn scrape(&self) -> Scrape {
        let (status, text) = self.get("/metrics");
        assert!(status == 200 && text.ends_with("# EOF\n"), "{text}");
        let values = text.lines().filter(|line| !line.starts_with('#'));
        values.map(|line| line.rsplit_once(' ').unwrap()).map(|(name, v)| (name.into(), v.parse().unwrap())).collect()
    }

    /// Scrapes until a metric has this value: events are counted with a delay.
    fn wait_for(&self, name: &str, value: f64) -> Scrape {
        let deadline = clock::now() + TIMEOUT;
        loop {
            let scrape = self.scrape();
            if scrape.get(name) == Some(&value) {
                return scrape;
            }
            assert!(clock::now() < deadline, "{name} is not {value}: {scrape:#?}");
        }
    }
}

fn event(operation: &str, result: &str) -> String {
    format!("devstream_events_total{{operation=\"{operation}\",result=\"{result}\"}}")
}

#[test]
fn every_metric_matches_the_events() {
    let target = Target::echo();
    let fixture = Fixture::new(&["--max-streams-per-device", "7", "--penalty-threshold", "20", "--no-resume"]);
    let before = fixture.scrape();
    for (name, value) in [("devstream_devices", 0.0), ("devstream_streams", 0.0), ("devstream_panics_total", 0.0)] {
        assert_eq!(before[name], value, "{name}");
    }
    assert_eq!(before["devstream_limit{limit=\"streams_per_device\"}"], 7.0);
    assert_eq!(before["devstream_limit{limit=\"penalty_threshold_seconds\"}"], 20.0);
    assert!(before["process_resident_memory_bytes"] > 1e6 && before["process_open_fds"] > 5.0);
    assert!(before["devstream_certificate_end_seconds"] > before["devstream_start_time_seconds"] + 80.0 * 86_400.0);

    let agent = Agent::start(&fixture.machine, &[&format!("echo={}", target.port)]);
    let proxy = ServiceProxy::start(&fixture.machine);
    let mut ended = proxy.connect();
    ended.write_all(&[7; 1000]).unwrap();
    ended.read_exact(&mut [0; 1000]).unwrap();
    ended.shutdown(Shutdown::Write).unwrap();
    assert_eq!(drain(&mut ended).end, StreamEnd::Eof);
    let mut open = proxy.connect();
    open.write_all(&[7; 500]).unwrap();
    open.read_exact(&mut [0; 500]).unwrap();
    let alice = RawClient::join(&fixture.hub.service_link("alice"));
    assert_eq!(alice.ask("POST", "/twins/nobody/streams/echo", &[], "").status, 404);
    assert_eq!(alice.ask_unsigned("GET", "/devices").status, 401);
    let _ = connect(fixture.hub.port).write_all(b"this is not TLS\r\n\r\n");

    let closed = event("streamClosed", "closed");
    let scrape = fixture.wait_for(&closed, 1.0);
    for (name, value) in [
        (event("deviceConnected", "connected"), 1.0),
        (event("invoke", "accepted"), 2.0),
        (event("invoke", "unknown-device"), 1.0),
        (event("authenticate", "authentication-failed"), 1.0),
        (event("streamOpened", "opened"), 2.0),
        (event("identityAdded", "added"), 3.0),
        (event("join", "joined"), 1.0),
        ("devstream_handshake_seconds_count".into(), 2.0),
        ("devstream_devices".into(), 1.0),
        ("devstream_devices_online".into(), 1.0),
        ("devstream_services".into(), 2.0),
        ("devstream_streams".into(), 1.0),
        ("devstream_draining".into(), 0.0),
        ("devstream_activity_lost_total".into(), 0.0),
        ("devstream_panics_total".into(), 0.0),
    ] {
        assert_eq!(scrape.get(&name), Some(&value), "{name} in {scrape:#?}");
    }
    fixture.wait_for("devstream_failed_tls_total", 1.0);
    for to in ["device", "service"] {
        // Without the control messages between the endpoints.
        assert_eq!(scrape[&format!("devstream_stream_bytes_total{{to=\"{to}\"}}")], 1500.0, "{to}");
    }
    assert!(scrape["devstream_connections_total"] >= 8.0, "{scrape:#?}");

    drop(agent);
    fixture.wait_for("devstream_devices_online", 0.0);
    fixture.wait_for("devstream_streams", 0.0);
}

#[test]
fn rejected_connections_are_counted() {
    let fixture = Fixture::new(&["--max-unauthenticated-per-source", "3"]);
    let connections: Vec<TcpStream> = (0..8).map(|_| connect(fixture.hub.port)).collect();
    let scrape = fixture.wait_for("devstream_connections_rejected_total{reason=\"unauthenticated-per-source\"}", 5.0);
    assert_eq!(scrape["devstream_unauthenticated_connections"], 3.0);
    drop(connections);
    fixture.wait_for("devstream_unauthenticated_connections", 0.0);
}

#[test]
fn standby_connections_are_counted_until_they_close() {
    let fixture = Fixture::new(&[]);
    let alice = RawClient::join(&fixture.hub.service_link("alice"));
    let standbys = [alice.standby().unwrap(), alice.standby().unwrap()];
    assert_eq!(fixture.scrape()["devstream_standby_connections"], 2.0);
    for standby in standbys {
        standby.disconnect();
    }
    fixture.wait_for("devstream_standby_connections", 0.0);
}

#[test]
fn a_draining_hub_is_healthy_but_not_ready() {
    let target = Target::echo();
    let fixture = Fixture::new(&["--no-resume"]);
    let _agent = Agent::start(&fixture.machine, &[&target.port.to_string()]);
    let proxy = ServiceProxy::start(&fixture.machine);
    let mut running = proxy.connect();
    is_alive(&mut running);
    assert_eq!((fixture.get("/healthz"), fixture.get("/readyz")), ((200, "ok\n".into()), (200, "ready\n".into())));
    assert_eq!(fixture.get("/devices").0, 404, "nothing else is there");
    fixture.hub.process.signal("TERM");
    fixture.wait_for("devstream_draining", 1.0);
    assert_eq!((fixture.get("/healthz").0, fixture.get("/readyz")), (200, (503, "draining\n".into())));
    assert!(fixture.hub.ask(&["status"]).contains("draining"));
}
