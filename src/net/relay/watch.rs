//! Who is still there: signs of life on both sides of a relay.

use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep_until};

use crate::net::pulse::Pulse;
use crate::net::websocket::WebSocketError;
use crate::net::{clock, random};
use crate::proto::keepalive::{Beat, Heartbeat, Patience};
use crate::proto::websocket::Endpoint;

/// No side is pinged again sooner.
const BETWEEN_PINGS: Duration = Duration::from_secs(1);

/// Returns when nothing has moved on a connection for too long, from when this is first asked.
pub(in crate::net) async fn lifeless(pulse: &Pulse, limit: Option<Patience>) {
    let Some(Patience { dead_after }) = limit else { return std::future::pending().await };
    let asked = clock::now();
    loop {
        let until = asked.max(pulse.said()).max(pulse.heard()) + dead_after;
        if clock::now() >= until {
            return;
        }
        sleep_until(until.into()).await;
    }
}

/// When the one who reads from one side and writes to the other must say something to the latter, or give up the former.
pub(super) struct Watch<'a> {
    heartbeat: Option<Heartbeat>,
    from: &'a Pulse,
    to: &'a Pulse,
    /// While the other side takes its time, this one is not read: its silence counts from here.
    reading_since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(patience: Option<Patience>, from: &'a Pulse, to: &'a Pulse) -> Self {
        let heartbeat =
            patience.map(|patience| Heartbeat::new(patience, Endpoint::Server, clock::epoch(), random::dice()));
        let now = clock::now();
        Self { heartbeat, from, to, reading_since: now, timer: Box::pin(sleep_until(now.into())) }
    }

    /// The source is read again.
    pub(super) fn reads_on(&mut self) {
        self.reading_since = clock::now();
    }

    /// Returns when a ping is due, or the source is dead. Safe to cancel.
    pub(super) async fn next(&mut self) -> Result<(), WebSocketError> {
        let Some(heartbeat) = &mut self.heartbeat else { return std::future::pending().await };
        loop {
            // Set anew only when it has passed: most messages leave it as it is.
            self.timer.as_mut().await;
            let heard = self.from.heard().max(self.reading_since);
            match heartbeat.poll(clock::now(), self.to.said(), heard) {
                Beat::WaitUntil(at) => self.timer.as_mut().reset(at.into()),
                Beat::Ping => {
                    self.timer.as_mut().reset((clock::now() + BETWEEN_PINGS).into());
                    return Ok(());
                }
                Beat::GiveUp => return Err(WebSocketError::Silent),
            }
        }
    }
}
