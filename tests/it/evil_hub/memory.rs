//! What the hub's process and its disk hold of a stream while they carry it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread;

use crate::support::bytes::{MIB, Pattern};
use crate::support::machine::Machine;
use crate::support::process::Process;
use crate::support::roles::ThreeMachines;
use crate::support::targets::Target;

/// The bytes that nobody in between may have, repeated throughout a transfer.
const CANARY_BYTES: u64 = 4096;

const TRANSFER_BYTES: u64 = 64 * MIB;

/// A word of memory.
const WORD: usize = size_of::<u64>();

/// Recognises each part of the canary that is two words long, wherever it begins.
struct Search {
    words: HashSet<u64>,
    /// By their lowest bits: most words are none of the canary's.
    first: Vec<bool>,
}

impl Search {
    fn new(canary: &[u8]) -> Self {
        let repeated = [canary, &canary[..WORD]].concat();
        let words: HashSet<_> = repeated.windows(WORD).map(word).collect();
        let mut first = vec![false; 1 << 16];
        words.iter().for_each(|word| first[lowest(*word)] = true);
        Self { words, first }
    }

    fn finds(&self, bytes: &[u8]) -> bool {
        bytes.chunks_exact(WORD).map(word).any(|word| self.first[lowest(word)] && self.words.contains(&word))
    }

    /// Searches all that a process has written to its memory, while it is stopped.
    fn finds_in_memory(&self, process: &Process) -> bool {
        let memory =
            File::open(process.proc().join("mem")).expect("root reads a process's memory: run the tests as root");
        let maps = fs::read_to_string(process.proc().join("maps")).unwrap();
        let mut chunk = vec![0; MIB as usize];
        let (mut searched, mut found) = (0, false);
        for line in maps.lines().filter(|line| line.contains(" rw")) {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
            let mut at = from;
            while at < to {
                let length = (to - at).min(MIB) as usize;
                // A region may be gone or unreadable, such as the kernel's.
                let Ok(read) = memory.read_at(&mut chunk[..length], at) else { break };
                if read == 0 {
                    break;
                }
                found |= self.finds(&chunk[..read]);
                (at, searched) = (at + read as u64, searched + read as u64);
            }
        }
        assert!(searched > MIB, "only {searched} bytes of memory could be read");
        found
    }

    fn finds_on_disk(&self, directory: &Path) -> bool {
        fs::read_dir(directory).unwrap().any(|entry| {
            let path = entry.unwrap().path();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            kind.is_dir() && self.finds_on_disk(&path) || kind.is_file() && self.finds(&fs::read(&path).unwrap())
        })
    }
}

fn word(bytes: &[u8]) -> u64 {
    u64::from_ne_bytes(bytes.try_into().expect("a word"))
}

fn lowest(word: u64) -> usize {
    usize::from(word as u16)
}

#[test]
fn neither_its_memory_nor_its_disk_holds_a_byte_of_what_it_carries_unless_the_stream_is_plain() {
    let canary = Pattern::new(1805).prefix(CANARY_BYTES);
    let search = Search::new(&canary);
    for is_plain in [false, true] {
        let target = Target::sink();
        let laptop = if is_plain { Machine::new().plain() } else { Machine::new() };
        let roles = ThreeMachines::with_laptop(laptop, target.port, &["--device", "*"], &[]);
        let mut local = roles.proxy.connect();
        let canary = canary.clone();
        let writer = thread::spawn(move || {
            let block = canary.repeat((MIB / CANARY_BYTES) as usize);
            (0..TRANSFER_BYTES / MIB).for_each(|_| local.write_all(&block).expect("the proxy reads"));
        });
        let (mut searches, mut has_found) = (0, false);
        while !writer.is_finished() {
            roles.hub.process.signal("STOP");
            has_found |= search.finds_in_memory(&roles.hub.process);
            roles.hub.process.signal("CONT");
            searches += 1;
        }
        writer.join().expect("all was sent");
        let seen = target.seen();
        assert_eq!(seen.bytes, TRANSFER_BYTES);
        has_found |= search.finds_in_memory(&roles.hub.process);
        assert!(searches > 1, "it was searched before the transfer only");
        assert_eq!(has_found, is_plain, "after {searches} searches");
        assert!(!search.finds_on_disk(roles.hub.machine().home()));
    }
}
