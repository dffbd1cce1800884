//! The private socket between programs of one user on one machine: JSON lines, and the kernel says who is there.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// One question and its answer: the hub only looks into its registry.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// One line; a list of every identity is the longest answer.
const LINE_BYTES: u64 = 64 * 1024 * 1024;

/// A question is short.
const QUESTION_BYTES: u64 = 64 * 1024;

/// Longer socket paths do not fit the system's address structure.
const PATH_BYTES: usize = 100;

/// Listens for the user that owns the socket's directory, and for nobody else.
#[derive(Debug)]
pub struct LocalListener {
    listener: UnixListener,
    owner: u32,
    path: PathBuf,
}

impl LocalListener {
    /// Takes the place of a socket that a dead hub left; the caller holds the directory's lock.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (_directory, short) = shortened(path)?;
        let listener = UnixListener::bind(short)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, owner: std::fs::metadata(path)?.uid(), path: path.into() })
    }

    /// The next program of the same user.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let uid = stream.peer_cred()?.uid();
            if uid == self.owner || uid == 0 {
                return Ok(stream);
            }
            tracing::warn!(uid, "refused another user at the admin socket");
        }
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "could not remove the admin socket");
        }
    }
}

/// Asks the program that listens there.
pub async fn ask<Q: Serialize, A: DeserializeOwned>(path: &Path, question: &Q) -> io::Result<A> {
    let exchange = async {
        let (_directory, short) = shortened(path)?;
        let mut stream = UnixStream::connect(short).await?;
        write_line(&mut stream, question).await?;
        read_line(&mut stream, LINE_BYTES).await
    };
    timeout(EXCHANGE_TIMEOUT, exchange).await?
}

/// Answers one question.
pub async fn answer<Q, A, F>(mut stream: UnixStream, decide: impl FnOnce(Q) -> F) -> io::Result<()>
where
    Q: DeserializeOwned,
    A: Serialize,
    F: Future<Output = A>,
{
    let exchange = async {
        let question = read_line(&mut stream, QUESTION_BYTES).await?;
        write_line(&mut stream, &decide(question).await).await
    };
    timeout(EXCHANGE_TIMEOUT, exchange).await?
}

async fn write_line<M: Serialize>(stream: &mut UnixStream, message: &M) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

async fn read_line<M: DeserializeOwned>(stream: &mut UnixStream, limit: u64) -> io::Result<M> {
    let mut line = Vec::new();
    BufReader::new(stream.take(limit)).read_until(b'\n', &mut line).await?;
    if line.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&line)?)
}

/// A path short enough for a socket address: through an open directory where the real one is too long.
fn shortened(path: &Path) -> io::Result<(Option<File>, PathBuf)> {
    if path.as_os_str().len() <= PATH_BYTES {
        return Ok((None, path.into()));
    }
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let directory = File::open(directory)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    Ok((Some(directory), short))
}
