//! Moments of the wall clock, for what a person reads and for expiry dates. What reads the clock is `net::clock`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

/// A moment of the wall clock, in whole seconds since 1970; as text, RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(pub i64);

/// Not RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time of the form 2026-01-31T12:00:00Z")]
pub struct InvalidMoment;

/// The beginning of the year 0.
const FIRST: i64 = -62_167_219_200;

/// The end of the year 9999.
const LAST: i64 = 253_402_300_799;

impl Moment {
    /// Later by this much.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(seconds(span)))
    }

    /// Earlier by this much.
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(seconds(span)))
    }

    /// How long it is from `earlier` until here; nothing if it is not later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// As people and programs read it; what is beyond the years that can be written is the first or last of them.
    pub fn rfc3339(self) -> String {
        let moment = OffsetDateTime::from_unix_timestamp(self.0.clamp(FIRST, LAST));
        moment.map_or_else(|_| String::new(), |moment| moment.format(&Rfc3339).unwrap_or_default())
    }

    /// Parses the `Date` header of HTTP (RFC 9110 section 5.6.7).
    pub fn of_http(text: &str) -> Option<Self> {
        Some(Self(OffsetDateTime::parse(text, &Rfc2822).ok()?.unix_timestamp()))
    }

    /// Parses RFC 3339, with or without fractions; within the years that it can write, also as UTC.
    pub fn parse(text: &str) -> Option<Self> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        Some(Self(moment.unix_timestamp())).filter(|moment| (FIRST..=LAST).contains(&moment.0))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.rfc3339())
    }
}

impl TryFrom<String> for Moment {
    type Error = InvalidMoment;
    fn try_from(text: String) -> Result<Self, InvalidMoment> {
        Self::parse(&text).ok_or(InvalidMoment)
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.rfc3339()
    }
}

fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_survives_being_written_down() {
        let moment = Moment(1_800_000_000);
        assert_eq!(Moment::parse(&moment.rfc3339()), Some(moment));
        assert_eq!(Moment::parse("2027-01-15T08:00:00.5Z"), Some(moment));
        assert_eq!(Moment::of_http("Fri, 15 Jan 2027 08:00:00 GMT"), Some(moment));
        assert_eq!((Moment::parse("noon"), Moment::of_http("noon")), (None, None));
        assert_eq!(moment.after(Duration::MAX).since(moment), Duration::from_secs((i64::MAX - moment.0) as u64));
        assert_eq!(moment.since(moment.after(Duration::from_secs(1))), Duration::ZERO);
    }

    #[test]
    fn what_never_ends_is_written_as_late_and_not_as_1970() {
        assert_eq!(Moment(i64::MAX).rfc3339(), "9999-12-31T23:59:59Z");
        assert_eq!(Moment(i64::MIN).rfc3339(), "0000-01-01T00:00:00Z");
        assert_eq!(Moment::parse("9999-12-31T23:59:59Z"), Some(Moment(LAST)));
        assert_eq!(Moment::parse("9999-12-31T23:59:59-01:00"), None);
    }

    #[test]
    fn a_time_that_is_before_the_year_nought_elsewhere_is_none() {
        assert_eq!(Moment::parse("0000-01-01T08:00:60+08:01"), None);
        assert!(Moment::parse("0000-01-01T08:01:00+08:01").is_some());
    }
}
