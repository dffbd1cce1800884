//! Verdicts on a hub's own state: its files, certificate, file descriptors and disk.

use std::path::Path;

use super::clock::CLOCK_TOLERANCE;
use super::finding::{Finding, Verdict};
use super::hop::Hop;
use crate::hub::state::parts::{ADVICE, StateParts};
use crate::hub::state::{AUTHORITY, AUTHORITY_KEY};
use crate::net::os::owner::denied;
use crate::proto::admin::{CertificateReport, ClusterStatus, HubStatus};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::text;
use crate::proto::timestamp::Timestamp;

/// Below this percentage of free descriptors the check warns.
const LOW_DESCRIPTORS: u64 = 20;
/// Below this percentage it fails: the hub is about to reject connections.
const MIN_DESCRIPTORS: u64 = 2;

/// Below this many free bytes of disk the check warns: a busy hub's activity log takes some hundred megabytes.
const LOW_DISK: u64 = 1024 * MEBIBYTE;
/// Below this many it fails: the registry writes some megabytes at once.
const MIN_DISK: u64 = 32 * MEBIBYTE;

const MEBIBYTE: u64 = 1024 * 1024;

/// Judges whether the files of a hub's state are there; `None` if they are, or if no hub has run.
pub(super) fn parts(state: &Path) -> Option<Finding> {
    let finding = Finding::good(Hop::State, state.display());
    let failed =
        |cause: String, advice: &str| Verdict::because(&Refusal::new(RefusalKind::HubFailed, cause), advice.into());
    let parts = match StateParts::find(state) {
        Ok(parts) => parts,
        Err(error) => {
            let advice = denied(state).unwrap_or_else(|| "run this as the hub's user".to_owned());
            let cause = format!("cannot read it: {error}");
            return Some(finding.with_verdict(Verdict::Failed { word: "not-readable", cause, advice, exit: 1 }));
        }
    };
    if let Some(loss) = parts.loss(state, || false) {
        return Some(finding.with_verdict(failed(loss.lost().to_owned(), ADVICE)));
    }
    (parts.key && !parts.certificate).then(|| {
        finding.with_verdict(Verdict::Warning {
            cause: format!("{AUTHORITY} is missing or empty"),
            advice: format!(
                "restart the hub: it makes it again from {AUTHORITY_KEY}, which devices and services trust"
            ),
        })
    })
}

/// Judges a hub's certificate by this machine's clock, `here`. `newest_mtime`, the latest change in the hub's state,
/// shows a clock that was set back.
pub(super) fn certificate(report: &CertificateReport, here: Timestamp, newest_mtime: Option<Timestamp>) -> Finding {
    let names = report.names.join(" ");
    let finding =
        Finding::good(Hop::Certificate, &report.source).fact("names", names).fact("expires", report.not_after);
    let failed = |what: String, advice: &str| {
        Verdict::because(&Refusal::new(RefusalKind::ClockOrInspection, what), advice.to_owned())
    };
    let clock = "set this machine's clock, for example with `timedatectl set-ntp true`";
    let begins = report.not_before.into_iter().chain(newest_mtime).max();
    if let Some(begins) = begins.filter(|begins| here.0 < begins.0 - CLOCK_TOLERANCE) {
        return finding
            .with_verdict(failed(format!("this machine's clock says {here}, which is before {begins}"), clock));
    }
    let is_own = report.source == "own";
    match report.days_left {
        // The hub renews its own certificate while a third of its lifetime is left, and when its clock is set.
        ..0 if is_own => finding.with_verdict(failed(
            format!("it expired on {}, by this machine's clock", report.not_after),
            "if this machine's clock is right, the certificate was made while it was wrong: restart the hub, which makes \
             another one; if not, set the clock, for example with `timedatectl set-ntp true`",
        )),
        ..0 => finding.with_verdict(failed(
            format!("it expired on {}", report.not_after),
            "renew it; if it has not expired, set this machine's clock",
        )),
        _ => match &report.last_error {
            Some(error) => finding.with_verdict(Verdict::Warning {
                cause: format!("it could not be renewed: {error}"),
                advice: "fix that before it expires".into(),
            }),
            None => finding,
        },
    }
}

/// Judges a hub's cluster: a hub that does not live, and NATS servers that cannot be reached or confirm what they have not stored.
pub(super) fn cluster(status: &ClusterStatus) -> Finding {
    let dead: Vec<_> =
        status.hubs.iter().filter(|hub| hub.state == "dead").map(|hub| hub.address.to_string()).collect();
    let finding = Finding::good(Hop::Cluster, status.nats.join(" "));
    let finding = finding.fact("hubs", format!("{} of {} live", status.hubs.len() - dead.len(), status.hubs.len()));
    if let Some(seconds) = status.isolated_seconds {
        let cause = format!("no NATS server can be reached, since {}", text::count(seconds, "second"));
        let advice = "devices of other hubs cannot be reached through this one: start the servers, or see their logs";
        return finding.with_verdict(Verdict::because(&Refusal::new(RefusalKind::HubIsolated, cause), advice.into()));
    }
    if !dead.is_empty() {
        return finding.with_verdict(Verdict::Warning {
            cause: format!("{} does not live", dead.join(", ")),
            advice: "start it; one that is gone for good is forgotten after a day".into(),
        });
    }
    let late = status.servers.iter().filter(|server| server.synced == Some(false));
    let late: Vec<_> = late.map(|server| server.name.as_str()).collect();
    if late.is_empty() {
        return finding;
    }
    finding.with_verdict(Verdict::Warning {
        cause: format!("{} can lose confirmed changes with the power: they are written to disk later", late.join(", ")),
        advice: "set sync_interval: always in the jetstream block of nats-server, version 2.10 or later".into(),
    })
}

/// Judges a hub's use of file descriptors.
pub(super) fn descriptors(status: &HubStatus) -> Finding {
    let (used, limit) = (status.descriptors, status.descriptor_limit);
    let finding = Finding::good(Hop::Descriptors, status.descriptors_of());
    let advice = "raise the hub's limit of open files (LimitNOFILE= in its unit), or end some streams";
    let percent = limit.saturating_sub(used).saturating_mul(100) / limit.max(1);
    low_resource(finding, (percent, LOW_DESCRIPTORS, MIN_DESCRIPTORS), RefusalKind::HubBusy, advice)
}

/// Judges the free space on the disk of the hub's state.
pub(super) fn disk(path: &str, (free, of): (u64, u64)) -> Finding {
    let free_of = format!("{} of {} MiB", free / MEBIBYTE, of / MEBIBYTE);
    let finding = Finding::good(Hop::Disk, path).fact("free", free_of);
    let advice = "free some space there: the registry and the activity log need it";
    low_resource(finding, (free, LOW_DISK, MIN_DISK), RefusalKind::AuditFailed, advice)
}

fn low_resource(finding: Finding, (left, low, minimum): (u64, u64, u64), kind: RefusalKind, advice: &str) -> Finding {
    let cause = "little is left".to_owned();
    if left < minimum {
        finding.with_verdict(Verdict::because(&Refusal::new(kind, cause), advice.into()))
    } else if left < low {
        finding.with_verdict(Verdict::Warning { cause, advice: advice.into() })
    } else {
        finding
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOON: Timestamp = Timestamp(1_800_000_000);
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    fn report(source: &str, days_left: i64) -> CertificateReport {
        CertificateReport {
            source: source.into(),
            names: vec!["hub.test".into()],
            not_before: Some(Timestamp(0)),
            not_after: NOON,
            days_left,
            last_error: None,
        }
    }

    #[test]
    fn a_clock_that_is_a_year_off_shows_in_the_certificate() {
        let verdict = |report: &CertificateReport, here, made| match certificate(report, here, made).verdict {
            Verdict::Good => String::new(),
            Verdict::Warning { cause, advice } | Verdict::Failed { cause, advice, .. } => cause + " " + &advice,
        };
        assert_eq!(verdict(&report("own", 80), NOON, Some(NOON)), "");
        assert!(verdict(&report("own", 80), NOON.before(YEAR), Some(NOON)).contains("set this machine's clock"));
        let begun_later = CertificateReport { not_before: Some(NOON), ..report("pem", 80) };
        assert!(verdict(&begun_later, NOON.before(YEAR), None).contains("set this machine's clock"));
        assert!(
            verdict(&report("own", -300), NOON.after(YEAR), None).contains("made while it was wrong: restart the hub")
        );
        assert!(verdict(&report("pem", -300), NOON, None).contains("renew it"));
        let stuck = CertificateReport { last_error: Some("no rights".into()), ..report("acme", 3) };
        assert!(verdict(&stuck, NOON, None).contains("could not be renewed: no rights"));
    }

    #[test]
    fn a_disk_that_fills_is_a_warning_and_then_a_failure() {
        let exit = |free| {
            let mut report = super::super::finding::Report::default();
            let finding = disk("/x", (free * MEBIBYTE, 1 << 40));
            let text = finding.to_string();
            report.push(finding);
            (report.exit(), text.contains("warning"))
        };
        assert_eq!((exit(1024), exit(1023), exit(32)), ((0, false), (0, true), (0, true)));
        assert_eq!(exit(31), (RefusalKind::AuditFailed.row().exit, false));
    }
}
