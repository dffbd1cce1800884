//! The units in which things are typed.

use std::net::IpAddr;
use std::time::Duration;

use crate::proto::forward::parse_host;
use crate::proto::limits::HANDSHAKE_TIMEOUT;

/// A year: nobody waits longer for anything that is typed in seconds, and clocks can still add it.
const MAX_SECONDS: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A hundred years: longer than any of this, and a date that can still be written.
const MAX_AGE: Duration = Duration::from_secs(36_525 * 24 * 60 * 60);

/// A number of seconds, fractions allowed.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    seconds_up_to(MAX_SECONDS, text)
}

/// The same, for a deadline: without any time nothing could meet it.
pub(super) fn positive_seconds(text: &str) -> Result<Duration, String> {
    seconds(text).and_then(|time| if time.is_zero() { Err("it must be more than 0".into()) } else { Ok(time) })
}

/// The same, for a part of a stream's handshake.
pub(super) fn handshake_seconds(text: &str) -> Result<Duration, String> {
    seconds_up_to(HANDSHAKE_TIMEOUT, text)
}

fn seconds_up_to(most: Duration, text: &str) -> Result<Duration, String> {
    let number = text.parse().ok().and_then(|number| Duration::try_from_secs_f64(number).ok());
    let time = number.ok_or_else(|| "not a number of seconds".to_owned())?;
    if time <= most { Ok(time) } else { Err(format!("it must be at most {} seconds", most.as_secs())) }
}

/// How many there may be of something that must be possible at all.
pub(super) fn positive_count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "it must be a number from 1 on".into())
}

/// A number and a unit of time.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not an age such as 90s, 30m, 12h or 7d");
    let (number, unit) = split(text);
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let age = number.and_then(|number| number.checked_mul(factor)).map(Duration::from_secs).ok_or_else(wrong)?;
    if age <= MAX_AGE { Ok(age) } else { Err(format!("it must be at most {}d", MAX_AGE.as_secs() / (24 * 60 * 60))) }
}

/// A number of bytes, with or without a binary unit.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is not a size such as 500K, 64MiB, 1G or a number of bytes");
    let (number, unit) = split(text);
    let shift = match unit {
        "" | "B" => 0,
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        "T" | "TiB" => 40,
        _ => return Err(wrong()),
    };
    number.and_then(|number| number.checked_mul(1 << shift)).ok_or_else(wrong)
}

/// What a machine is called; an IPv6 address has no brackets here, whether or not it was typed with those of URLs.
pub(super) fn hostname(text: &str) -> Result<String, String> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    let name = parse_host(text).map_err(|_| format!("'{text}' is not the name or address of a machine"))?;
    Ok(name.to_owned())
}

/// The number that a text begins with, and the rest.
fn split(text: &str) -> (Option<u64>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (text[..end].parse().ok(), &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_brackets_loses_them_and_other_hostnames_stay() {
        for (text, bare) in [("hub.test", "hub.test"), ("fd00::1", "fd00::1"), ("[fd00::1]", "fd00::1")] {
            assert_eq!(hostname(text).as_deref(), Ok(bare), "{text}");
        }
        for text in ["", "foo bar", "https://hub.test", "hub.test:8443", "[fd00::1", "hub.test/x", "fd00::1]"] {
            assert!(hostname(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_that_no_clock_could_add_or_that_leave_none_are_refused() {
        for text in ["1e19", "1e18", "31536001", "-1", "NaN", "inf", "soon", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert_eq!((seconds("0"), seconds("0.5")), (Ok(Duration::ZERO), Ok(Duration::from_millis(500))));
        assert!(positive_seconds("0").is_err() && positive_seconds("0.5").is_ok());
        assert!(handshake_seconds("61").is_err() && handshake_seconds("60").is_ok());
        assert!(age("36526d").is_err() && age("36525d").is_ok());
        assert!(positive_count("0").is_err() && positive_count("1").is_ok());
    }

    #[test]
    fn sizes_and_ages_are_what_people_write() {
        for (text, bytes) in
            [("0", 0), ("4096", 4096), ("500K", 500 << 10), ("64MiB", 64 << 20), ("1G", 1 << 30), ("2TiB", 2 << 40)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "1.5G", "64 MiB", "64MB", "64mib", "99999999T"] {
            assert!(size(text).is_err(), "{text}");
        }
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("12h", 43_200), ("7d", 604_800)] {
            assert_eq!(age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "7", "d", "1w", "-1d", "1.5h", "9999999999999999999d", "7é"] {
            assert!(age(text).is_err(), "{text}");
        }
    }
}
