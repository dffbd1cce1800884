//! Several hubs as one. A stream lives at the hub where its device is connected: only asking crosses hubs, and no byte of a
//! stream does.
//!
//! In: what other hubs say, ask and store. Out: the same of this one. NATS carries it, as `nats` alone knows: what concerns a
//! connection or a stream as plain messages, the registry in a key-value `bucket`.

pub mod bucket;
pub mod key;
#[cfg(feature = "cluster")]
pub mod nats;
