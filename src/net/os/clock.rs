//! The two clocks: the wall's, for what a person reads and for expiry dates, and the monotonic one for every deadline.

use std::sync::OnceLock;
use std::time::Instant;

use time::OffsetDateTime;

use crate::proto::timestamp::Timestamp;

/// The present, by the wall clock.
pub fn now_utc() -> Timestamp {
    Timestamp(OffsetDateTime::now_utc().unix_timestamp())
}

/// The present with milliseconds, RFC 3339 in UTC: one activity log line's time.
pub fn now_rfc3339() -> String {
    let now = OffsetDateTime::now_utc();
    let second = Timestamp(now.unix_timestamp()).rfc3339();
    format!("{}.{:03}Z", second.trim_end_matches('Z'), now.millisecond())
}

/// The monotonic clock, the one that a test can pause.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// One moment of the monotonic clock, the same for the whole process.
pub fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(now)
}
