//! The parsers of values: durations, sizes, counts and host names.

use std::net::IpAddr;
use std::time::Duration;

use bytesize::ByteSize;
use ipnet::{IpNet, Ipv4Net};

use crate::proto::forward::parse_host;
use crate::proto::id::{DeviceId, InvalidName};
use crate::proto::limits::HANDSHAKE_TIMEOUT;

/// The longest wait that can be set: a year. Longer ones are mistakes, and clocks can still add this.
const MAX_WAIT: Duration = Duration::from_secs(365 * DAY);

/// The longest validity or age: a hundred years. The date after it can still be written.
const MAX_AGE: Duration = Duration::from_secs(36_525 * DAY);

/// A day in seconds.
const DAY: u64 = 24 * 60 * 60;

/// Parses a wait: a number of seconds such as 1.5, or a duration with units.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    seconds_up_to(MAX_WAIT, text)
}

/// Parses a wait for a deadline, which must be longer than 0: nothing meets one of 0.
pub(super) fn positive_seconds(text: &str) -> Result<Duration, String> {
    seconds(text).and_then(|time| if time.is_zero() { Err("must be more than 0".into()) } else { Ok(time) })
}

/// Parses the limit on a part of a stream's handshake.
pub(super) fn handshake_seconds(text: &str) -> Result<Duration, String> {
    seconds_up_to(HANDSHAKE_TIMEOUT, text)
}

fn seconds_up_to(max: Duration, text: &str) -> Result<Duration, String> {
    let plain = || text.parse().ok().and_then(|number| Duration::try_from_secs_f64(number).ok());
    let time = humantime::parse_duration(text).ok().or_else(plain);
    let time = time.ok_or_else(|| "not a number of seconds, nor a duration such as 90s or 5m".to_owned())?;
    if time <= max { Ok(time) } else { Err(format!("must be at most {} seconds", max.as_secs())) }
}

/// Parses a limit, which must allow at least one.
pub(super) fn positive_count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "must be a number from 1 on".into())
}

/// Parses a duration with units, in whole seconds: all that uses one counts in seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text)
        .map_err(|_| format!("'{text}' is not a duration such as 90s, 30m, 12h, 7d or '1h 30m'"))?;
    match time {
        time if time.subsec_nanos() > 0 => Err("must be whole seconds".into()),
        time if time > MAX_AGE => Err(format!("must be at most {}d", MAX_AGE.as_secs() / DAY)),
        time => Ok(time),
    }
}

/// Parses a number of bytes. A unit without a B is binary: 64M is 64MiB, while 64MB is 64 million bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let is_binary = text.ends_with(|unit: char| "KMGTPE".contains(unit.to_ascii_uppercase()));
    let parsed = if is_binary { format!("{text}iB").parse() } else { text.parse::<ByteSize>() };
    // The parser saturates at the largest number.
    let size = parsed.ok().map(|ByteSize(bytes)| bytes).filter(|bytes| *bytes < u64::MAX);
    size.ok_or_else(|| format!("'{text}' is not a size such as 500K, 64MiB, 1.5G or a number of bytes"))
}

/// Parses a network, or an address as the network of that alone.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let parsed = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    parsed.map(without_mapping).ok_or_else(|| "is neither an address nor a network such as 10.0.0.0/24".into())
}

/// Returns a network of IPv4 addresses that is written as one of IPv6 (RFC 4291 section 2.5.5.2) as what it is: so are peers'
/// addresses.
fn without_mapping(network: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    let IpNet::V6(written) = network else { return network };
    let bits = written.prefix_len().checked_sub(MAPPED);
    let as_v4 = written.addr().to_ipv4_mapped().zip(bits).and_then(|(addr, bits)| Ipv4Net::new(addr, bits).ok());
    as_v4.map_or(network, IpNet::V4)
}

/// Parses a host name or address. An IPv6 address loses the brackets that URLs have around it.
pub(super) fn hostname(text: &str) -> Result<String, String> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    let name = parse_host(text).map_err(|_| format!("'{text}' is not a host name or address"))?;
    Ok(name.to_owned())
}

/// The suffix of a device's id in OpenSSH's host names, which distinguishes devices from other hosts.
pub(in crate::cli) const DEVICE_SUFFIX: &str = ".devstream";

/// Parses a device that exists: its id, or the host name that `ssh-config` gives it.
pub(super) fn device_id(text: &str) -> Result<DeviceId, InvalidName> {
    text.strip_suffix(DEVICE_SUFFIX).unwrap_or(text).parse()
}

/// Parses the id of a new device, which must not be the host name of another.
pub(super) fn new_device_id(text: &str) -> Result<DeviceId, String> {
    match text.strip_suffix(DEVICE_SUFFIX) {
        Some(id) => Err(format!("ids do not end in {DEVICE_SUFFIX}, which host names add to them; did you mean {id}?")),
        None => text.parse().map_err(|error: InvalidName| error.to_string()),
    }
}

/// Writes a default in seconds, as it would be typed.
pub(super) fn in_seconds(time: Duration) -> String {
    time.as_secs().to_string()
}

/// Writes a default in minutes, as it would be typed.
pub(super) fn in_minutes(time: Duration) -> String {
    format!("{}m", time.as_secs() / 60)
}

/// Writes a default in MiB, as it would be typed.
pub(super) fn in_mebibytes(bytes: u64) -> String {
    format!("{}MiB", bytes / 1024 / 1024)
}

/// Writes a default in KiB, as it would be typed.
pub(super) fn in_kibibytes(bytes: usize) -> String {
    format!("{}KiB", bytes / 1024)
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
    fn a_network_may_be_one_address_and_one_of_ipv4_is_that_however_it_is_written() {
        for (text, network) in [
            ("10.0.0.1", "10.0.0.1/32"),
            ("10.0.0.0/24", "10.0.0.0/24"),
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
            ("::ffff:10.0.0.0/120", "10.0.0.0/24"),
            ("fd00::1", "fd00::1/128"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(super::network(text).unwrap().to_string(), network);
        }
        assert!(network("hub.test").is_err());
    }

    #[test]
    fn a_device_is_meant_by_its_host_name_too() {
        for text in ["pi-42", "pi-42.devstream"] {
            assert_eq!(device_id(text).map(|id| id.to_string()).as_deref(), Ok("pi-42"), "{text}");
        }
        assert!(device_id(".devstream").is_err() && new_device_id("pi-42").is_ok());
        assert!(new_device_id("pi-42.devstream").is_err_and(|error| error.ends_with("did you mean pi-42?")));
    }

    #[test]
    fn waits_that_overflow_a_clock_or_leave_no_time_are_rejected() {
        for text in ["1e19", "1e18", "31536001", "-1", "NaN", "inf", "soon", "", "53w", "5x"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert_eq!((seconds("0"), seconds("0.5")), (Ok(Duration::ZERO), Ok(Duration::from_millis(500))));
        assert!(positive_seconds("0").is_err() && positive_seconds("0.5").is_ok());
        assert_eq!((seconds("90s"), seconds("1m 30s")), (Ok(Duration::from_secs(90)), Ok(Duration::from_secs(90))));
        assert_eq!(seconds("250ms"), Ok(Duration::from_millis(250)));
        assert!(handshake_seconds("61").is_err() && handshake_seconds("60").is_ok());
        assert!(handshake_seconds("61s").is_err() && handshake_seconds("1m").is_ok());
        assert!(duration("36526d").is_err() && duration("36525d").is_ok());
        assert!(positive_count("0").is_err() && positive_count("1").is_ok());
    }

    #[test]
    fn sizes_and_durations_take_the_usual_units() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("4096B", 4096),
            ("500K", 500 << 10),
            ("500KiB", 500 << 10),
            ("64M", 64 << 20),
            ("64MiB", 64 << 20),
            ("64 MiB", 64 << 20),
            ("64mib", 64 << 20),
            ("1G", 1 << 30),
            ("1.5G", 3 << 29),
            ("2T", 2 << 40),
            ("2TiB", 2 << 40),
            ("64MB", 64_000_000),
            ("64 MB", 64_000_000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "1.5", "1.5.5G", "64X", "G64", "99999999T", "99999999TB"] {
            assert!(size(text).is_err(), "{text}");
        }
        for (text, seconds) in [
            ("0s", 0),
            ("90s", 90),
            ("30m", 1800),
            ("12h", 43_200),
            ("7d", 604_800),
            ("1w", 604_800),
            ("1h 30m", 5400),
            ("1.5h", 5400),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "7", "d", "1x", "-1d", "1.5s", "9999999999999999999d", "7é"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
