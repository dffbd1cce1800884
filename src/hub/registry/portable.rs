//! PURE. Identities and enrolment keys as values that several hubs share: each is a whole one, and has a key of its own in
//! their bucket. `last_seen` stays local.

mod merge;
mod names;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

pub use self::merge::{Merged, merge};
pub use self::names::Subject;
use crate::proto::key::PublicKey;
use crate::proto::scope::{Glob, Scope};

/// The format of values. A later one that a hub of this version cannot read has another number.
const FORMAT: u32 = 1;

/// A value with what orders it among the others of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// One more than that of the value before. It is the value's own and not its place in the bucket, which may forget.
    pub version: u64,
    /// The number of times that the subject was disabled, removed or revoked, in all its versions.
    pub revocations: u64,
    /// The content.
    pub content: Content,
}

/// The content of a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Content {
    /// An identity with its keys and join code.
    Identity(Box<PortableIdentity>),
    /// An enrolment key.
    Enrolment(Box<PortableEnrolment>),
    /// A removed identity or a revoked enrolment key.
    Removed,
}

/// How much of its rights a subject has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denial {
    /// Nothing.
    None,
    /// Everything for now.
    Disabled,
    /// Everything.
    Removed,
}

impl Content {
    /// Returns how much of its rights the subject has lost.
    pub fn denial(&self) -> Denial {
        match self {
            Self::Identity(identity) if identity.disabled => Denial::Disabled,
            Self::Identity(_) | Self::Enrolment(_) => Denial::None,
            Self::Removed => Denial::Removed,
        }
    }
}

/// An identity. Times are seconds since 1970, so that every one of the registry's comes back as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortableIdentity {
    /// The time of its creation.
    pub created: i64,
    /// A service's scope.
    pub scope: Scope,
    /// It is disabled.
    #[serde(default)]
    pub disabled: bool,
    /// The enrolment key with which it joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolment: Option<u64>,
    /// Its keys, the newest first.
    #[serde(default)]
    pub keys: Vec<PortableKey>,
    /// Its last join code, used or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<PortableCode>,
}

/// A key of an identity, with what is kept beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortableKey {
    /// The key.
    pub key: PublicKey,
    /// Enrolled by a hub's own user.
    #[serde(default)]
    pub local: bool,
    /// The time at which it was added.
    pub added: i64,
    /// The end of its validity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// The proof that came with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// The certificate of a fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The service that stored the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_by: Option<String>,
}

/// A join code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortableCode {
    /// The code's hash.
    pub hash: Bytes<32>,
    /// Its expiry.
    pub until: i64,
    /// The overlap of the former key in seconds; none if the code is for the first key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<u64>,
    /// The time at which it was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<i64>,
}

/// An enrolment key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortableEnrolment {
    /// The code's hash.
    pub hash: Bytes<32>,
    /// The device ids that it may enrol.
    pub devices: Glob,
    /// The number of devices that it may enrol.
    pub uses: u32,
    /// The number that it has enrolled.
    pub used: u32,
    /// The last machines that it has enrolled, the newest last.
    #[serde(default)]
    pub redeemers: Vec<Bytes<16>>,
    /// The time of its creation.
    pub created: i64,
    /// Its expiry.
    pub until: i64,
}

/// `N` bytes; as text, unpadded base64url. They are hashes, which are not printed.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes<const N: usize>(pub [u8; N]);

/// The error for text that is not the base64url of as many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid hash")]
pub struct InvalidBytes;

impl<const N: usize> fmt::Debug for Bytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hash]")
    }
}

impl<const N: usize> From<Bytes<N>> for String {
    fn from(bytes: Bytes<N>) -> Self {
        URL_SAFE_NO_PAD.encode(bytes.0)
    }
}

impl<const N: usize> TryFrom<String> for Bytes<N> {
    type Error = InvalidBytes;
    fn try_from(text: String) -> Result<Self, InvalidBytes> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidBytes)?;
        bytes.try_into().map(Self).map_err(|_| InvalidBytes)
    }
}

/// A value with its format.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<C> {
    format: u32,
    version: u64,
    #[serde(default)]
    revocations: u64,
    content: C,
}

/// The error for a value that this version cannot read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// A later version wrote it.
    #[error("its format {0} is newer than this devstream supports ({FORMAT}); upgrade devstream")]
    Newer(u32),
    /// It is no value.
    #[error("{0}")]
    Malformed(#[from] serde_json::Error),
}

impl Versioned {
    /// Writes the value. Equal values are equal bytes.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let Self { version, revocations, content } = self;
        serde_json::to_vec(&Envelope { format: FORMAT, version: *version, revocations: *revocations, content })
    }

    /// Reads a value. Fields that this version does not know are ignored.
    pub fn from_json(json: &[u8]) -> Result<Self, Unreadable> {
        let Envelope { format, .. } = serde_json::from_slice::<Envelope<serde::de::IgnoredAny>>(json)?;
        if format > FORMAT {
            return Err(Unreadable::Newer(format));
        }
        let Envelope { version, revocations, content, .. } = serde_json::from_slice(json)?;
        Ok(Self { version, revocations, content })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value() -> Versioned {
        let key = PortableKey {
            key: PublicKey::from_bytes([7; 32]),
            local: false,
            added: i64::MIN,
            until: Some(i64::MAX),
            proof: Some("p".into()),
            certificate: None,
            certificate_by: None,
        };
        let code = PortableCode { hash: Bytes([1; 32]), until: 9, overlap: Some(u64::MAX), used: None };
        let identity = PortableIdentity {
            created: 5,
            scope: Scope::everything(),
            disabled: true,
            enrolment: Some(3),
            keys: vec![key],
            code: Some(code),
        };
        Versioned { version: 4, revocations: 1, content: Content::Identity(Box::new(identity)) }
    }

    #[test]
    fn a_value_is_these_bytes_and_is_read_with_fields_of_later_versions() {
        let text = String::from_utf8(value().to_json().unwrap()).unwrap();
        let key = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
        let hash = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
        let expected = format!(
            r#"{{"format":1,"version":4,"revocations":1,"content":{{"identity":{{"created":5,"scope":{{"devices":["*"],"streams":["*"]}},"disabled":true,"enrolment":3,"keys":[{{"key":"{key}","local":false,"added":{},"until":{},"proof":"p"}}],"code":{{"hash":"{hash}","until":9,"overlap":{}}}}}}}}}"#,
            i64::MIN,
            i64::MAX,
            u64::MAX
        );
        assert_eq!(text, expected);
        assert_eq!(Versioned::from_json(text.as_bytes()).unwrap(), value());
        let later =
            text.replace(r#""format":1"#, r#""later":[1],"format":1"#).replace(r#""local""#, r#""x":{},"local""#);
        assert_eq!(Versioned::from_json(later.as_bytes()).unwrap(), value());
        let removed = Versioned { content: Content::Removed, ..value() };
        assert_eq!(removed.to_json().unwrap(), br#"{"format":1,"version":4,"revocations":1,"content":"removed"}"#);
    }

    #[test]
    fn a_later_format_is_refused_by_its_number_whatever_its_content() {
        let error = Versioned::from_json(br#"{"format":2,"version":1,"content":{"later":1}}"#).unwrap_err();
        assert!(matches!(error, Unreadable::Newer(2)), "{error}");
        let error = Versioned::from_json(br#"{"format":1,"version":1,"content":{"later":1}}"#).unwrap_err();
        assert!(matches!(error, Unreadable::Malformed(_)), "{error}");
    }

    #[test]
    fn hashes_are_not_printed() {
        let shown = format!("{:?}", value());
        assert!(shown.contains("[hash]") && !shown.contains("1, 1, 1"), "{shown}");
    }
}
