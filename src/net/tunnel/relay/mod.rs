//! The relay at the hub: forwards messages between the two WebSockets of a stream, whatever they mean to its ends.
//!
//! [`relay`] takes the device's [`Leg`] and the service's, with what each sent before the other was there, and runs one
//! `Direction` each way. It returns a [`RelayEnd`]: which leg closed first, and how, for the close frame to the other.

mod backlog;
mod direction;
mod leg;
#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use self::backlog::{Backlog, Backlogs, Waiting, WaitingBytes};
use self::direction::{Direction, Side};
pub use self::leg::{Leg, LegClose};
use crate::net::liveness::keepalive::wait_until_dead;
use crate::net::tunnel::FINAL_READ_TIMEOUT;
use crate::net::websocket::{CLOSE_NORMAL, Transport, WebSocket, WebSocketError};
use crate::proto::id::Role;
use crate::proto::keepalive::IdleTimeout;
use crate::proto::refusal::Refusal;

/// The bytes that a stream has carried so far.
#[derive(Debug, Default)]
pub struct ByteCounters {
    /// From the service.
    pub to_device: AtomicU64,
    /// From the device.
    pub to_service: AtomicU64,
}

impl ByteCounters {
    /// The bytes to the device, and those to the service.
    pub fn total(&self) -> (u64, u64) {
        (self.to_device.load(Ordering::Relaxed), self.to_service.load(Ordering::Relaxed))
    }
}

/// The settings of one stream.
pub struct RelayContext<'a> {
    /// Both ends speak `devstream.v1`: they exchange control messages, and the hub may send some.
    pub has_stream_protocol: bool,
    /// Both ends resume the stream when a leg is lost.
    pub resumable: bool,
    /// Both WebSockets are used for another stream after this one.
    pub reusable: bool,
    /// The stream's byte counters.
    pub counters: &'a ByteCounters,
    /// What waits for the stream's ends.
    pub backlogs: &'a Backlogs,
    /// A last release to the device may be left for the owner of its leg to send, with the request of the next stream. The
    /// service sends its next request only after it.
    pub hold_release: bool,
    /// Ends the stream.
    pub cancel: &'a CancellationToken,
    /// The hub is draining …
    pub draining: &'a CancellationToken,
    /// … and ends the stream after this time.
    pub drain_timeout: Duration,
    /// The delay before an end that can resume rejoins.
    pub reconnect_delay: &'a (dyn Fn() -> Duration + Sync),
    /// The longest silence of an end that speaks `devstream.v1`.
    pub idle_timeout: IdleTimeout,
}

impl RelayContext<'_> {
    /// The idle timeout; `None` for ends without `devstream.v1`, which may not read for hours and still be alive.
    fn idle_timeout(&self) -> Option<IdleTimeout> {
        self.has_stream_protocol.then_some(self.idle_timeout)
    }
}

/// Forwards messages both ways until one leg ends, both have released, or the hub ends the stream.
pub async fn relay<T: Transport>(mut device: Leg<T>, mut service: Leg<T>, context: &RelayContext<'_>) -> RelayEnd<T> {
    context.counters.to_device.fetch_add(std::mem::take(&mut service.early_data_delivered), Ordering::Relaxed);
    let (service_end_acked, device_end_acked) = (AtomicBool::new(false), AtomicBool::new(false));
    let (service_released, device_released) = (AtomicBool::new(false), AtomicBool::new(false));
    let (closed_first, reusable) = {
        let (d, s) = (&mut device, &mut service);
        let (d_buffered, s_buffered) = (std::mem::take(&mut d.buffered), std::mem::take(&mut s.buffered));
        let (d, s) = (&mut d.socket, &mut s.socket);
        let (end_acknowledged, released) = (&device_end_acked, (&service_released, &device_released));
        let to_device = Direction {
            source_liveness: &s.liveness,
            sink_liveness: &d.liveness,
            context,
            bytes_carried: &context.counters.to_device,
            backlog: &context.backlogs.to_device,
            end_acknowledged,
            hold_release: context.hold_release,
            released,
        };
        let (end_acknowledged, released) = (&service_end_acked, (&device_released, &service_released));
        let to_service = Direction {
            source_liveness: &d.liveness,
            sink_liveness: &s.liveness,
            context,
            bytes_carried: &context.counters.to_service,
            backlog: &context.backlogs.to_service,
            end_acknowledged,
            hold_release: false,
            released,
        };
        let mut to_device = pin!(to_device.run(s_buffered, &mut s.reader, &mut d.writer));
        let mut to_service = pin!(to_service.run(d_buffered, &mut d.reader, &mut s.writer));
        tokio::select! {
            first = &mut to_device => first_close(Role::Service, first, to_service).await,
            first = &mut to_service => first_close(Role::Device, first, to_device).await,
            () = context.cancel.cancelled() => (None, false),
        }
    };
    let is_over = service_end_acked.into_inner() && device_end_acked.into_inner();
    let closed_first = closed_first
        .map(|(role, leg_close)| (role, if is_over { leg_close.after_acknowledged_end() } else { leg_close }));
    let (to_device, to_service) = context.counters.total();
    (device.carried, service.carried) = (to_device + to_service, to_device + to_service);
    RelayEnd { device, service, closed_first, reusable }
}

/// Decides which leg closed first, and how, after the direction from `source` has ended; and whether both WebSockets
/// are reusable.
async fn first_close(
    source: Role,
    (side, leg_close): (Side, LegClose),
    other: impl Future<Output = (Side, LegClose)>,
) -> (Option<(Role, LegClose)>, bool) {
    let role = if side == Side::Source { source } else { !source };
    match leg_close {
        // The other side had released before, and has this release too, or gets it with what its leg is sent next.
        LegClose::Released => (Some((role, leg_close)), true),
        // A peer that no longer reads may have sent a close frame.
        LegClose::Broken(WebSocketError::Truncated | WebSocketError::Io(_)) if side == Side::Sink => {
            match timeout(FINAL_READ_TIMEOUT, other).await {
                Ok((Side::Source, source_close)) => (Some((role, source_close)), false),
                Ok((Side::Sink, _)) | Err(_) => (Some((role, leg_close)), false),
            }
        }
        LegClose::Broken(_) | LegClose::Closed(_) => (Some((role, leg_close)), false),
    }
}

/// The two legs after a relay, still open.
#[derive(Debug)]
pub struct RelayEnd<T> {
    device: Leg<T>,
    service: Leg<T>,
    closed_first: Option<(Role, LegClose)>,
    reusable: bool,
}

impl<T: Transport> RelayEnd<T> {
    /// Reports whether both WebSockets are reusable.
    pub fn is_reusable(&self) -> bool {
        self.reusable
    }

    /// Takes out the device's leg and the service's.
    pub fn into_legs(self) -> (Leg<T>, Leg<T>) {
        (self.device, self.service)
    }

    /// The leg that closed first, and how; `None` if the hub ended the stream.
    pub fn closed_first(&self) -> Option<(Role, &LegClose)> {
        self.closed_first.as_ref().map(|(role, leg_close)| (*role, leg_close))
    }

    /// Closes both legs. If the hub ended the stream, both get the refusal that `why` returns; what they hold is freed soon if
    /// that says so.
    pub async fn close(self, context: &RelayContext<'_>, why: impl Fn() -> (Refusal, bool)) {
        let Self { device, service, closed_first, .. } = self;
        let Some((role, leg_close)) = closed_first else {
            match why() {
                (refusal, true) => {
                    tokio::join!(device.refuse_and_free(&refusal), service.refuse_and_free(&refusal));
                }
                (refusal, false) => {
                    tokio::join!(device.refuse(&refusal), service.refuse(&refusal));
                }
            }
            return;
        };
        let (closed, other) = if role == Role::Device { (device, service) } else { (service, device) };
        close_legs(closed.socket, other.socket, &leg_close, context).await;
    }
}

/// Closes the other leg after the first has closed. After a clean close it still gets everything sent before, however
/// slowly it reads, for as long as it, or its TCP connection, is alive.
async fn close_legs<T: Transport>(
    closed: WebSocket<T>,
    other: WebSocket<T>,
    leg_close: &LegClose,
    context: &RelayContext<'_>,
) {
    let liveness = other.liveness.clone();
    let close_first = async {
        match leg_close {
            LegClose::Released => closed.close_with_timeout(CLOSE_NORMAL, "").await,
            LegClose::Closed(_) => closed.await_close().await,
            LegClose::Broken(broken) => closed.close_with_error(broken).await,
        }
    };
    let (code, reason) = leg_close.peer_close_frame(context.resumable);
    let close_other = async {
        if leg_close.is_clean() {
            tokio::select! {
                () = other.close_when_read(code, &reason) => {}
                () = wait_until_dead(&liveness, context.idle_timeout()) => {}
            }
        } else {
            other.close_with_timeout(code, &reason).await
        }
    };
    tokio::select! {
        _ = async { tokio::join!(close_first, close_other) } => {}
        () = context.cancel.cancelled() => {}
    }
}
