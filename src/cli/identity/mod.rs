//! The identities of this machine: joined with a link, or enrolled with the hub of the same user.
//!
//! In: a profile and a role, or what `devstream join` got from a hub. Out: files in the user's data directory, and clients
//! that sign with them.

mod certificate;
mod client;
mod hub_keys;
pub mod local_identity;
mod own;
mod stored;

pub(super) use self::client::{
    LocalHub, client_factory, default_device_id, default_service_id, ensure_service_identity, joined_client_factory,
    machine_id, no_home, not_joined, stopped_hub, trust,
};
pub(super) use self::own::{OwnIdentity, no_identity, own_identities};
pub(super) use self::stored::{IdentityDir, StoredIdentity, code_hash, has_service_credential};
