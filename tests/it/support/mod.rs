//! What the tests start and talk to. Everything stops when it is dropped; nothing waits without a deadline.

use std::time::Duration;

pub(crate) mod bytes;
pub(crate) mod certificates;
pub(crate) mod machine;
pub(crate) mod memory;
pub(crate) mod middlebox;
pub(crate) mod pebble;
pub(crate) mod process;
pub(crate) mod raw;
pub(crate) mod roles;
pub(crate) mod sshd;
pub(crate) mod targets;
pub(crate) mod websocket;

/// For anything that should happen at once: generous, because test machines are slow and busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The device of most tests.
pub(crate) const DEVICE: &str = "pi-42";
