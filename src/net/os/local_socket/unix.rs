//! A Unix socket, at which the kernel says who is there.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// A connection between two programs of one user.
pub type LocalStream = UnixStream;

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
    /// Takes the place of a socket that a dead process left: the caller sees to it that no living one has this path.
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
            tracing::warn!(uid, "refused another user at a local socket");
        }
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "could not remove a local socket");
        }
    }
}

/// A connection to the program that listens there.
pub(super) async fn connect(path: &Path) -> io::Result<LocalStream> {
    let (_directory, short) = shortened(path)?;
    UnixStream::connect(short).await
}

/// A path short enough for a socket address: through an open directory where the real one is too long.
fn shortened(path: &Path) -> io::Result<(Option<File>, PathBuf)> {
    if path.as_os_str().len() <= PATH_BYTES {
        return Ok((None, path.into()));
    }
    // No other system has names for open directories.
    let parts = path.parent().zip(path.file_name()).filter(|_| cfg!(target_os = "linux"));
    let (directory, name) = parts.ok_or_else(|| {
        let why = format!("{} is longer than the {PATH_BYTES} bytes that a socket's path may have", path.display());
        io::Error::new(io::ErrorKind::InvalidInput, why)
    })?;
    let directory = File::open(directory)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    Ok((Some(directory), short))
}
