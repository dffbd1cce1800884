//! Where there are no Unix sockets: a port of this machine, and a secret to show there, in a file that only the user reads.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::net::private::{read_private, write_private};
use crate::net::random;
use crate::proto::secret::Secret;

/// A connection between two programs of one user.
pub type LocalStream = TcpStream;

/// A program that connects shows the secret at once.
const SECRET_TIMEOUT: Duration = Duration::from_secs(1);

/// On its own machine a connection is made at once, or refused: which Windows does only after two seconds of asking again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Listens for who can read the file at its path.
#[derive(Debug)]
pub struct LocalListener {
    listener: TcpListener,
    secret: Secret<32>,
    path: PathBuf,
}

impl LocalListener {
    /// Takes the place of what a dead hub left; the caller holds the directory's lock.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let (port, secret) = (listener.local_addr()?.port(), random::secret::<32>());
        write_private(path, &format!("{port} {}", secret.reveal())).map_err(io::Error::other)?;
        Ok(Self { listener: TcpListener::from_std(listener)?, secret, path: path.into() })
    }

    /// The next program of the same user.
    pub async fn accept(&self) -> io::Result<LocalStream> {
        loop {
            let (mut stream, _) = self.listener.accept().await?;
            let mut presented = [0; 32];
            let read = timeout(SECRET_TIMEOUT, stream.read_exact(&mut presented)).await;
            if matches!(read, Ok(Ok(_))) && Secret::new(presented).hash() == self.secret.hash() {
                return Ok(stream);
            }
            tracing::warn!("refused another user at the admin port");
        }
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "could not remove the admin port's file");
        }
    }
}

/// A connection to the program that listens there.
pub(super) async fn connect(path: &Path) -> io::Result<LocalStream> {
    // That nobody listens is told by what is missing.
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
    async fn only_who_can_read_the_file_is_let_in() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin");
        let listener = LocalListener::bind(&path).unwrap();
        let port = listener.listener.local_addr().unwrap().port();
        let mut other = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        other.write_all(&[7; 32 + 3]).await.unwrap();
        let mut own = connect(&path).await.unwrap();
        own.write_all(b"own").await.unwrap();
        let mut said = [0; 3];
        listener.accept().await.unwrap().read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"own");
        assert!(matches!(other.read(&mut said).await, Ok(0) | Err(_)));
        drop(listener);
        assert_eq!(connect(&path).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
