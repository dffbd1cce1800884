//! The HTTP server side of a connection: parses requests within limits, and replies or upgrades to a WebSocket.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming as Body;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::net::websocket::{SocketKind, Transport, WebSocket, WebSocketRole, derive_accept_key};
use crate::proto::limits::{
    REQUEST_BODY_BYTES, REQUEST_BODY_TIMEOUT, REQUEST_HEAD_BYTES, REQUEST_HEAD_TIMEOUT, REQUEST_HEADERS,
};

/// The time in which a peer must have read a response: a list of ten thousand devices over 64 kB/s. The hub holds what is
/// not read.
const RESPONSE_READ_TIMEOUT: Duration = Duration::from_secs(20);

/// The limits of a request's head.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The deadline for the head, which includes the idle time before it.
    pub head_timeout: Duration,
    /// The largest head, in bytes.
    pub head_bytes: usize,
    /// The largest number of header fields.
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head_timeout: REQUEST_HEAD_TIMEOUT, head_bytes: REQUEST_HEAD_BYTES, headers: REQUEST_HEADERS }
    }
}

/// A well-formed request.
#[derive(Debug)]
pub struct HttpRequest {
    /// The method: `GET`, `POST`, …
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The `Host` header.
    pub authority: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The body; empty for an upgrade.
    pub body: Bytes,
    /// The request is a WebSocket upgrade.
    pub is_upgrade: bool,
}

impl HttpRequest {
    /// A header's value, if present and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The handler's decision about a request.
#[derive(Debug)]
pub enum HttpOutcome<U> {
    /// Send this response; the connection takes further requests.
    Reply(Response<Bytes>),
    /// Upgrade to a WebSocket; [`serve`] returns it with `state`.
    Upgrade {
        /// The chosen subprotocol.
        protocol: Option<String>,
        /// Further response headers.
        headers: Vec<(&'static str, String)>,
        /// The kind of WebSocket, which decides its limits.
        kind: SocketKind,
        /// The handler's state for the WebSocket.
        state: U,
    },
}

impl<U> HttpOutcome<U> {
    /// Converts the state of an upgrade.
    pub fn map<V>(self, convert: impl FnOnce(U) -> V) -> HttpOutcome<V> {
        match self {
            Self::Reply(response) => HttpOutcome::Reply(response),
            Self::Upgrade { protocol, headers, kind, state } => {
                HttpOutcome::Upgrade { protocol, headers, kind, state: convert(state) }
            }
        }
    }
}

/// The end of a connection without an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// It was closed, or a deadline has passed.
    Closed,
    /// The peer sent what is no well-formed request.
    Malformed,
}

/// Serves requests on a connection until one is upgraded or malformed, or the connection ends. If the peer disconnects
/// while a handler runs, the handler is dropped.
pub async fn serve<T, U, H, F>(transport: T, limits: Limits, handler: H) -> Result<(U, WebSocket<T>), ConnectionEnd>
where
    T: Transport + 'static,
    U: Send,
    H: Fn(HttpRequest) -> F + Sync,
    F: Future<Output = HttpOutcome<U>> + Send,
{
    let (upgraded, malformed, (unread, read_deadline)) =
        (Mutex::new(None), AtomicBool::new(false), watch::channel(None));
    let service = service_fn(|request: Request<Body>| {
        unread.send_replace(None);
        let response = async {
            let response = handle(request, &handler, &upgraded, &malformed).await;
            unread.send_replace(Some(Instant::now() + RESPONSE_READ_TIMEOUT));
            response
        };
        let response: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(response);
        response
    });
    let connection = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes)
        .max_headers(limits.headers)
        .serve_connection(TokioIo::new(transport), service);
    let ended = tokio::select! {
        ended = connection.without_shutdown() => ended,
        () = passed(read_deadline) => return Err(ConnectionEnd::Closed),
    };
    let is_malformed = malformed.load(Ordering::Relaxed) || ended.as_ref().is_err_and(hyper::Error::is_parse);
    match (ended, upgraded.lock().take()) {
        (Ok(parts), Some((kind, state))) => {
            let socket = WebSocket::new(parts.io.into_inner(), &parts.read_buf, WebSocketRole::Server, kind);
            Ok((state, socket))
        }
        _ if is_malformed => Err(ConnectionEnd::Malformed),
        (Err(error), _) => {
            tracing::debug!(%error, "a connection failed");
            Err(ConnectionEnd::Closed)
        }
        (Ok(_), None) => Err(ConnectionEnd::Closed),
    }
}

/// Waits until the deadline has passed, which may be set, postponed and lifted meanwhile.
async fn passed(mut deadline: watch::Receiver<Option<Instant>>) {
    loop {
        let set = *deadline.borrow_and_update();
        let passed = async {
            match set {
                Some(deadline) => sleep_until(deadline).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = passed => return,
            Ok(()) = deadline.changed() => {}
        }
    }
}

async fn handle<U, H, F>(
    request: Request<Body>,
    handler: &H,
    upgraded: &Mutex<Option<(SocketKind, U)>>,
    malformed: &AtomicBool,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible>
where
    H: Fn(HttpRequest) -> F + Sync,
    F: Future<Output = HttpOutcome<U>> + Send,
{
    let (request, key) = match parse_request(request).await {
        Ok(parsed) => parsed,
        Err(status) => {
            malformed.store(true, Ordering::Relaxed);
            let mut response = empty_response(status);
            // Nobody knows where the next request begins, and the connection must cost its sender a new handshake.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            return Ok(response.map(Full::new));
        }
    };
    let response = match (handler(request).await, key) {
        (HttpOutcome::Reply(response), _) => response,
        (HttpOutcome::Upgrade { protocol, headers, kind, state }, Some(key)) => {
            *upgraded.lock() = Some((kind, state));
            switching_protocols(&key, protocol, headers)
        }
        (HttpOutcome::Upgrade { .. }, None) => empty_response(StatusCode::UPGRADE_REQUIRED),
    };
    Ok(response.map(Full::new))
}

/// Headers that may not be repeated: proxies and servers disagree on which one counts, which attacks exploit.
const SINGLETON_HEADERS: [&str; 5] =
    ["host", "authorization", "devstream-authorization", "sec-websocket-key", "sec-websocket-version"];

/// Checks a request, reads its body, and returns it with its WebSocket key if it is an upgrade; else the status to
/// refuse with.
async fn parse_request(request: Request<Body>) -> Result<(HttpRequest, Option<String>), StatusCode> {
    let (head, body) = request.into_parts();
    let is_repeated = |name: &&str| head.headers.get_all(*name).iter().nth(1).is_some();
    // Browsers send the page's origin; no page may use a hub.
    if head.headers.contains_key(header::ORIGIN) {
        return Err(StatusCode::FORBIDDEN);
    }
    if head.version != Version::HTTP_11 || SINGLETON_HEADERS.iter().any(is_repeated) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    // RFC 3986 section 2: a path is ASCII. Logs show it, and terminals act on some control characters.
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let key = upgrade_key(&head.method, &head.headers)?;
    let authority =
        head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).ok_or(StatusCode::BAD_REQUEST)?;
    // It becomes part of URLs: a host and a port, and no user (RFC 9110 section 7.2).
    let is_host = Authority::try_from(authority).is_ok_and(|authority| !authority.as_str().contains(['@', '%']));
    if !is_host {
        return Err(StatusCode::BAD_REQUEST);
    }
    let authority = authority.to_owned();
    let body = if key.is_some() { Bytes::new() } else { read_body(body).await? };
    let request = HttpRequest {
        method: head.method.as_str().into(),
        path: path.into(),
        authority,
        headers: head.headers,
        body,
        is_upgrade: key.is_some(),
    };
    Ok((request, key))
}

async fn read_body(body: Body) -> Result<Bytes, StatusCode> {
    match timeout(REQUEST_BODY_TIMEOUT, Limited::new(body, REQUEST_BODY_BYTES).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// The key of a WebSocket upgrade (RFC 6455 section 4.2.1); `None` if the request is not one.
fn upgrade_key(method: &Method, headers: &HeaderMap) -> Result<Option<String>, StatusCode> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(upgrade) = text(header::UPGRADE) else { return Ok(None) };
    let connection = text(header::CONNECTION).unwrap_or_default();
    let is_websocket = upgrade.eq_ignore_ascii_case("websocket");
    // A proxy that does not pass WebSockets on may remove one of the two fields only.
    if is_websocket && !connection.split(',').any(|option| option.trim().eq_ignore_ascii_case("upgrade")) {
        return Ok(None);
    }
    let has_body = headers.contains_key(header::TRANSFER_ENCODING) || headers.contains_key(header::CONTENT_LENGTH);
    if !is_websocket || method != Method::GET || has_body {
        return Err(StatusCode::BAD_REQUEST);
    }
    if text(header::SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(StatusCode::UPGRADE_REQUIRED);
    }
    // 16 bytes in base64: 22 characters and two for padding.
    match text(header::SEC_WEBSOCKET_KEY) {
        Some(key) if key.len() == 24 && key.ends_with("==") => Ok(Some(key.into())),
        _ => Err(StatusCode::BAD_REQUEST),
    }
}

fn switching_protocols(
    key: &str,
    protocol: Option<String>,
    extra_headers: Vec<(&'static str, String)>,
) -> Response<Bytes> {
    let mut response = empty_response(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::try_from(derive_accept_key(key.as_bytes())) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(Ok(protocol)) = protocol.map(HeaderValue::try_from) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    for (name, value) in extra_headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    response
}

/// A response without a body, and with the headers that its status requires.
pub fn empty_response(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    if status == StatusCode::UPGRADE_REQUIRED {
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: hub\r\n\r\n";

    async fn answer(_: HttpRequest) -> HttpOutcome<()> {
        let mut response = empty_response(StatusCode::OK);
        *response.body_mut() = Bytes::from(vec![0; 1 << 20]);
        HttpOutcome::Reply(response)
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_is_not_read_in_time_ends_the_connection() {
        let (near, mut far) = duplex(64 * 1024);
        far.write_all(REQUEST).await.unwrap();
        let start = Instant::now();
        assert_eq!(serve(near, Limits::default(), answer).await.err(), Some(ConnectionEnd::Closed));
        assert_eq!(start.elapsed().as_secs(), RESPONSE_READ_TIMEOUT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_malformed_request_is_answered_once_and_ends_the_connection() {
        for (head, status) in [
            (&b"GET / HTTP/1.1\r\nhost: hub\r\norigin: https://example.com\r\n\r\n"[..], "403"),
            (b"GET / HTTP/1.1\r\nhost: hub@evil\r\n\r\n", "400"),
            (b"GET / HTTP/1.1\r\nhost: hub\r\nupgrade: h2c\r\n\r\n", "400"),
            (b"no request at all\r\n\r\n", "400"),
        ] {
            let (near, mut far) = duplex(64 * 1024);
            far.write_all(&head.repeat(10)).await.unwrap();
            let end = serve(near, Limits::default(), answer).await.err();
            let mut answers = String::new();
            far.read_to_string(&mut answers).await.unwrap();
            assert_eq!((end, answers.matches("HTTP/1.1 ").count()), (Some(ConnectionEnd::Malformed), 1), "{answers}");
            assert!(answers.starts_with(&format!("HTTP/1.1 {status}")), "{answers}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_may_take_longer_than_the_response_before_it_may_be_unread() {
        let (near, mut far) = duplex(64 * 1024);
        let slow = async |_: HttpRequest| {
            tokio::time::sleep(RESPONSE_READ_TIMEOUT * 2).await;
            HttpOutcome::<()>::Reply(empty_response(StatusCode::OK))
        };
        let client = async {
            for _ in 0..3 {
                far.write_all(REQUEST).await.unwrap();
                let mut answer = [0; 1024];
                assert!(far.read(&mut answer).await.unwrap() > 0);
            }
            drop(far);
        };
        let (_, end) = tokio::join!(client, serve(near, Limits::default(), slow));
        assert_eq!(end.err(), Some(ConnectionEnd::Closed));
    }
}
