//! The tasks of a hub in a cluster: they tell the others of it, hear what these say, and serve what they ask.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::link::{Received, ReplyPath};
use super::messages::{
    Cancellation, Found, HubReply, HubRequest, Numbered, Search, Subject, WaitingDevices, reply_place,
};
use super::node::Node;
use super::requests::{Admission, ServedRequests};
use super::view::members::{BEAT_INTERVAL, Heartbeat};
use super::view::other_hubs::OtherHubs;
use super::view::presence::{MovedAway, PresenceNews};
use crate::net::tasks::Tasks;
use crate::proto::id::{DeviceId, StreamId};

/// The time in which changes of devices are collected: a fleet that reconnects costs a message each time, not one per device.
const BATCH_TIME: Duration = Duration::from_millis(20);

/// The interval at which a hub says which streams wait there for a service.
const WAITING_INTERVAL: Duration = Duration::from_millis(500);

/// The streams in one message: some dozen bytes each, far below the engine's limit of 1 MiB.
const STREAMS_PER_MESSAGE: usize = 1000;

/// The time until the engine is asked again to pass on what is said on a subject.
const RETRY_TIME: Duration = Duration::from_secs(1);

/// The time for the engine to be in reach at the start, before it is said that it is not.
const START_TIME: Duration = Duration::from_secs(5);

/// What a cluster has of the hub itself.
pub trait HubPart: Send + Sync + 'static {
    /// Describes the hub to the others.
    fn heartbeat(&self) -> Heartbeat;

    /// Reports whether a device is connected to this hub.
    fn has_device(&self, device: &DeviceId) -> bool;

    /// A device of this hub has connected to another one since.
    fn moved_away(&self, moved: MovedAway);

    /// Returns the streams of dead hubs whose device's end waits at this hub for the service's.
    fn devices_waiting(&self) -> Vec<StreamId>;

    /// The device's ends of these streams wait at another hub.
    fn devices_wait_elsewhere(&self, streams: Vec<StreamId>);

    /// Other hubs have come or gone, or the engine has.
    fn members_changed(&self, others: OtherHubs);

    /// Another hub is further in the registry than this.
    fn is_behind(&self, revision: u64);

    /// Serves a request of another hub.
    fn serve(self: Arc<Self>, request: HubRequest) -> BoxFuture<'static, HubReply>;
}

/// Takes part in the cluster until dropped.
pub async fn run(node: Arc<Node>, hub: Arc<dyn HubPart>, tasks: Tasks) {
    let served = ServedRequests::default();
    tokio::join!(
        send_beats(&node, &hub),
        send_news(&node),
        send_waiting(&node, &hub),
        follow_connection(&node),
        follow_members(&node, &hub),
        hear::<Heartbeat>(&node, Subject::Beats, |beat| {
            let revision = beat.revision;
            node.hear_beat(beat);
            hub.is_behind(revision);
        }),
        hear::<PresenceNews>(&node, Subject::Presence, |news| {
            node.hear_presence(&news).into_iter().for_each(|moved| hub.moved_away(moved));
        }),
        hear::<WaitingDevices>(&node, Subject::Waiting, |waiting| {
            if waiting.hub != node.id() {
                hub.devices_wait_elsewhere(waiting.streams);
            }
        }),
        hear::<Cancellation>(&node, Subject::Cancellations(node.id()), |cancelled| served.cancel(cancelled.id)),
        reply_to_searches(&node, &hub),
        serve_requests(&node, &hub, &served, &tasks),
    );
}

/// Tells the others that this hub ends.
pub async fn announce_end(node: &Node, hub: &dyn HubPart) {
    let beat = Heartbeat { leaving: true, ..hub.heartbeat() };
    if let Err(error) = node.tell(Subject::Beats, &beat).await {
        tracing::debug!(target: "cluster", %error, "the other hubs are not told that this one ends");
    }
}

async fn send_beats(node: &Node, hub: &Arc<dyn HubPart>) {
    let mut ticks = interval(BEAT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = node.tell(Subject::Beats, &hub.heartbeat()).await {
            tracing::debug!(target: "cluster", %error, "a beat was not sent");
        }
        for dead in node.expire() {
            tracing::warn!(target: "cluster", "hub {dead} is silent and counts as dead");
        }
    }
}

async fn send_news(node: &Node) {
    loop {
        node.news.notified().await;
        sleep(BATCH_TIME).await;
        for news in node.take_news() {
            if let Err(error) = node.tell(Subject::Presence, &news).await {
                tracing::debug!(target: "cluster", %error, "the devices of this hub are told again later");
                // Once the engine is back; or else now and then.
                sleep(RETRY_TIME).await;
                node.tell_all_devices();
                break;
            }
        }
        for (hub, id) in node.take_cancelled() {
            let told = node.tell(Subject::Cancellations(hub), &Cancellation { id }).await;
            if let Err(error) = told {
                tracing::debug!(target: "cluster", %error, "a request is not cancelled");
            }
        }
    }
}

async fn send_waiting(node: &Node, hub: &Arc<dyn HubPart>) {
    let mut ticks = interval(WAITING_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for streams in hub.devices_waiting().chunks(STREAMS_PER_MESSAGE) {
            let waiting = WaitingDevices { hub: node.id(), streams: streams.to_vec() };
            if let Err(error) = node.tell(Subject::Waiting, &waiting).await {
                tracing::debug!(target: "cluster", %error, "the streams that wait for a service are told again later");
                break;
            }
        }
    }
}

async fn follow_connection(node: &Node) {
    let mut connected = node.link().is_connected();
    // At the start it is in reach in a moment, or is not.
    let _ = timeout(START_TIME, connected.wait_for(|connected| *connected)).await;
    loop {
        let is_connected = *connected.borrow_and_update();
        if node.set_connected(is_connected) {
            if is_connected {
                tracing::info!(target: "cluster", "the cluster's engine is in reach again");
            } else {
                tracing::warn!(
                    target: "cluster",
                    "the cluster's engine is out of reach: this hub serves the devices that it has; devices of other hubs cannot \
                     be reached through it, and changes of identities are refused"
                );
            }
        }
        if connected.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

async fn follow_members(node: &Node, hub: &Arc<dyn HubPart>) {
    let (mut changes, mut last) = (node.changes(), OtherHubs::default());
    loop {
        let others = node.other_hubs();
        if others != last {
            hub.members_changed(others.clone());
            last = others;
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Passes on what other hubs say on a subject. What none of them authenticated is dropped.
async fn hear<T: DeserializeOwned>(node: &Node, subject: Subject, mut on_message: impl FnMut(T)) {
    listen(node, subject, |received| {
        node.opened(subject, &received.message).map(&mut on_message);
        None
    })
    .await;
}

async fn reply_to_searches(node: &Node, hub: &Arc<dyn HubPart>) {
    listen(node, Subject::Who, |received| {
        let search = node.opened::<Numbered<Search>>(Subject::Who, &received.message);
        let Numbered { id, body } = search.filter(|search| search.body.from != node.id())?;
        let found = Found { hub: node.id(), online: hub.has_device(&body.device) };
        Some((received.reply?, node.signed(reply_place(id), &found)))
    })
    .await;
}

/// Takes each message on a subject, and sends the reply if there is one at once.
async fn listen(node: &Node, subject: Subject, mut on_received: impl FnMut(Received) -> Option<(ReplyPath, Bytes)>) {
    loop {
        match node.link().listen(subject).await {
            Ok(mut stream) => {
                while let Some(received) = stream.next().await {
                    if let Some((path, reply)) = on_received(received) {
                        path.send(reply).await;
                    }
                }
            }
            Err(error) => tracing::debug!(target: "cluster", %error, "cannot listen on {subject}"),
        }
        sleep(RETRY_TIME).await;
    }
}

async fn serve_requests(node: &Arc<Node>, hub: &Arc<dyn HubPart>, served: &ServedRequests, tasks: &Tasks) {
    let subject = Subject::Requests(node.id());
    listen(node, subject, |received| {
        let request = node.opened::<Numbered<HubRequest>>(subject, &received.message);
        let (Numbered { id, body }, path) = request.zip(received.reply)?;
        match served.admit(id, path) {
            Admission::Ignore => None,
            Admission::Repeat(path, reply) => Some((path, reply)),
            Admission::Serve(cancelled) => {
                let (node, hub, served) = (node.clone(), hub.clone(), served.clone());
                tasks.spawn(async move {
                    let reply = tokio::select! {
                        reply = hub.serve(body) => Some(node.signed(reply_place(id), &reply)),
                        () = cancelled.cancelled() => None,
                    };
                    for path in served.finish(id, reply.as_ref()) {
                        if let Some(reply) = &reply {
                            path.send(reply.clone()).await;
                        }
                    }
                });
                None
            }
        }
    })
    .await;
}
