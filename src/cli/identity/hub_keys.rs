//! The keys of peers as the hub of the same user has them: that hub is this user's own, and is asked over its admin socket.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::net::e2e::peers::{Anchors, AnchorsFuture, KeepError, PeerKeys};
use crate::net::os::clock;
use crate::net::os::local_socket;
use crate::proto::admin::{AdminRequest, AdminResponse};
use crate::proto::id::Principal;
use crate::proto::key::PublicKey;
use crate::proto::known::{KnownPeer, MAX_KNOWN_PEERS};
use crate::proto::refusal::{Refusal, RefusalKind};

/// Time for which an answer holds: streams are opened in bursts, and keys change rarely.
const ANSWER_TIME: Duration = Duration::from_millis(500);

/// Asks the hub behind this admin socket.
#[derive(Debug)]
pub(super) struct HubKeys {
    socket: PathBuf,
    answers: Mutex<HashMap<Principal, (Instant, Vec<PublicKey>)>>,
}

impl HubKeys {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket, answers: Mutex::default() }
    }

    async fn keys(&self, peer: &Principal) -> Result<Vec<PublicKey>, Refusal> {
        let now = clock::now();
        if let Some((at, keys)) = self.answers.lock().get(peer)
            && now.saturating_duration_since(*at) < ANSWER_TIME
        {
            return Ok(keys.clone());
        }
        let request = AdminRequest::Keys { principal: peer.clone() };
        let keys = match local_socket::request(&self.socket, &request).await {
            Ok(AdminResponse::Keys { keys }) => keys,
            Ok(AdminResponse::Failed { reason }) => return Err(Refusal::new(RefusalKind::HubFailed, reason)),
            Ok(_) => return Err(Refusal::new(RefusalKind::HubFailed, "unexpected response on the admin socket")),
            Err(error) => return Err(Refusal::new(RefusalKind::HubUnreachable, format!("its admin socket: {error}"))),
        };
        if keys.is_empty() {
            // It may enrol at any moment.
            return Ok(keys);
        }
        let mut answers = self.answers.lock();
        if answers.len() >= MAX_KNOWN_PEERS {
            answers.clear();
        }
        answers.insert(peer.clone(), (now, keys.clone()));
        Ok(keys)
    }
}

impl PeerKeys for HubKeys {
    fn anchors<'a>(&'a self, peer: &'a Principal) -> AnchorsFuture<'a> {
        Box::pin(async { self.keys(peer).await.map(Some) })
    }

    fn known(&self, _: &Principal) -> Option<KnownPeer> {
        None
    }

    /// The hub keeps them, and knows no fleets.
    fn keep_signed(&self, _: &Principal, _: &PublicKey) {}

    /// The hub keeps them.
    fn keep(&self, _: &Principal, _: &PublicKey, _: &Anchors) -> Result<(), KeepError> {
        Ok(())
    }
}
