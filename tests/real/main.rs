//! Typical uses of devices with real programs, run one after the other by `tests/run --real`. Every
//! byte goes from the application through service-proxy, hub and device-agent to the target, each joined from a home of
//! its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test a panic is the message")]

mod browser;
mod desktop;
mod files;
mod postgresql;
mod rdp;
mod screen;
#[path = "../it/support/mod.rs"]
#[allow(dead_code, reason = "what the tests need besides")]
mod support;
mod vnc;

use std::process::Command;
use std::time::Duration;

use self::support::process::{Finished, Process};
use self::support::roles::ThreeMachines;
use self::support::targets::closed_port;

/// For a program that starts as slowly as a browser or a database, beside other work.
const SLOW: Duration = Duration::from_secs(180);

/// A server that cannot be told to choose a port gets one that may be taken by somebody else in between.
const ATTEMPTS: usize = 10;

/// A device that forwards to this port, and a laptop with a proxy for it.
fn tunnel_to(port: u16) -> ThreeMachines {
    ThreeMachines::forwarding(port, &["--device", "*"])
}

/// Runs a program to a successful end, and returns its output; `part` names the part of the test.
fn run(part: &str, command: &mut Command) -> String {
    let finished: Finished = Process::start(command).finish_within(SLOW);
    assert_eq!(finished.code, Some(0), "{part} failed: {command:?}\n{}{}", finished.stdout, finished.stderr);
    finished.stdout
}

/// Starts a server on a free port, which it says with this line; and with the other, that the port is not free any
/// more.
fn serve(ready: &str, taken: &str, mut start: impl FnMut(u16) -> Command) -> (Process, u16) {
    for _ in 0..ATTEMPTS {
        let port = closed_port();
        let process = Process::start(&mut start(port));
        if process.find_line(0, ready, SLOW).is_some() {
            return (process, port);
        }
        assert!(process.log().contains(taken), "the server does not say '{ready}': {process}");
    }
    panic!("no port for the server in {ATTEMPTS} attempts");
}

/// Asks a program to end that leaves something behind when it is killed.
fn end(process: &Process, signal: &str) {
    if process.is_running() {
        process.signal(signal);
        process.wait_end();
    }
}
