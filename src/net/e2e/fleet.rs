//! Certificates of a fleet: how its owner's key signs that of an identity, and how a machine that trusts the fleet verifies
//! that.
//!
//! A certificate is one more of the chain that an end presents: the same key, name and usage as its leaf, signed by the fleet's
//! key or its recovery key, for a limited time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rcgen::{Issuer, PublicKeyData};
use rustls::CertificateError;
use rustls::pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::leaf::{self, Ed25519, Voucher};
use crate::proto::fleet::{Fleet, Validity, judged_at, may_begin};
use crate::proto::id::Principal;
use crate::proto::key::{PrivateKey, PublicKey};
use crate::proto::timestamp::Timestamp;

/// Has a fleet's key sign that of an identity.
pub fn certify(
    owner: &Principal,
    key: &PublicKey,
    signer: Arc<PrivateKey>,
    validity: Validity,
) -> anyhow::Result<Voucher> {
    let mut params = leaf::params_of(owner)?;
    params.not_before = OffsetDateTime::from_unix_timestamp(validity.not_before.0)?;
    params.not_after = OffsetDateTime::from_unix_timestamp(validity.not_after.0)?;
    let issuer = Issuer::new(leaf::unnamed(), Ed25519(signer));
    Ok(Voucher::new(params.signed_by(&Subject(*key), &issuer)?.der().clone()))
}

/// The key that a certificate is for.
struct Subject(PublicKey);

impl PublicKeyData for Subject {
    fn der_bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

/// A key that a fleet has signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certified {
    /// The key.
    pub key: PublicKey,
    /// When the certificate holds.
    pub validity: Validity,
}

/// Verifies that one of the fleet's keys has signed the key that a chain presents, for this owner in its role, and that this
/// holds at the time that `clock` shows.
pub(super) fn verify(
    chain: &[CertificateDer<'_>],
    owner: &Principal,
    fleet: &Fleet,
    clock: Timestamp,
) -> Result<Certified, rustls::Error> {
    let [leaf, vouchers @ ..] = chain else { return Err(rustls::Error::NoCertificatesPresented) };
    let key = leaf::presented_key(leaf, owner)?;
    leaf::ensure_few(vouchers)?;
    let now = judged_at(clock, fleet.since);
    // By the alert for this one, access_denied, the peer learns which refusal it is.
    let mut refused = CertificateError::ApplicationVerificationFailure;
    for certificate in chain {
        if leaf::presented_key(certificate, owner) != Ok(key) {
            continue;
        }
        let Some(validity) = validity_of(certificate) else { continue };
        // Its beginning has passed where the fleet's key is, whatever the clock here shows.
        let at = UnixTime::since_unix_epoch(Duration::from_secs(
            u64::try_from(now.max(validity.not_before).0).unwrap_or_default(),
        ));
        match leaf::verify_one(certificate, owner.role, &fleet.keys.keys(), at) {
            Ok(()) => return Ok(Certified { key, validity }),
            Err(rustls::Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            )) if is_by(certificate, owner, fleet, validity) => refused = CertificateError::Expired,
            Err(_) => {}
        }
    }
    Err(refused.into())
}

/// Reports whether the fleet signed a certificate, at the time of its own beginning.
fn is_by(certificate: &CertificateDer<'_>, owner: &Principal, fleet: &Fleet, validity: Validity) -> bool {
    let began = u64::try_from(validity.not_before.0).unwrap_or_default();
    let began = UnixTime::since_unix_epoch(Duration::from_secs(began));
    leaf::verify_one(certificate, owner.role, &fleet.keys.keys(), began).is_ok()
}

/// Verifies a certificate for an identity of this machine, before it is kept.
pub fn verify_own(
    certificate: &Voucher,
    owner: &Principal,
    key: &PublicKey,
    fleet: &Fleet,
    clock: Timestamp,
) -> Result<Validity, rustls::Error> {
    let certified = verify(&[certificate.der().clone()], owner, fleet, clock)?;
    let is_own = certified.key == *key;
    if is_own { Ok(certified.validity) } else { Err(CertificateError::ApplicationVerificationFailure.into()) }
}

/// Returns when a certificate holds, unverified.
pub fn validity_of(certificate: &CertificateDer<'_>) -> Option<Validity> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let validity = parsed.validity();
    Some(Validity {
        not_before: Timestamp(validity.not_before.timestamp()),
        not_after: Timestamp(validity.not_after.timestamp()),
    })
}

/// The latest beginning of a certificate that was verified in this process: a time that has passed.
#[derive(Debug, Default)]
pub(super) struct Passed(AtomicI64);

impl Passed {
    /// The time by which to judge the next certificate.
    pub(super) fn clock(&self, clock: Timestamp) -> Timestamp {
        judged_at(clock, Timestamp(self.0.load(Ordering::Relaxed)))
    }

    /// Learns from a certificate that was verified.
    pub(super) fn learn(&self, certified: &Certified, clock: Timestamp) {
        if may_begin(certified.validity.not_before, clock) {
            self.0.fetch_max(certified.validity.not_before.0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::e2e::leaf::Leaf;
    use crate::proto::fleet::{CERTIFICATE_TIME, FleetKeys, MAX_CERTIFICATE_BYTES};
    use crate::proto::id::Role;
    use crate::proto::secret::KeySeed;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const SIGNED: Timestamp = Timestamp(1_800_000_000);
    const FLEET: u8 = 1;
    const RECOVERY: u8 = 2;
    const DEVICE: u8 = 3;
    const FOREIGN: u8 = 4;

    fn key(seed: u8) -> Arc<PrivateKey> {
        Arc::new(PrivateKey::from_seed(&KeySeed::new([seed; 32])))
    }

    fn fleet() -> Fleet {
        Fleet { keys: FleetKeys::new(key(FLEET).public(), key(RECOVERY).public()), since: Timestamp(0) }
    }

    fn owner(role: Role, id: &str) -> Principal {
        Principal { role, id: id.to_owned().try_into().unwrap() }
    }

    fn signed(owner: &Principal, subject: u8, signer: u8) -> Voucher {
        certify(owner, &key(subject).public(), key(signer), Validity::beginning(SIGNED)).unwrap()
    }

    /// Presents the device's key as pi-42's with a certificate.
    fn verified(certificate: Option<Voucher>, clock: Timestamp) -> Result<Certified, rustls::Error> {
        let pi_42 = owner(Role::Device, "pi-42");
        let leaf = Leaf::self_signed(&pi_42, key(DEVICE)).unwrap().vouched_for_by(certificate);
        verify(leaf.chain(), &pi_42, &fleet(), clock)
    }

    const NOT_SIGNED: rustls::Error =
        rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
    const EXPIRED: rustls::Error = rustls::Error::InvalidCertificate(CertificateError::Expired);

    #[test]
    fn a_certificate_holds_for_one_key_in_one_role_under_one_id() {
        for role in [Role::Device, Role::Service] {
            let (named, other_role) = (owner(role, "pi-42"), owner(!role, "pi-42"));
            let presented = |certificate: Option<Voucher>| {
                let leaf = Leaf::self_signed(&named, key(DEVICE)).unwrap().vouched_for_by(certificate);
                verify(leaf.chain(), &named, &fleet(), SIGNED)
            };
            for signer in [FLEET, RECOVERY] {
                let certified = presented(Some(signed(&named, DEVICE, signer))).unwrap();
                assert_eq!(certified.key, key(DEVICE).public());
                assert_eq!(certified.validity.not_after, SIGNED.after(CERTIFICATE_TIME));
            }
            for (what, certificate) in [
                ("no certificate", None),
                ("another signer", Some(signed(&named, DEVICE, FOREIGN))),
                ("its own signature", Some(signed(&named, DEVICE, DEVICE))),
                ("another key", Some(signed(&named, FOREIGN, FLEET))),
                ("another id", Some(signed(&owner(role, "pi-43"), DEVICE, FLEET))),
                ("another role", Some(signed(&other_role, DEVICE, FLEET))),
                ("its former key", Some(leaf::succession(&named, key(DEVICE), key(FOREIGN)).unwrap())),
            ] {
                assert_eq!(presented(certificate), Err(NOT_SIGNED), "{what}");
            }
        }
    }

    #[test]
    fn a_fleets_key_alone_signs_and_not_one_that_it_has_signed() {
        let pi_42 = owner(Role::Device, "pi-42");
        let leaf = Leaf::self_signed(&pi_42, key(DEVICE)).unwrap();
        let chain = [signed(&pi_42, DEVICE, FOREIGN), signed(&owner(Role::Device, "pi-43"), FOREIGN, FLEET)];
        assert_eq!(verify(leaf.vouched_for_by(chain).chain(), &pi_42, &fleet(), SIGNED), Err(NOT_SIGNED));
    }

    #[test]
    fn a_certificate_ends_by_the_latest_time_that_is_certain() {
        let certificate = || Some(signed(&owner(Role::Device, "pi-42"), DEVICE, FLEET));
        let end = SIGNED.after(CERTIFICATE_TIME);
        assert!(verified(certificate(), end).is_ok());
        assert_eq!(verified(certificate(), end.after(Duration::from_secs(1))), Err(EXPIRED));
        // The clock stands at 1970 after a start without a network.
        let passed = Passed::default();
        let certified = verified(certificate(), passed.clock(Timestamp(0))).unwrap();
        passed.learn(&certified, Timestamp(0));
        assert_eq!(passed.clock(Timestamp(0)), SIGNED);
        let later = Validity::beginning(end.after(DAY));
        passed.learn(&Certified { validity: later, ..certified }, SIGNED);
        assert_eq!(passed.clock(Timestamp(0)), SIGNED, "a clock that was set knows better");
        passed.learn(&Certified { validity: later, ..certified }, Timestamp(0));
        assert_eq!(
            verified(certificate(), passed.clock(Timestamp(0))),
            Err(EXPIRED),
            "another one began after its end"
        );
        let since = Fleet { since: end.after(DAY), ..fleet() };
        let pi_42 = owner(Role::Device, "pi-42");
        let leaf = Leaf::self_signed(&pi_42, key(DEVICE)).unwrap().vouched_for_by(certificate());
        assert_eq!(
            verify(leaf.chain(), &pi_42, &since, Timestamp(0)),
            Err(EXPIRED),
            "the fleet is trusted since later"
        );
    }

    #[test]
    fn a_certificate_with_any_bit_changed_does_not_hold_and_none_is_larger_than_it_may_be() {
        let pi_42 = owner(Role::Device, "pi-42");
        let certificate = signed(&pi_42, DEVICE, FLEET);
        assert!(verified(Some(certificate.clone()), SIGNED).is_ok());
        let whole = certificate.der().to_vec();
        for position in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[position] ^= 1 << bit;
                assert!(verified(Some(Voucher::new(changed.into())), SIGNED).is_err(), "{position}");
            }
            assert!(verified(Some(Voucher::new(whole[..position].to_vec().into())), SIGNED).is_err(), "{position}");
        }
        let longest = signed(&owner(Role::Device, &"x".repeat(128)), DEVICE, FLEET).to_string();
        assert!(longest.len() <= MAX_CERTIFICATE_BYTES, "{}", longest.len());
    }

    #[test]
    fn a_machine_keeps_no_certificate_of_another_key() {
        let pi_42 = owner(Role::Device, "pi-42");
        let own = |subject| {
            let key = key(DEVICE).public();
            verify_own(&signed(&pi_42, subject, FLEET), &pi_42, &key, &fleet(), SIGNED)
        };
        assert_eq!(own(DEVICE), Ok(Validity::beginning(SIGNED)));
        assert_eq!(own(FOREIGN), Err(NOT_SIGNED));
    }
}
