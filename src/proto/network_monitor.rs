//! PURE. Detects that this machine was suspended or changed networks, from two snapshots of its clocks and address.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::limits::CLOCK_JUMP;
use super::timestamp::Timestamp;

/// The clocks and the address of a machine at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// The monotonic clock, which stands still during suspension.
    pub now: Instant,
    /// The wall clock.
    pub wall: Timestamp,
    /// The source address towards the hub, if there is a route.
    pub address: Option<IpAddr>,
}

/// A change of the machine or its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The machine was suspended, the process was stopped, or the clock was set.
    WokeUp,
    /// The address changed or returned.
    AddressChanged,
}

/// Compares two snapshots that should be `interval` apart. The loss of an address is no change: nothing can be done
/// about it.
pub fn detect_change(before: &Snapshot, after: &Snapshot, interval: Duration) -> Option<Change> {
    let elapsed = after.now.saturating_duration_since(before.now);
    let wall_elapsed = after.wall.0.saturating_sub(before.wall.0);
    let jump = wall_elapsed.saturating_sub(i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)).unsigned_abs();
    if jump >= CLOCK_JUMP.as_secs() || elapsed >= interval + CLOCK_JUMP {
        return Some(Change::WokeUp);
    }
    (after.address.is_some() && after.address != before.address).then_some(Change::AddressChanged)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's virtual time")]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn after(now: Duration, wall: i64, address: Option<&str>) -> Option<Change> {
        let home = Some("192.0.2.1".parse().unwrap());
        let before = Snapshot { now: Instant::now(), wall: Timestamp(1_000_000), address: home };
        let address = address.map(|address| address.parse().unwrap());
        detect_change(&before, &Snapshot { now: before.now + now, wall: Timestamp(1_000_000 + wall), address }, SECOND)
    }

    #[test]
    fn an_ordinary_second_is_no_change() {
        assert_eq!(after(SECOND, 1, Some("192.0.2.1")), None);
        assert_eq!(after(9 * SECOND, 9, Some("192.0.2.1")), None, "a busy machine");
        assert_eq!(after(SECOND, 3, Some("192.0.2.1")), None, "a clock that is being adjusted");
    }

    #[test]
    fn suspension_shows_on_the_wall_clock_and_a_stopped_process_on_both() {
        assert_eq!(after(SECOND, 3600, Some("192.0.2.1")), Some(Change::WokeUp));
        assert_eq!(after(SECOND, -3600, Some("192.0.2.1")), Some(Change::WokeUp), "the clock was set");
        assert_eq!(after(90 * SECOND, 90, Some("192.0.2.1")), Some(Change::WokeUp));
    }

    #[test]
    fn another_address_is_a_change_and_its_loss_is_not() {
        assert_eq!(after(SECOND, 1, Some("198.51.100.7")), Some(Change::AddressChanged));
        assert_eq!(after(SECOND, 1, None), None);
    }
}
