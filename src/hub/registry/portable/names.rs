//! The keys of values in the bucket: each is a legal subject of NATS, and every legal id has one of its own.

use std::fmt;
use std::fmt::Write as _;

use crate::proto::id::{Principal, Role};

/// An identity or an enrolment key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// A device or service.
    Identity(Principal),
    /// The enrolment key with this number.
    Enrolment(u64),
}

impl Subject {
    /// Returns the key of its value.
    pub fn key(&self) -> String {
        match self {
            Self::Identity(Principal { role, id }) => format!("id.{}.{}", letter(*role), escape(id.as_str())),
            Self::Enrolment(number) => format!("enr.{number}"),
        }
    }

    /// Returns the subject of a value with this key; `None` if other things have it, or none.
    pub fn of_key(key: &str) -> Option<Self> {
        let found = match key.split_once('.')? {
            ("id", rest) => {
                let (letter_of_role, id) = rest.split_once('.')?;
                let role = [Role::Device, Role::Service].into_iter().find(|role| letter(*role) == letter_of_role)?;
                Self::Identity(Principal { role, id: unescape(id)?.parse().ok()? })
            }
            ("enr", number) => Self::Enrolment(number.parse().ok()?),
            _ => return None,
        };
        // No other spelling is its key.
        Some(found).filter(|found| found.key() == key)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(principal) => principal.fmt(f),
            Self::Enrolment(number) => write!(f, "enrolment key {number}"),
        }
    }
}

fn letter(role: Role) -> &'static str {
    match role {
        Role::Device => "d",
        Role::Service => "s",
    }
}

/// Writes every byte but letters, digits, `-` and `_` as `=` and two digits: `a..b` is a legal id and no legal subject.
fn escape(id: &str) -> String {
    let mut escaped = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "={byte:02X}");
        }
    }
    escaped
}

fn unescape(escaped: &str) -> Option<String> {
    let mut pieces = escaped.split('=');
    let mut id = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        id.push(u8::from_str_radix(digits, 16).ok()?);
        id.extend(rest.as_bytes());
    }
    String::from_utf8(id).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn device(id: &str) -> Subject {
        Subject::Identity(Principal { role: Role::Device, id: id.parse().unwrap() })
    }

    /// A key that NATS and its key-value tools accept.
    fn is_legal(key: &str) -> bool {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '=');
        key.split('.').all(|token| !token.is_empty() && token.chars().all(allowed))
    }

    #[test]
    fn keys_are_these() {
        assert_eq!(device("pi-42_A").key(), "id.d.pi-42_A");
        assert_eq!(device("a..b").key(), "id.d.a=2E=2Eb");
        assert_eq!(Subject::Enrolment(7).key(), "enr.7");
        for other in
            ["", "id", "id.d.", "id.x.a", "id.d.a.b", "id.d.a=2e", "id.d.=61", "id.d.a=2", "enr.07", "enr.", "registry"]
        {
            assert_eq!(Subject::of_key(other), None, "{other}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn every_id_has_a_legal_key_of_its_own(id in "[A-Za-z0-9._-]{1,128}", other in "[A-Za-z0-9._=-]{1,128}") {
            prop_assume!(id != "." && id != "..");
            let (subject, key) = (device(&id), device(&id).key());
            prop_assert!(is_legal(&key), "{}", key);
            prop_assert_eq!(Subject::of_key(&key), Some(subject));
            prop_assert_eq!(escape(&id) == escape(&other), id == other);
        }

        #[test]
        fn escaping_is_injective_for_any_text(one in ".{0,9}", other in ".{0,9}") {
            prop_assert_eq!(unescape(&escape(&one)), Some(one.clone()));
            prop_assert_eq!(escape(&one) == escape(&other), one == other);
        }

        #[test]
        fn any_text_is_the_key_of_at_most_the_subject_that_has_it(key in "(id\\.[ds]\\.|enr\\.)?[A-F0-9a=.]{0,9}") {
            if let Some(subject) = Subject::of_key(&key) {
                prop_assert_eq!(subject.key(), key);
            }
        }
    }
}
