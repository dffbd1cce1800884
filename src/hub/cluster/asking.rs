//! What a hub asks the others: for a device, and of one hub.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{sleep, timeout};

use super::link::LinkError;
use super::messages::{Found, HubReply, HubRequest, Numbered, Search, Subject, reply_place};
use super::node::Node;
use crate::net::os::{clock, random};
use crate::proto::id::{DeviceId, HubId, HubRequestId};

/// The time in which a hub that lives shows it: some round trips between the engine's servers, beside [`RECONNECTING`].
const LIFE_TIMEOUT: Duration = Duration::from_millis(1200);

/// The time in which every live hub says whether it has a device.
const SEARCH_TIMEOUT: Duration = Duration::from_millis(1000);

/// The pauses before a hub that does not listen is asked again. Together they are the time in which one that lives is connected to
/// another server of the engine, once its own has died.
const RECONNECTING: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(150), Duration::from_millis(400)];

/// The time for the engine to be in reach again, and for the reply.
const RECONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The first question may have reached the hub, so that no other one is asked.
const MAY_BE_SERVED: &str = "the engine was out of reach meanwhile, and the hub does not listen again yet";

impl Node {
    /// Asks all hubs for a device that is not here. Returns the one that has it; an error if one that lives did not reply.
    pub async fn search(&self, device: &DeviceId) -> Result<Option<HubId>, LinkError> {
        let alive: Vec<_> = self.with_members(|members| members.alive().collect());
        if alive.is_empty() {
            return self.not_found();
        }
        let id = HubRequestId::from_bytes(random::bytes());
        let question =
            self.signed(Subject::Who, &Numbered { id, body: Search { from: self.id(), device: device.clone() } });
        let replies = self.link().gather(Subject::Who, question, alive.len(), SEARCH_TIMEOUT).await?;
        let replies: Vec<Found> = replies.iter().filter_map(|reply| self.opened(reply_place(id), reply)).collect();
        if let Some(found) = replies.iter().find(|reply| reply.online) {
            return Ok(Some(found.hub));
        }
        let missing = |hub: &HubId| !replies.iter().any(|reply| reply.hub == *hub);
        // One that has died meanwhile has no device; one that lives again may have it.
        match self.with_members(|members| members.alive().any(|hub| missing(&hub))) {
            true => Err(LinkError::TimedOut(SEARCH_TIMEOUT)),
            false => self.not_found(),
        }
    }

    /// No hub that is alive has a device: an error if one that counts as dead may live, and have it.
    fn not_found(&self) -> Result<Option<HubId>, LinkError> {
        match self.may_one_live() {
            true => Err(LinkError::Unreachable("a hub that was there a moment ago does not answer".into())),
            false => Ok(None),
        }
    }

    /// Asks one hub. Dropping the future cancels the request.
    pub async fn request(&self, hub: HubId, body: HubRequest, within: Duration) -> Result<HubReply, LinkError> {
        let id = HubRequestId::from_bytes(random::bytes());
        let subject = Subject::Requests(hub);
        let message = self.signed(subject, &Numbered { id, body });
        let mut cancelled = CancelOnDrop { node: self, hub, id: Some(id) };
        let reply = self.ask_until_dead(hub, message, within).await;
        if !matches!(reply, Err(LinkError::TimedOut(_))) {
            cancelled.id = None;
        }
        let malformed = || LinkError::Unreachable("the reply is not another hub's".into());
        self.opened(reply_place(id), &reply?).ok_or_else(malformed)
    }

    /// Asks one hub until it is there or counts as dead. One that connects to another server of the engine is nowhere for a moment.
    async fn ask_until_dead(&self, hub: HubId, message: Bytes, within: Duration) -> Result<Bytes, LinkError> {
        let deadline = clock::now() + within;
        let mut pauses = RECONNECTING.into_iter();
        loop {
            let left = deadline.saturating_duration_since(clock::now());
            let reply = self.ask_twice(Subject::Requests(hub), message.clone(), left).await;
            if reply != Err(LinkError::NobodyListens) || !self.with_members(|members| members.is_alive(hub)) {
                return reply;
            }
            let Some(pause) = pauses.next() else {
                self.bury(hub);
                return reply;
            };
            if clock::now() + pause >= deadline {
                return reply;
            }
            sleep(pause).await;
        }
    }

    /// Asks, and asks once more if the engine was out of reach meanwhile: the question or its reply may be lost, and a hub
    /// repeats its reply to the same question.
    async fn ask_twice(&self, subject: Subject, message: Bytes, within: Duration) -> Result<Bytes, LinkError> {
        let mut connected = self.link().is_connected();
        // What came about before is no interruption of this.
        connected.mark_unchanged();
        let first = async {
            tokio::select! {
                reply = self.link().ask(subject, message.clone(), within) => Some(reply),
                _ = connected.changed() => None,
            }
        };
        let deadline = clock::now() + within;
        let first = timeout(within, first).await.map_err(|_| LinkError::TimedOut(within))?;
        match first {
            Some(reply) if !matches!(reply, Err(LinkError::Unreachable(_))) => return reply,
            Some(_) | None => {}
        }
        let again = async {
            // Fails only if the link is gone.
            let _ = connected.wait_for(|connected| *connected).await;
            self.link().ask(subject, message, within).await
        };
        let left = deadline.saturating_duration_since(clock::now());
        match timeout(left.min(RECONNECT_TIMEOUT), again).await {
            Ok(Err(LinkError::NobodyListens)) => Err(LinkError::Unreachable(MAY_BE_SERVED.into())),
            Ok(reply) => reply,
            Err(_) => Err(LinkError::TimedOut(within)),
        }
    }

    /// Reports whether a hub that counts as alive is: one that was killed does not listen any more, before its beats are missed.
    pub async fn is_alive(&self, hub: HubId) -> bool {
        if !self.with_members(|members| members.is_alive(hub)) {
            return false;
        }
        !matches!(self.request(hub, HubRequest::Live, LIFE_TIMEOUT).await, Err(LinkError::NobodyListens))
    }
}

/// Cancels a request that nobody waits for any more.
struct CancelOnDrop<'a> {
    node: &'a Node,
    hub: HubId,
    id: Option<HubRequestId>,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.node.cancel(self.hub, id);
        }
    }
}
