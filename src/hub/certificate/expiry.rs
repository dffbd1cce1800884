//! Warnings about a certificate that expires soon, once a day.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::CHECK_INTERVAL;
use super::resolver::{CertificateResolver, CertificateStatus};
use crate::net::os::clock;
use crate::proto::timestamp::Timestamp;

/// The interval of repeated warnings.
const REPEAT_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// Logs a warning whenever one is due, until dropped.
pub(super) async fn warn_when_due(resolver: &CertificateResolver) {
    let mut warnings = Warnings::default();
    loop {
        if let Some(warning) = warnings.due(&resolver.status(), clock::now_utc(), clock::now()) {
            tracing::warn!(target: "hub", "{warning}");
        }
        // Checks again after the interval or a new certificate.
        let _ = timeout(CHECK_INTERVAL, resolver.changed()).await;
    }
}

/// The expiry of the certificate that was warned about last, and the time of the warning.
#[derive(Debug, Default)]
struct Warnings(Option<(Timestamp, Instant)>);

impl Warnings {
    fn due(&mut self, status: &CertificateStatus, now: Timestamp, at: Instant) -> Option<String> {
        let end = status.not_after;
        let recent = self.0.is_some_and(|(warned, since)| warned == end && at < since + REPEAT_INTERVAL);
        if now < status.warn_from || recent {
            return None;
        }
        self.0 = Some((end, at));
        let when = match status.days_left(now) {
            ..0 => "has expired: clients without a pin refuse it".to_owned(),
            0 => "expires within a day".to_owned(),
            1 => "expires in 1 day".to_owned(),
            days => format!("expires in {days} days"),
        };
        let remedy = match status.source {
            "pem" => "renew it in the same files",
            _ => "renewal is overdue; see the errors above",
        };
        Some(format!("the certificate {when} ({}); {remedy}", end.rfc3339()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    fn status(not_after: Timestamp) -> CertificateStatus {
        CertificateStatus {
            source: "pem",
            names: Vec::new(),
            not_before: Timestamp(0),
            not_after,
            warn_from: not_after.before(Duration::from_secs(14 * DAY)),
            since: Timestamp(0),
            last_error: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn expiry_is_warned_about_14_days_ahead_and_once_a_day() {
        let (end, mut warnings) = (Timestamp(1_000_000_000), Warnings::default());
        let mut lines = Vec::new();
        for hour in 0..24 * 16 {
            let now = end.before(Duration::from_secs(15 * DAY)).after(Duration::from_secs(hour * 3600));
            lines.extend(warnings.due(&status(end), now, clock::now() + Duration::from_secs(hour * 3600)));
        }
        assert_eq!(lines.len(), 15, "{lines:#?}");
        assert!(lines[0].contains("in 14 days"), "{lines:#?}");
        assert!(lines[12].contains("in 2 days") && lines[13].contains("in 1 day ("), "{lines:#?}");
        assert!(lines[14].contains("within a day"), "{lines:#?}");
        let late = warnings.due(&status(end), end.after(REPEAT_INTERVAL), clock::now() + REPEAT_INTERVAL * 17).unwrap();
        assert!(late.contains("has expired"), "{late}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_certificate_that_expires_soon_is_warned_about_at_once() {
        let (mut warnings, now) = (Warnings::default(), Timestamp(1_000_000_000));
        let near = |days| status(now.after(Duration::from_secs(days * DAY)));
        assert!(warnings.due(&near(10), now, clock::now()).is_some());
        assert!(warnings.due(&near(10), now, clock::now()).is_none());
        assert!(warnings.due(&near(11), now, clock::now()).is_some());
        assert!(warnings.due(&near(90), now, clock::now()).is_none());
    }
}
