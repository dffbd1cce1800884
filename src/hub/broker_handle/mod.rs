//! The handle through which connections speak to the broker: one at a time.

mod driver;

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, TryLockError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use self::driver::BrokerDriver;
use super::activity::Activity;
use super::broker::{Admission, DeviceRequest, Grant, Input, JoinedStream, LegAttach, LegExit, OpenRequest, Settings};
use crate::net::tunnel::relay::{ByteCounters, Leg};
use crate::net::websocket::Transport;
use crate::net::websocket::channel::RoundTrip;
use crate::proto::admin::{Presence, StreamStatus};
use crate::proto::id::{ConnectionId, DeviceId, StreamId};
use crate::proto::message::{Hello, StreamResponse};
use crate::proto::refusal::{Refusal, RefusalKind};

/// Who asks whether the broker answers looks again this often while it is busy.
const PING_RETRY: Duration = Duration::from_millis(10);

/// Notices that a device's connection has not yet sent. Beyond this the device reads nothing and is dismissed.
const MAX_QUEUED_COMMANDS: usize = 256;

/// What a device's control connection is told.
#[derive(Debug)]
pub(super) enum DeviceCommand {
    /// ResumeCredential this request on. Boxed: a queue has room for so many of the largest.
    RequestStream(Box<DeviceRequest>),
    /// That request is void.
    CancelRequest(StreamId),
    /// Another agent took over from this address; end.
    Displaced(SocketAddr),
    /// The identity is no longer let in, for this reason; end.
    Dismissed(RefusalKind),
    /// The identity's keys have changed: is the one that was shown still good?
    RevalidateKey,
}

/// What a side that was let in is told.
#[derive(Debug)]
pub(super) enum Rendezvous<T> {
    /// Hand your socket to the other side.
    HandOver(oneshot::Sender<Handover<T>>),
    /// Take the other side's socket and carry the bytes.
    TakeOver(oneshot::Receiver<Handover<T>>, Box<JoinedStream>, Arc<ActiveStream>),
    /// There will be no meeting.
    Refused(Refusal),
}

/// A device's side, for the task that carries the stream.
#[derive(Debug)]
pub(super) struct Handover<T> {
    /// The side.
    pub leg: Leg<T>,
    /// Where to give it back after the stream, if it stands by.
    pub return_to: Option<oneshot::Sender<Leg<T>>>,
}

/// A device's connection stands by.
#[derive(Debug)]
pub(super) struct DeviceStandby {
    /// Whose.
    pub device: DeviceId,
    /// Of which run of its agent.
    pub run: u64,
    /// Takes the next request. It is dropped when the device, or this run of it, is not online.
    pub requests: oneshot::Sender<StandbyRequest>,
}

/// A device is asked on a connection that stood by.
#[derive(Debug)]
pub(super) struct StandbyRequest {
    /// The control connection that stands for the device.
    pub connection: ConnectionId,
    /// What for.
    pub request: DeviceRequest,
    /// The answer is no longer of interest.
    pub withdrawn: CancellationToken,
}

/// A stream that is open, for whoever watches or ends it.
#[derive(Debug, Default)]
pub(super) struct ActiveStream {
    /// Bytes so far, over all interruptions.
    pub counters: Arc<ByteCounters>,
    /// Ends it.
    pub cancel: CancellationToken,
    /// Why it was ended, if the hub did.
    reason: OnceLock<Refusal>,
}

impl ActiveStream {
    /// Ends the stream for a reason.
    fn end(&self, reason: Refusal) {
        let _ = self.reason.set(reason);
        self.cancel.cancel();
    }

    /// Why the hub ended it.
    pub(super) fn end_reason(&self) -> Refusal {
        self.reason.get().cloned().unwrap_or_else(|| RefusalKind::Draining.into())
    }
}

type OpenResult = Result<Grant, Refusal>;
type Attachment<T> = (Admission, oneshot::Receiver<Rendezvous<T>>);

/// A device that has said hello.
#[derive(Debug)]
struct DeviceRegistration {
    connection: ConnectionId,
    hello: Hello,
    address: SocketAddr,
    round_trip: Arc<RoundTrip>,
    commands: mpsc::Sender<DeviceCommand>,
}

/// How many streams there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct StreamTotals {
    all: usize,
    /// Those that a hub waits for before it ends: the others outlive it.
    blocking: usize,
}

/// Speaks to the broker.
pub(super) struct BrokerHandle<T>(Arc<Inner<T>>);

/// Where one is served after the other.
struct Inner<T> {
    /// Held while the broker decides and what it decided is noted, and for the lists that whoever runs the hub asks for: a
    /// task of its own would cost every stream a dozen changes from one thread to another.
    driver: Mutex<BrokerDriver<T>>,
    /// There is a deadline that comes before the one that is waited for.
    earlier_deadline: Notify,
    totals: watch::Receiver<StreamTotals>,
}

impl<T> Clone for BrokerHandle<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The broker is gone; there is nobody to ask.
const BROKER_DOWN: RefusalKind = RefusalKind::Draining;

impl<T: Transport> BrokerHandle<T> {
    /// With nobody there yet.
    pub(super) fn new(settings: Settings, activity: Activity) -> Self {
        let (sender, totals) = watch::channel(StreamTotals::default());
        let driver = Mutex::new(BrokerDriver::new(settings, activity, sender));
        Self(Arc::new(Inner { driver, earlier_deadline: Notify::new(), totals }))
    }

    /// Tells the broker when its deadlines have come, for ever.
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

    /// A device is online until the guard is dropped; its notices come on the channel.
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

    /// A device answered, on its control connection or a standby.
    pub(super) fn device_responded(&self, connection: ConnectionId, response: StreamResponse, standby: bool) {
        self.handle(Input::DeviceResponded { connection, response, standby });
    }

    /// A device's connection stands by for a request.
    pub(super) fn add_standby(&self, standby: DeviceStandby) {
        let _ = self.with(|driver| driver.add_standby(standby));
    }

    /// A standby connection broke before its device answered: it is asked on its control connection.
    pub(super) fn standby_failed(&self, connection: ConnectionId, request: DeviceRequest) {
        let _ = self.with(|driver| driver.request_on_control(connection, request));
    }

    /// Asks for a stream and waits for the answer; the request is void when the caller stops waiting.
    pub(super) async fn open_stream(&self, requester: ConnectionId, request: OpenRequest) -> OpenResult {
        let _guard = self.leave_guard(Input::RequesterLeft { requester });
        let result = self.with(|driver| driver.open(requester, request))?;
        result.await.unwrap_or_else(|_| Err(BROKER_DOWN.into()))
    }

    /// A side shows its token. If it is let in, it waits for its meeting, and has left when the guard is dropped.
    pub(super) fn attach_leg(&self, arrival: LegAttach) -> Result<(Attachment<T>, LeaveGuard<T>), Refusal> {
        let left = Input::LegLeft { leg: arrival.leg, exit: LegExit::Lost(None, String::new()) };
        let attachment = self.with(|driver| driver.attach_leg(arrival))?;
        Ok((attachment?, self.leave_guard(left)))
    }

    /// A device, if it is online. Each is asked for by itself: a list of all of them would hold up every stream meanwhile.
    pub(super) fn presence(&self, device: &DeviceId) -> Option<Presence> {
        self.with(|driver| driver.presence(device)).ok().flatten()
    }

    /// How many they are.
    pub(super) fn devices_online(&self) -> usize {
        self.with(|driver| driver.devices_online()).unwrap_or_default()
    }

    /// Every stream, the oldest first.
    pub(super) fn all_streams(&self) -> Vec<StreamStatus> {
        let mut streams = self.with(|driver| driver.streams()).unwrap_or_default();
        streams.sort_by_key(|stream| Reverse(stream.age_seconds));
        streams
    }

    /// Whether there is this stream.
    pub(super) fn has_stream(&self, stream: StreamId) -> bool {
        self.with(|driver| driver.has_stream(stream)).unwrap_or_default()
    }

    /// What all streams that run have carried, to the device and to the service.
    pub(super) fn bytes_carried(&self) -> (u64, u64) {
        self.with(|driver| driver.bytes_carried()).unwrap_or_default()
    }

    /// Whether the broker answers at all: waits, but holds up nobody, while it is busy.
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

    /// Whoever runs the hub wants a stream to end.
    pub(super) fn kill_stream(&self, stream: StreamId) {
        self.handle(Input::StreamKilled { stream });
    }

    /// No new streams from here on.
    pub(super) fn drain(&self) {
        self.handle(Input::Drain);
    }

    /// Returns when no stream is left that would not outlive the hub.
    pub(super) async fn wait_drained(&self) {
        let _ = self.0.totals.clone().wait_for(|totals| totals.blocking == 0).await;
    }

    /// How many streams there are.
    pub(super) fn streams(&self) -> usize {
        self.0.totals.borrow().all
    }

    /// How many of them a hub that drains still waits for.
    pub(super) fn blocking_streams(&self) -> usize {
        self.0.totals.borrow().blocking
    }

    /// Ends every stream.
    pub(super) fn end_all(&self) {
        let _ = self.with(BrokerDriver::end_all);
    }

    /// Something happened.
    pub(super) fn handle(&self, input: Input) {
        let _ = self.with(|driver| driver.handle(input));
    }

    fn with<R>(&self, action: impl FnOnce(&mut BrokerDriver<T>) -> R) -> Result<R, Refusal> {
        // Where it panicked, what it knows may be wrong: it is asked no more, and nobody waits for it any longer.
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

/// Tells the broker, when dropped at the latest, that something is gone.
pub(super) struct LeaveGuard<T: Transport>(BrokerHandle<T>, Option<Box<Input>>);

impl<T: Transport> LeaveGuard<T> {
    /// Says how a side left.
    pub(super) fn set_exit(&mut self, exit: LegExit) {
        if let Some(Input::LegLeft { exit: slot, .. }) = self.1.as_deref_mut() {
            *slot = exit;
        }
    }

    /// Says why a device left.
    pub(super) fn set_reason(&mut self, why: String) {
        if let Some(Input::DeviceDisconnected { reason, .. }) = self.1.as_deref_mut() {
            *reason = why;
        }
    }

    /// Says so now.
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
    async fn a_broker_that_panicked_lets_go_of_everybody_and_is_not_alive() {
        let directory = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new(&[], None));
        let settings = activity::Settings::default();
        let (activity, _writer) = Activity::open(&directory.path().join("log"), settings, metrics).unwrap();
        let broker = BrokerHandle::<DuplexStream>::new(Settings::default(), activity);
        let hello = Hello {
            version: "1".into(),
            run: 1,
            protocols: Vec::new(),
            forwards: Vec::new(),
            accepts_any_name: false,
            reusable: false,
        };
        let address = (std::net::Ipv4Addr::LOCALHOST, 1).into();
        let device = "pi-42".parse().unwrap();
        let (mut commands, _guard) =
            broker.register_device(device, ConnectionId(1), hello, address, Arc::default()).unwrap();
        assert!(broker.ping().await);
        let panicked = catch_unwind(AssertUnwindSafe(|| broker.with(|_| -> () { panic!("a defect") })));
        assert!(panicked.is_err() && !broker.ping().await);
        assert_eq!(broker.devices_online(), 0);
        assert!(matches!(commands.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)), "it still waits");
    }
}
