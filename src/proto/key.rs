//! Ed25519 keys, RFC 8032. A private key never leaves the machine that generated it.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::secret::{KeySeed, sha256};

/// A private key, generated from a random seed.
pub struct PrivateKey(Ed25519KeyPair);

impl PrivateKey {
    /// Derives the key from its seed.
    #[expect(clippy::expect_used, reason = "any 32 bytes are an Ed25519 seed, RFC 8032 section 5.1.5")]
    pub fn from_seed(seed: &KeySeed) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(seed.bytes()).expect("32 bytes are a seed"))
    }

    /// Returns the public key.
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    /// Returns the bytes of the public key.
    pub fn public_bytes(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> Signature {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.0.sign(message).as_ref());
        Signature(bytes)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.public().fingerprint())
    }
}

/// The error for text that is not a key or signature in unpadded base64url.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid key or signature")]
pub struct InvalidKey;

/// The characters of a key that messages show.
const SHORT_KEY_CHARS: usize = 8;

/// A public key; as text, unpadded base64url.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Creates a key from its stored bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes to store.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Verifies the owner's signature of a message.
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, &signature.0).is_ok()
    }

    /// The first characters of the key as text, for a person who compares it with the whole.
    pub fn short(&self) -> String {
        format!("{}…", &String::from(*self)[..SHORT_KEY_CHARS])
    }

    /// The short name of the key in logs and requests: the first 16 bytes of its SHA-256.
    pub fn fingerprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(&sha256(&self.0)[..16])
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

impl FromStr for PublicKey {
    type Err = InvalidKey;
    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        decode(text).map(Self)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = InvalidKey;
    fn try_from(text: String) -> Result<Self, InvalidKey> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        URL_SAFE_NO_PAD.encode(key.0)
    }
}

/// A signature; as text, unpadded base64url.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Returns the bytes, as certificates and TLS have them.
    pub fn bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[signature]")
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl FromStr for Signature {
    type Err = InvalidKey;
    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        decode(text).map(Self)
    }
}

fn decode<const N: usize>(text: &str) -> Result<[u8; N], InvalidKey> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidKey)?;
    bytes.as_slice().try_into().map_err(|_| InvalidKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_message_and_key_only() {
        let key = PrivateKey::from_seed(&KeySeed::new([3; 32]));
        let other = PrivateKey::from_seed(&KeySeed::new([4; 32]));
        let signature = key.sign(b"hello");
        assert!(key.public().verifies(b"hello", &signature));
        assert!(!key.public().verifies(b"hellp", &signature));
        assert!(!other.public().verifies(b"hello", &signature));
    }

    #[test]
    fn rfc_8032_test_1() {
        let seed = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
        let key = PrivateKey::from_seed(&KeySeed::parse(seed).unwrap());
        assert_eq!(String::from(key.public()), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    }
}
