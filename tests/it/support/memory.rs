//! A control group with a memory limit.

use std::fs;
use std::path::PathBuf;
use std::process::id;
use std::sync::atomic::{AtomicU32, Ordering};

/// A group of its own; gone when dropped.
pub(crate) struct MemoryGroup(PathBuf);

/// For each version of control groups, the memory controller's directory and the file with its limit.
const VERSIONS: [(&str, &str); 2] =
    [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];

static COUNT: AtomicU32 = AtomicU32::new(0);

impl MemoryGroup {
    /// A new one, where the tests may make any: nothing but root in a machine's own groups may.
    pub(crate) fn new(bytes: u64) -> Option<Self> {
        let name = format!("devstream-test-{}-{}", id(), COUNT.fetch_add(1, Ordering::Relaxed));
        VERSIONS.iter().find_map(|(place, limit)| {
            let group = Self(PathBuf::from(place).join(&name));
            fs::create_dir(&group.0).ok()?;
            fs::write(group.0.join(limit), bytes.to_string()).ok()?;
            Some(group)
        })
    }

    /// A shell's line that enters the group and becomes the program in its arguments.
    pub(crate) fn entering(&self) -> String {
        format!("echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", self.0.display())
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // Its processes have exited.
        let _ = fs::remove_dir(&self.0);
    }
}
