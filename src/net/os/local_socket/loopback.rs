//! Local sockets without Unix sockets: a loopback port that asks for a secret. The file at the socket's path has both,
//! and only the user may read it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::net::os::private_files::{read_private, write_private};
use crate::net::os::random;
use crate::proto::secret::Secret;

/// A connection between two programs of one user.
pub type LocalStream = TcpStream;

/// The deadline for a client's secret, which it sends at once.
const SECRET_TIMEOUT: Duration = Duration::from_secs(1);

/// The deadline of a connection. On loopback it is made or refused at once, except that Windows retries a refused one
/// for two seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A listener for programs that can read the file at its path.
#[derive(Debug)]
pub struct LocalListener {
    listener: TcpListener,
    secret: Secret<32>,
    path: PathBuf,
}

impl LocalListener {
    /// Binds a port, and replaces the file of a dead process; the caller holds the directory's lock.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let (port, secret) = (listener.local_addr()?.port(), random::secret::<32>());
        write_private(path, &format!("{port} {}", secret.reveal())).map_err(io::Error::other)?;
        Ok(Self { listener: TcpListener::from_std(listener)?, secret, path: path.into() })
    }

    /// Accepts the next connection of the same user.
    pub async fn accept(&self) -> io::Result<LocalStream> {
        loop {
            let (mut stream, _) = self.listener.accept().await?;
            let mut presented = [0; 32];
            let read = timeout(SECRET_TIMEOUT, stream.read_exact(&mut presented)).await;
            if matches!(read, Ok(Ok(_))) && Secret::new(presented).hash() == self.secret.hash() {
                return Ok(stream);
            }
            tracing::warn!("refused a connection to the admin port without its secret");
        }
    }
}

/// Returns the user at the other end: always the one who runs this program, who alone reads the secret.
#[cfg_attr(unix, expect(dead_code, reason = "used on other systems"))]
pub fn peer_user(_: &LocalStream) -> Option<String> {
    std::env::var("USERNAME").ok()
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "could not remove the admin port's file");
        }
    }
}

/// Connects to the program that listens at `path`.
pub(super) async fn connect(path: &Path) -> io::Result<LocalStream> {
    // A missing file means that no program listens.
    std::fs::metadata(path)?;
    let text = read_private(path).map_err(io::Error::other)?;
    let read = || {
        let (port, secret) = text.split_once(' ')?;
        Some((port.parse::<u16>().ok()?, Secret::<32>::parse(secret).ok()?))
    };
    let (port, secret) = read().ok_or(io::ErrorKind::InvalidData)?;
    let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(("127.0.0.1", port)));
    let mut stream = connecting.await.map_err(|_| io::ErrorKind::TimedOut)??;
    stream.write_all(secret.bytes()).await?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_clients_that_can_read_the_file_are_accepted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin");
        let listener = LocalListener::bind(&path).unwrap();
        let port = listener.listener.local_addr().unwrap().port();
        let mut other = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        other.write_all(&[7; 32 + 3]).await.unwrap();
        let mut own = connect(&path).await.unwrap();
        own.write_all(b"own").await.unwrap();
        let mut received = [0; 3];
        listener.accept().await.unwrap().read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"own");
        assert!(matches!(other.read(&mut received).await, Ok(0) | Err(_)));
        drop(listener);
        assert_eq!(connect(&path).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
