//! A hub of the simulation: the real node, its tasks and the real broker, with agents that accept every stream.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::hub::broker::{Broker, Grant, Input, OpenRequest, Output, Settings};
use crate::hub::cluster::messages::{HubReply, HubRequest, OpenElsewhere, OpenedElsewhere};
use crate::hub::cluster::node::Node;
use crate::hub::cluster::run::HubPart;
use crate::hub::cluster::view::members::Heartbeat;
use crate::hub::cluster::view::other_hubs::OtherHubs;
use crate::hub::cluster::view::presence::{AgentConnection, MovedAway};
use crate::net::os::clock;
use crate::proto::id::{ConnectionId, DeviceId, StreamId};
use crate::proto::message::{Hello, StreamResponse};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::scope::Scope;
use crate::proto::stream::StreamProtocol;
use crate::proto::timestamp::Timestamp;

/// The time for a device's response.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A process that stands still, and its tasks with it.
#[derive(Clone, Default)]
pub(super) struct Freezer(Arc<Mutex<(bool, u64, Vec<Waker>)>>);

impl Freezer {
    pub(super) fn set(&self, frozen: bool) {
        let mut state = self.0.lock();
        state.0 = frozen;
        state.1 += u64::from(frozen);
        state.2.drain(..).for_each(Waker::wake);
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.0.lock().0
    }

    /// Counts how often it stood still.
    pub(super) fn count(&self) -> u64 {
        self.0.lock().1
    }

    pub(super) async fn wrap<T>(self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            let mut state = self.0.lock();
            if state.0 {
                state.2.push(context.waker().clone());
                return Poll::Pending;
            }
            drop(state);
            future.as_mut().poll(context)
        })
        .await
    }
}

/// How a hub ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Displaced,
    Dismissed,
}

/// What all hubs of a run write down.
#[derive(Default)]
pub(super) struct Record {
    connections: AtomicU64,
    /// The first requests for each stream that were sent to devices.
    pub(super) asked: Mutex<HashMap<StreamId, usize>>,
    pub(super) ended: Mutex<Vec<(ConnectionId, End)>>,
    pub(super) wrong: Mutex<Vec<String>>,
}

impl Record {
    pub(super) fn connection(&self) -> ConnectionId {
        ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

type Waiting = oneshot::Sender<Result<Grant, Refusal>>;

pub(super) struct Part {
    pub(super) node: Arc<Node>,
    pub(super) freezer: Freezer,
    pub(super) record: Arc<Record>,
    broker: Mutex<Broker>,
    connections: Mutex<HashMap<ConnectionId, (DeviceId, AgentConnection)>>,
    /// Connections whose agent is gone, as the hub will notice.
    dead: Mutex<HashSet<ConnectionId>>,
    waiting: Mutex<HashMap<ConnectionId, Waiting>>,
}

impl Part {
    pub(super) fn new(node: Arc<Node>, record: Arc<Record>, seed: u64) -> Self {
        let mut count = seed;
        let random = move || {
            count = super::mix(count);
            let mut bytes = [0; 32];
            bytes.chunks_mut(8).enumerate().for_each(|(at, chunk)| {
                chunk.copy_from_slice(&super::mix(count ^ u64::try_from(at).unwrap()).to_le_bytes());
            });
            bytes
        };
        let broker = Mutex::new(Broker::new(Settings::default(), node.id(), random));
        Self {
            node,
            record,
            broker,
            freezer: Freezer::default(),
            connections: Mutex::default(),
            dead: Mutex::default(),
            waiting: Mutex::default(),
        }
    }

    pub(super) fn online(&self, device: &DeviceId) -> Option<ConnectionId> {
        self.broker.lock().online(device).map(|(connection, ..)| connection)
    }

    pub(super) fn connect(&self, device: &DeviceId, agent: AgentConnection) -> ConnectionId {
        let connection = self.record.connection();
        self.connections.lock().insert(connection, (device.clone(), agent));
        let hello = Hello {
            version: "1".into(),
            run: agent.run,
            protocols: vec![StreamProtocol::V1.as_str().to_owned()],
            forwards: vec!["ssh".parse().unwrap()],
            accepts_any_name: false,
            reusable: false,
            certificates: false,
        };
        self.handle(Input::DeviceConnected { device: device.clone(), connection, hello, address: agent.address });
        self.node.device_came(device.clone(), agent);
        connection
    }

    /// The agent is gone, and the hub has not noticed.
    pub(super) fn note_dead(&self, connection: ConnectionId) {
        self.dead.lock().insert(connection);
    }

    /// The hub notices what has died.
    pub(super) fn drop_dead(&self) {
        for connection in std::mem::take(&mut *self.dead.lock()) {
            self.close(connection);
        }
    }

    pub(super) fn is_dead(&self, connection: ConnectionId) -> bool {
        self.dead.lock().contains(&connection)
    }

    /// As the end of a control session does it.
    pub(super) fn close(&self, connection: ConnectionId) {
        let Some((device, agent)) = self.connections.lock().remove(&connection) else { return };
        self.handle(Input::DeviceDisconnected { device: device.clone(), connection, reason: String::new() });
        self.node.device_left(device, agent);
    }

    pub(super) fn tick(&self) {
        self.broker.lock().handle_timeout(clock::now());
        self.execute();
    }

    fn handle(&self, input: Input) {
        self.broker.lock().handle(input, clock::now());
        self.execute();
    }

    fn execute(&self) {
        loop {
            let Some(output) = self.broker.lock().next_output() else { return };
            match output {
                Output::Displace { connection, .. } => self.end(connection, End::Displaced),
                Output::Dismiss { connection, .. } => self.end(connection, End::Dismissed),
                Output::RequestDevice { connection, request } => {
                    if !request.repeated {
                        *self.record.asked.lock().entry(request.stream).or_default() += 1;
                    }
                    if !self.dead.lock().contains(&connection) {
                        let request_id = request.stream;
                        let response = StreamResponse { request_id, accepted: true, end_to_end: false, reason: None };
                        let input = Input::DeviceResponded { connection, response, standby: false };
                        self.broker.lock().handle(input, clock::now());
                    }
                }
                Output::CompleteOpen { requester, result } => {
                    if let Some(waiting) = self.waiting.lock().remove(&requester) {
                        let _ = waiting.send(result);
                    }
                }
                Output::RevalidateKey { .. }
                | Output::CancelRequest { .. }
                | Output::Admit { .. }
                | Output::Refuse { .. }
                | Output::Join(_)
                | Output::EndStream { .. }
                | Output::StreamEnded { .. }
                | Output::Record(_) => {}
            }
        }
    }

    fn end(&self, connection: ConnectionId, end: End) {
        self.record.ended.lock().push((connection, end));
        self.close(connection);
    }

    async fn open(&self, open: OpenElsewhere) -> HubReply {
        let requester = self.record.connection();
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().insert(requester, sender);
        let leaves = LeaveOnDrop { part: self, requester };
        self.handle(Input::OpenRequested { requester, request: request(&open.device, open.stream) });
        let result = receiver.await.unwrap_or_else(|_| Err(RefusalKind::Draining.into()));
        drop(leaves);
        match result {
            Ok(grant) => HubReply::Opened(Box::new(OpenedElsewhere {
                stream: grant.stream,
                url: self.node.address.to_string(),
                token: grant.token,
                protocol: None,
                reusable: false,
                end_to_end: false,
                standby: None,
                opening_limit: 1,
            })),
            Err(reason) => HubReply::Refused { reason },
        }
    }
}

struct LeaveOnDrop<'a> {
    part: &'a Part,
    requester: ConnectionId,
}

impl Drop for LeaveOnDrop<'_> {
    fn drop(&mut self) {
        self.part.waiting.lock().remove(&self.requester);
        self.part.handle(Input::RequesterLeft { requester: self.requester });
    }
}

impl HubPart for Part {
    fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            hub: self.node.id(),
            run: self.node.own.run,
            sent: self.node.stamp(),
            address: self.node.address.clone(),
            version: "1".into(),
            region: None,
            since: Timestamp(0),
            devices: 0,
            streams: 0,
            draining: false,
            leaving: false,
            revision: 0,
            news: self.node.news_sent(),
            behind: self.node.behind(),
        }
    }

    fn has_device(&self, device: &DeviceId) -> bool {
        self.online(device).is_some()
    }

    fn moved_away(&self, MovedAway { device, to }: MovedAway) {
        self.handle(Input::PresentElsewhere { device, run: to.run, address: to.address });
    }

    fn devices_waiting(&self) -> Vec<StreamId> {
        self.broker.lock().devices_waiting(clock::now())
    }

    fn devices_wait_elsewhere(&self, streams: Vec<StreamId>) {
        self.handle(Input::DevicesWaitElsewhere { streams });
    }

    fn members_changed(&self, others: OtherHubs) {
        self.handle(Input::HubsChanged(others));
    }

    fn is_behind(&self, _: u64) {}

    fn serve(self: Arc<Self>, request: HubRequest) -> BoxFuture<'static, HubReply> {
        let freezer = self.freezer.clone();
        let reply = async move {
            match request {
                HubRequest::Open(open) if self.has_device(&open.device) => self.open(*open).await,
                HubRequest::Live => HubReply::Live,
                HubRequest::Open(_) => HubReply::NotHere,
                HubRequest::Devices { .. }
                | HubRequest::Device { .. }
                | HubRequest::Streams { .. }
                | HubRequest::Status
                | HubRequest::Log(_)
                | HubRequest::Unknown
                | HubRequest::Deny { .. }
                | HubRequest::EndStream { .. } => HubReply::Unknown,
            }
        };
        freezer.wrap(reply).boxed()
    }
}

/// A request of a service.
pub(super) fn request(device: &DeviceId, stream: Option<StreamId>) -> OpenRequest {
    OpenRequest {
        device: device.clone(),
        name: None,
        scope: Scope::everything(),
        until: None,
        service: "alice".parse().unwrap(),
        source: "192.0.2.1:4711".parse().unwrap(),
        connect_timeout: Duration::ZERO,
        response_timeout: RESPONSE_TIMEOUT,
        protocols: vec![StreamProtocol::V1],
        end_to_end: false,
        stream,
        reusable: false,
        standby: false,
        early: bytes::Bytes::new(),
        repeatable: false,
    }
}
