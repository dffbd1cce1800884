//! Random calls of a registry, for tests that compare two.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::sqlite::SqliteRegistry;
use super::{CodeHash, Registry, RegistryError};
use crate::proto::id::{Principal, Role};
use crate::proto::key::PublicKey;
use crate::proto::scope::{Limit, Scope, ScopeChange};
use crate::proto::secret::{JoinCode, SecretHash};
use crate::proto::timestamp::Timestamp;

/// Ids that differ in case alone are among them, and some that are no legal subjects.
const PRINCIPALS: [(Role, &str); 7] = [
    (Role::Device, "pi"),
    (Role::Device, "Pi"),
    (Role::Device, "a..b"),
    (Role::Device, "a.b"),
    (Role::Device, "c"),
    (Role::Service, "pi"),
    (Role::Service, "local"),
];

/// Codes and keys are numbered.
const NUMBERS: u8 = 6;

/// A change of a registry.
#[derive(Debug, Clone)]
pub(super) enum Call {
    Add(usize, u8),
    Rotate(usize, u8, u64),
    Redeem(usize, u8, u8),
    Enrol(usize, u8),
    SetProof(usize, u8, u8),
    SetCertificate(usize, u8, u8, usize),
    SetDisabled(usize, bool),
    Rescope(usize, u8),
    Remove(usize),
    AddEnrolment(u8, u32),
    RemoveEnrolment(u64),
    SetLastSeen(usize),
}

/// Any call.
pub(super) fn call() -> impl Strategy<Value = Call> {
    let (who, number) = (0..PRINCIPALS.len(), 1..NUMBERS);
    let (who, number) = (move || who.clone(), move || number.clone());
    prop_oneof![
        3 => (who(), number()).prop_map(|(who, code)| Call::Add(who, code)),
        2 => (who(), number(), 0..40u64).prop_map(|(who, code, overlap)| Call::Rotate(who, code, overlap)),
        6 => (who(), number(), number()).prop_map(|(who, code, key)| Call::Redeem(who, code, key)),
        2 => (who(), number()).prop_map(|(who, key)| Call::Enrol(who, key)),
        1 => (who(), number(), number()).prop_map(|(who, key, text)| Call::SetProof(who, key, text)),
        1 => (who(), number(), number(), 5..7usize).prop_map(|(who, key, text, by)| Call::SetCertificate(who, key, text, by)),
        2 => (who(), any::<bool>()).prop_map(|(who, disabled)| Call::SetDisabled(who, disabled)),
        2 => (who(), number()).prop_map(|(who, number)| Call::Rescope(who, number)),
        2 => who().prop_map(Call::Remove),
        2 => (number(), 1..4u32).prop_map(|(code, uses)| Call::AddEnrolment(code, uses)),
        1 => (1..5u64).prop_map(Call::RemoveEnrolment),
        1 => who().prop_map(Call::SetLastSeen),
    ]
}

pub(super) fn principal(index: usize) -> Principal {
    let (role, id) = PRINCIPALS[index];
    Principal { role, id: id.parse().unwrap() }
}

pub(super) fn key(number: u8) -> PublicKey {
    PublicKey::from_bytes([number; 32])
}

pub(super) fn code(number: u8) -> SecretHash {
    JoinCode::new([number; 16]).hash()
}

pub(super) fn code_hash(number: u8) -> CodeHash {
    CodeHash { hash: code(number), until: Timestamp(60 + i64::from(number)) }
}

pub(super) fn in_memory() -> SqliteRegistry {
    SqliteRegistry::open(Path::new(":memory:")).unwrap()
}

impl Call {
    /// The identity that it changes.
    pub(super) fn subject(&self) -> Option<usize> {
        match *self {
            Self::Add(who, ..)
            | Self::Rotate(who, ..)
            | Self::Redeem(who, ..)
            | Self::Enrol(who, ..)
            | Self::SetProof(who, ..)
            | Self::SetCertificate(who, ..)
            | Self::SetDisabled(who, _)
            | Self::Rescope(who, _)
            | Self::Remove(who) => Some(who),
            Self::AddEnrolment(..) | Self::RemoveEnrolment(_) | Self::SetLastSeen(_) => None,
        }
    }

    /// Makes the call at a time.
    pub(super) fn make(&self, registry: &dyn Registry, now: i64) -> Result<(), RegistryError> {
        let now = Timestamp(now);
        let text = |number: u8| format!("text-{number}");
        match *self {
            Self::Add(who, code) => registry.add(&principal(who), &Scope::default(), &code_hash(code), now),
            Self::Rotate(who, code, overlap) => {
                registry.rotate(&principal(who), &code_hash(code), Duration::from_secs(overlap))
            }
            Self::Redeem(who, with, as_key) => {
                registry.redeem(&principal(who), &code(with), &key(as_key), now).map(drop)
            }
            Self::Enrol(who, as_key) => registry.enrol(&principal(who), &key(as_key), now).map(drop),
            Self::SetProof(who, of, number) => registry.set_proof(&principal(who), &key(of), &text(number)),
            Self::SetCertificate(who, of, number, by) => {
                let by = principal(by).id;
                registry.set_certificate(&principal(who), &key(of), &text(number), (&by, number == 1)).map(drop)
            }
            Self::SetDisabled(who, disabled) => registry.set_disabled(&principal(who), disabled),
            Self::Rescope(who, number) => {
                let devices = Some(vec![format!("x-{number}*").parse().unwrap()]);
                let until = Some(if number == 1 { Limit::Unlimited } else { Limit::At(now) });
                registry.rescope(&principal(who), ScopeChange { devices, until, ..Default::default() }).map(drop)
            }
            Self::Remove(who) => registry.remove(&principal(who)),
            Self::AddEnrolment(code, uses) => {
                registry.add_enrolment(&"*".parse().unwrap(), uses, &code_hash(code), now).map(drop)
            }
            Self::RemoveEnrolment(number) => registry.remove_enrolment(number),
            Self::SetLastSeen(who) => registry.set_last_seen(&[(principal(who), now)]),
        }
    }
}

/// Everything that a registry says of its contents, but for last connections.
pub(super) fn contents(registry: &dyn Registry) -> Vec<String> {
    let mut said = vec![format!("{:?}", registry.enrolments().unwrap())];
    for role in [Role::Device, Role::Service] {
        for mut record in registry.list(role).unwrap() {
            record.last_seen = None;
            said.push(format!("{record:?} {:?}", registry.endorsements(&record.principal).unwrap()));
        }
    }
    for who in (0..PRINCIPALS.len()).map(principal) {
        for (with, as_key) in (1..NUMBERS).flat_map(|with| (1..NUMBERS).map(move |as_key| (with, as_key))) {
            for now in [0, 30, 62] {
                let check = registry.check_code(&who, &code(with), &key(as_key), Timestamp(now)).unwrap();
                said.push(format!("{who} {with} {as_key} {now}: {check:?}"));
            }
        }
    }
    said
}
