//! Secrets: usable, comparable in constant time, never printable.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The error for a secret of the wrong length or alphabet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid secret")]
pub struct InvalidSecret;

/// `N` secret bytes; as text, unpadded base64url, which needs no escaping in a URL or a header.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>([u8; N]);

/// A single-use token that admits one leg of one stream.
pub type StreamToken = Secret<32>;

/// A single-use code with which one machine joins as one identity.
pub type JoinCode = Secret<16>;

/// The seed of an Ed25519 private key.
pub type KeySeed = Secret<32>;

impl<const N: usize> Secret<N> {
    /// Creates a secret from random bytes.
    pub fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// Parses the output of [`Secret::reveal`].
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let mut bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidSecret)?;
        let secret = bytes.as_slice().try_into().map(Self).map_err(|_| InvalidSecret);
        bytes.zeroize();
        secret
    }

    /// Returns the secret as text, for the one place that must write it.
    pub fn reveal(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Returns the bytes, for the cipher that uses them.
    pub fn bytes(&self) -> &[u8; N] {
        &self.0
    }

    /// Returns the hash, which may be stored: it admits nothing.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<const N: usize> Serialize for Secret<N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.reveal())
    }
}

impl<'de, const N: usize> Deserialize<'de> for Secret<N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Length limit of user and password each, in bytes: RFC 1929 section 2.
const MAX_CREDENTIAL_BYTES: usize = 255;

/// User and password for a proxy.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ProxyCredentials {
    user: String,
    password: String,
}

impl ProxyCredentials {
    /// Creates credentials, if their length and characters are valid.
    pub fn new(user: &str, password: &str) -> Result<Self, InvalidSecret> {
        let fits = |text: &str| text.len() <= MAX_CREDENTIAL_BYTES && !text.contains(['\r', '\n', '\0']);
        // RFC 7617 section 2: the colon ends the user.
        let valid = !user.is_empty() && !user.contains(':') && fits(user) && fits(password);
        if valid { Ok(Self { user: user.into(), password: password.into() }) } else { Err(InvalidSecret) }
    }

    /// Parses the first line of a file: `USER:PASSWORD`.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let (user, password) = text.trim_end_matches(['\r', '\n']).split_once(':').ok_or(InvalidSecret)?;
        Self::new(user, password)
    }

    /// Returns the user.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Returns the password, for the code that sends it.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Returns the value of Basic authentication, RFC 7617.
    pub fn basic_auth(&self) -> Zeroizing<String> {
        let both = Zeroizing::new([self.user.as_str(), ":", &self.password].concat());
        Zeroizing::new(STANDARD.encode(both.as_bytes()))
    }
}

impl fmt::Debug for ProxyCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// SHA-256 of a secret; compares in constant time.
#[derive(Clone)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    fn of(bytes: &[u8]) -> Self {
        Self(sha256(bytes))
    }

    /// Returns the hash to store.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for SecretHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretHash {}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hash]")
    }
}

/// Computes SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_in_debug_output() {
        let token = StreamToken::new([0x41; 32]);
        let shown = format!("{token:?} {:?}", token.hash());
        assert!(!shown.contains(&token.reveal()) && !shown.contains("65"), "{shown}");
    }

    #[test]
    fn credentials_are_one_line_with_a_user_and_never_show() {
        let login = ProxyCredentials::parse("alice:hunter2: x\r\n").unwrap();
        assert_eq!((login.user(), login.password()), ("alice", "hunter2: x"));
        assert_eq!(format!("{login:?}"), "[secret]");
        for text in ["", "alice", ":hunter2", "a:b\nc:d", &format!("a:{}", "x".repeat(256))] {
            assert!(ProxyCredentials::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn text_of_another_length_is_rejected() {
        let text = StreamToken::new([9; 32]).reveal();
        assert!(StreamToken::parse(&text).is_ok());
        assert!(JoinCode::parse(&text).is_err());
        assert!(StreamToken::parse(&text[1..]).is_err());
        assert!(StreamToken::parse(&format!("{text}=")).is_err());
    }

    #[test]
    fn hashes_are_equal_for_equal_secrets_only() {
        let (a, b) = (StreamToken::new([1; 32]), StreamToken::new([2; 32]));
        assert!(a.hash() == a.hash());
        assert!(a.hash() != b.hash());
    }
}
