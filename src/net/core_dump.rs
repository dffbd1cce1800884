//! What may be read of this process's memory, where keys and passwords are.

use std::io;

/// No core file is written when this process crashes, and no other process of the same user may trace it or read its memory and
/// environment. Programs that it starts are as they would be without it (prctl(2), `PR_SET_DUMPABLE`).
#[cfg(target_os = "linux")]
pub fn disable() -> io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// No core file is written when this process crashes, or one that it starts.
#[cfg(all(unix, not(target_os = "linux")))]
pub fn disable() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Core).maximum;
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum })?)
}

/// None is written there.
#[cfg(not(unix))]
pub fn disable() -> io::Result<()> {
    Ok(())
}
