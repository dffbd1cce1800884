//! The properties that hold for any input: a `check` for each fuzz target, which panics on a violation.
//!
//! The targets in `fuzz_targets` pass them a fuzzer's bytes, and `tests/corpus.rs` the kept inputs in `corpus`, so that
//! the ordinary tests check each again.

#![allow(unreachable_pub, missing_docs, reason = "a library for the fuzz targets, a module for the tests")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic reports a violated property")]

pub mod broker;
pub mod config;
pub mod credentials;
pub mod frames;
pub mod grammars;
pub mod heads;
pub mod input;
pub mod invitations;
pub mod known;
pub mod leaf;
pub mod messages;
pub mod resume;
pub mod routes;
pub mod seal;
pub mod stream;

#[path = "../../tests/sim/world.rs"]
#[allow(dead_code, reason = "used by the simulation's tests only")]
mod world;

/// A fuzz target: its name, which is also that of its file and corpus, and its check.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 14] = [
    ("messages", messages::check),
    ("stream", stream::check),
    ("broker", broker::check),
    ("resume", resume::check),
    ("routes", routes::check),
    ("heads", heads::check),
    ("frames", frames::check),
    ("grammars", grammars::check),
    ("config", config::check),
    ("credentials", credentials::check),
    ("known", known::check),
    ("leaf", leaf::check),
    ("invitations", invitations::check),
    ("seal", seal::check),
];
