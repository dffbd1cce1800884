//! The allocator's treatment of freed memory: kept for what comes next, and given back where memory is short.

use std::hint::black_box;
use std::time::Duration;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
use rustix::time::{ClockId, clock_gettime};

/// The size of the block that is allocated and freed once, in bytes. glibc then takes blocks up to this size from its
/// arenas, and keeps twice as much free memory at an arena's end (`M_MMAP_THRESHOLD` in mallopt(3)).
const RETAINED_BLOCK: usize = 2 * 1024 * 1024;

/// Has glibc keep freed memory. A bulk transfer allocates and frees blocks of 16 and 64 KiB all the time; by default
/// glibc returns every free 128 KiB to the kernel and gets them back cleared, page by page, which is a fifth of the CPU
/// time of a byte. Other allocators are not affected.
pub fn retain_freed_memory() {
    drop(black_box(Vec::<u8>::with_capacity(RETAINED_BLOCK)));
}

/// Gives freed memory back to the system. glibc does so by itself only at the end of an arena, and a few small blocks
/// that are still in use keep all that is below them. It locks each arena for the time of a walk through it. Other
/// allocators give memory back by themselves.
///
/// Returns the CPU time that it took.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn release_freed_memory() -> Duration {
    #[expect(unsafe_code, reason = "no crate has a safe malloc_trim(3), which takes no pointer")]
    unsafe extern "C" {
        safe fn malloc_trim(pad: usize) -> std::ffi::c_int;
    }
    let cpu_time = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
    let start = cpu_time();
    malloc_trim(0);
    cpu_time().saturating_sub(start)
}

/// Does nothing: this system's allocator gives freed memory back by itself.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn release_freed_memory() -> Duration {
    Duration::ZERO
}
