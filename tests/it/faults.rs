//! The rows of `tests/FAULTS.md` that no other test shows: the fault, its detection, and what continues.

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
