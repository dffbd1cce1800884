//! Sockets between programs of one user on one machine.
//!
//! A client sends one request and reads one response, each a line of JSON. On Unix the kernel reports the peer's user;
//! elsewhere a loopback port checks a secret from a private file.

#[cfg(any(not(unix), test))]
#[cfg_attr(unix, expect(unreachable_pub, reason = "used on other systems, tested on this one"))]
mod loopback;
#[cfg(unix)]
mod unix;

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::timeout;

#[cfg(not(unix))]
use self::loopback::connect;
#[cfg(not(unix))]
pub use self::loopback::{LocalListener, LocalStream, peer_user};
#[cfg(unix)]
use self::unix::connect;
#[cfg(unix)]
pub use self::unix::{LocalListener, LocalStream, peer_user};

/// The deadline of a request and its response: a hub reads its registry, or waits up to 10 s until the others have a change.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// The largest response, in bytes: a list of all identities.
const RESPONSE_BYTES: u64 = 64 * 1024 * 1024;

/// The largest request, in bytes.
const REQUEST_BYTES: u64 = 64 * 1024;

/// Sends a request to the program that listens at `path`, and returns its response.
pub async fn request<Q: Serialize, A: DeserializeOwned>(path: &Path, request: &Q) -> io::Result<A> {
    request_limited(path, request, RESPONSE_BYTES).await
}

/// Sends a request whose response has at most this many bytes.
pub async fn request_limited<Q: Serialize, A: DeserializeOwned>(path: &Path, request: &Q, bytes: u64) -> io::Result<A> {
    let exchange = async {
        let mut stream = connect(path).await?;
        write_line(&mut stream, request).await?;
        read_line(&mut stream, bytes).await
    };
    timeout(REQUEST_TIMEOUT, exchange).await?
}

/// Reads one request from a connection, and sends its response.
pub async fn serve<Q, A, F>(mut stream: LocalStream, handle: impl FnOnce(Q) -> F) -> io::Result<()>
where
    Q: DeserializeOwned,
    A: Serialize,
    F: Future<Output = A>,
{
    let exchange = async {
        let request = read_line(&mut stream, REQUEST_BYTES).await?;
        write_line(&mut stream, &handle(request).await).await
    };
    timeout(REQUEST_TIMEOUT, exchange).await?
}

async fn write_line<M: Serialize>(stream: &mut LocalStream, message: &M) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

async fn read_line<M: DeserializeOwned>(stream: &mut LocalStream, limit: u64) -> io::Result<M> {
    let mut line = Vec::new();
    BufReader::new(stream.take(limit)).read_until(b'\n', &mut line).await?;
    if line.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&line)?)
}
