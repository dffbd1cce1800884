//! A connection's requests as the server takes them: within the limits, and no others however they are cut into pieces.

use std::sync::Mutex;

use devstream::net::serve::{Answer, Asked, Limits, bare, serve};
use devstream::net::websocket::SocketKind;
use devstream::proto::limits::{REQUEST_BODY_BYTES, REQUEST_HEADERS};
use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

/// More than any input, so that nobody waits for the other.
const PIPE: usize = 1024 * 1024;

pub fn check(bytes: &[u8]) {
    let Some((piece, bytes)) = bytes.split_first() else { return };
    let whole = served(bytes, bytes.len());
    let pieces = served(bytes, usize::from(*piece));
    // Whoever is refused before the body has come is not heard any further.
    let same = whole.iter().zip(&pieces).all(|(one, other)| one == other);
    assert!(same, "in pieces of {piece} {pieces:#?} are other requests than {whole:#?}");
}

/// What a handler saw of each request.
fn served(bytes: &[u8], piece: usize) -> Vec<String> {
    // The clock is paused: what waits for a deadline has it at once.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (client, server) = duplex(PIPE);
    let seen = Mutex::new(Vec::new());
    let handler = |asked: Asked| {
        well_formed(&asked);
        let upgrades = asked.is_upgrade;
        seen.lock().unwrap().push(format!("{asked:?}"));
        async move {
            if upgrades {
                Answer::Upgrade { protocol: None, headers: Vec::new(), kind: SocketKind::Control, then: () }
            } else {
                Answer::Reply(bare(StatusCode::OK))
            }
        }
    };
    let server = async { serve(server, Limits::default(), handler).await.is_some() };
    let (upgraded, answers) = runtime.block_on(async { tokio::join!(server, send(client, bytes, piece.max(1))) });
    let statuses: Vec<String> = statuses(&answers);
    assert_eq!(upgraded, statuses.iter().any(|status| status == "101"), "{statuses:?}");
    seen.into_inner().unwrap()
}

/// Never ends its own direction: that a peer goes away is another thing than that it has asked for everything.
async fn send(mut client: DuplexStream, bytes: &[u8], piece: usize) -> Vec<u8> {
    for chunk in bytes.chunks(piece) {
        if client.write_all(chunk).await.is_err() {
            break;
        }
        // The server comes by before the next piece.
        tokio::task::yield_now().await;
    }
    let mut answers = Vec::new();
    let _ = client.read_to_end(&mut answers).await;
    answers
}

fn well_formed(asked: &Asked) {
    let count = |name: &str| asked.headers.get_all(name).iter().count();
    assert!(asked.headers.len() <= REQUEST_HEADERS);
    assert!(asked.body.len() <= REQUEST_BODY_BYTES);
    assert!(asked.path.chars().all(|c| !c.is_control() && c != ' '), "{:?}", asked.path);
    assert_eq!(count("origin"), 0);
    assert_eq!(count("host"), 1);
    assert_eq!(asked.header("host"), Some(asked.authority.as_str()));
    for name in ["authorization", "devstream-authorization", "sec-websocket-key"] {
        assert!(count(name) <= 1, "two of {name}");
    }
    if asked.is_upgrade {
        assert!(asked.method == "GET" && asked.body.is_empty());
        assert_eq!(count("content-length") + count("transfer-encoding"), 0, "a body nobody reads");
    }
}

/// Every answer here is a head and nothing else.
fn statuses(answers: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(answers);
    let heads = text.split("\r\n\r\n").filter(|head| head.starts_with("HTTP/1.1 "));
    heads.map(|head| head["HTTP/1.1 ".len()..].chars().take(3).collect()).collect()
}
