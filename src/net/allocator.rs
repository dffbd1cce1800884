//! How the allocator treats what is freed.

use std::hint::black_box;

/// Once a block of this size was freed, glibc keeps twice as much of what is free at an arena's end (see `M_MMAP_THRESHOLD`
/// in mallopt(3)), and blocks up to this size come from there.
const RETAINED_BLOCK: usize = 2 * 1024 * 1024;

/// Bulk takes and frees blocks of 16 and 64 KiB all the time. Left to itself, glibc returns each 128 KiB that are free to the
/// kernel and has them back, cleared, page by page: a fifth of what a byte costs. Other allocators do not mind.
pub fn retain_freed_memory() {
    drop(black_box(Vec::<u8>::with_capacity(RETAINED_BLOCK)));
}
