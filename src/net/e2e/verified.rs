//! Chains that were verified before. A session is resumed with the certificates of an earlier one, and two signatures for
//! each stream would be a twentieth of what opening it costs.

use std::fmt;

use parking_lot::Mutex;
use rustls::Error;
use rustls::pki_types::CertificateDer;

use super::config::Expected;
use crate::proto::bounded_map::BoundedMap;
use crate::proto::key::PublicKey;

/// Chains that are remembered, the oldest lost first: one for each configuration that is kept.
const REMEMBERED_CHAINS: usize = 256;

/// Chains by what was expected of them, with the key that they present. Leaves hold at any time, and other anchors are
/// another expectation.
pub(super) struct VerifiedChains(Mutex<BoundedMap<(Expected, Vec<CertificateDer<'static>>), PublicKey>>);

impl Default for VerifiedChains {
    fn default() -> Self {
        Self(Mutex::new(BoundedMap::new(REMEMBERED_CHAINS)))
    }
}

impl fmt::Debug for VerifiedChains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifiedChains")
    }
}

impl VerifiedChains {
    /// Returns the key of a chain, which `verify` is asked for the first time.
    pub(super) fn key(
        &self,
        expected: &Expected,
        chain: &[CertificateDer<'_>],
        verify: impl FnOnce() -> Result<PublicKey, Error>,
    ) -> Result<PublicKey, Error> {
        let owned = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        let verified = (expected.clone(), owned);
        if let Some(key) = self.0.lock().get(&verified) {
            return Ok(*key);
        }
        let key = verify()?;
        self.0.lock().insert(verified, key);
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::e2e::StreamBinding;

    #[test]
    fn a_chain_is_verified_once_for_each_expectation_and_a_refused_one_every_time() {
        let binding = StreamBinding::new(&"pi-42".parse().unwrap(), "alice".parse().unwrap(), None);
        let key = |byte| PublicKey::from_bytes([byte; 32]);
        let expected = |anchor| Expected::device(binding.clone(), Some(vec![key(anchor)]));
        let chain = |byte| vec![CertificateDer::from(vec![byte])];
        let verified = VerifiedChains::default();
        let refuse = || Err(Error::NoCertificatesPresented);
        assert_eq!(verified.key(&expected(1), &chain(1), refuse), refuse());
        assert_eq!(verified.key(&expected(1), &chain(1), || Ok(key(1))), Ok(key(1)));
        assert_eq!(verified.key(&expected(1), &chain(1), refuse), Ok(key(1)));
        assert_eq!(verified.key(&expected(2), &chain(1), refuse), refuse(), "another anchor");
        assert_eq!(verified.key(&expected(1), &chain(2), refuse), refuse(), "another chain");
    }
}
