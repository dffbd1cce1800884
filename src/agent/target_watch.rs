//! Whether the targets of forwards answer: each is tried at the start, and again as long as it does not. Streams show it
//! as well, and cost nothing for it.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::Event;
use super::connect::probe;
use crate::net::os::clock;
use crate::proto::forward::{Forward, HostPort};
use crate::proto::limits::DEAD_TARGETS;
use crate::proto::message::{DeadTarget, ToHub};
use crate::proto::refusal::Refusal;

/// The first wait before a dead target is tried again: whoever has just started it looks for the result.
const FIRST_RETRY: Duration = Duration::from_secs(2);

/// The longest: on this machine, each try reads the list of all sockets.
const LAST_RETRY: Duration = Duration::from_secs(60);

/// The shortest time between two reports to the hub.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The targets that did not answer when they were last tried.
#[derive(Default)]
pub(super) struct TargetWatch(watch::Sender<Vec<DeadTarget>>);

impl TargetWatch {
    /// Tries a target, until dropped.
    pub(super) async fn watch(self: Arc<Self>, forward: Forward, observer: Arc<dyn Fn(Event) + Send + Sync>) {
        let tried = probe(&forward).await.err();
        self.note(&forward, tried.as_ref());
        if let Some(refusal) = tried {
            observer(Event::TargetDead(forward.clone(), refusal));
        }
        let mut changes = self.0.subscribe();
        let is_dead = |dead: &Vec<DeadTarget>| dead.iter().any(|dead| dead.name == forward.name);
        while changes.wait_for(is_dead).await.is_ok() {
            let mut delay = FIRST_RETRY;
            while is_dead(&changes.borrow()) {
                sleep(delay).await;
                delay = LAST_RETRY.min(2 * delay);
                let tried = probe(&forward).await.err();
                if self.note(&forward, tried.as_ref()) && tried.is_none() {
                    observer(Event::TargetAnswers(forward.clone()));
                }
            }
        }
    }

    /// Notes whether a forward's target answered, and reports whether that is news.
    pub(super) fn note(&self, forward: &Forward, refusal: Option<&Refusal>) -> bool {
        // What else fails says nothing about the target.
        let is_news = match refusal {
            None => !self.0.borrow().is_empty(),
            Some(refusal) => refusal.kind.is_of_target(),
        };
        is_news
            && self.0.send_if_modified(|dead| {
                let former = dead.iter().position(|dead| dead.name == forward.name);
                let former = former.map(|index| dead.swap_remove(index));
                let present = refusal.map(|refusal| DeadTarget {
                    name: forward.name.clone(),
                    target: HostPort(&forward.host, forward.port).to_string().into(),
                    reason: refusal.clone(),
                });
                dead.extend(present.clone());
                present != former
            })
    }

    /// Begins the reports of one control connection.
    pub(super) fn reports(&self) -> TargetReports {
        TargetReports { changes: self.0.subscribe(), reported: None, next_at: clock::now().into() }
    }
}

/// The reports of dead targets on one control connection.
pub(super) struct TargetReports {
    changes: watch::Receiver<Vec<DeadTarget>>,
    /// The dead targets that the hub knows of; `None` until it takes reports.
    reported: Option<Vec<DeadTarget>>,
    next_at: Instant,
}

impl TargetReports {
    /// The hub takes reports, and knows of no dead target.
    pub(super) fn begin(&mut self) {
        self.reported = Some(Vec::new());
    }

    /// Returns the next report, once there is one. Dropped before that, it loses nothing.
    pub(super) async fn next(&mut self) -> ToHub {
        let Some(reported) = &mut self.reported else { return pending().await };
        sleep_until(self.next_at).await;
        let Ok(dead) = self.changes.wait_for(|dead| dead != reported).await else { return pending().await };
        reported.clone_from(&dead);
        self.next_at = Instant::now() + REPORT_INTERVAL;
        report(reported.clone())
    }
}

/// The message, with as many targets as it may have.
fn report(mut dead: Vec<DeadTarget>) -> ToHub {
    dead.truncate(DEAD_TARGETS);
    ToHub::Targets { dead }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::time::timeout;

    use super::*;
    use crate::proto::limits::CONTROL_MESSAGE_BYTES;
    use crate::proto::message::encode;
    use crate::proto::refusal::RefusalKind;

    #[test]
    fn a_report_of_every_target_of_a_device_fits_in_a_message() {
        let text = "\u{1f4a9}".repeat(1000);
        let dead = DeadTarget {
            name: "x".repeat(128).parse().unwrap(),
            target: text.clone().into(),
            reason: Refusal::new(RefusalKind::TargetUnreachable, text),
        };
        assert!(encode(&report(vec![dead; 256])).len() <= CONTROL_MESSAGE_BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn the_hub_gets_each_change_at_most_once_a_second_if_it_takes_reports() {
        let (watch, forward) = (TargetWatch::default(), "22".parse().unwrap());
        watch.note(&forward, Some(&RefusalKind::TargetRefused.into()));
        let mut reports = watch.reports();
        assert!(reports.next().now_or_never().is_none(), "a hub of an earlier version takes none");
        reports.begin();
        for expected in [1, 0] {
            let started_at = Instant::now();
            let ToHub::Targets { dead } = reports.next().await else { panic!("not a report") };
            assert_eq!((dead.len(), (Instant::now() - started_at) < REPORT_INTERVAL), (expected, expected == 1));
            watch.note(&forward, None);
        }
        assert!(timeout(2 * REPORT_INTERVAL, reports.next()).await.is_err(), "nothing has changed");
    }

    #[test]
    fn only_what_is_said_of_a_target_is_noted_and_only_a_change_is_news() {
        let (watch, forward) = (TargetWatch::default(), "22".parse().unwrap());
        let refused = |detail: &str| Refusal::new(RefusalKind::TargetRefused, detail);
        assert!(!watch.note(&forward, None) && !watch.note(&forward, Some(&RefusalKind::DeviceBusy.into())));
        assert!(watch.note(&forward, Some(&refused("1"))) && !watch.note(&forward, Some(&refused("1"))));
        assert!(
            watch.note(&forward, Some(&refused("2"))) && !watch.note(&forward, Some(&RefusalKind::DeviceBusy.into()))
        );
        assert_eq!(watch.0.borrow().len(), 1);
        assert!(watch.note(&forward, None) && watch.0.borrow().is_empty());
    }
}
