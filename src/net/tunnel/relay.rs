//! The pump in the middle: one WebSocket to another. What both ends say to each other is not its business.

pub(super) mod keepalive;
mod leg;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::keepalive::{KeepaliveTimer, wait_until_dead};
pub use self::leg::{Leg, LegClose};
use crate::net::liveness::Liveness;
use crate::net::websocket::{
    Broken, CLOSE_NORMAL, CLOSE_POLICY, CLOSE_UNSUPPORTED, Incoming, Reader, Transport, WebSocket, Writer,
};
use crate::proto::id::Role;
use crate::proto::keepalive::IdleTimeout;
use crate::proto::limits::DATA_MESSAGE_BYTES;
use crate::proto::refusal::Refusal;
use crate::proto::stream::{END_ACK_SUFFIX, RELEASE_MESSAGE, StreamControl};

/// What has come of a side that takes nothing any more is carried for so long.
const FINAL_READ_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes so far.
#[derive(Debug, Default)]
pub struct ByteCounters {
    /// From the service.
    pub to_device: AtomicU64,
    /// From the device.
    pub to_service: AtomicU64,
}

impl ByteCounters {
    /// To the device and to the service.
    pub fn total(&self) -> (u64, u64) {
        (self.to_device.load(Ordering::Relaxed), self.to_service.load(Ordering::Relaxed))
    }
}

/// What a stream goes by.
pub struct RelayContext<'a> {
    /// Whether the two ends may say things to each other, and be told things.
    pub text_allowed: bool,
    /// Whether they come back when one of them is lost.
    pub resumable: bool,
    /// Whether both their connections are used again after the stream.
    pub reusable: bool,
    /// Counts.
    pub counters: &'a ByteCounters,
    /// Ends it.
    pub cancel: &'a CancellationToken,
    /// The hub is about to end …
    pub draining: &'a CancellationToken,
    /// … and ends the stream this long after that.
    pub drain_timeout: Duration,
    /// An end that can resume comes back so long after that.
    pub reconnect_delay: &'a (dyn Fn() -> Duration + Sync),
    /// How long an end that speaks `devstream.v1` may be silent.
    pub idle_timeout: IdleTimeout,
}

impl RelayContext<'_> {
    /// Other ends may not read for hours, and still be there.
    fn idle_limit(&self) -> Option<IdleTimeout> {
        self.text_allowed.then_some(self.idle_timeout)
    }
}

/// Carries messages both ways until one side leaves, both are done, or the hub ends it.
pub async fn relay<T: Transport>(mut device: Leg<T>, mut service: Leg<T>, context: &RelayContext<'_>) -> RelayEnd<T> {
    context.counters.to_device.fetch_add(std::mem::take(&mut service.delivered), Ordering::Relaxed);
    let (up_acknowledged, down_acknowledged) = (AtomicBool::new(false), AtomicBool::new(false));
    let (service_released, device_released) = (AtomicBool::new(false), AtomicBool::new(false));
    let (closed_first, reusable) = {
        let (d, s) = (&mut device, &mut service);
        let (d_early, s_early) = (std::mem::take(&mut d.early), std::mem::take(&mut s.early));
        let (d, s) = (&mut d.socket, &mut s.socket);
        let (to_device, to_service) = (&context.counters.to_device, &context.counters.to_service);
        let (end_acknowledged, released) = (&down_acknowledged, (&service_released, &device_released));
        let up = Direction {
            source_liveness: &s.liveness,
            sink_liveness: &d.liveness,
            context,
            bytes_carried: to_device,
            end_acknowledged,
            released,
        };
        let (end_acknowledged, released) = (&up_acknowledged, (&device_released, &service_released));
        let down = Direction {
            source_liveness: &d.liveness,
            sink_liveness: &s.liveness,
            context,
            bytes_carried: to_service,
            end_acknowledged,
            released,
        };
        let mut up = pin!(up.run(s_early, &mut s.reader, &mut d.writer));
        let mut down = pin!(down.run(d_early, &mut d.reader, &mut s.writer));
        tokio::select! {
            first = &mut up => first_close(Role::Service, first, down).await,
            first = &mut down => first_close(Role::Device, first, up).await,
            () = context.cancel.cancelled() => (None, false),
        }
    };
    let is_over = up_acknowledged.into_inner() && down_acknowledged.into_inner();
    let closed_first = closed_first
        .map(|(role, leg_close)| (role, if is_over { leg_close.after_acknowledged_end() } else { leg_close }));
    RelayEnd { device, service, closed_first, reusable }
}

/// Who left, and how, when one way has come to its end first, which carried from `source`; and whether both sides are done
/// and go on to other streams.
async fn first_close(
    source: Role,
    (side, leg_close): (Side, LegClose),
    other: impl Future<Output = (Side, LegClose)>,
) -> (Option<(Role, LegClose)>, bool) {
    let role = if side == Side::Source { source } else { !source };
    match leg_close {
        // The other side had said so before, and has heard it.
        LegClose::Released => (Some((role, leg_close)), true),
        // Who takes nothing any more may have said why.
        LegClose::Broken(Broken::Truncated | Broken::Io(_)) if side == Side::Sink => {
            match timeout(FINAL_READ_TIMEOUT, other).await {
                Ok((Side::Source, source_close)) => (Some((role, source_close)), false),
                Ok((Side::Sink, _)) | Err(_) => (Some((role, leg_close)), false),
            }
        }
        LegClose::Broken(_) | LegClose::Closed(_) => (Some((role, leg_close)), false),
    }
}

/// Two sides that are joined no more, and do not know it yet.
#[derive(Debug)]
pub struct RelayEnd<T> {
    device: Leg<T>,
    service: Leg<T>,
    closed_first: Option<(Role, LegClose)>,
    reusable: bool,
}

impl<T: Transport> RelayEnd<T> {
    /// Whether both sides are done and go on to other streams.
    pub fn is_reusable(&self) -> bool {
        self.reusable
    }

    /// The device's and the service's side.
    pub fn into_legs(self) -> (Leg<T>, Leg<T>) {
        (self.device, self.service)
    }

    /// Who left first, and how; `None` if the hub itself ended the stream.
    pub fn closed_first(&self) -> Option<(Role, &LegClose)> {
        self.closed_first.as_ref().map(|(role, leg_close)| (*role, leg_close))
    }

    /// Tells whoever is still there; `why` is what the hub says if it ended the stream.
    pub async fn close(self, context: &RelayContext<'_>, why: impl Fn() -> Refusal) {
        let Self { device, service, closed_first, .. } = self;
        let Some((role, leg_close)) = closed_first else {
            let refusal = why();
            tokio::join!(device.refuse(&refusal), service.refuse(&refusal));
            return;
        };
        let (closed, other) = if role == Role::Device { (device, service) } else { (service, device) };
        close_legs(closed.socket, other.socket, &leg_close, context).await;
    }
}

/// Tells the other side. After a clean close it is still owed everything sent before, however slowly it reads; its
/// signs of life bound that, or TCP's own.
async fn close_legs<T: Transport>(
    closed: WebSocket<T>,
    other: WebSocket<T>,
    leg_close: &LegClose,
    context: &RelayContext<'_>,
) {
    let liveness = other.liveness.clone();
    let close_first = async {
        match leg_close {
            LegClose::Released => closed.close_soon(CLOSE_NORMAL, "").await,
            LegClose::Closed(_) => closed.await_close().await,
            LegClose::Broken(broken) => closed.complain(broken).await,
        }
    };
    let (code, reason) = leg_close.peer_close_frame(context.resumable);
    let close_other = async {
        if leg_close.is_clean() {
            tokio::select! {
                () = other.close_when_read(code, &reason) => {}
                () = wait_until_dead(&liveness, context.idle_limit()) => {}
            }
        } else {
            other.close_soon(code, &reason).await
        }
    };
    tokio::select! {
        _ = async { tokio::join!(close_first, close_other) } => {}
        () = context.cancel.cancelled() => {}
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Sink,
}

fn sink_failed(broken: Broken) -> (Side, LegClose) {
    (Side::Sink, LegClose::Broken(broken))
}

/// What is next to go one way.
enum Outgoing {
    Message(Result<Incoming, Broken>),
    /// The hub's own.
    Notice(String),
    /// There is nothing more for now: what is held goes.
    Flush,
    Ping,
}

/// One direction.
struct Direction<'a> {
    source_liveness: &'a Liveness,
    sink_liveness: &'a Liveness,
    context: &'a RelayContext<'a>,
    bytes_carried: &'a AtomicU64,
    /// The other way is over, and acknowledged on this one.
    end_acknowledged: &'a AtomicBool,
    /// Whether the side that is read, and the other one, have said that they say nothing more.
    released: (&'a AtomicBool, &'a AtomicBool),
}

impl Direction<'_> {
    /// Carries until either side is gone.
    async fn run<T: Transport>(
        &self,
        early: VecDeque<Result<Incoming, Broken>>,
        source: &mut Reader<T>,
        sink: &mut Writer<T>,
    ) -> (Side, LegClose) {
        let mut early = early.into_iter();
        let mut draining = pin!(self.context.draining.cancelled());
        let mut drain_sent = !self.context.text_allowed;
        let mut keepalive = KeepaliveTimer::new(self.context.idle_limit(), self.source_liveness, self.sink_liveness);
        // What comes at the same time goes on at the same time.
        let mut holding = false;
        loop {
            let mut available = early.next();
            if holding && available.is_none() {
                available = source.next().now_or_never();
            }
            let next = match available {
                Some(incoming) => Outgoing::Message(incoming),
                None if holding => Outgoing::Flush,
                None => tokio::select! {
                    biased;
                    () = &mut draining, if !drain_sent => {
                        drain_sent = true;
                        Outgoing::Notice(self.drain_notice())
                    }
                    incoming = source.next() => Outgoing::Message(incoming),
                    ping = keepalive.next() => match ping {
                        Ok(()) => Outgoing::Ping,
                        Err(silent) => Outgoing::Message(Err(silent)),
                    },
                },
            };
            let is_read = matches!(next, Outgoing::Message(_));
            // The other end always reads; what it takes of this, however slowly, is a sign of life.
            let forwarded = tokio::select! {
                biased;
                forwarded = self.forward(next, sink) => forwarded,
                () = wait_until_dead(self.sink_liveness, self.context.idle_limit()) => Err(sink_failed(Broken::Silent)),
            };
            match forwarded {
                Ok(held) => holding = held,
                Err(end) => return end,
            }
            if is_read {
                keepalive.restart_read_timer();
            }
        }
    }

    /// One message; what the side left with, if that is the end. Whether something is held that goes with the next one.
    async fn forward<T: Transport>(&self, next: Outgoing, sink: &mut Writer<T>) -> Result<bool, (Side, LegClose)> {
        let incoming = match next {
            Outgoing::Message(incoming) => incoming,
            Outgoing::Notice(text) => return sink.hold_text(text).await.map(|()| true).map_err(sink_failed),
            Outgoing::Flush => return sink.flush().await.map(|()| false).map_err(sink_failed),
            Outgoing::Ping => return sink.ping().await.map(|()| false).map_err(sink_failed),
        };
        let (mut holding, (released, other_released)) = (false, self.released);
        let sent = match incoming {
            // To an end that says nothing more either it would come from the hub: its next stream's.
            Ok(Incoming::Bytes(_) | Incoming::Text(_)) if released.load(Ordering::Relaxed) => {
                let broken = Broken::Violation(CLOSE_POLICY, "it had no more to say".into());
                return Err((Side::Source, LegClose::Broken(broken)));
            }
            // The original's C# client sends these without end after its own; nobody has a use for them.
            Ok(Incoming::Bytes(bytes)) if bytes.is_empty() => sink.flush().await,
            Ok(Incoming::Bytes(bytes)) => {
                let size = bytes.len() as u64;
                let sent = send_in_chunks(bytes, sink).await;
                self.bytes_carried.fetch_add(size, Ordering::Relaxed);
                sent
            }
            Ok(Incoming::Text(text)) if self.context.reusable && text == RELEASE_MESSAGE => {
                sink.text(text).await.map_err(sink_failed)?;
                released.store(true, Ordering::Relaxed);
                // Until the other side has no more to say either, this one is to hear it.
                if other_released.load(Ordering::Relaxed) {
                    return Err((Side::Source, LegClose::Released));
                }
                Ok(())
            }
            Ok(Incoming::Text(text)) if self.context.text_allowed => {
                holding = true;
                self.end_acknowledged.fetch_or(text.ends_with(END_ACK_SUFFIX), Ordering::Relaxed);
                sink.hold_text(text).await
            }
            Ok(Incoming::Text(_)) => {
                let broken = Broken::Violation(CLOSE_UNSUPPORTED, "text on a stream of bytes".into());
                return Err((Side::Source, LegClose::Broken(broken)));
            }
            Ok(Incoming::Ping | Incoming::Pong) => sink.flush().await,
            Ok(Incoming::Closed(close_frame)) => return Err((Side::Source, LegClose::Closed(close_frame))),
            Err(broken) => return Err((Side::Source, LegClose::Broken(broken))),
        };
        sent.map(|()| holding).map_err(sink_failed)
    }

    fn drain_notice(&self) -> String {
        let reconnect_delay_ms = u64::try_from((self.context.reconnect_delay)().as_millis()).unwrap_or(u64::MAX);
        StreamControl::Drain { seconds: self.context.drain_timeout.as_secs(), reconnect_delay_ms }.encode()
    }
}

/// The original's clients take at most [`DATA_MESSAGE_BYTES`] in one message.
async fn send_in_chunks<T: Transport>(mut bytes: Bytes, sink: &mut Writer<T>) -> Result<(), Broken> {
    while bytes.len() > DATA_MESSAGE_BYTES {
        sink.bytes(bytes.split_to(DATA_MESSAGE_BYTES)).await?;
    }
    sink.bytes(bytes).await
}
