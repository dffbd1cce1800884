//! The leaf of the hub's own authority, renewed under the same pin before it expires.

use tokio::time::timeout;

use super::CHECK_INTERVAL;
use super::authority::{Authority, LEAF_RENEWAL};
use super::resolver::{Certificate, CertificateResolver};
use crate::net::os::clock::{self, Reading};
use crate::proto::timestamp::Timestamp;

/// Issues the hub's own leaves.
pub(super) struct OwnLeaf {
    authority: Authority,
    names: Vec<String>,
    renew_at: Timestamp,
    /// The clocks when the latest leaf was issued, or before.
    issued_at: Reading,
}

impl OwnLeaf {
    /// Issues leaves of this authority for these names.
    pub(super) fn new(authority: Authority, names: Vec<String>) -> Self {
        Self { authority, names, renew_at: clock::now_utc().after(LEAF_RENEWAL), issued_at: Reading::now() }
    }

    /// Issues a leaf.
    pub(super) fn issue(&self) -> anyhow::Result<Certificate> {
        Certificate::new(self.authority.leaf(&self.names)?)
    }

    /// Renews the leaf whenever it is due, and after the clock has `stepped` since it was issued, until dropped.
    pub(super) async fn renew(mut self, resolver: &CertificateResolver, stepped: impl AsyncFn(Reading)) {
        loop {
            // A leaf that was made while the clock was wrong may have expired by the right one, and locks everyone out.
            let stepped = timeout(CHECK_INTERVAL, stepped(self.issued_at)).await.is_ok();
            if !stepped && clock::now_utc() < self.renew_at {
                continue;
            }
            self.issued_at = Reading::now();
            match self.issue() {
                Ok(leaf) => {
                    resolver.install_own(leaf);
                    self.renew_at = clock::now_utc().after(LEAF_RENEWAL);
                    tracing::info!(target: "hub", "renewed the hub's own certificate");
                }
                Err(error) => tracing::error!(target: "hub", "could not renew the hub's own certificate: {error:#}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::hub::certificate::names;
    use crate::net::tls::x509::pin_of;
    use crate::proto::limits::CLOCK_JUMP;

    #[tokio::test(start_paused = true)]
    async fn a_leaf_that_is_due_is_renewed_under_the_same_pin() {
        let authority = Authority::create().unwrap();
        let pin = authority.pin().unwrap();
        let mut own = OwnLeaf::new(authority, vec!["hub.example.com".into()]);
        own.renew_at = clock::now_utc();
        let resolver = CertificateResolver::new(own.issue().unwrap());
        let first = resolver.select(None, true);
        assert!(
            timeout(CHECK_INTERVAL * 2, own.renew(&resolver, async |_| pending().await)).await.is_err(),
            "it runs until dropped"
        );
        let second = resolver.select(None, true);
        assert_ne!(first.cert[0], second.cert[0], "another leaf");
        assert_eq!(pin_of(&second.cert[1]), Some(pin), "the same authority");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_while_the_hub_starts_renews_the_leaf() {
        let own = OwnLeaf::new(Authority::create().unwrap(), names([], &[]));
        let resolver = CertificateResolver::new(own.issue().unwrap());
        let first = resolver.select(None, true);
        // Of the two clocks, only this one is paused.
        tokio::time::advance(CLOCK_JUMP).await;
        assert!(timeout(CLOCK_JUMP / 5, own.renew(&resolver, Reading::stepped)).await.is_err());
        assert_ne!(first.cert[0], resolver.select(None, true).cert[0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_leaf_that_is_not_due_is_kept() {
        let own = OwnLeaf::new(Authority::create().unwrap(), names([], &[]));
        let resolver = CertificateResolver::new(own.issue().unwrap());
        let first = resolver.select(None, true);
        assert!(timeout(CHECK_INTERVAL * 30, own.renew(&resolver, async |_| pending().await)).await.is_err());
        assert_eq!(first.cert[0], resolver.select(None, true).cert[0]);
    }
}
