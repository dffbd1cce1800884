//! One connection from the world: requests within limits, each answered or turned into a WebSocket.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming as Body;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::timeout;

use super::websocket::{Endpoint, SocketKind, Transport, WebSocket, derive_accept_key};
use crate::proto::limits::{
    REQUEST_BODY_BYTES, REQUEST_BODY_TIMEOUT, REQUEST_HEAD_BYTES, REQUEST_HEAD_TIMEOUT, REQUEST_HEADERS,
};

/// What a request's head may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long it may take, and a connection may idle before it.
    pub head_timeout: Duration,
    /// How long it may be.
    pub head_bytes: usize,
    /// How many header fields it may have.
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head_timeout: REQUEST_HEAD_TIMEOUT, head_bytes: REQUEST_HEAD_BYTES, headers: REQUEST_HEADERS }
    }
}

/// A request that is well-formed, whatever it asks for.
#[derive(Debug)]
pub struct Asked {
    /// `GET`, `POST`, …
    pub method: String,
    /// With its query.
    pub path: String,
    /// The `Host` header.
    pub authority: String,
    /// All headers.
    pub headers: HeaderMap,
    /// Empty for upgrades.
    pub body: Bytes,
    /// Whether it asks for a WebSocket.
    pub is_upgrade: bool,
}

impl Asked {
    /// A header's value, if it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What is done with a request.
#[derive(Debug)]
pub enum Answer<U> {
    /// Answered; the connection may ask again.
    Reply(Response<Bytes>),
    /// Upgraded; `then` comes back with the WebSocket.
    Upgrade {
        /// The subprotocol that was chosen.
        protocol: Option<String>,
        /// Further headers of the answer.
        headers: Vec<(&'static str, String)>,
        /// Decides its limits.
        kind: SocketKind,
        /// Whatever the handler needs to go on.
        then: U,
    },
}

/// Serves requests on a connection until one is upgraded, or the connection ends. When the peer goes away while a
/// handler is at work, the handler is dropped.
pub async fn serve<T, U, H, F>(transport: T, limits: Limits, handler: H) -> Option<(U, WebSocket<T>)>
where
    T: Transport + 'static,
    U: Send,
    H: Fn(Asked) -> F + Sync,
    F: Future<Output = Answer<U>> + Send,
{
    let upgraded = Mutex::new(None);
    let service = service_fn(|request: Request<Body>| {
        let answer = answer(request, &handler, &upgraded);
        let answer: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(answer);
        answer
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
            tracing::debug!(%error, "a connection ended badly");
            return None;
        }
    };
    let (kind, then) = upgraded.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()?;
    let socket = WebSocket::new(parts.io.into_inner(), &parts.read_buf, Endpoint::Server, kind);
    Some((then, socket))
}

async fn answer<U, H, F>(
    request: Request<Body>,
    handler: &H,
    upgraded: &Mutex<Option<(SocketKind, U)>>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible>
where
    H: Fn(Asked) -> F + Sync,
    F: Future<Output = Answer<U>> + Send,
{
    let (asked, key) = match read(request).await {
        Ok(read) => read,
        Err(status) => return Ok(bare(status).map(Full::new)),
    };
    let response = match (handler(asked).await, key) {
        (Answer::Reply(response), _) => response,
        (Answer::Upgrade { protocol, headers, kind, then }, Some(key)) => {
            *upgraded.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((kind, then));
            switching(&key, protocol, headers)
        }
        (Answer::Upgrade { .. }, None) => bare(StatusCode::UPGRADE_REQUIRED),
    };
    Ok(response.map(Full::new))
}

/// Headers of which a second one would be somebody's trick.
const SINGLE: [&str; 5] =
    ["host", "authorization", "devstream-authorization", "sec-websocket-key", "sec-websocket-version"];

/// Checks what every request must be, and reads its body.
async fn read(request: Request<Body>) -> Result<(Asked, Option<String>), StatusCode> {
    let (head, body) = request.into_parts();
    let twice = |name: &&str| head.headers.get_all(*name).iter().nth(1).is_some();
    // Browsers name the page that asks; no page has business here.
    if head.headers.contains_key(header::ORIGIN) {
        return Err(StatusCode::FORBIDDEN);
    }
    if head.version != Version::HTTP_11 || SINGLE.iter().any(twice) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    // RFC 3986 section 2: a path is ASCII. It is shown to people, whose terminals act on some of what is not.
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let key = upgrade_key(&head.method, &head.headers)?;
    let authority =
        head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).ok_or(StatusCode::BAD_REQUEST)?;
    let authority = authority.to_owned();
    let body = if key.is_some() { Bytes::new() } else { whole(body).await? };
    let asked = Asked {
        method: head.method.as_str().into(),
        path: path.into(),
        authority,
        headers: head.headers,
        body,
        is_upgrade: key.is_some(),
    };
    Ok((asked, key))
}

async fn whole(body: Body) -> Result<Bytes, StatusCode> {
    match timeout(REQUEST_BODY_TIMEOUT, Limited::new(body, REQUEST_BODY_BYTES).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// The key of a WebSocket upgrade (RFC 6455 section 4.2.1); none if the request is not one.
fn upgrade_key(method: &Method, headers: &HeaderMap) -> Result<Option<String>, StatusCode> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(upgrade) = text(header::UPGRADE) else { return Ok(None) };
    let connection = text(header::CONNECTION).unwrap_or_default();
    let is_websocket = upgrade.eq_ignore_ascii_case("websocket")
        && connection.split(',').any(|option| option.trim().eq_ignore_ascii_case("upgrade"));
    let has_body = headers.contains_key(header::TRANSFER_ENCODING) || headers.contains_key(header::CONTENT_LENGTH);
    if !is_websocket || method != Method::GET || has_body {
        return Err(StatusCode::BAD_REQUEST);
    }
    if text(header::SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(StatusCode::UPGRADE_REQUIRED);
    }
    // 16 bytes in base64: 22 characters and two of padding.
    match text(header::SEC_WEBSOCKET_KEY) {
        Some(key) if key.len() == 24 && key.ends_with("==") => Ok(Some(key.into())),
        _ => Err(StatusCode::BAD_REQUEST),
    }
}

fn switching(key: &str, protocol: Option<String>, further: Vec<(&'static str, String)>) -> Response<Bytes> {
    let mut response = bare(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::try_from(derive_accept_key(key.as_bytes())) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(Ok(protocol)) = protocol.map(HeaderValue::try_from) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    for (name, value) in further {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    response
}

/// A response with nothing but its status.
pub fn bare(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    if status == StatusCode::UPGRADE_REQUIRED {
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    response
}
