//! Local sockets on Unix, where the kernel reports the peer's user.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use crate::net::os::owner;

/// A connection between two programs of one user.
pub type LocalStream = UnixStream;

/// The longest socket path that fits the system's address structure, in bytes.
const PATH_BYTES: usize = 100;

/// A listener for programs of the socket's owner and of root.
#[derive(Debug)]
pub struct LocalListener {
    listener: UnixListener,
    owner: u32,
    path: PathBuf,
}

impl LocalListener {
    /// Binds the path, and replaces the socket of a dead process; the caller ensures that no live one uses the path.
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

    /// Accepts the next connection of the owner or of root.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let uid = stream.peer_cred()?.uid();
            if uid == self.owner || uid == 0 {
                return Ok(stream);
            }
            tracing::warn!(uid, "refused a connection of another user to a local socket");
        }
    }
}

/// Returns the user at the other end, with the one who logged in where that is another: `root (alice)` after sudo.
pub fn peer_user(stream: &UnixStream) -> Option<String> {
    let peer = stream.peer_cred().ok()?;
    let login = peer.pid().and_then(login_of).filter(|login| *login != peer.uid());
    let login = login.map(|login| format!(" ({})", user_name(login))).unwrap_or_default();
    Some(user_name(peer.uid()) + &login)
}

/// Returns the user who logged in to a process's session, as Linux's audit keeps it.
fn login_of(process: i32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{process}/loginuid")).ok()?;
    // The highest number is nobody: the process belongs to no session.
    text.trim().parse().ok().filter(|login| *login != u32::MAX)
}

fn user_name(user: u32) -> String {
    owner::user_name(user).unwrap_or_else(|| format!("user {user}"))
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "could not remove a local socket");
        }
    }
}

/// Connects to the program that listens at `path`.
pub(super) async fn connect(path: &Path) -> io::Result<LocalStream> {
    let (_directory, short) = shortened(path)?;
    UnixStream::connect(short).await
}

/// Shortens a path for a socket address: one that is too long goes through its open directory, which is returned too.
fn shortened(path: &Path) -> io::Result<(Option<File>, PathBuf)> {
    if path.as_os_str().len() <= PATH_BYTES {
        return Ok((None, path.into()));
    }
    // Only Linux has paths for open directories.
    let parts = path.parent().zip(path.file_name()).filter(|_| cfg!(target_os = "linux"));
    let (directory, name) = parts.ok_or_else(|| {
        let cause = format!("socket path is longer than {PATH_BYTES} bytes: {}", path.display());
        io::Error::new(io::ErrorKind::InvalidInput, cause)
    })?;
    let directory = File::open(directory)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    Ok((Some(directory), short))
}
