//! The identities of this machine: joined with a link, or enrolled with the hub of the same user.
//!
//! In: a join link, or a profile and a role. Out: files in the user's data directory, and clients that sign with them.

mod client;
pub(super) mod join;
pub mod local_identity;
pub(super) mod profiles;
mod stored;

pub(super) use self::client::{LocalHub, client_factory, default_device_id, default_service_id};
pub(super) use self::stored::{StoredIdentity, has_service_credential};
