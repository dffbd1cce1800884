//! How many files and sockets this process may have open.

#[cfg(unix)]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Where there is no upper limit, as on macOS, which does not let a process have that (setrlimit(2)), but has it have this.
#[cfg(unix)]
const OPEN_MAX: u64 = 10_240;

/// There is none.
#[cfg(not(unix))]
pub fn raise_descriptors() {}

/// Raises the limit to what the system lets this process have. The usual 1024 is kept low for programs that use
/// `select`, and a stream takes two sockets.
#[cfg(unix)]
pub fn raise_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let requested = maximum.or_else(|| current.map(|current| current.max(OPEN_MAX)));
    match setrlimit(Resource::Nofile, Rlimit { current: requested, maximum }) {
        Ok(()) => tracing::debug!(?current, ?requested, "raised the limit of open files"),
        // What the lower limit allows still works.
        Err(error) => tracing::debug!(?current, ?requested, %error, "could not raise the limit of open files"),
    }
}
