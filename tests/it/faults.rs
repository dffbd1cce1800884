//! The rows of `tests/FAULTS.md` that no other test shows: what breaks, who notices, and what goes on.

mod clocks;
mod fleet;
mod legs;
mod names;
mod network_faults;
mod shortage;
mod silence;
mod targets;
mod versions;
mod wake;
mod wrong_servers;
