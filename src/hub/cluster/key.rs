//! The key that all hubs of a cluster have: it authenticates what they say to one another, and seals the secrets that they
//! share. The engine that carries both never sees it.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac;
use bytes::Bytes;

use crate::net::os::random;
use crate::proto::secret::Secret;

/// The bytes of an authentication code, HMAC-SHA256.
const TAG_BYTES: usize = 32;

/// The keys that are derived from the cluster's, by their use.
const AUTHENTICATE: &[u8] = b"devstream cluster 1 authenticate";
const SEAL: &[u8] = b"devstream cluster 1 seal";

/// The cluster's key.
#[derive(Clone)]
pub struct ClusterKey {
    authenticate: hmac::Key,
    seal: [u8; 32],
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

impl ClusterKey {
    /// Derives the keys from the cluster's secret.
    pub fn new(secret: &Secret<32>) -> Self {
        let authenticate = hmac::Key::new(hmac::HMAC_SHA256, &derive(secret, AUTHENTICATE));
        Self { authenticate, seal: derive(secret, SEAL) }
    }

    /// Authenticates a message or value for one place, such as a subject: it does not hold elsewhere.
    pub fn sign(&self, place: &str, body: &[u8]) -> Bytes {
        let tag = self.tag(place, body);
        [tag.as_ref(), body].concat().into()
    }

    /// Returns the body of what a hub of the cluster signed for this place; `None` if none did.
    pub fn verify(&self, place: &str, signed: &Bytes) -> Option<Bytes> {
        let (tag, body) = signed.split_at_checked(TAG_BYTES)?;
        hmac::verify(&self.authenticate, &placed(place, body), tag).ok()?;
        Some(signed.slice(TAG_BYTES..))
    }

    /// Encrypts a secret for one place.
    pub fn seal(&self, place: &str, secret: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let nonce = random::bytes::<NONCE_LEN>();
        let mut sealed = secret.to_vec();
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &self.seal)?);
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut sealed)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Decrypts a secret that was sealed for this place; `None` if it was not.
    pub fn unseal(&self, place: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &self.seal).ok()?);
        let mut bytes = sealed.to_vec();
        let secret = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(place), &mut bytes).ok()?;
        Some(secret.to_vec())
    }

    fn tag(&self, place: &str, body: &[u8]) -> hmac::Tag {
        hmac::sign(&self.authenticate, &placed(place, body))
    }
}

/// A place and a body, so that no other pair makes the same bytes.
fn placed(place: &str, body: &[u8]) -> Vec<u8> {
    [&(place.len() as u64).to_be_bytes()[..], place.as_bytes(), body].concat()
}

/// HKDF, RFC 5869. 32 bytes are always within its limit.
fn derive(secret: &Secret<32>, purpose: &[u8]) -> [u8; 32] {
    let mut derived = [0; 32];
    let pseudorandom = Salt::new(HKDF_SHA256, &[]).extract(secret.bytes());
    let filled = pseudorandom.expand(&[purpose], HKDF_SHA256).and_then(|expanded| expanded.fill(&mut derived));
    assert!(filled.is_ok(), "32 bytes are one block of SHA-256");
    derived
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> ClusterKey {
        ClusterKey::new(&Secret::new([byte; 32]))
    }

    #[test]
    fn what_a_hub_signed_holds_for_its_place_and_key_alone() {
        let signed = key(1).sign("ask.h1", b"open");
        assert_eq!(key(1).verify("ask.h1", &signed).as_deref(), Some(&b"open"[..]));
        assert_eq!(key(1).verify("ask.h2", &signed), None);
        assert_eq!(key(2).verify("ask.h1", &signed), None);
        assert_eq!(key(1).verify("ask.h1o", &Bytes::from([&signed[..32], b"pen"].concat())), None);
        for index in 0..signed.len() {
            let mut altered = signed.to_vec();
            altered[index] ^= 1;
            assert_eq!(key(1).verify("ask.h1", &altered.into()), None, "{index}");
        }
        for short in 0..32 {
            assert_eq!(key(1).verify("ask.h1", &signed.slice(..short)), None);
        }
    }

    #[test]
    fn a_sealed_secret_is_unreadable_and_opens_for_its_place_and_key_alone() {
        let sealed = key(1).seal("sealed.ca", b"secret").unwrap();
        assert!(!sealed.windows(6).any(|bytes| bytes == b"secret"));
        assert_eq!(key(1).unseal("sealed.ca", &sealed).as_deref(), Some(&b"secret"[..]));
        assert_eq!(key(1).unseal("sealed.resume", &sealed), None);
        assert_eq!(key(2).unseal("sealed.ca", &sealed), None);
        assert_ne!(key(1).seal("sealed.ca", b"secret").unwrap(), sealed);
        for index in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[index] ^= 1;
            assert_eq!(key(1).unseal("sealed.ca", &altered), None, "{index}");
            assert_eq!(key(1).unseal("sealed.ca", &sealed[..index]), None);
        }
    }
}
