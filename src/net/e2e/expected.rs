//! The peer that a session is for, and the rule by which it is accepted.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, Error, OtherError};

use super::failure::Failure;
use super::fleet::{self, Certified, Passed};
use super::leaf::{self, Voucher};
use super::peers::Anchors;
use crate::net::os::clock;
use crate::proto::e2e::StreamBinding;
use crate::proto::fleet::Fleet;
use crate::proto::id::Principal;
use crate::proto::key::PublicKey;
use crate::proto::timestamp::Timestamp;

/// The peer that a stream is for, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Expected {
    /// The names that the stream may have: the default forward of a device has two.
    bindings: Vec<StreamBinding>,
    pub(super) peer: Principal,
    /// The keys that may vouch for the peer; `None` where it is met for the first time.
    pub(super) anchors: Anchors,
    /// The fleet that must have signed the peer's key, whatever else is known of it.
    pub(super) fleet: Option<Fleet>,
    /// A certificate of the peer that it may not have yet.
    certificate: Option<CertificateDer<'static>>,
}

impl Expected {
    /// The device of a stream, for its service.
    pub fn device(binding: StreamBinding, anchors: Anchors) -> Self {
        let peer = binding.device_principal();
        Self { bindings: vec![binding], peer, anchors, fleet: None, certificate: None }
    }

    /// The service of a stream, for its device. A service may have asked for the device's default without a name.
    pub fn service(binding: StreamBinding, is_default: bool, anchors: Anchors) -> Self {
        let peer = binding.service_principal();
        let unnamed = is_default.then(|| StreamBinding { stream: None, ..binding.clone() });
        let bindings = [binding].into_iter().chain(unnamed).collect();
        Self { bindings, peer, anchors, fleet: None, certificate: None }
    }

    /// Has a fleet vouch for the peer, and nothing else.
    #[must_use]
    pub fn in_fleet(self, fleet: Option<Fleet>) -> Self {
        Self { fleet, ..self }
    }

    /// Has a certificate count as if the peer presented it.
    #[must_use]
    pub fn certified_by(self, certificate: Option<Voucher>) -> Self {
        Self { certificate: certificate.map(|voucher| voucher.der().clone()), ..self }
    }

    /// Reports whether there is a certificate that the peer may not have yet.
    pub(super) fn is_certified_here(&self) -> bool {
        self.certificate.is_some()
    }

    /// Verifies that the fleet vouches for the peer's key, in the chain that it presents or by the certificate that is here.
    pub(super) fn certified(
        &self,
        chain: &[CertificateDer<'_>],
        fleet: &Fleet,
        clock: Timestamp,
    ) -> Result<Certified, Error> {
        let refused = match fleet::verify(chain, &self.peer, fleet, clock) {
            Ok(certified) => return Ok(certified),
            Err(refused) => refused,
        };
        let ([leaf, ..], Some(certificate)) = (chain, &self.certificate) else { return Err(refused) };
        fleet::verify(&[leaf.clone(), certificate.clone()], &self.peer, fleet, clock)
    }

    /// The ALPN protocols of these names.
    pub(super) fn alpn_protocols(&self) -> Vec<Vec<u8>> {
        self.bindings.iter().map(StreamBinding::alpn).collect()
    }

    /// Verifies the peer's chain, and returns its key.
    pub(super) fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
        passed: &Passed,
    ) -> Result<PublicKey, Error> {
        if let Some(fleet) = &self.fleet {
            let clock = clock::now_utc();
            let certified = self.certified(chain, fleet, passed.clock(clock))?;
            passed.learn(&certified, clock);
            return Ok(certified.key);
        }
        let [leaf, ..] = chain else { return Err(Error::NoCertificatesPresented) };
        let presented = leaf::presented_key(leaf, &self.peer)?;
        match &self.anchors {
            None => leaf::verify(chain, &self.peer, &[presented], now),
            Some(anchors) => leaf::verify(chain, &self.peer, anchors, now).map_err(|error| match anchors.as_slice() {
                [known] if *known != presented => other(Failure::AnotherKey { known: *known, shown: presented }),
                _ => error,
            }),
        }
    }
}

/// Wraps a failure of ours into TLS's error, which ends the session with an alert.
pub(in crate::net) fn other(failure: Failure) -> Error {
    CertificateError::Other(OtherError(Arc::new(failure))).into()
}
