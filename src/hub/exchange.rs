//! The task that owns the broker, and the handle through which connections speak to it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use super::broker::{Ask, Broker, DeviceAsk, Grant, Input, Joint, Output, Settings};
use crate::net::clock::{self, Moment};
use crate::net::random;
use crate::net::relay::{Carried, Leg};
use crate::net::websocket::Transport;
use crate::proto::admin::Presence;
use crate::proto::id::{ConnectionId, DeviceId, Principal, StreamId};
use crate::proto::message::{Hello, StreamResponse};
use crate::proto::refusal::{Kind, Refusal};
use crate::proto::secret::StreamToken;

/// Room for every connection's farewell (one is reserved per connection that must be missed when it goes) and for
/// what is in flight. Queue blocks are only allocated as they fill.
const INBOX: usize = 64 * 1024;

/// Notices that a device's connection has not yet sent. Beyond this the device reads nothing and is dismissed.
const NOTICES: usize = 256;

/// What a device's control connection is told.
#[derive(Debug)]
pub(super) enum Notice {
    /// Pass this request on.
    Ask(DeviceAsk),
    /// That request is void.
    Cancel(StreamId),
    /// Another agent took over from this address; end.
    Displaced(SocketAddr),
    /// The identity is no longer valid; end.
    Dismissed,
}

/// What a side that was let in is told.
#[derive(Debug)]
pub(super) enum Meeting<T> {
    /// Hand your socket to the other side.
    Give(oneshot::Sender<Leg<T>>),
    /// Take the other side's socket and carry the bytes.
    Take(oneshot::Receiver<Leg<T>>, Box<Joint>, Arc<Live>),
    /// There will be no meeting.
    Refused(Refusal),
}

/// A stream that is open, for whoever watches or ends it.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Bytes so far.
    pub carried: Carried,
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
type Verdict<T> = (Option<&'static str>, oneshot::Receiver<Meeting<T>>);

#[derive(Debug)]
enum Command<T> {
    Tell(Input),
    Arrive(DeviceId, ConnectionId, Hello, SocketAddr, mpsc::Sender<Notice>),
    Ask(ConnectionId, Ask, oneshot::Sender<Answer>),
    Side(Box<SideArrival>, oneshot::Sender<Result<Verdict<T>, Refusal>>),
    Online(oneshot::Sender<HashMap<DeviceId, Presence>>),
    EndAll,
}

/// A side at the streaming endpoint, with what it shows.
#[derive(Debug)]
pub(super) struct SideArrival {
    /// Its connection.
    pub leg: ConnectionId,
    /// The stream it is for.
    pub stream: StreamId,
    /// Who it is.
    pub principal: Principal,
    /// What lets it in.
    pub token: StreamToken,
    /// Where it comes from.
    pub address: SocketAddr,
}

/// Speaks to the task that owns the broker.
#[derive(Debug)]
pub(super) struct Exchange<T> {
    inbox: mpsc::Sender<Command<T>>,
    streams: watch::Receiver<usize>,
}

impl<T> Clone for Exchange<T> {
    fn clone(&self) -> Self {
        Self { inbox: self.inbox.clone(), streams: self.streams.clone() }
    }
}

/// The hub is going down; there is nobody to ask.
const DOWN: Kind = Kind::Draining;

impl<T: Transport> Exchange<T> {
    /// The handle, and the task to run.
    pub(super) fn new(settings: Settings, activity: Activity) -> (Self, impl Future<Output = ()> + Send) {
        let (inbox, commands) = mpsc::channel(INBOX);
        let (count, streams) = watch::channel(0);
        let desk = Desk {
            broker: Broker::new(settings, random::bytes),
            activity,
            devices: HashMap::new(),
            askers: HashMap::new(),
            verdicts: HashMap::new(),
            meetings: HashMap::new(),
            live: HashMap::new(),
            count,
        };
        (Self { inbox, streams }, desk.run(commands))
    }

    /// A device is online until the guard is dropped; its notices come on the channel.
    pub(super) async fn arrive(
        &self,
        device: DeviceId,
        connection: ConnectionId,
        hello: Hello,
        address: SocketAddr,
    ) -> Result<(mpsc::Receiver<Notice>, Farewell<T>), Refusal> {
        let left = Input::DeviceLeft { device: device.clone(), connection, reason: String::new() };
        let farewell = self.farewell(left).await?;
        let (notices, receiver) = mpsc::channel(NOTICES);
        self.send(Command::Arrive(device, connection, hello, address, notices)).await?;
        Ok((receiver, farewell))
    }

    /// A device answered.
    pub(super) async fn answered(&self, connection: ConnectionId, response: StreamResponse) {
        self.tell(Input::Answered { connection, response }).await;
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
        let farewell = self.farewell(Input::SideLeft { leg: arrival.leg }).await?;
        let (sender, verdict) = oneshot::channel();
        self.send(Command::Side(Box::new(arrival), sender)).await?;
        Ok((verdict.await.unwrap_or_else(|_| Err(DOWN.into()))?, farewell))
    }

    /// The stream is over when the guard is dropped.
    pub(super) async fn open(&self, stream: StreamId) -> Result<Farewell<T>, Refusal> {
        self.farewell(Input::StreamEnded { stream }).await
    }

    /// Every device that is online.
    pub(super) async fn online(&self) -> HashMap<DeviceId, Presence> {
        let (sender, online) = oneshot::channel();
        match self.send(Command::Online(sender)).await {
            Ok(()) => online.await.unwrap_or_default(),
            Err(_) => HashMap::new(),
        }
    }

    /// An identity is no longer valid.
    pub(super) async fn revoke(&self, principal: Principal) {
        self.tell(Input::Revoked { principal }).await;
    }

    /// No new streams; returns when the last one is over.
    pub(super) async fn drain(&self) {
        self.tell(Input::Drain).await;
        let _ = self.streams.clone().wait_for(|streams| *streams == 0).await;
    }

    /// How many streams there are.
    pub(super) fn streams(&self) -> usize {
        *self.streams.borrow()
    }

    /// Ends every stream.
    pub(super) async fn end_all(&self) {
        let _ = self.send(Command::EndAll).await;
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

/// Tells the broker, when dropped, that something is gone. Its place in the queue is already reserved.
#[derive(Debug)]
pub(super) struct Farewell<T>(Option<(OwnedPermit<Command<T>>, Input)>);

impl<T> Farewell<T> {
    /// Says why a device left.
    pub(super) fn because(&mut self, why: String) {
        if let Some((_, Input::DeviceLeft { reason, .. })) = &mut self.0 {
            *reason = why;
        }
    }
}

impl<T> Drop for Farewell<T> {
    fn drop(&mut self) {
        if let Some((permit, input)) = self.0.take() {
            permit.send(Command::Tell(input));
        }
    }
}

/// A device's control connection, as the desk reaches it.
struct Device {
    notices: mpsc::Sender<Notice>,
    since: Moment,
}

/// The broker with everybody it can answer.
struct Desk<T> {
    broker: Broker,
    activity: Activity,
    devices: HashMap<ConnectionId, Device>,
    askers: HashMap<ConnectionId, oneshot::Sender<Answer>>,
    verdicts: HashMap<ConnectionId, oneshot::Sender<Result<Verdict<T>, Refusal>>>,
    meetings: HashMap<ConnectionId, oneshot::Sender<Meeting<T>>>,
    live: HashMap<StreamId, Arc<Live>>,
    count: watch::Sender<usize>,
}

impl<T: Transport> Desk<T> {
    /// One command, then every output it caused, until every handle is gone.
    async fn run(mut self, mut commands: mpsc::Receiver<Command<T>>) {
        loop {
            let deadline = self.broker.next_deadline();
            let due = async {
                match deadline {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.handle(command),
                    None => break,
                },
                () = due => self.broker.handle_timeout(clock::now()),
            }
            while let Some(output) = self.broker.next_output() {
                self.carry_out(output);
            }
            self.count
                .send_if_modified(|count| std::mem::replace(count, self.broker.streams()) != self.broker.streams());
        }
    }

    fn handle(&mut self, command: Command<T>) {
        let input = match command {
            Command::Tell(input) => {
                self.let_go(&input);
                input
            }
            Command::Arrive(device, connection, hello, address, notices) => {
                self.devices.insert(connection, Device { notices, since: Moment::now() });
                Input::DeviceArrived { device, connection, hello, address }
            }
            Command::Ask(asker, ask, answer) => {
                self.askers.insert(asker, answer);
                Input::Asked { asker, ask }
            }
            Command::Side(arrival, verdict) => {
                let SideArrival { leg, stream, principal, token, address } = *arrival;
                self.verdicts.insert(leg, verdict);
                Input::SideArrived { leg, stream, principal, token: token.hash(), address }
            }
            Command::Online(answer) => {
                let _ = answer.send(self.online());
                return;
            }
            Command::EndAll => {
                self.live.values().for_each(|live| live.end(Kind::Draining.into()));
                return;
            }
        };
        self.broker.handle(input, clock::now());
    }

    /// Forgets how to reach who has gone.
    fn let_go(&mut self, input: &Input) {
        match input {
            Input::DeviceLeft { connection, .. } => drop(self.devices.remove(connection)),
            Input::AskerLeft { asker } => drop(self.askers.remove(asker)),
            Input::SideLeft { leg } => {
                self.verdicts.remove(leg);
                self.meetings.remove(leg);
            }
            Input::StreamEnded { stream } => drop(self.live.remove(stream)),
            Input::DeviceArrived { .. }
            | Input::Asked { .. }
            | Input::Answered { .. }
            | Input::SideArrived { .. }
            | Input::Revoked { .. }
            | Input::Drain => {}
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Displace { connection, by } => self.notify(connection, Notice::Displaced(by)),
            Output::Dismiss { connection } => self.notify(connection, Notice::Dismissed),
            Output::AskDevice { connection, request } => self.notify(connection, Notice::Ask(request)),
            Output::CancelDevice { connection, stream } => self.notify(connection, Notice::Cancel(stream)),
            Output::Answer { asker, answer } => {
                if let Some(asker) = self.askers.remove(&asker) {
                    let _ = asker.send(answer);
                }
            }
            Output::Admit { leg, protocol } => {
                if let Some(verdict) = self.verdicts.remove(&leg) {
                    let (meeting, receiver) = oneshot::channel();
                    self.meetings.insert(leg, meeting);
                    let _ = verdict.send(Ok((protocol, receiver)));
                }
            }
            Output::Refuse { leg, refusal } => {
                if let Some(verdict) = self.verdicts.remove(&leg) {
                    let _ = verdict.send(Err(refusal));
                } else if let Some(meeting) = self.meetings.remove(&leg) {
                    let _ = meeting.send(Meeting::Refused(refusal));
                }
            }
            Output::Join(joint) => self.join(joint),
            Output::EndStream { stream, refusal } => {
                if let Some(live) = self.live.get(&stream) {
                    live.end(refusal);
                }
            }
            Output::Record(event) => self.activity.record(event),
        }
    }

    fn join(&mut self, joint: Joint) {
        let stream = joint.stream;
        let device = self.meetings.remove(&joint.device_leg);
        let service = self.meetings.remove(&joint.service_leg);
        let (Some(device), Some(service)) = (device, service) else {
            return self.broker.handle(Input::StreamEnded { stream }, clock::now());
        };
        let (give, take) = oneshot::channel();
        let live = Arc::new(Live::default());
        self.live.insert(stream, live.clone());
        let _ = device.send(Meeting::Give(give));
        if service.send(Meeting::Take(take, Box::new(joint), live)).is_err() {
            self.live.remove(&stream);
            self.broker.handle(Input::StreamEnded { stream }, clock::now());
        }
    }

    /// A device that lets its notices pile up is not reading: forgetting it here ends its connection.
    fn notify(&mut self, connection: ConnectionId, notice: Notice) {
        if let Some(device) = self.devices.get(&connection)
            && device.notices.try_send(notice).is_err()
        {
            self.devices.remove(&connection);
        }
    }

    fn online(&self) -> HashMap<DeviceId, Presence> {
        let presence = |(device, connection, hello, address): (&DeviceId, ConnectionId, &Hello, SocketAddr)| {
            let since = self.devices.get(&connection).map(|device| device.since.rfc3339()).unwrap_or_default();
            let (version, forwards) = (hello.version.clone(), hello.forwards.clone());
            (device.clone(), Presence { since, address: address.to_string(), version, forwards })
        };
        self.broker.online().map(presence).collect()
    }
}
