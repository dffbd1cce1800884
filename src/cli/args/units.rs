//! The units in which things are typed.

use std::convert::Infallible;
use std::time::Duration;

use crate::proto::forward::bare_host;

/// A number of seconds, fractions allowed.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|_| "not a number of seconds".to_owned())
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
    number.and_then(|number| number.checked_mul(factor)).map(Duration::from_secs).ok_or_else(wrong)
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
pub(super) fn hostname(text: &str) -> Result<String, Infallible> {
    Ok(bare_host(text).unwrap_or(text).to_owned())
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
