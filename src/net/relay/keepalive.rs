//! Who is still there: signs of life on both sides of a relay.

use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep_until};

use crate::net::liveness::Liveness;
use crate::net::websocket::Broken;
use crate::net::{clock, random};
use crate::proto::keepalive::{IdleTimeout, Keepalive, KeepaliveAction};
use crate::proto::websocket::Endpoint;

/// No side is pinged again sooner.
const MIN_PING_INTERVAL: Duration = Duration::from_secs(1);

/// Returns when nothing has moved on a connection for too long, from when this is first asked.
pub(in crate::net) async fn wait_until_dead(liveness: &Liveness, limit: Option<IdleTimeout>) {
    let Some(IdleTimeout { dead_after }) = limit else { return std::future::pending().await };
    let started_at = clock::now();
    loop {
        let until = started_at.max(liveness.last_write()).max(liveness.last_read()) + dead_after;
        if clock::now() >= until {
            return;
        }
        sleep_until(until.into()).await;
    }
}

/// When the one who reads from one side and writes to the other must say something to the latter, or give up the former.
pub(super) struct KeepaliveTimer<'a> {
    keepalive: Option<Keepalive>,
    source: &'a Liveness,
    sink: &'a Liveness,
    /// While the other side takes its time, this one is not read: its silence counts from here.
    reading_since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl<'a> KeepaliveTimer<'a> {
    pub(super) fn new(idle_timeout: Option<IdleTimeout>, source: &'a Liveness, sink: &'a Liveness) -> Self {
        let keepalive = idle_timeout
            .map(|idle_timeout| Keepalive::new(idle_timeout, Endpoint::Server, clock::epoch(), random::u64()));
        let now = clock::now();
        Self { keepalive, source, sink, reading_since: now, timer: Box::pin(sleep_until(now.into())) }
    }

    /// The source is read again.
    pub(super) fn restart_read_timer(&mut self) {
        self.reading_since = clock::now();
    }

    /// Returns when a ping is due, or the source is dead. Safe to cancel.
    pub(super) async fn next(&mut self) -> Result<(), Broken> {
        let Some(keepalive) = &mut self.keepalive else { return std::future::pending().await };
        loop {
            // Set anew only when it has passed: most messages leave it as it is.
            self.timer.as_mut().await;
            let last_read = self.source.last_read().max(self.reading_since);
            match keepalive.poll(clock::now(), self.sink.last_write(), last_read) {
                KeepaliveAction::WaitUntil(at) => self.timer.as_mut().reset(at.into()),
                KeepaliveAction::Ping => {
                    self.timer.as_mut().reset((clock::now() + MIN_PING_INTERVAL).into());
                    return Ok(());
                }
                KeepaliveAction::GiveUp => return Err(Broken::Silent),
            }
        }
    }
}
