//! Memory that threads have freed goes back to the system when it is short there. In a process of its own: other tests
//! allocate as well.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;

use devstream::net::os::allocator::{release_freed_memory, retain_freed_memory};
use devstream::net::os::usage::anonymous_memory;

const THREADS: usize = 8;
const BLOCK: usize = 16 * 1024;

/// The blocks of a thread: less than what is kept for it by default.
const BLOCKS: usize = 3 * 1024 * 1024 / BLOCK;
const TOTAL: u64 = (THREADS * BLOCKS * BLOCK) as u64;

#[test]
fn memory_that_threads_have_freed_is_given_back_where_it_is_short() {
    retain_freed_memory();
    // Each has an arena of its own, and lives on.
    let barrier = Barrier::new(THREADS + 1);
    let (retained, kept) = thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..2 {
                    barrier.wait();
                    allocate_and_free(BLOCKS);
                    barrier.wait();
                }
                barrier.wait();
            });
        }
        let initial = anonymous_memory();
        let taken = || anonymous_memory().saturating_sub(initial);
        barrier.wait();
        barrier.wait();
        let retained = taken();
        release_freed_memory();
        barrier.wait();
        barrier.wait();
        let kept = taken();
        barrier.wait();
        (retained, kept)
    });
    assert!(retained > TOTAL / 4 * 3, "{retained} of {TOTAL} is retained for what comes next");
    assert!(kept < TOTAL / 4, "{kept} of {TOTAL} is kept");
}

fn allocate_and_free(blocks: usize) {
    drop(black_box((0..blocks).map(|_| vec![1_u8; BLOCK]).collect::<Vec<_>>()));
}
