//! The handlers of the hub's HTTP routes: each gets the shared state, the connection's context and a request.
//!
//! Out: a response, or an upgrade whose connection the handler then runs. `control` serves devices, `open`, `devices`,
//! `certificates`, `enrol` and `cluster_join` answer plain requests, `streaming` carries the legs of streams, `standby` serves connections that are
//! used for one stream after another, `elsewhere` asks other hubs for one, `cluster` is asked by them, `gather` lists what all have.

pub(super) mod certificates;
pub(super) mod cluster;
pub(super) mod cluster_join;
pub(super) mod control;
pub(super) mod devices;
pub(super) mod elsewhere;
pub(super) mod enrol;
pub(super) mod gather;
pub(super) mod open;
pub(super) mod standby;
pub(super) mod streaming;
