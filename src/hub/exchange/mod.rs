//! The handle through which connections speak to the task that owns the broker.

mod desk;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use self::desk::Desk;
use super::activity::Activity;
use super::broker::{Admission, Ask, DeviceAsk, Grant, Input, Joint, Left, Settings, SideArrival};
use crate::net::channel::RoundTrip;
use crate::net::relay::{Carried, Leg};
use crate::net::websocket::Transport;
use crate::proto::admin::{Presence, StreamStatus};
use crate::proto::id::{ConnectionId, DeviceId, StreamId};
use crate::proto::message::{Hello, StreamResponse};
use crate::proto::refusal::{Kind, Refusal};

/// Room for every connection's farewell (one is reserved per connection that must be missed when it goes) and for
/// what is in flight. Queue blocks are only allocated as they fill.
const INBOX: usize = 64 * 1024;

/// With that many connections, there is always room for those that have something to say.
pub(super) const MOST_CONNECTIONS: usize = INBOX - 8 * 1024;

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
    Dismissed(Kind),
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
        self.why.get().cloned().unwrap_or_else(|| Kind::Draining.into())
    }
}

type Answer = Result<Grant, Refusal>;
type Verdict<T> = (Admission, oneshot::Receiver<Meeting<T>>);

#[derive(Debug)]
enum Command<T> {
    Tell(Input),
    Arrive(DeviceId, Box<Arriving>),
    Ask(ConnectionId, Ask, oneshot::Sender<Answer>),
    Side(Box<SideArrival>, oneshot::Sender<Result<Verdict<T>, Refusal>>),
    Ready(Box<Ready>),
    Unanswered(ConnectionId, Box<DeviceAsk>),
    Online(oneshot::Sender<HashMap<DeviceId, Presence>>),
    Streams(oneshot::Sender<Vec<StreamStatus>>),
    Ping(oneshot::Sender<()>),
    EndAll,
}

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

/// Speaks to the task that owns the broker.
#[derive(Debug)]
pub(super) struct Exchange<T> {
    inbox: mpsc::Sender<Command<T>>,
    counts: watch::Receiver<Counts>,
}

impl<T> Clone for Exchange<T> {
    fn clone(&self) -> Self {
        Self { inbox: self.inbox.clone(), counts: self.counts.clone() }
    }
}

/// The hub is going down; there is nobody to ask.
const DOWN: Kind = Kind::Draining;

impl<T: Transport> Exchange<T> {
    /// The handle, and the task to run.
    pub(super) fn new(settings: Settings, activity: Activity) -> (Self, impl Future<Output = ()> + Send) {
        let (inbox, commands) = mpsc::channel(INBOX);
        let (sender, counts) = watch::channel(Counts::default());
        let desk = Desk::new(settings, activity, sender);
        (Self { inbox, counts }, desk.run(commands))
    }

    /// A device is online until the guard is dropped; its notices come on the channel.
    pub(super) async fn arrive(
        &self,
        device: DeviceId,
        connection: ConnectionId,
        hello: Hello,
        address: SocketAddr,
        round_trip: Arc<RoundTrip>,
    ) -> Result<(mpsc::Receiver<Notice>, Farewell<T>), Refusal> {
        let left = Input::DeviceLeft { device: device.clone(), connection, reason: String::new() };
        let farewell = self.farewell(left).await?;
        let (notices, receiver) = mpsc::channel(NOTICES);
        let arriving = Box::new(Arriving { connection, hello, address, round_trip, notices });
        self.send(Command::Arrive(device, arriving)).await?;
        Ok((receiver, farewell))
    }

    /// A device answered, on its control connection or a standby.
    pub(super) async fn answered(&self, connection: ConnectionId, response: StreamResponse, standby: bool) {
        self.tell(Input::Answered { connection, response, standby }).await;
    }

    /// A device's connection stands by for a request.
    pub(super) async fn ready(&self, ready: Ready) {
        let _ = self.send(Command::Ready(Box::new(ready))).await;
    }

    /// A standby connection broke before its device answered: it is asked on its control connection.
    pub(super) async fn unanswered(&self, connection: ConnectionId, ask: DeviceAsk) {
        let _ = self.send(Command::Unanswered(connection, Box::new(ask))).await;
    }

    /// Asks for a stream and waits for the answer; the request is void when the caller stops waiting.
    pub(super) async fn ask(&self, asker: ConnectionId, ask: Ask) -> Answer {
        let _farewell = self.farewell(Input::AskerLeft { asker }).await?;
        let (sender, answer) = oneshot::channel();
        self.send(Command::Ask(asker, ask, sender)).await?;
        answer.await.unwrap_or_else(|_| Err(DOWN.into()))
    }

    /// A side shows its token. If it is let in, it waits for its meeting, and has left when the guard is dropped.
    pub(super) async fn side(&self, arrival: SideArrival) -> Result<(Verdict<T>, Farewell<T>), Refusal> {
        let farewell =
            self.farewell(Input::SideLeft { leg: arrival.leg, how: Left::Lost(None, String::new()) }).await?;
        let (sender, verdict) = oneshot::channel();
        self.send(Command::Side(Box::new(arrival), sender)).await?;
        Ok((verdict.await.unwrap_or_else(|_| Err(DOWN.into()))?, farewell))
    }

    /// Every device that is online.
    pub(super) async fn online(&self) -> HashMap<DeviceId, Presence> {
        let (sender, online) = oneshot::channel();
        match self.send(Command::Online(sender)).await {
            Ok(()) => online.await.unwrap_or_default(),
            Err(_) => HashMap::new(),
        }
    }

    /// Every stream, the oldest first.
    pub(super) async fn all_streams(&self) -> Vec<StreamStatus> {
        let (sender, streams) = oneshot::channel();
        match self.send(Command::Streams(sender)).await {
            Ok(()) => streams.await.unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// Whether the task answers at all.
    pub(super) async fn ping(&self) -> bool {
        let (sender, pong) = oneshot::channel();
        self.send(Command::Ping(sender)).await.is_ok() && pong.await.is_ok()
    }

    /// Whoever runs the hub wants a stream to end.
    pub(super) async fn kill(&self, stream: StreamId) {
        self.tell(Input::Killed { stream }).await;
    }

    /// No new streams from here on.
    pub(super) async fn drain(&self) {
        self.tell(Input::Drain).await;
        // Once this is answered, the counts are those of a hub that wants to end.
        self.ping().await;
    }

    /// Returns when no stream is left that would not outlive the hub.
    pub(super) async fn drained(&self) {
        let _ = self.counts.clone().wait_for(|counts| counts.holding == 0).await;
    }

    /// How many streams there are.
    pub(super) fn streams(&self) -> usize {
        self.counts.borrow().all
    }

    /// How many of them a hub that drains still waits for.
    pub(super) fn holding(&self) -> usize {
        self.counts.borrow().holding
    }

    /// Ends every stream.
    pub(super) async fn end_all(&self) {
        let _ = self.send(Command::EndAll).await;
    }

    /// The same from a thread that may wait, so that whoever hangs up meanwhile stops nothing.
    pub(super) fn tell_blocking(&self, input: Input) {
        // The hub is going down: there is nobody to tell.
        let _ = self.inbox.blocking_send(Command::Tell(input));
    }

    async fn tell(&self, input: Input) {
        let _ = self.send(Command::Tell(input)).await;
    }

    async fn send(&self, command: Command<T>) -> Result<(), Refusal> {
        self.inbox.send(command).await.map_err(|_| DOWN.into())
    }

    async fn farewell(&self, input: Input) -> Result<Farewell<T>, Refusal> {
        let permit = self.inbox.clone().reserve_owned().await.map_err(|_| Refusal::from(DOWN))?;
        Ok(Farewell(Some((permit, input))))
    }
}

/// Tells the broker, when dropped at the latest, that something is gone. Its place in the queue is already reserved.
#[derive(Debug)]
pub(super) struct Farewell<T>(Option<(OwnedPermit<Command<T>>, Input)>);

impl<T> Farewell<T> {
    /// Says how a side left.
    pub(super) fn left(&mut self, left: Left) {
        if let Some((_, Input::SideLeft { how, .. })) = &mut self.0 {
            *how = left;
        }
    }

    /// Says why a device left.
    pub(super) fn because(&mut self, why: String) {
        if let Some((_, Input::DeviceLeft { reason, .. })) = &mut self.0 {
            *reason = why;
        }
    }

    /// Says so now.
    pub(super) fn say(&mut self) {
        if let Some((permit, input)) = self.0.take() {
            permit.send(Command::Tell(input));
        }
    }
}

impl<T> Drop for Farewell<T> {
    fn drop(&mut self) {
        self.say();
    }
}
