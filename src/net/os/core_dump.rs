//! Protection of this process's memory, which holds keys and passwords, from core dumps and other processes.

use std::io;

/// Disables core files for this process, and access to its memory and environment by other processes of the same user
/// (prctl(2), `PR_SET_DUMPABLE`). Child programs are not affected.
#[cfg(target_os = "linux")]
pub fn disable() -> io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Disables core files for this process and its children.
#[cfg(all(unix, not(target_os = "linux")))]
pub fn disable() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Core).maximum;
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum })?)
}

/// Does nothing: this system writes no core files.
#[cfg(not(unix))]
pub fn disable() -> io::Result<()> {
    Ok(())
}
