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
use super::broker::{Admission, Ask, DeviceAsk, Grant, Input, Joint, Left, Settings, SideArrival};
use crate::net::channel::RoundTrip;
use crate::net::relay::{Carried, Leg};
use crate::net::websocket::Transport;
use crate::proto::admin::{Presence, StreamStatus};
use crate::proto::id::{ConnectionId, DeviceId, StreamId};
use crate::proto::message::{Hello, StreamResponse};
use crate::proto::refusal::{Refusal, RefusalKind};

/// Who asks whether the broker answers looks again this often while it is busy.
const PING_AGAIN: Duration = Duration::from_millis(10);

/// Notices that a device's connection has not yet sent. Beyond this the device reads nothing and is dismissed.
const NOTICES: usize = 256;

/// What a device's control connection is told.
#[derive(Debug)]
pub(super) enum Notice {
    /// Pass this request on. Boxed: a queue has room for so many of the largest.
    Ask(Box<DeviceAsk>),
    /// That request is void.
    Cancel(StreamId),
    /// Another agent took over from this address; end.
    Displaced(SocketAddr),
    /// The identity is no longer let in, for this reason; end.
    Dismissed(RefusalKind),
    /// The identity's keys have changed: is the one that was shown still good?
    Recheck,
}

/// What a side that was let in is told.
#[derive(Debug)]
pub(super) enum Meeting<T> {
    /// Hand your socket to the other side.
    Give(oneshot::Sender<Handover<T>>),
    /// Take the other side's socket and carry the bytes.
    Take(oneshot::Receiver<Handover<T>>, Box<Joint>, Arc<Live>),
    /// There will be no meeting.
    Refused(Refusal),
}

/// A device's side, for the task that carries the stream.
#[derive(Debug)]
pub(super) struct Handover<T> {
    /// The side.
    pub leg: Leg<T>,
    /// Where to give it back after the stream, if it stands by.
    pub back: Option<oneshot::Sender<Leg<T>>>,
}

/// A device's connection stands by.
#[derive(Debug)]
pub(super) struct Ready {
    /// Whose.
    pub device: DeviceId,
    /// Of which run of its agent.
    pub run: u64,
    /// Takes the next request. It is dropped when the device, or this run of it, is not online.
    pub wanted: oneshot::Sender<DeviceAsked>,
}

/// A device is asked on a connection that stood by.
#[derive(Debug)]
pub(super) struct DeviceAsked {
    /// The control connection that stands for the device.
    pub connection: ConnectionId,
    /// What for.
    pub ask: DeviceAsk,
    /// The answer is no longer of interest.
    pub withdrawn: CancellationToken,
}

/// A stream that is open, for whoever watches or ends it.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Bytes so far, over all interruptions.
    pub carried: Arc<Carried>,
    /// Ends it.
    pub end: CancellationToken,
    /// Why it was ended, if the hub did.
    why: OnceLock<Refusal>,
}

impl Live {
    /// Ends the stream for a reason.
    fn end(&self, why: Refusal) {
        let _ = self.why.set(why);
        self.end.cancel();
    }

    /// Why the hub ended it.
    pub(super) fn why(&self) -> Refusal {
        self.why.get().cloned().unwrap_or_else(|| RefusalKind::Draining.into())
    }
}

type Answer = Result<Grant, Refusal>;
type Verdict<T> = (Admission, oneshot::Receiver<Meeting<T>>);

/// A device that has said hello.
#[derive(Debug)]
struct Arriving {
    connection: ConnectionId,
    hello: Hello,
    address: SocketAddr,
    round_trip: Arc<RoundTrip>,
    notices: mpsc::Sender<Notice>,
}

/// How many streams there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    all: usize,
    /// Those that a hub waits for before it ends: the others outlive it.
    holding: usize,
}

/// Speaks to the broker.
pub(super) struct BrokerHandle<T>(Arc<Counter<T>>);

/// Where one is served after the other.
struct Counter<T> {
    /// Held while the broker decides and what it decided is noted, and for the lists that whoever runs the hub asks for: a
    /// task of its own would cost every stream a dozen changes from one thread to another.
    driver: Mutex<BrokerDriver<T>>,
    /// There is a deadline that comes before the one that is waited for.
    sooner: Notify,
    counts: watch::Receiver<Counts>,
}

impl<T> Clone for BrokerHandle<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The broker is gone; there is nobody to ask.
const DOWN: RefusalKind = RefusalKind::Draining;

impl<T: Transport> BrokerHandle<T> {
    /// With nobody there yet.
    pub(super) fn new(settings: Settings, activity: Activity) -> Self {
        let (sender, counts) = watch::channel(Counts::default());
        let driver = Mutex::new(BrokerDriver::new(settings, activity, sender));
        Self(Arc::new(Counter { driver, sooner: Notify::new(), counts }))
    }

    /// Tells the broker when its deadlines have come, for ever.
    pub(super) async fn keep_time(self) {
        loop {
            let deadline = self.with(BrokerDriver::wait).unwrap_or_default();
            let due = async {
                match deadline {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.0.sooner.notified() => {}
                () = due => drop(self.with(BrokerDriver::handle_timeout)),
            }
        }
    }

    /// A device is online until the guard is dropped; its notices come on the channel.
    pub(super) fn arrive(
        &self,
        device: DeviceId,
        connection: ConnectionId,
        hello: Hello,
        address: SocketAddr,
        round_trip: Arc<RoundTrip>,
    ) -> Result<(mpsc::Receiver<Notice>, Farewell<T>), Refusal> {
        let left = Input::DeviceLeft { device: device.clone(), connection, reason: String::new() };
        let (notices, receiver) = mpsc::channel(NOTICES);
        let arriving = Arriving { connection, hello, address, round_trip, notices };
        self.with(|driver| driver.arrive(device, arriving))?;
        Ok((receiver, self.farewell(left)))
    }

    /// A device answered, on its control connection or a standby.
    pub(super) fn answered(&self, connection: ConnectionId, response: StreamResponse, standby: bool) {
        self.tell(Input::Answered { connection, response, standby });
    }

    /// A device's connection stands by for a request.
    pub(super) fn ready(&self, ready: Ready) {
        let _ = self.with(|driver| driver.stand_by(ready));
    }

    /// A standby connection broke before its device answered: it is asked on its control connection.
    pub(super) fn unanswered(&self, connection: ConnectionId, ask: DeviceAsk) {
        let _ = self.with(|driver| driver.ask_otherwise(connection, ask));
    }

    /// Asks for a stream and waits for the answer; the request is void when the caller stops waiting.
    pub(super) async fn ask(&self, asker: ConnectionId, ask: Ask) -> Answer {
        let _farewell = self.farewell(Input::AskerLeft { asker });
        let answer = self.with(|driver| driver.open(asker, ask))?;
        answer.await.unwrap_or_else(|_| Err(DOWN.into()))
    }

    /// A side shows its token. If it is let in, it waits for its meeting, and has left when the guard is dropped.
    pub(super) fn side(&self, arrival: SideArrival) -> Result<(Verdict<T>, Farewell<T>), Refusal> {
        let left = Input::SideLeft { leg: arrival.leg, how: Left::Lost(None, String::new()) };
        let verdict = self.with(|driver| driver.let_in(arrival))?;
        Ok((verdict?, self.farewell(left)))
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
    pub(super) fn carried(&self) -> (u64, u64) {
        self.with(|driver| driver.carried()).unwrap_or_default()
    }

    /// Whether the broker answers at all: waits, but holds up nobody, while it is busy.
    pub(super) async fn ping(&self) -> bool {
        loop {
            match self.0.driver.try_lock().map(drop) {
                Ok(()) => return true,
                Err(TryLockError::Poisoned(_)) => return false,
                Err(TryLockError::WouldBlock) => {}
            }
            sleep(PING_AGAIN).await;
        }
    }

    /// Whoever runs the hub wants a stream to end.
    pub(super) fn kill(&self, stream: StreamId) {
        self.tell(Input::Killed { stream });
    }

    /// No new streams from here on.
    pub(super) fn drain(&self) {
        self.tell(Input::Drain);
    }

    /// Returns when no stream is left that would not outlive the hub.
    pub(super) async fn drained(&self) {
        let _ = self.0.counts.clone().wait_for(|counts| counts.holding == 0).await;
    }

    /// How many streams there are.
    pub(super) fn streams(&self) -> usize {
        self.0.counts.borrow().all
    }

    /// How many of them a hub that drains still waits for.
    pub(super) fn holding(&self) -> usize {
        self.0.counts.borrow().holding
    }

    /// Ends every stream.
    pub(super) fn end_all(&self) {
        let _ = self.with(BrokerDriver::end_all);
    }

    /// Something happened.
    pub(super) fn tell(&self, input: Input) {
        let _ = self.with(|driver| driver.tell(input));
    }

    fn with<R>(&self, what: impl FnOnce(&mut BrokerDriver<T>) -> R) -> Result<R, Refusal> {
        // Where it panicked, what it knows may be wrong: it is asked no more, and nobody waits for it any longer.
        let mut driver = self.0.driver.lock().map_err(|poisoned| {
            poisoned.into_inner().hang_up();
            Refusal::from(DOWN)
        })?;
        let result = what(&mut driver);
        if driver.take_sooner() {
            self.0.sooner.notify_one();
        }
        Ok(result)
    }

    fn farewell(&self, input: Input) -> Farewell<T> {
        Farewell(self.clone(), Some(Box::new(input)))
    }
}

/// Tells the broker, when dropped at the latest, that something is gone.
pub(super) struct Farewell<T: Transport>(BrokerHandle<T>, Option<Box<Input>>);

impl<T: Transport> Farewell<T> {
    /// Says how a side left.
    pub(super) fn left(&mut self, left: Left) {
        if let Some(Input::SideLeft { how, .. }) = self.1.as_deref_mut() {
            *how = left;
        }
    }

    /// Says why a device left.
    pub(super) fn because(&mut self, why: String) {
        if let Some(Input::DeviceLeft { reason, .. }) = self.1.as_deref_mut() {
            *reason = why;
        }
    }

    /// Says so now.
    pub(super) fn say(&mut self) {
        if let Some(input) = self.1.take() {
            self.0.tell(*input);
        }
    }
}

impl<T: Transport> Drop for Farewell<T> {
    fn drop(&mut self) {
        self.say();
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
        let place = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new(&[], None));
        let settings = activity::Settings::default();
        let (activity, _writer) = Activity::open(&place.path().join("log"), settings, metrics).unwrap();
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
        let (mut notices, _farewell) = broker.arrive(device, ConnectionId(1), hello, address, Arc::default()).unwrap();
        assert!(broker.ping().await);
        let panicked = catch_unwind(AssertUnwindSafe(|| broker.with(|_| -> () { panic!("a defect") })));
        assert!(panicked.is_err() && !broker.ping().await);
        assert_eq!(broker.devices_online(), 0);
        assert!(matches!(notices.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)), "it still waits");
    }
}
