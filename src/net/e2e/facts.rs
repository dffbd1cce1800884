//! What is known of an open session.

use crate::proto::fleet::Validity;
use crate::proto::key::PublicKey;
use crate::proto::known::KnownPeer;

/// What the two ends of an open session have agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFacts {
    /// The peer's key.
    pub key: PublicKey,
    /// What is known of the peer on this machine; `None` where a hub of the same user knows it.
    pub known: Option<KnownPeer>,
    /// Why the peer's key is known to this process only; `None` if it is stored, or is not to be.
    pub not_stored: Option<String>,
    /// When the certificate holds by which the fleet of this machine vouches for the key; `None` without a fleet.
    pub certificate: Option<Validity>,
    /// This machine, which has the fleet's key, signed the peer's for this session.
    pub signed_here: bool,
    /// The cipher, by its name in TLS.
    pub cipher: String,
    /// The key exchange, by its name in TLS.
    pub key_exchange: String,
    /// A quantum computer cannot undo the key exchange.
    pub is_post_quantum: bool,
}
