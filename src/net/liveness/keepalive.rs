//! The timers that decide on a connection's liveness: a ping when it has been idle, its end when it has been silent.

use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep_until};

use super::Liveness;
use crate::net::os::clock;
use crate::net::os::random;
use crate::proto::keepalive::{IdleTimeout, Keepalive, KeepaliveAction};
use crate::proto::websocket::WebSocketRole;

/// The shortest time between two pings to one peer, however busy the connection to it is.
pub(in crate::net) const MIN_PING_INTERVAL: Duration = Duration::from_secs(1);

/// The peer was silent for longer than the idle timeout.
#[derive(Debug)]
pub(in crate::net) struct PeerDead;

/// Returns once no byte has moved on a connection for the idle timeout, counted from the call; pends forever without a
/// timeout.
pub(in crate::net) async fn wait_until_dead(liveness: &Liveness, idle_timeout: Option<IdleTimeout>) {
    let Some(IdleTimeout { dead_after }) = idle_timeout else { return std::future::pending().await };
    let started_at = clock::now();
    loop {
        let deadline = started_at.max(liveness.last_write()).max(liveness.last_read()) + dead_after;
        if clock::now() >= deadline {
            return;
        }
        sleep_until(deadline.into()).await;
    }
}

/// The timer of a task that reads from one connection (the source) and writes to another (the sink): when the sink
/// needs a ping, and when the source is dead.
pub(in crate::net) struct KeepaliveTimer<'a> {
    keepalive: Option<Keepalive>,
    source: &'a Liveness,
    sink: &'a Liveness,
    /// The start of the current read. The source is not read while a write to the sink blocks, so its silence counts
    /// from here.
    reading_since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl<'a> KeepaliveTimer<'a> {
    /// Starts the timer; without an idle timeout it never fires.
    pub(in crate::net) fn new(idle_timeout: Option<IdleTimeout>, source: &'a Liveness, sink: &'a Liveness) -> Self {
        let keepalive = idle_timeout
            .map(|idle_timeout| Keepalive::new(idle_timeout, WebSocketRole::Server, clock::epoch(), random::u64()));
        let now = clock::now();
        Self { keepalive, source, sink, reading_since: now, timer: Box::pin(sleep_until(now.into())) }
    }

    /// Records that the source is being read again.
    pub(in crate::net) fn restart_read_timer(&mut self) {
        self.reading_since = clock::now();
    }

    /// Returns when a ping to the sink is due, or the source is dead. Safe to cancel.
    pub(in crate::net) async fn next(&mut self) -> Result<(), PeerDead> {
        let Some(keepalive) = &mut self.keepalive else { return std::future::pending().await };
        loop {
            // Reset only after it has fired: most messages leave the deadline alone.
            self.timer.as_mut().await;
            let last_read = self.source.last_read().max(self.reading_since);
            match keepalive.poll(clock::now(), self.sink.last_write(), last_read) {
                KeepaliveAction::WaitUntil(deadline) => self.timer.as_mut().reset(deadline.into()),
                KeepaliveAction::Ping => {
                    self.timer.as_mut().reset((clock::now() + MIN_PING_INTERVAL).into());
                    return Ok(());
                }
                KeepaliveAction::GiveUp => return Err(PeerDead),
            }
        }
    }
}
