//! Several hubs as one. A stream lives at the hub where its device is connected: only asking crosses hubs, and no byte of a
//! stream does.
//!
//! In: what other hubs say, ask and store. Out: the same of this one. NATS carries it, as `nats` alone knows: what concerns a
//! connection or a stream as plain messages, the registry in a key-value `bucket`. `view` holds the rules.

mod asking;
pub mod bucket;
pub mod invitations;
pub mod key;
pub mod link;
#[cfg(test)]
pub(in crate::hub) mod loopback;
pub mod messages;
#[cfg(feature = "cluster")]
pub mod nats;
pub mod node;
pub mod requests;
pub mod run;
pub mod settings;
#[cfg(test)]
mod tests;
pub mod view;
