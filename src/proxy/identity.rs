//! A key that this machine gets while the proxy runs, or another fleet: new streams use it, and running ones go on.

use super::opener::Opener;
use crate::net::client::IdentityChange;

impl Opener {
    /// Takes up what the machine stores, until dropped.
    pub(super) async fn follow_identity(&self) {
        let identity = &self.config.identity_stored_at;
        let mut stored_at = identity.read();
        loop {
            stored_at = identity.changed(stored_at).await;
            // Of an identity that cannot be read, or is no service's any more, nothing is taken up.
            let Ok(stored) = self.config.client_factory.client().await else { continue };
            let mut client = self.client.lock().await;
            // Without one, the first stream builds it.
            let Some(present) = client.as_ref() else { continue };
            let Some(change) = present.change_to(&stored) else {
                present.accept_certificate_of(&stored);
                continue;
            };
            let service = stored.principal().clone();
            self.standbys.change_client(&stored);
            *client = Some(stored);
            drop(client);
            let news = match change {
                IdentityChange::Key => "this key has been replaced by a newer one",
                IdentityChange::Fleet => "this machine trusts another fleet than before",
            };
            tracing::info!(target: "service-proxy", "{service}: {news}; new streams use that from now on");
        }
    }
}
