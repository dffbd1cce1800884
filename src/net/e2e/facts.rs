//! What is known of an open session.

use crate::proto::key::PublicKey;
use crate::proto::known::KnownPeer;

/// What the two ends of an open session have agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFacts {
    /// The peer's key.
    pub key: PublicKey,
    /// What is known of the peer on this machine; `None` where a hub of the same user knows it.
    pub known: Option<KnownPeer>,
    /// The cipher, by its name in TLS.
    pub cipher: String,
    /// The key exchange, by its name in TLS.
    pub key_exchange: String,
    /// A quantum computer cannot undo the key exchange.
    pub is_post_quantum: bool,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use crate::net::e2e::tests::ends;
    use crate::net::tunnel::pump::Outcome;
    use crate::proto::refusal::{Refusal, RefusalKind};
    use crate::proto::stream::Ending;

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_a_session_hears_of_a_stream_that_ends_first() {
        let killed = Refusal::from(RefusalKind::StreamKilled);
        for (refusal, kind) in [(None, RefusalKind::EndToEndNotBegun), (Some(killed), RefusalKind::StreamKilled)] {
            let (service, _device) = ends(false);
            let end = async { service.view.outcome(Outcome { ending: Ending::Broken, refusal }) };
            let (opened, _) = tokio::join!(timeout(Duration::from_secs(1), service.view.opened()), end);
            assert_eq!(opened.unwrap().unwrap_err().kind, kind);
        }
    }
}
