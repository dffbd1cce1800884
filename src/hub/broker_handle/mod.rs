//! The handle to the broker, shared by all connections.
//!
//! In: the broker's inputs from any task, one processed at a time. Out: results, commands to devices, and legs handed
//! from one task to the other. `driver` executes the broker's outputs, and `memory` has streams give way where memory is
//! short.

mod active_stream;
mod driver;
mod memory;
mod presence;

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

pub(super) use self::active_stream::{ActiveStream, EndConnection};
use self::driver::BrokerDriver;
use super::activity::Activity;
use super::broker::{
    DeviceRequest, Grant, Input, JoinedStream, LegAdmission, LegAttach, LegExit, OpenRequest, Settings,
};
use crate::net::tunnel::relay::{Leg, WaitingBytes};
use crate::net::websocket::Transport;
use crate::net::websocket::channel::RoundTrip;
use crate::proto::admin::StreamStatus;
use crate::proto::id::{ConnectionId, DeviceId, HubId, StreamId};
use crate::proto::message::{Hello, StreamResponse};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::resume::HubRun;

/// The interval at which a ping retries while the broker is busy.
const PING_RETRY: Duration = Duration::from_millis(10);

/// The limit on commands that a device's connection has not sent yet. A device that reads nothing reaches it, and is
/// dropped.
const MAX_QUEUED_COMMANDS: usize = 256;

/// A command to a device's control connection.
#[derive(Debug)]
pub(super) enum DeviceCommand {
    /// Send this request. Boxed: the queue reserves memory for its largest variant.
    RequestStream(Box<DeviceRequest>),
    /// Cancel the request.
    CancelRequest(StreamId),
    /// Close: another agent, connected from this address, replaced this one.
    Displaced(SocketAddr),
    /// Close: the identity is no longer valid, for this reason.
    Dismissed(RefusalKind),
    /// Check that the connection's key is still valid.
    RevalidateKey,
}

/// The outcome for an admitted leg.
#[derive(Debug)]
pub(super) enum JoinOutcome<T> {
    /// Hand the leg over to the task of the other one.
    SendLeg(oneshot::Sender<Handover<T>>),
    /// Receive the other leg and relay the stream.
    Relay(oneshot::Receiver<Handover<T>>, Box<JoinedStream>, Arc<ActiveStream>),
    /// The stream will not be joined.
    Refused(Refusal),
}

/// A device's leg, for the task that relays the stream.
#[derive(Debug)]
pub(super) struct Handover<T> {
    /// The leg.
    pub leg: Leg<T>,
    /// The channel on which the leg returns after the stream, if its connection can be reused.
    pub return_to: Option<oneshot::Sender<Leg<T>>>,
}

/// A device's standby connection.
#[derive(Debug)]
pub(super) struct DeviceStandby {
    /// The device.
    pub device: DeviceId,
    /// The run of its agent.
    pub run: u64,
    /// Receives the next request. Dropped when the device, or this run of its agent, is offline.
    pub requests: oneshot::Sender<StandbyRequest>,
}

/// A request to a device on a standby connection.
#[derive(Debug)]
pub(super) struct StandbyRequest {
    /// The device's control connection.
    pub connection: ConnectionId,
    /// The request.
    pub request: DeviceRequest,
    /// Cancelled when the response is no longer needed.
    pub withdrawn: CancellationToken,
}

type OpenResult = Result<Grant, Refusal>;
type Attachment<T> = (LegAdmission, oneshot::Receiver<JoinOutcome<T>>);

/// The registration of an online device.
#[derive(Debug)]
struct DeviceRegistration {
    connection: ConnectionId,
    hello: Hello,
    address: SocketAddr,
    round_trip: Arc<RoundTrip>,
    commands: mpsc::Sender<DeviceCommand>,
}

/// The numbers of streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct StreamTotals {
    all: usize,
    /// The streams that a draining hub waits for; the others survive its restart.
    blocking: usize,
}

/// A handle to the broker. Clones share the broker.
pub(super) struct BrokerHandle<T>(Arc<Inner<T>>);

/// The shared driver.
struct Inner<T> {
    /// Held while the broker processes an input and its outputs are executed, and for the operator's lists. A task with
    /// a queue would cost every stream a dozen thread switches.
    driver: Mutex<BrokerDriver<T>>,
    /// Notified when a deadline precedes the one that is slept for.
    earlier_deadline: Notify,
    totals: watch::Receiver<StreamTotals>,
    waiting: Arc<WaitingBytes>,
}

impl<T> Clone for BrokerHandle<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The refusal after a panic in the broker.
const BROKER_DOWN: RefusalKind = RefusalKind::Draining;

impl<T: Transport> BrokerHandle<T> {
    /// A broker without devices or streams.
    pub(super) fn new(settings: Settings, id: HubId, activity: Activity) -> Self {
        let (sender, totals) = watch::channel(StreamTotals::default());
        let waiting = Arc::new(WaitingBytes::default());
        let driver = Mutex::new(BrokerDriver::new(settings, id, activity, sender, waiting.clone()));
        Self(Arc::new(Inner { driver, earlier_deadline: Notify::new(), totals, waiting }))
    }

    /// Returns this run of the hub, as in its tickets.
    pub(super) fn hub_run(&self) -> HubRun {
        self.with(|driver| driver.broker.hub_run()).unwrap_or(HubRun { id: None, run: 0 })
    }

    /// Runs the broker's deadlines until dropped.
    pub(super) async fn run_timers(self) {
        loop {
            let deadline = self.with(BrokerDriver::arm_timer).unwrap_or_default();
            let due = async {
                match deadline {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.0.earlier_deadline.notified() => {}
                () = due => drop(self.with(BrokerDriver::handle_timeout)),
            }
        }
    }

    /// Registers an online device until the guard is dropped. Its commands arrive on the channel.
    pub(super) fn register_device(
        &self,
        device: DeviceId,
        connection: ConnectionId,
        hello: Hello,
        address: SocketAddr,
        round_trip: Arc<RoundTrip>,
    ) -> Result<(mpsc::Receiver<DeviceCommand>, LeaveGuard<T>), Refusal> {
        let left = Input::DeviceDisconnected { device: device.clone(), connection, reason: String::new() };
        let (commands, receiver) = mpsc::channel(MAX_QUEUED_COMMANDS);
        let registration = DeviceRegistration { connection, hello, address, round_trip, commands };
        self.with(|driver| driver.register_device(device, registration))?;
        Ok((receiver, self.leave_guard(left)))
    }

    /// Passes on a device's response, which arrived on its control connection or on a standby connection.
    pub(super) fn device_responded(&self, connection: ConnectionId, response: StreamResponse, standby: bool) {
        self.handle(Input::DeviceResponded { connection, response, standby });
    }

    /// Registers a device's standby connection for one request.
    pub(super) fn add_standby(&self, standby: DeviceStandby) {
        let _ = self.with(|driver| driver.add_standby(standby));
    }

    /// Has a request repeated on the control connection after its standby connection broke without a response, before or
    /// after it `was_sent` there.
    pub(super) fn standby_failed(&self, connection: ConnectionId, stream: StreamId, was_sent: bool) {
        let _ = self.with(|driver| driver.standby_failed(connection, stream, was_sent));
    }

    /// Requests a stream and waits for the result. Dropping the future cancels the request.
    pub(super) async fn open_stream(&self, requester: ConnectionId, request: OpenRequest) -> OpenResult {
        let _guard = self.leave_guard(Input::RequesterLeft { requester });
        let result = self.with(|driver| driver.open(requester, request))?;
        result.await.unwrap_or_else(|_| Err(BROKER_DOWN.into()))
    }

    /// Attaches a leg with its credential. If admitted, it waits for the rendezvous, and has left when the guard is
    /// dropped.
    pub(super) fn attach_leg(&self, attach: LegAttach) -> Result<(Attachment<T>, LeaveGuard<T>), Refusal> {
        let left = Input::LegLeft { leg: attach.leg, exit: LegExit::Lost(None, String::new()) };
        let attachment = self.with(|driver| driver.attach_leg(attach))?;
        Ok((attachment?, self.leave_guard(left)))
    }

    /// Returns every stream, the oldest first.
    pub(super) fn all_streams(&self) -> Vec<StreamStatus> {
        let mut streams = self.with(|driver| driver.streams()).unwrap_or_default();
        streams.sort_by_key(|stream| Reverse(stream.age_seconds));
        streams
    }

    /// Returns the bytes relayed by all open streams, to devices and to services.
    pub(super) fn bytes_carried(&self) -> (u64, u64) {
        self.with(|driver| driver.bytes_carried()).unwrap_or_default()
    }

    /// Reports whether the broker works: waits while it is busy without blocking it, and fails once it has panicked.
    pub(super) async fn ping(&self) -> bool {
        loop {
            match self.0.driver.try_lock().map(drop) {
                Ok(()) => return true,
                Err(TryLockError::Poisoned(_)) => return false,
                Err(TryLockError::WouldBlock) => {}
            }
            sleep(PING_RETRY).await;
        }
    }

    /// Ends a stream for the operator.
    pub(super) fn kill_stream(&self, stream: StreamId) {
        self.handle(Input::StreamKilled { stream });
    }

    /// Refuses new streams from now on.
    pub(super) fn drain(&self) {
        self.handle(Input::Drain);
    }

    /// Waits until no stream is left that would not survive a restart.
    pub(super) async fn wait_drained(&self) {
        let _ = self.0.totals.clone().wait_for(|totals| totals.blocking == 0).await;
    }

    /// Returns the number of streams.
    pub(super) fn streams(&self) -> usize {
        self.0.totals.borrow().all
    }

    /// Returns the number of streams that a draining hub waits for.
    pub(super) fn blocking_streams(&self) -> usize {
        self.0.totals.borrow().blocking
    }

    /// Ends every stream.
    pub(super) fn end_all(&self) {
        let _ = self.with(BrokerDriver::end_all);
    }

    /// Processes an input.
    pub(super) fn handle(&self, input: Input) {
        let _ = self.with(|driver| driver.handle(input));
    }

    fn with<R>(&self, action: impl FnOnce(&mut BrokerDriver<T>) -> R) -> Result<R, Refusal> {
        // After a panic the broker's state may be inconsistent: it is used no more, and everyone who waits is released.
        let mut driver = self.0.driver.lock().map_err(|poisoned| {
            poisoned.into_inner().abort();
            Refusal::from(BROKER_DOWN)
        })?;
        let result = action(&mut driver);
        if driver.take_earlier_deadline() {
            self.0.earlier_deadline.notify_one();
        }
        Ok(result)
    }

    fn leave_guard(&self, input: Input) -> LeaveGuard<T> {
        LeaveGuard(self.clone(), Some(Box::new(input)))
    }
}

/// Tells the broker that a leg, device or requester is gone: on drop at the latest.
pub(super) struct LeaveGuard<T: Transport>(BrokerHandle<T>, Option<Box<Input>>);

impl<T: Transport> LeaveGuard<T> {
    /// Sets the way in which the leg ended.
    pub(super) fn set_exit(&mut self, exit: LegExit) {
        if let Some(Input::LegLeft { exit: slot, .. }) = self.1.as_deref_mut() {
            *slot = exit;
        }
    }

    /// Sets the reason for which the device disconnected.
    pub(super) fn set_reason(&mut self, why: String) {
        if let Some(Input::DeviceDisconnected { reason, .. }) = self.1.as_deref_mut() {
            *reason = why;
        }
    }

    /// Tells the broker now.
    pub(super) fn leave(&mut self) {
        if let Some(input) = self.1.take() {
            self.0.handle(*input);
        }
    }
}

impl<T: Transport> Drop for LeaveGuard<T> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use tokio::io::DuplexStream;

    use super::*;
    use crate::hub::activity;
    use crate::hub::metrics::Metrics;

    #[tokio::test]
    async fn a_broker_that_panicked_releases_every_waiter_and_fails_pings() {
        let directory = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new(&[], None));
        let settings = activity::Settings::default();
        let (activity, _writer) = Activity::open(&directory.path().join("log"), settings, metrics).unwrap();
        let broker = BrokerHandle::<DuplexStream>::new(Settings::default(), HubId::from_bytes([0; 16]), activity);
        let hello = Hello {
            version: "1".into(),
            run: 1,
            protocols: Vec::new(),
            forwards: Vec::new(),
            accepts_any_name: false,
            reusable: false,
            certificates: false,
        };
        let address = (std::net::Ipv4Addr::LOCALHOST, 1).into();
        let device = "pi-42".parse().unwrap();
        let (mut commands, _guard) =
            broker.register_device(device, ConnectionId(1), hello, address, Arc::default()).unwrap();
        assert!(broker.ping().await);
        let panicked = catch_unwind(AssertUnwindSafe(|| broker.with(|_| -> () { panic!("a defect") })));
        assert!(panicked.is_err() && !broker.ping().await);
        assert_eq!(broker.devices_online(), 0);
        assert!(
            matches!(commands.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)),
            "its receiver still waits"
        );
    }
}
