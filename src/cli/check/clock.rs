//! The comparison of this machine's clock with the hub's, and its part in an expired certificate.

use super::finding::{Finding, Verdict};
use super::hop::Hop;
use crate::proto::refusal::Refusal;
use crate::proto::timestamp::Timestamp;

const DAY: i64 = 24 * 60 * 60;

/// The difference in seconds above which a clock is wrong; latency and drift explain less.
pub(super) const CLOCK_TOLERANCE: i64 = 5 * 60;

/// Compares this machine's clock with the hub's.
pub(super) fn compare_clocks(here: Timestamp, there: Timestamp) -> Finding {
    let finding = Finding::good(Hop::Clock, here).fact("hub", there);
    match difference(here, there) {
        None => finding,
        Some(difference) => finding.with_verdict(Verdict::Warning {
            cause: format!("this machine's clock is {difference} the hub's"),
            advice:
                "set the wrong one, for example with `timedatectl set-ntp true`; certificates and logs depend on it"
                    .into(),
        }),
    }
}

/// Judges a certificate that is not valid by this machine's clock: by the hub's clock, `there`, if it is known.
pub(super) fn expired_certificate(refusal: &Refusal, here: Timestamp, there: Option<Timestamp>) -> Verdict {
    let with = |what: String, advice: &str| {
        let detail = format!("{what}: {}", refusal.detail.as_str());
        Verdict::because(&Refusal::new(refusal.kind, detail), advice.to_owned())
    };
    match there.map(|there| difference(here, there)) {
        Some(Some(difference)) => with(
            format!("this machine's clock is {difference} the hub's"),
            "set the wrong one, for example with `timedatectl set-ntp true`",
        ),
        Some(None) => with(
            "by the hub's clock too".into(),
            "the hub's operator must renew its certificate; `devstream hub check` there shows details",
        ),
        None => Verdict::because(refusal, refusal.kind.row().hint.to_owned()),
    }
}

/// Words the difference and its direction, if it exceeds [`CLOCK_TOLERANCE`].
fn difference(here: Timestamp, there: Timestamp) -> Option<String> {
    let off = here.0.saturating_sub(there.0);
    let direction = if off < 0 { "behind" } else { "ahead of" };
    let amount = match off.saturating_abs() {
        ..=CLOCK_TOLERANCE => return None,
        seconds if seconds < 2 * DAY => format!("{} minutes", seconds / 60),
        seconds => format!("{} days", seconds / DAY),
    };
    Some(format!("{amount} {direction}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proto::refusal::RefusalKind;

    const NOON: Timestamp = Timestamp(1_800_000_000);

    #[test]
    fn clocks_that_differ_are_a_warning_with_the_difference() {
        for (here, expected) in [
            (NOON, None),
            (NOON.after(Duration::from_secs(300)), None),
            (NOON.after(Duration::from_secs(360)), Some("6 minutes ahead of the hub's")),
            (NOON.before(Duration::from_secs(400 * DAY as u64)), Some("400 days behind the hub's")),
        ] {
            let cause = match compare_clocks(here, NOON).verdict {
                Verdict::Warning { cause, .. } => Some(cause),
                Verdict::Good | Verdict::Failed { .. } => None,
            };
            assert_eq!(cause.is_some(), expected.is_some(), "{cause:?}");
            assert!(expected.is_none_or(|expected| cause.is_some_and(|cause| cause.contains(expected))));
        }
    }

    #[test]
    fn an_expired_certificate_and_a_wrong_clock_are_distinguished() {
        let refusal = Refusal::new(RefusalKind::ClockOrInspection, "certificate expired");
        let verdict = |there| match expired_certificate(&refusal, NOON, there) {
            Verdict::Failed { cause, advice, .. } => cause + &advice,
            Verdict::Good | Verdict::Warning { .. } => panic!("an expired certificate is a failure"),
        };
        assert!(verdict(Some(NOON)).contains("by the hub's clock too") && verdict(Some(NOON)).contains("renew"));
        let other = verdict(Some(NOON.before(Duration::from_secs(365 * DAY as u64))));
        assert!(other.contains("365 days ahead of the hub's") && other.contains("timedatectl"), "{other}");
        assert!(verdict(None).contains(RefusalKind::ClockOrInspection.row().hint));
    }
}
