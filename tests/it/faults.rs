//! The rows of `tests/FAULTS.md` that no other test shows: what breaks, who notices, and what goes on.

mod clocks;
mod fleet;
mod islands;
mod legs;
mod names;
mod shortage;
mod silence;
mod strange;
mod targets;
mod versions;
mod wake;
