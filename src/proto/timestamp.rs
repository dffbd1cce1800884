//! Wall-clock time, for output and expiry dates. `net::os::clock` reads the clock.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

/// Wall-clock time in whole seconds since 1970; as text, RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(pub i64);

/// The error for text that is not RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid time; expected a form such as 2026-01-31T12:00:00Z")]
pub struct InvalidTimestamp;

/// The start of the year 0, the first that RFC 3339 can write.
const MIN: i64 = -62_167_219_200;

/// The end of the year 9999, the last that RFC 3339 can write.
const MAX: i64 = 253_402_300_799;

impl Timestamp {
    /// Adds a span, saturating.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(seconds(span)))
    }

    /// Subtracts a span, saturating.
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(seconds(span)))
    }

    /// Returns the span since `earlier`; zero if that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Formats the time as RFC 3339 in UTC, clamped to the years 0 to 9999.
    pub fn rfc3339(self) -> String {
        let timestamp = OffsetDateTime::from_unix_timestamp(self.0.clamp(MIN, MAX));
        timestamp.map_or_else(|_| String::new(), |timestamp| timestamp.format(&Rfc3339).unwrap_or_default())
    }

    /// Parses the `Date` header of HTTP, RFC 9110 section 5.6.7.
    pub fn parse_http_date(text: &str) -> Option<Self> {
        Some(Self(OffsetDateTime::parse(text, &Rfc2822).ok()?.unix_timestamp()))
    }

    /// Parses RFC 3339, with or without fractions of a second, if it is in the years 0 to 9999 in UTC as well.
    pub fn parse(text: &str) -> Option<Self> {
        let timestamp = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        Some(Self(timestamp.unix_timestamp())).filter(|timestamp| (MIN..=MAX).contains(&timestamp.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.rfc3339())
    }
}

impl TryFrom<String> for Timestamp {
    type Error = InvalidTimestamp;
    fn try_from(text: String) -> Result<Self, InvalidTimestamp> {
        Self::parse(&text).ok_or(InvalidTimestamp)
    }
}

impl From<Timestamp> for String {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.rfc3339()
    }
}

fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_round_trips() {
        let timestamp = Timestamp(1_800_000_000);
        assert_eq!(Timestamp::parse(&timestamp.rfc3339()), Some(timestamp));
        assert_eq!(Timestamp::parse("2027-01-15T08:00:00.5Z"), Some(timestamp));
        assert_eq!(Timestamp::parse_http_date("Fri, 15 Jan 2027 08:00:00 GMT"), Some(timestamp));
        assert_eq!((Timestamp::parse("noon"), Timestamp::parse_http_date("noon")), (None, None));
        assert_eq!(
            timestamp.after(Duration::MAX).since(timestamp),
            Duration::from_secs((i64::MAX - timestamp.0) as u64)
        );
        assert_eq!(timestamp.since(timestamp.after(Duration::from_secs(1))), Duration::ZERO);
    }

    #[test]
    fn times_beyond_the_years_of_rfc_3339_are_clamped() {
        assert_eq!(Timestamp(i64::MAX).rfc3339(), "9999-12-31T23:59:59Z");
        assert_eq!(Timestamp(i64::MIN).rfc3339(), "0000-01-01T00:00:00Z");
        assert_eq!(Timestamp::parse("9999-12-31T23:59:59Z"), Some(Timestamp(MAX)));
        assert_eq!(Timestamp::parse("9999-12-31T23:59:59-01:00"), None);
    }

    #[test]
    fn a_time_before_the_year_0_in_utc_is_rejected() {
        assert_eq!(Timestamp::parse("0000-01-01T08:00:60+08:01"), None);
        assert!(Timestamp::parse("0000-01-01T08:01:00+08:01").is_some());
    }
}
