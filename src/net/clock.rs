//! The wall clock, for what a person reads and for expiry dates; every deadline uses the monotonic one.

use std::time::{Duration, Instant};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment of the wall clock, in whole seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

impl Moment {
    /// The present.
    pub fn now() -> Self {
        Self(OffsetDateTime::now_utc().unix_timestamp())
    }

    /// Later by this much.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_secs()).unwrap_or(i64::MAX)))
    }

    /// Earlier by this much.
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_secs()).unwrap_or(i64::MAX)))
    }

    /// As people and programs read it: RFC 3339 in UTC.
    pub fn rfc3339(self) -> String {
        let moment = OffsetDateTime::from_unix_timestamp(self.0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        moment.format(&Rfc3339).unwrap_or_default()
    }

    /// Parses what [`Moment::rfc3339`] wrote, with or without fractions.
    pub fn parse(text: &str) -> Option<Self> {
        OffsetDateTime::parse(text, &Rfc3339).ok().map(|moment| Self(moment.unix_timestamp()))
    }
}

/// The present with milliseconds, RFC 3339 in UTC: one activity log line's time.
pub fn timestamp() -> String {
    let now = OffsetDateTime::now_utc();
    let whole = now.replace_nanosecond(now.millisecond() as u32 * 1_000_000).unwrap_or(now);
    whole.format(&Rfc3339).unwrap_or_default()
}

/// The monotonic clock, the one that a test can pause.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
