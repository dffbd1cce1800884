//! HTTP requests on a connection: only well-formed ones within the limits are accepted, whatever the segmentation.

use std::sync::Mutex;

use devstream::net::transport::http_server::{HttpOutcome, HttpRequest, Limits, empty_response, serve};
use devstream::net::websocket::SocketKind;
use devstream::proto::limits::{REQUEST_BODY_BYTES, REQUEST_HEADERS};
use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

/// Larger than any input, so that neither end waits for the other.
const PIPE: usize = 1024 * 1024;

pub fn check(bytes: &[u8]) {
    let Some((piece, bytes)) = bytes.split_first() else { return };
    let whole = served(bytes, bytes.len());
    let pieces = served(bytes, usize::from(*piece));
    // After a refusal before the body, the rest of the connection is ignored.
    let same = whole.iter().zip(&pieces).all(|(one, other)| one == other);
    assert!(same, "in pieces of {piece} {pieces:#?} are other requests than {whole:#?}");
}

/// Returns the requests that reach the handler.
fn served(bytes: &[u8], piece: usize) -> Vec<String> {
    // The clock is paused: timeouts expire at once.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (client, server) = duplex(PIPE);
    let seen = Mutex::new(Vec::new());
    let handler = |request: HttpRequest| {
        well_formed(&request);
        let upgrades = request.is_upgrade;
        seen.lock().unwrap().push(format!("{request:?}"));
        async move {
            if upgrades {
                HttpOutcome::Upgrade { protocol: None, headers: Vec::new(), kind: SocketKind::Control, state: () }
            } else {
                HttpOutcome::Reply(empty_response(StatusCode::OK))
            }
        }
    };
    let server = async { serve(server, Limits::default(), handler).await.is_ok() };
    let (upgraded, answers) = runtime.block_on(async { tokio::join!(server, send(client, bytes, piece.max(1))) });
    let statuses: Vec<String> = statuses(&answers);
    assert_eq!(upgraded, statuses.iter().any(|status| status == "101"), "{statuses:?}");
    seen.into_inner().unwrap()
}

/// Sends the input in pieces, without ending its direction: a peer that leaves is another case.
async fn send(mut client: DuplexStream, bytes: &[u8], piece: usize) -> Vec<u8> {
    for chunk in bytes.chunks(piece) {
        if client.write_all(chunk).await.is_err() {
            break;
        }
        // Lets the server read before the next piece.
        tokio::task::yield_now().await;
    }
    let mut answers = Vec::new();
    let _ = client.read_to_end(&mut answers).await;
    answers
}

fn well_formed(request: &HttpRequest) {
    let count = |name: &str| request.headers.get_all(name).iter().count();
    assert!(request.headers.len() <= REQUEST_HEADERS);
    assert!(request.body.len() <= REQUEST_BODY_BYTES);
    assert!(request.path.chars().all(|c| !c.is_control() && c != ' '), "{:?}", request.path);
    assert_eq!(count("origin"), 0);
    assert_eq!(count("host"), 1);
    assert_eq!(request.header("host"), Some(request.authority.as_str()));
    for name in ["authorization", "devstream-authorization", "sec-websocket-key"] {
        assert!(count(name) <= 1, "two of {name}");
    }
    if request.is_upgrade {
        assert!(request.method == "GET" && request.body.is_empty());
        assert_eq!(count("content-length") + count("transfer-encoding"), 0, "an upgrade with a body");
    }
}

/// Parses the status codes; every response is a head alone.
fn statuses(answers: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(answers);
    let heads = text.split("\r\n\r\n").filter(|head| head.starts_with("HTTP/1.1 "));
    heads.map(|head| head["HTTP/1.1 ".len()..].chars().take(3).collect()).collect()
}
