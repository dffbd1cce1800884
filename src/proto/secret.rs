//! Secrets that a person or a peer hands over: usable, comparable in constant time, never printable.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Text of the wrong length or alphabet where a secret was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid secret")]
pub struct InvalidSecret;

/// `N` secret bytes; as text, unpadded base64url, which needs no escaping in a URL or a header.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>([u8; N]);

/// Lets one side of one stream in, once.
pub type StreamToken = Secret<32>;

/// Lets one machine join as one identity, once.
pub type JoinCode = Secret<16>;

/// The seed of an Ed25519 private key.
pub type KeySeed = Secret<32>;

impl<const N: usize> Secret<N> {
    /// From random bytes.
    pub fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// Parses what [`Secret::reveal`] wrote.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let mut bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidSecret)?;
        let secret = bytes.as_slice().try_into().map(Self).map_err(|_| InvalidSecret);
        bytes.zeroize();
        secret
    }

    /// The secret itself, for the one place that must write it down.
    pub fn reveal(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The secret's bytes, for the cipher that uses them.
    pub fn bytes(&self) -> &[u8; N] {
        &self.0
    }

    /// What may be stored: knowing it opens nothing.
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

/// Longest user and password each, in bytes (RFC 1929 section 2).
const MAX_CREDENTIAL_BYTES: usize = 255;

/// What a proxy wants to know of its user.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ProxyCredentials {
    user: String,
    password: String,
}

impl ProxyCredentials {
    /// Of this user.
    pub fn new(user: &str, password: &str) -> Result<Self, InvalidSecret> {
        let fits = |text: &str| text.len() <= MAX_CREDENTIAL_BYTES && !text.contains(['\r', '\n', '\0']);
        // RFC 7617 section 2: the colon ends the user.
        let valid = !user.is_empty() && !user.contains(':') && fits(user) && fits(password);
        if valid { Ok(Self { user: user.into(), password: password.into() }) } else { Err(InvalidSecret) }
    }

    /// The first line of a file: `USER:PASSWORD`.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let (user, password) = text.trim_end_matches(['\r', '\n']).split_once(':').ok_or(InvalidSecret)?;
        Self::new(user, password)
    }

    /// The user.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password, for whoever sends it.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Both as RFC 7617 has them in a header.
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

    /// The hash as it is stored.
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

/// SHA-256.
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
    fn a_login_is_one_line_with_a_user_and_never_shows() {
        let login = ProxyCredentials::parse("alice:hunter2: x\r\n").unwrap();
        assert_eq!((login.user(), login.password()), ("alice", "hunter2: x"));
        assert_eq!(format!("{login:?}"), "[secret]");
        for text in ["", "alice", ":hunter2", "a:b\nc:d", &format!("a:{}", "x".repeat(256))] {
            assert!(ProxyCredentials::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn text_of_any_other_length_is_refused() {
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
