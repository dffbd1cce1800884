//! What a certificate is worth to the machine that it should be for: the hub, or a person, may bring any.

use std::fmt;

use rustls::CertificateError;

use super::fleet::{validity_of, verify_own};
use super::leaf::{Voucher, presented_key};
use crate::proto::fleet::{Fleet, MAX_CERTIFICATE_BYTES, Validity, may_begin};
use crate::proto::id::Principal;
use crate::proto::key::PublicKey;
use crate::proto::timestamp::Timestamp;

/// Reports whether the text is a certificate for this key of an identity, whoever has signed it.
pub fn is_for(text: &str, owner: &Principal, key: &PublicKey) -> bool {
    let voucher = if text.len() > MAX_CERTIFICATE_BYTES { None } else { Voucher::parse(text) };
    voucher.is_some_and(|voucher| presented_key(voucher.der(), owner) == Ok(*key))
}

/// What a certificate is to an identity of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateVerdict {
    /// The fleet vouches for the identity's key in this period.
    Good(Validity),
    /// The fleet did so until then.
    Expired(Timestamp),
    /// It begins long after this machine's time.
    NotYetValid(Timestamp),
    /// Its end is not later than that of the present one.
    NotLater(Timestamp),
    /// It is for another id or role.
    AnotherIdentity,
    /// It is for another key, such as the former one.
    AnotherKey,
    /// The fleet that is trusted has not signed it.
    AnotherFleet,
    /// No fleet is trusted that could vouch for anything.
    NoFleet,
    /// It is no certificate.
    Unreadable,
}

impl CertificateVerdict {
    /// Judges the text of a certificate.
    pub fn of(text: &str, owner: &Principal, key: &PublicKey, fleet: Option<&Fleet>, clock: Timestamp) -> Self {
        let voucher = if text.len() > MAX_CERTIFICATE_BYTES { None } else { Voucher::parse(text) };
        let Some((voucher, validity)) = voucher.and_then(|it| validity_of(it.der()).map(|validity| (it, validity)))
        else {
            return Self::Unreadable;
        };
        match presented_key(voucher.der(), owner) {
            Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForName)) => return Self::AnotherIdentity,
            Err(_) => return Self::Unreadable,
            Ok(certified) if certified != *key => return Self::AnotherKey,
            Ok(_) => {}
        }
        let Some(fleet) = fleet else { return Self::NoFleet };
        match verify_own(&voucher, owner, key, fleet, clock) {
            Ok(validity) if may_begin(validity.not_before, clock) => Self::Good(validity),
            Ok(validity) => Self::NotYetValid(validity.not_before),
            Err(rustls::Error::InvalidCertificate(CertificateError::Expired)) => Self::Expired(validity.not_after),
            Err(_) => Self::AnotherFleet,
        }
    }

    /// The period of one that is good.
    pub fn good(self) -> Option<Validity> {
        if let Self::Good(validity) = self { Some(validity) } else { None }
    }

    /// The end of one that holds, or held, for this identity and its fleet.
    pub fn end(self) -> Option<Timestamp> {
        match self {
            Self::Good(validity) => Some(validity.not_after),
            Self::Expired(until) => Some(until),
            Self::NotYetValid(_)
            | Self::NotLater(_)
            | Self::AnotherIdentity
            | Self::AnotherKey
            | Self::AnotherFleet
            | Self::NoFleet
            | Self::Unreadable => None,
        }
    }

    /// The word for scripts.
    pub fn word(self) -> &'static str {
        match self {
            Self::Good(_) => "good",
            Self::Expired(_) => "expired",
            Self::NotYetValid(_) => "notYetValid",
            Self::NotLater(_) => "notLater",
            Self::AnotherIdentity => "anotherIdentity",
            Self::AnotherKey => "anotherKey",
            Self::AnotherFleet => "anotherFleet",
            Self::NoFleet => "noFleet",
            Self::Unreadable => "unreadable",
        }
    }
}

/// A sentence about the certificate.
impl fmt::Display for CertificateVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = |at: &Timestamp| at.rfc3339().get(..10).unwrap_or_default().to_owned();
        match self {
            Self::Good(validity) => write!(f, "it holds until {}", day(&validity.not_after)),
            Self::Expired(until) => write!(f, "it expired on {}", day(until)),
            Self::NotYetValid(since) => {
                write!(f, "it begins on {}, which is ahead of this machine's clock", day(since))
            }
            Self::NotLater(until) => write!(f, "it ends on {}, not later than the present one", day(until)),
            Self::AnotherIdentity => f.write_str("it is for another id or role"),
            Self::AnotherKey => f.write_str("it is for another key than this machine has"),
            Self::AnotherFleet => f.write_str("the fleet that this machine trusts has not signed it"),
            Self::NoFleet => f.write_str("this machine trusts no fleet"),
            Self::Unreadable => f.write_str("it cannot be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::net::e2e::fleet::certify;
    use crate::proto::fleet::{CERTIFICATE_TIME, FleetKeys};
    use crate::proto::id::Role;
    use crate::proto::key::PrivateKey;
    use crate::proto::secret::KeySeed;

    const SIGNED: Timestamp = Timestamp(1_800_000_000);

    fn key(seed: u8) -> Arc<PrivateKey> {
        Arc::new(PrivateKey::from_seed(&KeySeed::new([seed; 32])))
    }

    fn owner(role: Role, id: &str) -> Principal {
        Principal { role, id: id.parse().unwrap() }
    }

    #[test]
    fn a_certificate_is_good_for_its_own_machine_in_its_fleet_and_time_and_else_shown_as_what_it_is() {
        let pi_42 = owner(Role::Device, "pi-42");
        let fleet = Fleet { keys: FleetKeys::new(key(1).public(), key(2).public()), since: Timestamp(0) };
        let signed = |owner: &Principal, subject: u8, signer: u8| {
            let validity = Validity::beginning(SIGNED);
            certify(owner, &key(subject).public(), key(signer), validity).unwrap().to_string()
        };
        let own = signed(&pi_42, 3, 1);
        let verdict = |text: &str, clock| CertificateVerdict::of(text, &pi_42, &key(3).public(), Some(&fleet), clock);
        assert_eq!(verdict(&own, SIGNED), CertificateVerdict::Good(Validity::beginning(SIGNED)));
        let end = SIGNED.after(CERTIFICATE_TIME);
        assert_eq!(verdict(&own, end.after(Duration::from_secs(1))), CertificateVerdict::Expired(end));
        assert_eq!(verdict(&own, Timestamp(1_796_000_000)), CertificateVerdict::NotYetValid(SIGNED));
        for (text, worth) in [
            (signed(&owner(Role::Device, "pi-43"), 3, 1), CertificateVerdict::AnotherIdentity),
            (signed(&owner(Role::Service, "pi-42"), 3, 1), CertificateVerdict::AnotherIdentity),
            (signed(&pi_42, 4, 1), CertificateVerdict::AnotherKey),
            (signed(&pi_42, 3, 4), CertificateVerdict::AnotherFleet),
            (signed(&pi_42, 3, 3), CertificateVerdict::AnotherFleet),
            (own[..own.len() / 2].to_owned(), CertificateVerdict::Unreadable),
            (String::new(), CertificateVerdict::Unreadable),
            ("not base64url!".to_owned(), CertificateVerdict::Unreadable),
            ("x".repeat(MAX_CERTIFICATE_BYTES + 1), CertificateVerdict::Unreadable),
        ] {
            assert_eq!(verdict(&text, SIGNED), worth, "{text}");
            assert_eq!(is_for(&text, &pi_42, &key(3).public()), worth == CertificateVerdict::AnotherFleet, "{text}");
        }
        assert!(is_for(&own, &owner(Role::Device, "PI-42"), &key(3).public()));
        let none = CertificateVerdict::of(&own, &pi_42, &key(3).public(), None, SIGNED);
        assert_eq!((none, none.good()), (CertificateVerdict::NoFleet, None));
    }
}
