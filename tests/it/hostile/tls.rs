//! Incomplete and fragmented TLS handshakes.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use devstream::net::os::clock;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::{HostileFixture, SLACK};
use crate::support::response::read_response;

/// The hub's timeouts in these tests.
const PATIENT: &str = "2";
const LIMIT: Duration = Duration::from_secs(2);

/// RFC 8446 section 5.1: type, version, length.
const RECORD_HEAD: usize = 5;

#[test]
fn a_stalled_tls_handshake_is_cut_in_time() {
    let hostile = HostileFixture::begin_with(&["--tls-timeout", PATIENT]);
    let hello = client_hello(&mut client(&hostile));
    let begun: Vec<TcpStream> = [&b""[..], &hello[..1], &hello[..RECORD_HEAD], &hello[..hello.len() / 2], &hello]
        .iter()
        .map(|beginning| {
            let mut peer = hostile.peer();
            peer.write_all(beginning).unwrap();
            peer
        })
        .collect();
    let start = clock::now();
    let mut crumbs = hostile.peer();
    crumbs.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    for byte in &hello {
        if crumbs.write_all(&[*byte]).is_err() || !is_waiting(crumbs.read(&mut [0; 64])) {
            break;
        }
    }
    for mut peer in begun {
        let _ = peer.read_to_end(&mut Vec::new());
    }
    let took = clock::now() - start;
    assert!(took >= LIMIT / 2 && took < LIMIT + SLACK, "cut after {took:?}");
    hostile.end();
}

fn is_waiting(read: io::Result<usize>) -> bool {
    read.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

#[test]
fn a_client_hello_in_records_of_one_byte_is_accepted() {
    let hostile = HostileFixture::begin();
    let mut connection = client(&hostile);
    let hello = client_hello(&mut connection);
    let (head, body) = hello.split_at(RECORD_HEAD);
    let crumbs: Vec<u8> = body.iter().flat_map(|byte| [head[0], head[1], head[2], 0, 1, *byte]).collect();
    let mut stream = hostile.peer();
    stream.write_all(&crumbs).unwrap();
    let mut tls = StreamOwned::new(connection, stream);
    // Served or refused, but not left open.
    let answered = tls
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: hub\r\n\r\n")
        .and_then(|()| read_response(&mut tls))
        .map(|answer| answer.status);
    assert!(matches!(&answered, Ok(200)) || answered.is_err_and(|error| !is_waiting(Err(error))));
    hostile.end();
}

#[test]
fn an_early_close_or_malformed_record_ends_the_tls_handshake() {
    let hostile = HostileFixture::begin();
    let hello = client_hello(&mut client(&hostile));
    const CLOSE_NOTIFY: &[u8] = &[21, 3, 3, 0, 2, 1, 0];
    for (what, sent) in [
        ("close_notify first", CLOSE_NOTIFY.to_vec()),
        ("a fatal alert first", vec![21, 3, 3, 0, 2, 2, 40]),
        ("a hello, then close_notify", [&hello, CLOSE_NOTIFY].concat()),
        ("a hello twice", [&hello[..], &hello].concat()),
        ("application data first", vec![23, 3, 3, 0, 1, 0]),
        ("an empty record", vec![22, 3, 3, 0, 0]),
        ("a record larger than any", vec![22, 3, 3, 0xff, 0xff]),
        ("a hello cut off", hello[..hello.len() - 1].to_vec()),
    ] {
        let mut peer = hostile.peer();
        peer.write_all(&sent).unwrap();
        // It may have closed already.
        let _ = peer.shutdown(Shutdown::Write);
        let ended = peer.read_to_end(&mut Vec::new());
        assert!(!is_waiting(ended), "{what}");
    }
    // After a complete handshake.
    let mut leaving = hostile.alice.dial();
    leaving.conn.send_close_notify();
    leaving.flush().unwrap();
    assert_eq!(leaving.read(&mut [0]).unwrap_or(0), 0);
    hostile.end();
}

#[test]
fn another_alpn_protocol_is_refused() {
    let hostile = HostileFixture::begin();
    for offered in [&b"h2"[..], b"acme-tls/1", b"devstream-pin", b"http/1.0", b"\xff"] {
        let mut config = hostile.alice.tls_config();
        config.alpn_protocols = vec![offered.to_vec()];
        let mut tls = StreamOwned::new(connection(config), hostile.peer());
        let error = tls.write_all(b"x").and_then(|()| tls.read(&mut [0])).map(|_| ());
        assert!(error.is_err_and(|error| !is_waiting(Err(error))), "{offered:?}");
    }
    hostile.end();
}

fn client(hostile: &HostileFixture) -> ClientConnection {
    connection(hostile.alice.tls_config())
}

fn connection(config: ClientConfig) -> ClientConnection {
    ClientConnection::new(Arc::new(config), ServerName::try_from("127.0.0.1").unwrap()).unwrap()
}

/// The first record of a handshake.
fn client_hello(connection: &mut ClientConnection) -> Vec<u8> {
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    hello
}
