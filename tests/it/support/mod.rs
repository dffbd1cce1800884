//! Processes, peers and servers for the tests. Everything stops on drop; every wait has a deadline.

use std::thread;
use std::time::Duration;

use devstream::net::os::clock;

pub(crate) mod bytes;
pub(crate) mod certificates;
pub(crate) mod chaos;
pub(crate) mod cluster;
pub(crate) mod disk;
pub(crate) mod evil_hub;
pub(crate) mod fake_hub;
#[allow(dead_code, reason = "a part of it is for the campaigns")]
pub(crate) mod fleet;
pub(crate) mod kosoku;
pub(crate) mod machine;
pub(crate) mod malformed;
pub(crate) mod memory;
pub(crate) mod middlebox;
pub(crate) mod nats;
pub(crate) mod netns;
pub(crate) mod pebble;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod proxies;
pub(crate) mod raw;
pub(crate) mod response;
pub(crate) mod rng;
pub(crate) mod roles;
pub(crate) mod sshd;
pub(crate) mod targets;
pub(crate) mod terminal;
pub(crate) mod websocket;

/// For anything that should happen at once: generous, because test machines are slow and busy.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// The device of most tests.
pub(crate) const DEVICE: &str = "pi-42";

/// Stream protocol of endpoints without resume.
pub(crate) const STREAM_PROTOCOL: &str = "devstream.v1";

/// A change takes effect within this.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(1);

/// Revoked streams end within this.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// Runs a step that must not take longer than this.
pub(crate) fn within<R>(limit: Duration, what: &str, work: impl FnOnce() -> R) -> R {
    let start = clock::now();
    let result = work();
    let took = clock::now() - start;
    assert!(took <= limit, "{what} took {took:?}");
    result
}

/// Interval of polling; short enough for tests, long enough to leave the processors to the programs.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Polls until there is a result.
pub(crate) fn poll<R>(what: &str, mut look: impl FnMut() -> Option<R>) -> R {
    let deadline = clock::now() + TIMEOUT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(clock::now() < deadline, "{what} never came");
        thread::park_timeout(POLL_INTERVAL);
    }
}
