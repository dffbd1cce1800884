//! An emulated link between two network namespaces, with delay, rate, a bounded queue and random loss, since many
//! kernels have no `sch_netem`. It makes a TUN device in each namespace and carries IP packets between them.
//!
//!     link NAMESPACE_A NAMESPACE_B NAME DELAY_MS MBIT_PER_SECOND LOSS_PERCENT SEED
//!
//! The devices are called NAMEa and NAMEb. The queue of each direction holds 100 ms. Prints `up` when both devices
//! exist, and ends when its standard input closes. `tests/bench --steady` compiles it with `rustc`.

use std::env;
use std::ffi::{CString, c_char, c_int, c_short, c_ulong, c_void};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

const CLONE_NEWNET: c_int = 0x4000_0000;
const TUNSETIFF: c_ulong = 0x4004_54ca;
const IFF_TUN_WITHOUT_HEADER: c_short = 0x1001;
const PR_SET_TIMERSLACK: c_int = 29;
const QUEUE: Duration = Duration::from_millis(100);
/// More packets than any link holds.
const PACKETS: usize = 1 << 16;

#[repr(C)]
struct InterfaceRequest {
    name: [c_char; 16],
    flags: c_short,
    padding: [u8; 22],
}

unsafe extern "C" {
    fn setns(namespace: c_int, kind: c_int) -> c_int;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn ioctl(file: c_int, request: c_ulong, argument: *mut c_void) -> c_int;
    fn prctl(option: c_int, ...) -> c_int;
}

fn tun(namespace: &str, name: &str) -> File {
    let namespace = File::open(format!("/run/netns/{namespace}")).expect("the namespace exists");
    let mut request = InterfaceRequest { name: [0; 16], flags: IFF_TUN_WITHOUT_HEADER, padding: [0; 22] };
    for (to, from) in request.name.iter_mut().zip(name.bytes().take(15)) {
        *to = from as c_char;
    }
    let path = CString::new("/dev/net/tun").expect("no NUL");
    // SAFETY: the pointers are to live values of the types that the calls expect, and the descriptor is a new one.
    unsafe {
        let entered = setns(namespace.as_raw_fd(), CLONE_NEWNET);
        assert_eq!(entered, 0, "{} (only root may enter it)", std::io::Error::last_os_error());
        let device = open(path.as_ptr(), 2);
        assert!(device >= 0, "/dev/net/tun: {}", std::io::Error::last_os_error());
        let made = ioctl(device, TUNSETIFF, (&raw mut request).cast());
        assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
        File::from_raw_fd(device)
    }
}

/// The parameters of one direction.
struct Direction {
    delay: Duration,
    bytes_per_second: f64,
    loss: f64,
    random: u64,
}

impl Direction {
    /// Reads packets, drops those that are lost or find the queue full, and passes on the others with the time at which
    /// they arrive.
    fn take(mut self, mut from: File, to: &SyncSender<(Instant, Vec<u8>)>) {
        let (mut free_at, mut packet) = (Instant::now(), vec![0; 1 << 16]);
        while let Ok(size @ 1..) = from.read(&mut packet) {
            let now = Instant::now();
            free_at = free_at.max(now);
            if free_at - now > QUEUE {
                continue;
            }
            free_at += Duration::from_secs_f64(size as f64 / self.bytes_per_second);
            if self.is_lost() {
                continue;
            }
            if to.send((free_at + self.delay, packet[..size].to_vec())).is_err() {
                return;
            }
        }
    }

    /// xorshift64.
    fn is_lost(&mut self) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        ((self.random >> 11) as f64 / (1u64 << 53) as f64) < self.loss
    }
}

/// Writes packets at their time of arrival.
fn deliver(packets: &Receiver<(Instant, Vec<u8>)>, mut to: File) {
    for (at, packet) in packets {
        while let Some(left) = at.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            thread::park_timeout(left);
        }
        // Fails while the device is down.
        let _ = to.write(&packet);
    }
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [a, b, name, numbers @ ..] = &arguments[..] else { panic!("see the head of this file") };
    let numbers: Vec<f64> = numbers.iter().map(|text| text.parse().expect("a number")).collect();
    let [delay, mbit_per_second, loss, seed] = numbers[..] else { panic!("see the head of this file") };
    // SAFETY: a plain number, for this thread and those that it starts.
    unsafe { prctl(PR_SET_TIMERSLACK, 1000 as c_ulong) };
    let devices = [tun(a, &format!("{name}a")), tun(b, &format!("{name}b"))];
    for (number, (from, to)) in [(0, 1), (1, 0)].into_iter().enumerate() {
        let direction = Direction {
            delay: Duration::from_secs_f64(delay / 1e3),
            bytes_per_second: mbit_per_second * 1e6 / 8.0,
            loss: loss / 100.0,
            random: (seed as u64 + number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        };
        let (from, to) = (devices[from].try_clone(), devices[to].try_clone());
        let (sender, packets) = sync_channel(PACKETS);
        thread::spawn(move || direction.take(from.expect("a descriptor"), &sender));
        thread::spawn(move || deliver(&packets, to.expect("a descriptor")));
    }
    println!("up");
    let _ = std::io::stdin().read(&mut [0]);
}
