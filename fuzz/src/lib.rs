//! What must hold whatever bytes come: a `check` for each fuzz target, which panics where it does not.
//!
//! The targets in `fuzz_targets` hand them a fuzzer's bytes, and `tests/corpus.rs` the inputs in `corpus` that were
//! kept, so that each stays checked by the ordinary tests.

#![allow(unreachable_pub, missing_docs, reason = "a library for the fuzz targets, a module for the tests")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a property that does not hold should stop where it is")]

pub mod broker;
pub mod config;
pub mod credentials;
pub mod frames;
pub mod grammars;
pub mod heads;
pub mod input;
pub mod messages;
pub mod resume;
pub mod routes;
pub mod stream;

#[path = "../../tests/sim/world.rs"]
#[allow(dead_code, reason = "what the simulation's own tests need besides")]
mod world;

/// One fuzz target: its name, which its file and its corpus have, and what it checks.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 10] = [
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
];
