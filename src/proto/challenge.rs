//! The challenge that replaces the TLS channel binding where a proxy inspects TLS and both ends have allowed that.
//!
//! Such a proxy ends one TLS session and starts another, so the two ends have no channel binding in common.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const SCHEME: &str = "DevStream";

/// 32 random bytes from the hub, to be signed once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Challenge([u8; 32]);

impl Challenge {
    /// Creates a challenge from random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes to sign.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Formats the value of a `WWW-Authenticate` header.
    pub fn to_header(&self) -> String {
        format!("{SCHEME} challenge=\"{self}\"")
    }

    /// Parses the value of a `WWW-Authenticate` header.
    pub fn from_header(header: &str) -> Option<Self> {
        let value = header.strip_prefix(SCHEME)?.trim().strip_prefix("challenge=\"")?;
        value.strip_suffix('"')?.parse().ok()
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// The error for text that is not 32 bytes of unpadded base64url.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid challenge")]
pub struct InvalidChallenge;

impl FromStr for Challenge {
    type Err = InvalidChallenge;
    fn from_str(text: &str) -> Result<Self, InvalidChallenge> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidChallenge)?;
        bytes.as_slice().try_into().map(Self).map_err(|_| InvalidChallenge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_round_trips_through_its_header() {
        let challenge = Challenge::new([7; 32]);
        assert_eq!(Challenge::from_header(&challenge.to_header()), Some(challenge));
        for bad in ["", "DevStream", "Basic challenge=\"x\"", "DevStream challenge=\"AAAA\""] {
            assert_eq!(Challenge::from_header(bad), None, "{bad}");
        }
    }
}
