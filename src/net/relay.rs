//! The pump in the middle: one WebSocket to another. What both ends say to each other is not its business.

mod leg;
#[cfg(test)]
mod tests;
pub(super) mod watch;

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use self::leg::{Departure, Leg};
use self::watch::{Watch, lifeless};
use super::pulse::Pulse;
use super::websocket::{
    CLOSE_NORMAL, CLOSE_POLICY, CLOSE_UNSUPPORTED, Incoming, Reader, Transport, WebSocket, WebSocketError, Writer,
};
use crate::proto::id::Role;
use crate::proto::keepalive::Patience;
use crate::proto::limits::DATA_MESSAGE_BYTES;
use crate::proto::refusal::Refusal;
use crate::proto::stream::{END_ACKNOWLEDGED, REST, StreamControl};

/// What has come of a side that takes nothing any more is carried for so long.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Bytes so far.
#[derive(Debug, Default)]
pub struct Carried {
    /// From the service.
    pub to_device: AtomicU64,
    /// From the device.
    pub to_service: AtomicU64,
}

impl Carried {
    /// To the device and to the service.
    pub fn total(&self) -> (u64, u64) {
        (self.to_device.load(Ordering::Relaxed), self.to_service.load(Ordering::Relaxed))
    }
}

/// What a stream goes by.
pub struct Terms<'a> {
    /// Whether the two ends may say things to each other, and be told things.
    pub text_allowed: bool,
    /// Whether they come back when one of them is lost.
    pub resumable: bool,
    /// Whether both their connections are used again after the stream.
    pub rests: bool,
    /// Counts.
    pub carried: &'a Carried,
    /// Ends it.
    pub end: &'a CancellationToken,
    /// The hub is about to end …
    pub draining: &'a CancellationToken,
    /// … and ends the stream this long after that.
    pub drain: Duration,
    /// An end that can resume comes back so long after that.
    pub back: &'a (dyn Fn() -> Duration + Sync),
    /// How long an end that speaks `devstream.v1` may be silent.
    pub patience: Patience,
}

impl Terms<'_> {
    /// Other ends may not read for hours, and still be there.
    fn limit(&self) -> Option<Patience> {
        self.text_allowed.then_some(self.patience)
    }
}

/// Carries messages both ways until one side leaves, both are done, or the hub ends it.
pub async fn relay<T: Transport>(mut device: Leg<T>, mut service: Leg<T>, terms: &Terms<'_>) -> Parting<T> {
    terms.carried.to_device.fetch_add(std::mem::take(&mut service.delivered), Ordering::Relaxed);
    let (is_up_over, is_down_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let (service_rests, device_rests) = (AtomicBool::new(false), AtomicBool::new(false));
    let (left, rests) = {
        let (d, s) = (&mut device, &mut service);
        let (d_early, s_early) = (std::mem::take(&mut d.early), std::mem::take(&mut s.early));
        let (d, s) = (&mut d.socket, &mut s.socket);
        let (to_device, to_service) = (&terms.carried.to_device, &terms.carried.to_service);
        let (ends, rests) = (&is_down_over, (&service_rests, &device_rests));
        let up = Way { from: &s.pulse, to: &d.pulse, terms, carried: to_device, ends, rests };
        let (ends, rests) = (&is_up_over, (&device_rests, &service_rests));
        let down = Way { from: &d.pulse, to: &s.pulse, terms, carried: to_service, ends, rests };
        let mut up = pin!(up.carry(s_early, &mut s.reader, &mut d.writer));
        let mut down = pin!(down.carry(d_early, &mut d.reader, &mut s.writer));
        tokio::select! {
            first = &mut up => part(Role::Service, first, down).await,
            first = &mut down => part(Role::Device, first, up).await,
            () = terms.end.cancelled() => (None, false),
        }
    };
    let is_over = is_up_over.into_inner() && is_down_over.into_inner();
    let left = left.map(|(role, departure)| (role, if is_over { departure.after_the_end() } else { departure }));
    Parting { device, service, left, rests }
}

/// Who left, and how, when one way has come to its end first, which carried from `source`; and whether both sides are done
/// and go on to other streams.
async fn part(
    source: Role,
    (side, departure): (Side, Departure),
    other: impl Future<Output = (Side, Departure)>,
) -> (Option<(Role, Departure)>, bool) {
    let role = if side == Side::Source { source } else { !source };
    match departure {
        // The other side had said so before, and has heard it.
        Departure::Rested => (Some((role, departure)), true),
        // Who takes nothing any more may have said why.
        Departure::Broken(WebSocketError::Truncated | WebSocketError::Io(_)) if side == Side::Sink => {
            match timeout(LAST_WORDS, other).await {
                Ok((Side::Source, said)) => (Some((role, said)), false),
                Ok((Side::Sink, _)) | Err(_) => (Some((role, departure)), false),
            }
        }
        Departure::Broken(_) | Departure::Closed(_) => (Some((role, departure)), false),
    }
}

/// Two sides that are joined no more, and do not know it yet.
#[derive(Debug)]
pub struct Parting<T> {
    device: Leg<T>,
    service: Leg<T>,
    left: Option<(Role, Departure)>,
    rests: bool,
}

impl<T: Transport> Parting<T> {
    /// Whether both sides are done and go on to other streams.
    pub fn rests(&self) -> bool {
        self.rests
    }

    /// The device's and the service's side.
    pub fn into_legs(self) -> (Leg<T>, Leg<T>) {
        (self.device, self.service)
    }

    /// Who left first, and how; `None` if the hub itself ended the stream.
    pub fn left(&self) -> Option<(Role, &Departure)> {
        self.left.as_ref().map(|(role, departure)| (*role, departure))
    }

    /// Tells whoever is still there; `why` is what the hub says if it ended the stream.
    pub async fn say_goodbye(self, terms: &Terms<'_>, why: impl Fn() -> Refusal) {
        let Self { device, service, left, .. } = self;
        let Some((role, departure)) = left else {
            let refusal = why();
            tokio::join!(device.refuse(&refusal), service.refuse(&refusal));
            return;
        };
        let (gone, other) = if role == Role::Device { (device, service) } else { (service, device) };
        settle(gone.socket, other.socket, &departure, terms).await;
    }
}

/// Tells the other side. After a clean close it is still owed everything sent before, however slowly it reads; its
/// signs of life bound that, or TCP's own.
async fn settle<T: Transport>(gone: WebSocket<T>, other: WebSocket<T>, departure: &Departure, terms: &Terms<'_>) {
    let pulse = other.pulse.clone();
    let answer = async {
        match departure {
            Departure::Rested => gone.close_soon(CLOSE_NORMAL, "").await,
            Departure::Closed(_) => gone.await_close().await,
            Departure::Broken(broken) => gone.close_with_error(broken).await,
        }
    };
    let (code, reason) = departure.goodbye(terms.resumable);
    let tell = async {
        if departure.is_clean() {
            tokio::select! {
                () = other.close_when_read(code, &reason) => {}
                () = lifeless(&pulse, terms.limit()) => {}
            }
        } else {
            other.close_soon(code, &reason).await
        }
    };
    tokio::select! {
        _ = async { tokio::join!(answer, tell) } => {}
        () = terms.end.cancelled() => {}
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Sink,
}

fn broken_sink(broken: WebSocketError) -> (Side, Departure) {
    (Side::Sink, Departure::Broken(broken))
}

/// What is next to go one way.
enum Next {
    Message(Result<Incoming, WebSocketError>),
    /// The hub's own.
    Notice(String),
    /// There is nothing more for now: what is held goes.
    Flush,
    Ping,
}

/// One direction.
struct Way<'a> {
    from: &'a Pulse,
    to: &'a Pulse,
    terms: &'a Terms<'a>,
    carried: &'a AtomicU64,
    /// The other way is over, and acknowledged on this one.
    ends: &'a AtomicBool,
    /// Whether the side that is read, and the other one, have said that they say nothing more.
    rests: (&'a AtomicBool, &'a AtomicBool),
}

impl Way<'_> {
    /// Carries until either side is gone.
    async fn carry<T: Transport>(
        &self,
        early: VecDeque<Result<Incoming, WebSocketError>>,
        source: &mut Reader<T>,
        sink: &mut Writer<T>,
    ) -> (Side, Departure) {
        let mut early = early.into_iter();
        let mut draining = pin!(self.terms.draining.cancelled());
        let mut told_of_drain = !self.terms.text_allowed;
        let mut watch = Watch::new(self.terms.limit(), self.from, self.to);
        // What comes at the same time goes on at the same time.
        let mut holds = false;
        loop {
            let mut at_hand = early.next();
            if holds && at_hand.is_none() {
                at_hand = source.next().now_or_never();
            }
            let next = match at_hand {
                Some(incoming) => Next::Message(incoming),
                None if holds => Next::Flush,
                None => tokio::select! {
                    biased;
                    () = &mut draining, if !told_of_drain => {
                        told_of_drain = true;
                        Next::Notice(self.drain_notice())
                    }
                    incoming = source.next() => Next::Message(incoming),
                    beat = watch.next() => beat.map_or_else(|silent| Next::Message(Err(silent)), |()| Next::Ping),
                },
            };
            let is_read = matches!(next, Next::Message(_));
            // The other end always reads; what it takes of this, however slowly, is a sign of life.
            let passed_on = tokio::select! {
                biased;
                passed_on = self.pass_on(next, sink) => passed_on,
                () = lifeless(self.to, self.terms.limit()) => Err(broken_sink(WebSocketError::Silent)),
            };
            match passed_on {
                Ok(held) => holds = held,
                Err(left) => return left,
            }
            if is_read {
                watch.reads_on();
            }
        }
    }

    /// One message; what the side left with, if that is the end. Whether something is held that goes with the next one.
    async fn pass_on<T: Transport>(&self, next: Next, sink: &mut Writer<T>) -> Result<bool, (Side, Departure)> {
        let incoming = match next {
            Next::Message(incoming) => incoming,
            Next::Notice(text) => return sink.hold_text(text).await.map(|()| true).map_err(broken_sink),
            Next::Flush => return sink.flush().await.map(|()| false).map_err(broken_sink),
            Next::Ping => return sink.ping().await.map(|()| false).map_err(broken_sink),
        };
        let (mut holds, (rests, other_rests)) = (false, self.rests);
        let sent = match incoming {
            // To an end that says nothing more either it would come from the hub: its next stream's.
            Ok(Incoming::Bytes(_) | Incoming::Text(_)) if rests.load(Ordering::Relaxed) => {
                let broken = WebSocketError::Violation(CLOSE_POLICY, "it had no more to say".into());
                return Err((Side::Source, Departure::Broken(broken)));
            }
            // The original's C# client sends these without end after its own; nobody has a use for them.
            Ok(Incoming::Bytes(bytes)) if bytes.is_empty() => sink.flush().await,
            Ok(Incoming::Bytes(bytes)) => {
                let size = bytes.len() as u64;
                let sent = in_pieces(bytes, sink).await;
                self.carried.fetch_add(size, Ordering::Relaxed);
                sent
            }
            Ok(Incoming::Text(text)) if self.terms.rests && text == REST => {
                sink.text(text).await.map_err(broken_sink)?;
                rests.store(true, Ordering::Relaxed);
                // Until the other side has no more to say either, this one is to hear it.
                if other_rests.load(Ordering::Relaxed) {
                    return Err((Side::Source, Departure::Rested));
                }
                Ok(())
            }
            Ok(Incoming::Text(text)) if self.terms.text_allowed => {
                holds = true;
                self.ends.fetch_or(text.ends_with(END_ACKNOWLEDGED), Ordering::Relaxed);
                sink.hold_text(text).await
            }
            Ok(Incoming::Text(_)) => {
                let broken = WebSocketError::Violation(CLOSE_UNSUPPORTED, "text on a stream of bytes".into());
                return Err((Side::Source, Departure::Broken(broken)));
            }
            Ok(Incoming::Ping | Incoming::Pong) => sink.flush().await,
            Ok(Incoming::Closed(told)) => return Err((Side::Source, Departure::Closed(told))),
            Err(broken) => return Err((Side::Source, Departure::Broken(broken))),
        };
        sent.map(|()| holds).map_err(broken_sink)
    }

    fn drain_notice(&self) -> String {
        let back_ms = u64::try_from((self.terms.back)().as_millis()).unwrap_or(u64::MAX);
        StreamControl::Drain { seconds: self.terms.drain.as_secs(), back_ms }.encode()
    }
}

/// The original's clients take at most [`DATA_MESSAGE_BYTES`] in one message.
async fn in_pieces<T: Transport>(mut bytes: Bytes, sink: &mut Writer<T>) -> Result<(), WebSocketError> {
    while bytes.len() > DATA_MESSAGE_BYTES {
        sink.bytes(bytes.split_to(DATA_MESSAGE_BYTES)).await?;
    }
    sink.bytes(bytes).await
}
