//! The allocator's treatment of freed memory: kept for what comes next, and given back where memory is short.

use std::time::Duration;

/// Has glibc keep freed memory. A bulk transfer allocates and frees blocks of 16 and 64 KiB all the time; by default
/// glibc returns every free 128 KiB to the kernel and gets them back cleared, page by page, which is a fifth of the CPU
/// time of a byte. Other allocators are not affected.
pub fn retain_freed_memory() {
    glibc::retain();
}

/// Gives freed memory back to the system, and has glibc do so from now on, until [`retain_freed_memory`] is called. It locks
/// each arena for the time of a walk through it. Other allocators give memory back by themselves.
///
/// Returns the CPU time that it took.
pub fn release_freed_memory() -> Duration {
    glibc::release()
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::ffi::c_int;
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    #[expect(unsafe_code, reason = "no crate has safe versions of these functions, which take no pointers")]
    unsafe extern "C" {
        safe fn mallopt(parameter: c_int, value: c_int) -> c_int;
        safe fn malloc_trim(pad: usize) -> c_int;
    }

    /// Parameters of mallopt(3), which keep their numbers.
    const M_TRIM_THRESHOLD: c_int = -1;
    const M_MMAP_THRESHOLD: c_int = -3;

    /// The size of the largest block that comes from an arena, and the free bytes that stay at an arena's end.
    const LARGEST_BLOCK: c_int = 2 * 1024 * 1024;
    const RETAINED: c_int = 2 * LARGEST_BLOCK;

    /// The same while memory is short: glibc's default. There are up to eight arenas a core.
    const RETAINED_IN_NEED: c_int = 128 * 1024;

    pub(super) fn retain() {
        mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK);
        mallopt(M_TRIM_THRESHOLD, RETAINED);
    }

    pub(super) fn release() -> Duration {
        let cpu_time = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
        let start = cpu_time();
        // Gives back what is free before the end of an arena. Of the ends it knows only the first arena's.
        malloc_trim(0);
        mallopt(M_TRIM_THRESHOLD, RETAINED_IN_NEED);
        cpu_time().saturating_sub(start)
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod glibc {
    use std::time::Duration;

    pub(super) fn retain() {}

    pub(super) fn release() -> Duration {
        Duration::ZERO
    }
}
