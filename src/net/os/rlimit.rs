//! The limit of open files and sockets.

#[cfg(unix)]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit to set where the hard limit is unlimited, as on macOS, which refuses an unlimited soft limit
/// (setrlimit(2)).
#[cfg(unix)]
const OPEN_MAX: u64 = 10_240;

/// Does nothing: this system has no such limit.
#[cfg(not(unix))]
pub fn raise_descriptors() {}

/// Raises the soft limit of open files to the hard limit. The usual 1024 is kept low for programs that use `select`,
/// and a stream takes two sockets.
#[cfg(unix)]
pub fn raise_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let requested = maximum.or_else(|| current.map(|current| current.max(OPEN_MAX)));
    match setrlimit(Resource::Nofile, Rlimit { current: requested, maximum }) {
        Ok(()) => tracing::debug!(?current, ?requested, "raised the limit of open files"),
        // The program still works within the lower limit.
        Err(error) => tracing::debug!(?current, ?requested, %error, "could not raise the limit of open files"),
    }
}
