//! This hub's part in a cluster: what it tells the others, what it knows of them, and what it asks them.

mod news;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};
use tokio::time::sleep_until;

use super::invitations::Invitations;
use super::key::ClusterKey;
use super::link::{Cluster, LinkError};
use super::messages::Subject;
use super::view::members::{DEAD_AFTER, Heartbeat, HeartbeatEffect, MemberTable};
use super::view::news_count::NewsCounts;
use super::view::other_hubs::OtherHubs;
use super::view::placement::{Members, Placement, Presence};
use super::view::presence::{AgentConnection, MovedAway, PresenceChange, PresenceNews, PresenceTable};
use super::view::stamp::{HybridClock, Stamp};
use crate::net::log_throttle::LogThrottle;
use crate::net::os::clock;
use crate::proto::id::{DeviceId, HubId, HubRequestId, StreamId};
use crate::proto::join::HubAddress;
use crate::proto::resume::HubRun;

/// The hubs that are named to the ends of a stream beside this one.
const SUCCESSORS: usize = 2;

/// The time in which a hub that starts has heard of all others: a beat, and some for the connection.
const SETTLING_TIME: Duration = Duration::from_millis(1300);

/// The difference of two hubs' clocks with which they understand each other, in milliseconds. What was recorded is of use to
/// nobody after it.
const MAX_MESSAGE_AGE: u64 = 30_000;

/// The limit on requests that are to be cancelled. Beyond it they run into their own timeouts.
const MAX_CANCELLED: usize = 4096;

/// What there is of one hub in the cluster.
pub struct Node {
    /// This hub and its run.
    pub own: HubRun,
    id: HubId,
    /// The address at which clients reach this hub and no other.
    pub address: HubAddress,
    /// Invitations of further hubs.
    pub invitations: Invitations,
    link: Arc<dyn Cluster>,
    key: ClusterKey,
    started_at: Instant,
    stale_log: LogThrottle,
    state: Mutex<State>,
    /// Notified when there is something to tell of this hub's devices.
    pub(super) news: Notify,
    /// Counts the changes of what is known of other hubs and their devices.
    changes: watch::Sender<u64>,
}

struct State {
    members: MemberTable,
    presence: PresenceTable,
    news_counts: NewsCounts,
    clock: HybridClock,
    /// Changes of this hub's devices that were not told yet.
    untold: Vec<PresenceChange>,
    /// All devices are to be told.
    is_list_due: bool,
    lists: u64,
    /// The messages about this hub's devices so far.
    news_sent: u64,
    /// When all devices were told last.
    list_at: Option<Instant>,
    /// Requests that nobody waits for any more.
    cancelled: Vec<(HubId, HubRequestId)>,
    /// When the engine was in reach first.
    reached_at: Option<Instant>,
}

impl State {
    /// Reports whether another hub may live of which this one has not heard since it started.
    fn is_young(&self) -> bool {
        self.reached_at.is_none_or(|reached_at| clock::now() < reached_at + DEAD_AFTER)
    }

    fn forget(&mut self, hub: HubId) {
        self.presence.forget(hub);
        self.news_counts.forget(hub);
    }
}

impl Node {
    /// The part of a hub that has heard of no other yet.
    pub fn new(
        id: HubId,
        run: u64,
        address: HubAddress,
        region: Option<String>,
        (link, key): (Arc<dyn Cluster>, ClusterKey),
    ) -> Self {
        let state = State {
            members: MemberTable::new(id, region),
            presence: PresenceTable::new(id),
            news_counts: NewsCounts::default(),
            clock: HybridClock::default(),
            untold: Vec::new(),
            is_list_due: true,
            lists: 0,
            news_sent: 0,
            list_at: None,
            cancelled: Vec::new(),
            reached_at: None,
        };
        let own = HubRun { id: Some(id), run };
        let changes = watch::Sender::new(0);
        let invitations = Invitations::default();
        let started_at = clock::now();
        Self {
            own,
            id,
            address,
            invitations,
            link,
            key,
            started_at,
            stale_log: LogThrottle::default(),
            state: Mutex::new(state),
            news: Notify::new(),
            changes,
        }
    }

    /// This hub's id.
    pub fn id(&self) -> HubId {
        self.id
    }

    /// What connects the hubs.
    pub fn link(&self) -> &Arc<dyn Cluster> {
        &self.link
    }

    /// Returns a time of the hub's hybrid clock.
    pub fn stamp(&self) -> Stamp {
        self.state.lock().clock.next(clock::unix_millis())
    }

    /// A device has connected to this hub.
    pub fn device_came(&self, device: DeviceId, connection: AgentConnection) {
        self.set_own(device, Ok(connection));
    }

    /// The connection of a device has ended.
    pub fn device_left(&self, device: DeviceId, connection: AgentConnection) {
        self.set_own(device, Err(connection));
    }

    fn set_own(&self, device: DeviceId, online: Result<AgentConnection, AgentConnection>) {
        let mut state = self.state.lock();
        let stamp = state.clock.next(clock::unix_millis());
        let change = state.presence.set_own(device, online, stamp);
        // Until the list of all is told, changes are told with it.
        if let Some(change) = change.filter(|_| !state.is_list_due) {
            state.untold.push(change);
            drop(state);
            self.news.notify_one();
        }
    }

    /// Nobody waits for a request any more.
    pub(super) fn cancel(&self, hub: HubId, id: HubRequestId) {
        let mut state = self.state.lock();
        if state.cancelled.len() < MAX_CANCELLED {
            state.cancelled.push((hub, id));
            drop(state);
            self.news.notify_one();
        }
    }

    /// Takes the requests that nobody waits for any more.
    pub(super) fn take_cancelled(&self) -> Vec<(HubId, HubRequestId)> {
        std::mem::take(&mut self.state.lock().cancelled)
    }

    /// Takes note of what another hub says of its devices. Returns those of this hub that are there since.
    pub(super) fn hear_presence(&self, news: &PresenceNews) -> Vec<MovedAway> {
        if news.hub == self.id {
            return Vec::new();
        }
        let mut state = self.state.lock();
        news.changes.iter().for_each(|change| state.clock.observe(change.stamp));
        state.news_counts.hear(news);
        let moved = state.presence.hear(news);
        drop(state);
        self.note_change();
        moved
    }

    /// Takes note of a beat.
    pub(super) fn hear_beat(&self, beat: Heartbeat) {
        let (hub, leaving, is_behind) = (beat.hub, beat.leaving, beat.behind.contains(&self.id));
        let heard = {
            let mut state = self.state.lock();
            if hub != self.id {
                state.news_counts.hear_beat(&beat);
            }
            let heard = state.members.hear(beat, clock::now());
            if leaving && heard == HeartbeatEffect::Changed {
                state.forget(hub);
            }
            heard
        };
        if heard == HeartbeatEffect::New {
            self.tell_all_devices();
        } else if is_behind {
            self.tell_again();
        }
        if heard != HeartbeatEffect::Nothing {
            self.note_change();
        }
    }

    /// Takes note of beats that did not come. Returns the hubs that are dead.
    pub(super) fn expire(&self) -> Vec<HubId> {
        let mut state = self.state.lock();
        let dead = state.members.expire(clock::now());
        dead.iter().for_each(|hub| state.forget(*hub));
        drop(state);
        if !dead.is_empty() {
            self.note_change();
        }
        dead
    }

    /// The engine is out of reach, or in reach again. Reports whether that is new.
    pub(super) fn set_connected(&self, connected: bool) -> bool {
        let changed = {
            let mut state = self.state.lock();
            if connected {
                state.reached_at.get_or_insert_with(clock::now);
            }
            state.members.set_isolated(!connected, clock::now())
        };
        if changed {
            self.note_change();
            self.tell_all_devices();
        }
        changed
    }

    /// Subscribes to changes of what is known of other hubs and their devices.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn note_change(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Returns all hubs.
    pub fn members(&self) -> Members {
        self.state.lock().members.members()
    }

    /// Returns what the broker has to know of the others.
    pub fn other_hubs(&self) -> OtherHubs {
        self.state.lock().members.other_hubs()
    }

    /// Returns the addresses of the hubs at which the ends of a stream meet if this one is gone.
    pub fn successors(&self, stream: StreamId) -> Vec<HubAddress> {
        let state = self.state.lock();
        let hubs = state.members.members().successors(stream).into_iter().take(SUCCESSORS);
        hubs.filter_map(|hub| state.members.address(hub).cloned()).collect()
    }

    /// Waits until this hub has heard of all others that live: at its start, they have not had the time for a beat.
    pub async fn settled(&self) {
        let since = self.state.lock().reached_at.unwrap_or(self.started_at);
        sleep_until((since + SETTLING_TIME).into()).await;
    }

    /// Reads the table of hubs.
    pub fn with_members<R>(&self, read: impl FnOnce(&MemberTable) -> R) -> R {
        read(&self.state.lock().members)
    }

    /// Decides where a stream to a device is opened that is not connected to this hub.
    pub fn place(&self, device: &DeviceId) -> Placement {
        let is_connected = *self.link.is_connected().borrow();
        let state = self.state.lock();
        let members = state.members.members();
        // At the start the engine may be out of reach before that is noted.
        let isolated = members.isolated || !is_connected;
        let may_live = members.may_live || state.is_young();
        Members { isolated, may_live, ..members }.place(state.presence.find(device))
    }

    /// A hub does not listen any more.
    pub(super) fn bury(&self, hub: HubId) {
        let mut state = self.state.lock();
        if state.members.bury(hub, clock::now()) {
            state.forget(hub);
            drop(state);
            self.note_change();
        }
    }

    /// Reports whether a hub may live that does not count as alive.
    pub(super) fn may_one_live(&self) -> bool {
        let state = self.state.lock();
        state.members.may_one_live() || state.is_young()
    }

    /// Forgets that a device is at a hub, which says that it is not.
    pub fn contradict(&self, device: &DeviceId, hub: HubId) {
        self.state.lock().presence.contradict(device, hub);
    }

    /// Reports whether a device was heard of at a hub that counts as dead: that lives again, and has not said so yet.
    pub fn is_at_dead_hub(&self, device: &DeviceId) -> bool {
        let state = self.state.lock();
        matches!(state.presence.find(device), Presence::Elsewhere { hub, .. } if !state.members.is_alive(hub))
    }

    /// Encodes a message and authenticates it for its place.
    #[expect(clippy::expect_used, reason = "ids, names and numbers always serialise")]
    pub fn signed<T: Serialize>(&self, place: impl ToString, message: &T) -> Bytes {
        let body = serde_json::to_vec(message).expect("plain data serialises");
        let timed = [&clock::unix_millis().to_be_bytes()[..], &body].concat();
        self.key.sign(&place.to_string(), &timed)
    }

    /// Decodes a message that another hub authenticated for this place a moment ago; `None` if none did.
    pub fn opened<T: DeserializeOwned>(&self, place: impl ToString, message: &Bytes) -> Option<T> {
        let timed = self.key.verify(&place.to_string(), message)?;
        let (sent, body) = timed.split_first_chunk()?;
        let is_fresh = u64::from_be_bytes(*sent).abs_diff(clock::unix_millis()) <= MAX_MESSAGE_AGE;
        if !is_fresh && self.stale_log.should_log() {
            tracing::warn!(
                target: "cluster",
                "a message of another hub is more than {} s off: set the clocks of both, or somebody repeats old messages",
                MAX_MESSAGE_AGE / 1000
            );
        }
        serde_json::from_slice(body).ok().filter(|_| is_fresh)
    }

    /// Says something to all.
    pub(super) async fn tell<T: Serialize>(&self, subject: Subject, message: &T) -> Result<(), LinkError> {
        self.link.tell(subject, self.signed(subject, message)).await
    }

    /// Returns what is known of a device that is not here.
    pub fn find(&self, device: &DeviceId) -> Presence {
        self.state.lock().presence.find(device)
    }
}
