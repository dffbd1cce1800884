//! What a role sees of a session while its bytes pass.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;

use super::session::Session;
use crate::net::e2e::facts::SessionFacts;
use crate::net::e2e::peers::PeerKeys;
use crate::net::tunnel::pump::Outcome;
use crate::proto::refusal::Refusal;
use crate::proto::stream::Ending;

/// A view of the session that both halves share.
#[derive(Clone)]
pub struct SessionView(pub(super) Arc<Mutex<Session>>);

impl fmt::Debug for SessionView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionView").finish_non_exhaustive()
    }
}

impl SessionView {
    /// Has the session fail if the peer does not begin it in time, counted from now: the stream is open.
    pub fn start_deadline(&self) {
        self.0.lock().start_deadline();
    }

    /// Carries the stream, both halves in the task of this work, and reports once that the peer is authorised. Where one half
    /// has something to do for the other, all is polled once more: a waker would schedule the whole task again, and wake
    /// another thread for it.
    pub(super) async fn drive<O>(&self, mut work: Pin<Box<impl Future<Output = O>>>, on_opened: impl Fn()) -> O {
        self.0.lock().take_news();
        poll_fn(|context| {
            loop {
                let polled = work.as_mut().poll(context);
                let news = self.0.lock().take_news();
                if news.has_opened {
                    on_opened();
                }
                if polled.is_ready() || !news.is_reader_due {
                    return polled;
                }
            }
        })
        .await
    }

    /// Reports whether the peer is authorised.
    pub fn is_open(&self) -> bool {
        self.0.lock().is_open()
    }

    /// Reports whether there is any key that the peer may have: one that has never enrolled has none.
    pub fn expects_anybody(&self) -> bool {
        self.0.lock().expected().1.is_none_or(|anchors| !anchors.is_empty())
    }

    /// Reports whether other keys may vouch for the peer now than when the session was begun, which it did not do at a first
    /// contact.
    pub async fn expects_another(&self, peer_keys: &dyn PeerKeys) -> Result<bool, Refusal> {
        let (peer, anchors) = self.0.lock().expected();
        Ok(anchors.is_some() && peer_keys.anchors(&peer).await? != anchors)
    }

    /// Reports whether the start of the session may reach the device more than once. One with a ticket may not: the device
    /// cannot tell whether bytes of the application were passed on with it.
    pub fn is_repeatable(&self) -> bool {
        let mut session = self.0.lock();
        !session.has_sent_early() && session.early_room() == 0
    }

    /// Reports whether bytes of the application have gone out ahead of the handshake.
    pub fn has_sent_early(&self) -> bool {
        self.0.lock().has_sent_early()
    }

    /// Reports whether the device has taken the bytes that went out ahead of the handshake.
    pub fn is_early_accepted(&self) -> bool {
        self.0.lock().is_early_accepted()
    }

    /// Reports whether a ticket was used.
    pub fn is_resumed(&self) -> bool {
        self.0.lock().is_resumed()
    }

    /// Waits until the peer is authorised, and returns what was agreed on; or why that will not come about.
    pub async fn opened(&self) -> Result<SessionFacts, Refusal> {
        let changed = self.0.lock().changed();
        loop {
            let notified = changed.notified();
            tokio::pin!(notified);
            // Before the look, or a change after it would go unseen.
            notified.as_mut().enable();
            if let Some(settled) = self.0.lock().settled() {
                return settled;
            }
            notified.await;
        }
    }

    /// Why the session failed, if it did.
    pub fn failure(&self) -> Option<Refusal> {
        self.0.lock().refusal()
    }

    /// The refusal of a peer that did not begin the session.
    pub fn not_begun(&self) -> Refusal {
        self.0.lock().not_begun()
    }

    /// The session's part in how a stream ended: its own failure comes first, and a stream that broke before the
    /// session began has none.
    pub fn outcome(&self, outcome: Outcome) -> Outcome {
        let outcome = self.own_outcome(outcome);
        self.0.lock().end_with(outcome.refusal.clone());
        outcome
    }

    fn own_outcome(&self, outcome: Outcome) -> Outcome {
        if let Some(refusal) = self.failure() {
            return refusal.into();
        }
        match outcome {
            // A reset before the session began may be the application's: it gave up.
            Outcome { ending: Ending::Broken, refusal: None } if !self.is_open() => self.not_begun().into(),
            outcome => outcome,
        }
    }
}
