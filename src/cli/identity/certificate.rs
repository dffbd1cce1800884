//! The certificate of a fleet that an identity of this machine presents: the one that a person gave it, or the one that it took
//! from the hub, whichever holds longer.

use std::path::Path;

use crate::hub::state::read_private;
use crate::net::e2e::leaf::Voucher;
use crate::net::e2e::verdict::CertificateVerdict;
use crate::net::os::clock;
use crate::proto::fleet::Fleet;
use crate::proto::id::Principal;
use crate::proto::key::PublicKey;

/// A certificate, and what it is worth.
pub(in crate::cli) struct OwnCertificate {
    pub(in crate::cli) voucher: Option<Voucher>,
    pub(in crate::cli) verdict: CertificateVerdict,
}

impl OwnCertificate {
    fn judge(text: &str, owner: &Principal, key: &PublicKey, fleet: Option<&Fleet>) -> Self {
        let verdict = CertificateVerdict::of(text, owner, key, fleet, clock::now_utc());
        Self { voucher: Voucher::parse(text), verdict }
    }
}

/// Returns the certificate that an identity presents, of the `given` one and the one in the file `taken`.
pub(super) fn choose(
    (owner, key): (&Principal, &PublicKey),
    fleet: Option<&Fleet>,
    given: Option<&str>,
    taken: &Path,
) -> anyhow::Result<Option<OwnCertificate>> {
    let judged = |text: &str| OwnCertificate::judge(text, owner, key, fleet);
    let given = given.map(judged);
    let taken = if taken.exists() { Some(judged(read_private(taken)?.trim())) } else { None };
    // One for a former key, or of a former fleet, is of no interest any more.
    let taken =
        taken.filter(|taken| matches!(taken.verdict, CertificateVerdict::Good(_) | CertificateVerdict::Expired(_)));
    Ok(match (given, taken) {
        (Some(given), Some(taken)) if given.verdict.end() >= taken.verdict.end() => Some(given),
        (given, taken) => taken.or(given),
    })
}
