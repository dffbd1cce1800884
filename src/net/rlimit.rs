//! How many files and sockets this process may have open.

#[cfg(unix)]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// There is none.
#[cfg(not(unix))]
pub fn raise_descriptors() {}

/// Raises the limit to what the system lets this process have. The usual 1024 is kept low for programs that use
/// `select`, and a stream takes two sockets.
#[cfg(unix)]
pub fn raise_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => tracing::debug!(?current, ?maximum, "raised the limit of open files"),
        // What the lower limit allows still works.
        Err(error) => tracing::debug!(?current, ?maximum, %error, "could not raise the limit of open files"),
    }
}
