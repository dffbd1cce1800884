//! Slowloris in four forms, at once and from many sources: each is cut in time, and no other client is delayed.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use devstream::net::os::clock;
use socket2::SockRef;

use super::{HostileFixture, SLACK};
use crate::support::bytes::MIB;
use crate::support::raw::Tls;
use crate::support::roles::connect_from;
use crate::support::targets::is_alive;

/// Connections of each form; together they stay below the limit from which the hub drops some at random.
const OF_EACH_FORM: u8 = 125;
const PER_SOURCE: u8 = 25;

/// The hub's timeouts in this test: TLS handshake, request head, and authentication.
const TIMEOUT_FLAGS: [&str; 6] = ["--tls-timeout", "4", "--head-timeout", "4", "--auth-timeout", "6"];
const LIMIT: Duration = Duration::from_secs(6 + 5);

/// The first bytes of a TLS ClientHello of 508 bytes in one record (RFC 8446 sections 4 and 5.1).
const HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

/// Kind of slow client.
#[derive(Debug, Clone, Copy)]
enum Form {
    Handshake,
    Head,
    Body,
    Read,
}

const FORMS: [Form; 4] = [Form::Handshake, Form::Head, Form::Body, Form::Read];

/// A slow client.
enum Slow {
    Plain(TcpStream),
    Secure(Box<Tls>),
}

#[test]
fn five_hundred_slow_connections_are_cut_in_time_and_delay_nobody() {
    let hostile = HostileFixture::begin_with(&TIMEOUT_FLAGS);
    let calm = median_first_byte(&hostile);
    let before = hostile.fixture.hub.process.memory().now;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (hostile, over) = (&hostile, &over);
        let crowds = FORMS.map(|form| scope.spawn(move || crowd(hostile, form)));
        let watching = scope.spawn(move || {
            let mut times = Vec::new();
            while !over.load(Ordering::Relaxed) {
                times.push(first_byte(hostile));
            }
            times
        });
        let results = crowds.map(|crowd| crowd.join());
        over.store(true, Ordering::Relaxed);
        let mut times = watching.join().unwrap();
        for (form, result) in FORMS.into_iter().zip(results) {
            let longest = result.unwrap();
            assert!(longest < LIMIT + SLACK, "{form:?}: {longest:?}");
        }
        times.sort_unstable();
        let stormy = times[times.len() / 2];
        // With room for a machine that does other things meanwhile; their TLS takes processor time as well.
        assert!(stormy < calm * 20 + Duration::from_millis(50), "first byte after {calm:?}, among them {stormy:?}");
    });
    let growth = hostile.fixture.hub.process.memory().now.saturating_sub(before);
    assert!(growth < 64 * MIB, "{growth} bytes more");
    hostile.end();
}

/// Runs many clients of the same kind until the last one is cut; returns the time.
fn crowd(hostile: &HostileFixture, form: Form) -> Duration {
    let start = clock::now();
    let mut all: Vec<Slow> = (0..OF_EACH_FORM).filter_map(|number| begin(hostile, form, number)).collect();
    assert!(all.len() > usize::from(OF_EACH_FORM) / 2, "{form:?}: most got as far as that: {}", all.len());
    while !all.is_empty() {
        all.retain_mut(|slow| assert_continues(slow, form));
    }
    clock::now() - start
}

fn begin(hostile: &HostileFixture, form: Form, number: u8) -> Option<Slow> {
    let from = Ipv4Addr::new(127, 0, 1 + form as u8, 1 + number / PER_SOURCE);
    if let Form::Handshake = form {
        let mut tcp = connect_from(from, hostile.fixture.hub.port).ok()?;
        tcp.write_all(HELLO).ok()?;
        return Some(Slow::Plain(paced(tcp)));
    }
    let mut tls = hostile.alice.from(from).try_dial().ok()?;
    let begun = match form {
        Form::Handshake | Form::Head => "GET /healthz HTTP/1.1\r\nhost: hub\r\nx: ",
        Form::Body => "POST /join HTTP/1.1\r\nhost: hub\r\ncontent-length: 4000\r\n\r\n",
        Form::Read => "GET /healthz HTTP/1.1\r\nhost: hub\r\n\r\n",
    };
    SockRef::from(&tls.sock).set_recv_buffer_size(1).ok()?;
    tls.write_all(begun.as_bytes()).ok()?;
    tls.sock = paced(tls.sock);
    Some(Slow::Secure(Box::new(tls)))
}

/// Read timeout of a slow client.
fn paced(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    stream
}

/// Sends one more byte, if the connection is still open.
fn assert_continues(slow: &mut Slow, form: Form) -> bool {
    let (sent, read) = match slow {
        Slow::Plain(tcp) => (tcp.write_all(&[0]), tcp.read(&mut [0])),
        Slow::Secure(tls) => {
            let sent = if let Form::Read = form { Ok(()) } else { tls.write_all(b"y").and_then(|()| tls.flush()) };
            (sent, tls.read(&mut [0]))
        }
    };
    let waits = match read {
        Ok(count) => count > 0,
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    };
    sent.is_ok() && waits
}

fn median_first_byte(hostile: &HostileFixture) -> Duration {
    let mut times: Vec<_> = (0..31).map(|_| first_byte(hostile)).collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// Time from a local connection to the echo of its bytes.
fn first_byte(hostile: &HostileFixture) -> Duration {
    let start = clock::now();
    is_alive(&mut hostile.fixture.proxy.connect());
    clock::now() - start
}
