//! What the hub keeps beside an identity's key for the owner of a fleet, without reading it: `GET` and `PUT`
//! `/devices/{id}/certificate` and `/services/{name}/certificate`.

use serde::{Deserialize, Serialize};

use super::key::PublicKey;

/// What is kept beside one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endorsement {
    /// The key.
    pub key: PublicKey,
    /// The [proof](super::invitation::prove) that came with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// The certificate of a fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// The answer to `GET`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endorsements {
    /// The identity's keys that are valid, the newest first.
    pub keys: Vec<Endorsement>,
}

/// The body of `PUT`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCertificate {
    /// The identity's key.
    pub key: PublicKey,
    /// The certificate for it.
    pub certificate: String,
}
