//! WebSocket frames: what is read of them is the same however they are cut into pieces, keeps to the limit, and is what
//! the other end would be sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use devstream::net::websocket::{Incoming, Options, WebSocket, WebSocketError, WebSocketRole};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, duplex};
use tokio::runtime::Builder;

/// Small enough that an input can go beyond it.
const LIMIT: usize = 300;

/// The messages, the close code for what ended them if that was against the protocol, and what was sent in answer.
type Received = (Vec<Incoming>, Option<u16>, Vec<u8>);

pub fn check(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let endpoint = if first & 1 == 0 { WebSocketRole::Server } else { WebSocketRole::Client };
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        for masked in [true, false] {
            let options = Options { message_limit: LIMIT, masked };
            let whole = received(bytes, endpoint, options, usize::MAX).await;
            let pieces = received(bytes, endpoint, options, usize::from(first >> 1) + 1).await;
            assert_eq!((&whole.0, whole.1), (&pieces.0, pieces.1), "in pieces of {} they are others", (first >> 1) + 1);
            // A client's masks are random.
            assert!(endpoint == WebSocketRole::Client && masked || whole.2 == pieces.2, "other answers");
            for message in &whole.0 {
                assert_eq!(passed_on(message, options).await.as_ref(), Some(message));
            }
        }
    });
}

async fn received(bytes: &[u8], endpoint: WebSocketRole, options: Options, piece: usize) -> Received {
    let mut transport = Pieces { bytes, piece, is_ready: false, answers: Vec::new() };
    let mut socket = WebSocket::new(&mut transport, &[], endpoint, options);
    let (mut messages, mut code) = (Vec::new(), None);
    loop {
        match socket.reader.next().await {
            Ok(message) => {
                assert!(!matches!(&message, Incoming::Bytes(bytes) if bytes.len() > LIMIT), "over the limit");
                assert!(!matches!(&message, Incoming::Text(text) if text.len() > LIMIT), "over the limit");
                messages.push(message);
            }
            Err(WebSocketError::Violation(violation, _)) => {
                code = Some(violation);
                break;
            }
            Err(WebSocketError::Truncated) => break,
            Err(other) => panic!("{other}"),
        }
    }
    drop(socket);
    (messages, code, transport.answers)
}

/// What a client hears of a server that sends this.
async fn passed_on(message: &Incoming, options: Options) -> Option<Incoming> {
    let (near, far) = duplex(2 * LIMIT);
    let mut server = WebSocket::new(near, &[], WebSocketRole::Server, options);
    let mut client = WebSocket::new(far, &[], WebSocketRole::Client, options);
    match message.clone() {
        Incoming::Bytes(bytes) => server.writer.bytes(bytes).await.unwrap(),
        Incoming::Text(text) => server.writer.text(text).await.unwrap(),
        Incoming::Ping => server.writer.ping().await.unwrap(),
        Incoming::Closed(Some((code, reason))) => server.writer.close(code, &reason).await.unwrap(),
        // Sent in answer to others alone.
        Incoming::Pong | Incoming::Closed(None) => return Some(message.clone()),
    }
    client.reader.next().await.ok()
}

/// A transport that brings bytes in pieces, has none in between, and takes whatever is sent.
struct Pieces<'a> {
    bytes: &'a [u8],
    piece: usize,
    is_ready: bool,
    answers: Vec<u8>,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.is_ready = !self.is_ready;
        if !self.is_ready {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let (read, rest) = self.bytes.split_at(self.piece.min(buffer.remaining()).min(self.bytes.len()));
        buffer.put_slice(read);
        self.bytes = rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces<'_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.answers.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
