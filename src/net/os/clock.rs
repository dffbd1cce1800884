//! The two clocks: the wall clock for logs and expiry dates, and the monotonic clock for all deadlines.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tokio::time::sleep;

use crate::proto::limits::CLOCK_JUMP;
use crate::proto::timestamp::Timestamp;

/// The interval at which the two clocks are compared.
const COMPARISON_INTERVAL: Duration = Duration::from_secs(1);

/// The current time of the wall clock.
pub fn now_utc() -> Timestamp {
    Timestamp(OffsetDateTime::now_utc().unix_timestamp())
}

/// The current time of the wall clock, in milliseconds since 1970.
pub fn unix_millis() -> u64 {
    #[cfg(test)]
    if let Some(millis) = virtual_time::unix_millis() {
        return millis;
    }
    u64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or_default()
}

/// The current time of the wall clock with milliseconds, as RFC 3339 in UTC: the timestamp of activity log lines.
pub fn now_rfc3339() -> String {
    let now = OffsetDateTime::now_utc();
    let second = Timestamp(now.unix_timestamp()).rfc3339();
    format!("{}.{:03}Z", second.trim_end_matches('Z'), now.millisecond())
}

/// The current time of the monotonic clock, which tests can pause.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Returns once the wall clock was set, or the machine slept.
pub async fn stepped() {
    Reading::now().stepped().await;
}

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    wall: OffsetDateTime,
    monotonic: Instant,
}

impl Reading {
    /// The present moment.
    pub fn now() -> Self {
        Self { wall: OffsetDateTime::now_utc(), monotonic: now() }
    }

    /// The time since this moment, by the clock that says more: the monotonic one stands still while the machine sleeps.
    pub fn elapsed(self) -> Duration {
        Duration::try_from(self.by_wall_clock()).unwrap_or_default().max(self.by_monotonic_clock())
    }

    fn by_wall_clock(self) -> time::Duration {
        OffsetDateTime::now_utc() - self.wall
    }

    fn by_monotonic_clock(self) -> Duration {
        now().saturating_duration_since(self.monotonic)
    }

    /// Returns once the clocks differ by [`CLOCK_JUMP`] more than at this moment.
    pub async fn stepped(self) {
        loop {
            sleep(COMPARISON_INTERVAL).await;
            if (self.by_wall_clock() - self.by_monotonic_clock()).unsigned_abs() >= CLOCK_JUMP {
                return;
            }
        }
    }
}

/// A fixed instant of the monotonic clock: that of the first call in this process.
pub fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(now)
}

/// A wall clock for simulations: it goes as the paused monotonic clock does.
#[cfg(test)]
pub mod virtual_time {
    use std::cell::Cell;
    use std::time::Instant;

    /// The time that it shows at first.
    const EPOCH: u64 = 1_800_000_000_000;

    thread_local! {
        static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
    }

    /// Starts it for this thread.
    pub fn start() {
        SINCE.set(Some(super::now()));
    }

    /// Stops it.
    pub fn stop() {
        SINCE.set(None);
    }

    pub(super) fn unix_millis() -> Option<u64> {
        let elapsed = super::now().saturating_duration_since(SINCE.get()?);
        Some(EPOCH + u64::try_from(elapsed.as_millis()).unwrap_or_default())
    }
}
