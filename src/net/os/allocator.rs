//! The allocator's treatment of freed memory.

use std::hint::black_box;

/// The size of the block that is allocated and freed once, in bytes. glibc then takes blocks up to this size from its
/// arenas, and keeps twice as much free memory at an arena's end (`M_MMAP_THRESHOLD` in mallopt(3)).
const RETAINED_BLOCK: usize = 2 * 1024 * 1024;

/// Has glibc keep freed memory. A bulk transfer allocates and frees blocks of 16 and 64 KiB all the time; by default
/// glibc returns every free 128 KiB to the kernel and gets them back cleared, page by page, which is a fifth of the CPU
/// time of a byte. Other allocators are not affected.
pub fn retain_freed_memory() {
    drop(black_box(Vec::<u8>::with_capacity(RETAINED_BLOCK)));
}
