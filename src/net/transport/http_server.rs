//! The HTTP server side of a connection: parses requests within limits, and replies or upgrades to a WebSocket.

use std::future::Future;
use std::pin::Pin;
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
use tokio::time::timeout;

use crate::net::websocket::{SocketKind, Transport, WebSocket, WebSocketRole, derive_accept_key};
use crate::proto::limits::{
    REQUEST_BODY_BYTES, REQUEST_BODY_TIMEOUT, REQUEST_HEAD_BYTES, REQUEST_HEAD_TIMEOUT, REQUEST_HEADERS,
};

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

/// Serves requests on a connection until one is upgraded, or the connection ends. If the peer disconnects while a
/// handler runs, the handler is dropped.
pub async fn serve<T, U, H, F>(transport: T, limits: Limits, handler: H) -> Option<(U, WebSocket<T>)>
where
    T: Transport + 'static,
    U: Send,
    H: Fn(HttpRequest) -> F + Sync,
    F: Future<Output = HttpOutcome<U>> + Send,
{
    let upgraded = Mutex::new(None);
    let service = service_fn(|request: Request<Body>| {
        let response: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(handle(request, &handler, &upgraded));
        response
    });
    let connection = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes)
        .max_headers(limits.headers)
        .serve_connection(TokioIo::new(transport), service);
    let parts = match connection.without_shutdown().await {
        Ok(parts) => parts,
        Err(error) => {
            tracing::debug!(%error, "a connection failed");
            return None;
        }
    };
    let (kind, state) = upgraded.lock().take()?;
    let socket = WebSocket::new(parts.io.into_inner(), &parts.read_buf, WebSocketRole::Server, kind);
    Some((state, socket))
}

async fn handle<U, H, F>(
    request: Request<Body>,
    handler: &H,
    upgraded: &Mutex<Option<(SocketKind, U)>>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible>
where
    H: Fn(HttpRequest) -> F + Sync,
    F: Future<Output = HttpOutcome<U>> + Send,
{
    let (request, key) = match parse_request(request).await {
        Ok(parsed) => parsed,
        Err(status) => return Ok(empty_response(status).map(Full::new)),
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
