//! Ids and names, parsed at the edge and cheap to clone.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Length limit of device ids, service names and stream names, in characters: Azure IoT Hub's for device ids.
const MAX_NAME_CHARS: usize = 128;

/// The error for text that is not a valid name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} must be 1 to {MAX_NAME_CHARS} of the characters A-Z a-z 0-9 . _ - and not '.' or '..'")]
pub struct InvalidName {
    kind: &'static str,
}

fn validate_name(text: &str, kind: &'static str) -> Result<Arc<str>, InvalidName> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let sized = (1..=MAX_NAME_CHARS).contains(&text.len());
    // URL normalisation would remove "." and "..".
    if sized && text.chars().all(allowed) && text != "." && text != ".." {
        Ok(text.into())
    } else {
        Err(InvalidName { kind })
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                validate_name(text, $kind).map(Self)
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.as_ref().into()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name!(
    /// The id of a device, which accepts streams.
    DeviceId, "a device id"
);
name!(
    /// The name of a service, which opens streams.
    ServiceName, "a service name"
);
name!(
    /// The name of a stream that a service opens on a device; matches one of its forwards exactly.
    StreamName, "a stream name"
);
name!(
    /// The id of a device or a service, next to its [`Role`].
    PrincipalId, "an id"
);

/// The name of the service of a user without a name.
pub const UNNAMED_SERVICE: &str = "local";

impl DeviceId {
    /// The id in lower case: ids that differ in case alone name the same device.
    #[must_use]
    pub fn lower_case(&self) -> Self {
        Self(self.0.to_ascii_lowercase().into())
    }
}

impl From<DeviceId> for PrincipalId {
    fn from(id: DeviceId) -> Self {
        Self(id.0)
    }
}

impl From<ServiceName> for PrincipalId {
    fn from(name: ServiceName) -> Self {
        Self(name.0)
    }
}

impl From<PrincipalId> for DeviceId {
    fn from(id: PrincipalId) -> Self {
        Self(id.0)
    }
}

impl From<PrincipalId> for ServiceName {
    fn from(id: PrincipalId) -> Self {
        Self(id.0)
    }
}

/// The role of an identity, and of an end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Accepts streams.
    Device,
    /// Opens streams.
    Service,
}

impl Role {
    /// The word on the wire, in paths and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Service => "service",
        }
    }
}

impl std::ops::Not for Role {
    type Output = Self;
    /// Returns the other role.
    fn not(self) -> Self {
        match self {
            Self::Device => Self::Service,
            Self::Service => Self::Device,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = InvalidRole;
    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        match text {
            "device" => Ok(Self::Device),
            "service" => Ok(Self::Service),
            _ => Err(InvalidRole),
        }
    }
}

/// The error for text other than `device` or `service`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("role must be 'device' or 'service'")]
pub struct InvalidRole;

/// An identity: a role and an id within it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Principal {
    /// The role.
    pub role: Role,
    /// The id.
    pub id: PrincipalId,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.id)
    }
}

macro_rules! random_id {
    ($(#[$doc:meta])* $type:ident, $(#[$error_doc:meta])* $error:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(u128);

        impl $type {
            /// Creates an id from random bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(u128::from_be_bytes(bytes))
            }

            /// The random bytes.
            pub fn bytes(self) -> [u8; 16] {
                self.0.to_be_bytes()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        $(#[$error_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        #[error("{} must be 32 lower-case hexadecimal digits", $kind)]
        pub struct $error;

        impl FromStr for $type {
            type Err = $error;
            fn from_str(text: &str) -> Result<Self, $error> {
                parse_digits(text).map(Self).ok_or($error)
            }
        }

        impl TryFrom<String> for $type {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(id: $type) -> Self {
                id.to_string()
            }
        }
    };
}

random_id!(
    /// The id of a stream, from its request on: 128 random bits, as 32 hexadecimal digits.
    StreamId,
    /// The error for text that is not 32 lower-case hexadecimal digits.
    InvalidStreamId,
    "a stream id"
);
random_id!(
    /// The id of a hub, which it keeps for as long as its state exists: 128 random bits, as 32 hexadecimal digits.
    HubId,
    /// The error for text that is not 32 lower-case hexadecimal digits.
    InvalidHubId,
    "a hub's id"
);
random_id!(
    /// The id of a request from one hub of a cluster to another: 128 random bits, as 32 hexadecimal digits. A reply is
    /// authenticated for it.
    HubRequestId,
    /// The error for text that is not 32 lower-case hexadecimal digits.
    InvalidHubRequestId,
    "a request's id"
);

fn parse_digits(text: &str) -> Option<u128> {
    let digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    let is_whole = text.len() == 32 && text.bytes().all(digit);
    is_whole.then(|| u128::from_str_radix(text, 16).ok())?
}

/// The number of a connection that the hub accepted, counted from its start. Distinguishes a device's new connection
/// from its old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_accept_the_safe_characters_only() {
        for good in ["a", "pi-42", "A.b_c-9", &"x".repeat(128)] {
            assert!(good.parse::<DeviceId>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "ä", "a\n", "a=b", "%2e", &"x".repeat(129)] {
            assert!(bad.parse::<StreamName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn stream_ids_round_trip_and_reject_other_spellings() {
        let id = StreamId::from_bytes([7; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("+7070707070707070707070707070707".parse::<StreamId>().is_err());
        assert!(id.to_string().to_uppercase().replace('0', "A").parse::<StreamId>().is_err());
    }
}
