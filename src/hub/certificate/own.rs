//! The leaf of the hub's own authority, renewed under the same pin before it expires.

use tokio::time::timeout;

use super::CHECK_INTERVAL;
use super::authority::{Authority, LEAF_RENEWAL};
use super::resolver::{Certificate, CertificateResolver};
use crate::net::os::clock;
use crate::proto::timestamp::Timestamp;

/// Issues the hub's own leaves.
pub(super) struct OwnLeaf {
    authority: Authority,
    names: Vec<String>,
    renew_at: Timestamp,
}

impl OwnLeaf {
    /// Issues leaves of this authority for these names.
    pub(super) fn new(authority: Authority, names: Vec<String>) -> Self {
        Self { authority, names, renew_at: clock::now_utc().after(LEAF_RENEWAL) }
    }

    /// Issues a leaf.
    pub(super) fn issue(&self) -> anyhow::Result<Certificate> {
        Certificate::new(self.authority.leaf(&self.names)?)
    }

    /// Renews the leaf whenever it is due, and after the clock has `stepped`, until dropped.
    pub(super) async fn renew(mut self, resolver: &CertificateResolver, stepped: impl AsyncFn()) {
        loop {
            // A leaf that was made while the clock was wrong may have expired by the right one, and locks everyone out.
            let stepped = timeout(CHECK_INTERVAL, stepped()).await.is_ok();
            if !stepped && clock::now_utc() < self.renew_at {
                continue;
            }
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

    #[tokio::test(start_paused = true)]
    async fn a_leaf_that_is_due_is_renewed_under_the_same_pin() {
        let authority = Authority::create().unwrap();
        let pin = authority.pin().unwrap();
        let mut own = OwnLeaf::new(authority, vec!["hub.example.com".into()]);
        own.renew_at = clock::now_utc();
        let resolver = CertificateResolver::new(own.issue().unwrap());
        let first = resolver.select(None, true);
        assert!(
            timeout(CHECK_INTERVAL * 2, own.renew(&resolver, pending::<()>)).await.is_err(),
            "it runs until dropped"
        );
        let second = resolver.select(None, true);
        assert_ne!(first.cert[0], second.cert[0], "another leaf");
        assert_eq!(pin_of(&second.cert[1]), Some(pin), "the same authority");
    }

    #[tokio::test(start_paused = true)]
    async fn a_leaf_that_is_not_due_is_kept() {
        let own = OwnLeaf::new(Authority::create().unwrap(), names([], &[]));
        let resolver = CertificateResolver::new(own.issue().unwrap());
        let first = resolver.select(None, true);
        assert!(timeout(CHECK_INTERVAL * 30, own.renew(&resolver, pending::<()>)).await.is_err());
        assert_eq!(first.cert[0], resolver.select(None, true).cert[0]);
    }
}
