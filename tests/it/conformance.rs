//! RFC 6455 as the Autobahn cases have it: for the WebSockets of hub and clients, which are one type with the limits of
//! a stream, echoing; and for a hub in the middle of a stream whose far end echoes.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use devstream::net::transport::http_server::{HttpOutcome, Limits, serve};
use devstream::net::websocket::{Incoming, SocketKind, Transport, WebSocket, WebSocketRole, derive_accept_key};
use devstream::proto::http::STREAM_PROTOCOL_HEADER;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::support::bytes::read_some;
use crate::support::kosoku::{Kosoku, Remarks};
use crate::support::machine::Machine;
use crate::support::raw::{RawClient, RawDevice, Tls};
use crate::support::roles::Hub;
use crate::support::{DEVICE, STREAM_PROTOCOL};

/// Every case but those for speed (9) and for compression (12, 13), which is never negotiated.
const CASES: usize = 247;

/// A binary message without bytes, which changes nothing in a stream of bytes: on purpose, the hub does not carry it to
/// the far end, and no echo comes.
const EMPTY_BINARY: &str = "1.2.1";

/// Text that is not UTF-8 is refused when the whole frame is there, not in the middle of it: RFC 6455 allows either.
const NOT_AT_ONCE: [&str; 2] = ["6.4.3", "6.4.4"];

/// A message and, behind it, something that ends the connection: the far end's echo may come too late for its sender.
const TOO_LATE: [&str; 10] = ["3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15"];

/// The suite's result for behaviour that RFC 6455 allows but does not recommend.
const NON_STRICT: &str = "NON-STRICT, close OK";

#[test]
fn the_hubs_end_of_a_websocket_passes_every_case() {
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        let mut served = JoinSet::new();
        while let Ok((tcp, _)) = listener.accept().await {
            served.spawn(async {
                let upgrade = async |_| HttpOutcome::Upgrade {
                    protocol: None,
                    headers: Vec::new(),
                    kind: SocketKind::Stream,
                    state: (),
                };
                if let Ok(((), socket)) = serve(tcp, Limits::default(), upgrade).await {
                    echo(socket).await;
                }
            });
        }
    });
    assert_passed(Kosoku::against_server(address).finish());
}

#[test]
fn a_clients_end_of_a_websocket_passes_every_case() {
    let runtime = Runtime::new().unwrap();
    let (suite, address) = Kosoku::against_clients();
    runtime.block_on(async {
        let mut counter = upgraded(address, "getCaseCount").await;
        let Ok(Incoming::Text(count)) = counter.reader.next().await else { panic!("no count of cases") };
        for case in 1..=count.parse().unwrap() {
            echo(upgraded(address, &format!("runCase?case={case}&agent=devstream")).await).await;
        }
        echo(upgraded(address, "updateReports?agent=devstream").await).await;
    });
    assert_passed(suite.finish());
}

#[test]
fn a_stream_through_the_hub_passes_every_case() {
    let hub = Hub::start(&Machine::new());
    RawDevice::online(RawClient::join(&hub.device_link(DEVICE)), &["echo"]).echoing();
    let alice = RawClient::join(&hub.service_link("alice"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let suite = Kosoku::against_server(listener.local_addr().unwrap());
    thread::spawn(move || {
        for plain in listener.incoming().flatten() {
            let alice = alice.clone();
            thread::spawn(move || relay_through_hub(plain, &alice));
        }
    });
    let (cases, mut remarks) = suite.finish();
    // A late echo is not required to be late.
    remarks.retain(|case, remark| !(TOO_LATE.contains(&case.as_str()) && remark == NON_STRICT));
    assert_eq!(remarks.remove(EMPTY_BINARY).as_deref(), Some("FAILED, close FAILED"));
    assert_passed((cases, remarks));
    assert!(hub.process.is_running());
}

/// Echoes everything, and closes as the hub closes a leg.
async fn echo<T: Transport>(mut socket: WebSocket<T>) {
    loop {
        let sent = match socket.reader.next().await {
            Ok(Incoming::Bytes(bytes)) => socket.writer.bytes(bytes).await,
            Ok(Incoming::Text(text)) => socket.writer.text(text).await,
            Ok(Incoming::Ping | Incoming::Pong) => Ok(()),
            Ok(Incoming::Closed(_)) => return socket.await_close().await,
            Err(broken) => return socket.close_with_error(&broken).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// A client's WebSocket after the hub's response.
async fn upgraded(address: SocketAddr, path: &str) -> WebSocket<TcpStream> {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /{path} HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    WebSocket::new(tcp, &[], WebSocketRole::Client, SocketKind::Stream)
}

/// Connects the suite to alice's end of a stream on which text is allowed.
fn relay_through_hub(mut plain: std::net::TcpStream, alice: &RawClient) {
    let mut grant = alice.open("echo", &[(STREAM_PROTOCOL_HEADER, STREAM_PROTOCOL)]).answer().grant();
    grant.protocol = Some(STREAM_PROTOCOL.into());
    let stream = alice.attach(&grant).expect("the hub lets alice in");
    let accept = derive_accept_key(key_asked_with(&mut plain).as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    );
    plain.write_all(answer.as_bytes()).unwrap();
    splice(plain, stream.into_inner());
}

/// Reads the head of an upgrade request, and returns its `Sec-WebSocket-Key`.
fn key_asked_with(plain: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        plain.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    headers.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key")).unwrap().1.to_owned()
}

/// Copies bytes both ways until either side ends.
fn splice(mut plain: std::net::TcpStream, mut tls: Tls) {
    for socket in [&plain, &tls.sock] {
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    }
    while forward(&mut plain, &mut tls).is_ok() && forward(&mut tls, &mut plain).is_ok() {}
}

/// Reads the available bytes; an error at the end.
fn forward(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    match read_some(from, &mut buffer) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(count) => to.write_all(&buffer[..count]).and_then(|()| to.flush()),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Asserts that no case failed, and that only the named cases are non-strict.
fn assert_passed((cases, remarks): (usize, Remarks)) {
    assert_eq!(cases, CASES);
    assert_eq!(remarks, NOT_AT_ONCE.map(|case| (case.to_owned(), NON_STRICT.to_owned())).into());
}
