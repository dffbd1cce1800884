//! The rows of `tests/FAULTS.md` that no other test shows: what breaks, who notices, and what goes on.

mod islands;
mod legs;
mod names;
