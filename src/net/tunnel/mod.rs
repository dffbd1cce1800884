//! A stream on its connections: the pump at its ends, the relay at the hub, and the standby connections in between.

pub mod pump;
pub mod relay;
pub mod standby;
pub mod stream;
