//! The lists of devices, and the certificates of identities, that each identity is given: one at a time, and beyond its
//! budget some a second. A list costs a client a few hundred bytes, and the hub a pass over the registry and memory until it is
//! read. Certificates that it stores have a budget besides, since each one is logged as a change of an identity.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use crate::net::os::clock;
use crate::proto::bounded_map::BoundedMap;
use crate::proto::id::Principal;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::token_bucket::{Rate, TokenBucket};

/// The lists that one identity is given without delay: completion in any number of shells, and a script that lists before
/// each of five hundred commands. Ten a second of 4,000 devices cost some hundredths of a core.
const BUDGET: Rate = Rate { burst: 500, per_second: 10.0 };

/// The delay of the others.
const DELAY: Duration = Duration::from_secs(1);

/// The certificates that one identity may store: those of a large fleet at once, which are 2 MB of the activity log, and then
/// 4 MB a day.
const STORED: Rate = Rate { burst: 5000, per_second: 0.1 };

/// The time for which a list waits for its turn: a person still waits for it.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// The limit on identities whose budgets are remembered; the oldest is forgotten, and has a full one again.
const MAX_IDENTITIES: usize = 4096;

/// The turns and budgets of identities that list devices.
#[derive(Debug)]
pub(in crate::hub) struct Lists(Mutex<BoundedMap<Principal, Lister>>);

#[derive(Debug)]
struct Lister {
    turn: Arc<Semaphore>,
    budget: TokenBucket,
    stored: TokenBucket,
}

/// An identity's turn, until it is dropped.
pub(in crate::hub) type ListTurn = OwnedSemaphorePermit;

impl Default for Lists {
    fn default() -> Self {
        Self(Mutex::new(BoundedMap::new(MAX_IDENTITIES)))
    }
}

impl Lists {
    /// Waits for the identity's turn, which is refused if its earlier lists take too long.
    pub(in crate::hub) async fn take_turn(&self, subject: &Principal) -> Result<ListTurn, Refusal> {
        let waiting = self.with(subject, |lister| lister.turn.clone());
        let Some(turn) = waiting.map(Semaphore::acquire_owned) else { return Err(RefusalKind::HubBusy.into()) };
        let Ok(Ok(turn)) = timeout(TURN_TIMEOUT, turn).await else {
            return Err(Refusal::new(RefusalKind::HubBusy, "earlier lists of this service have not been read yet"));
        };
        if self.with(subject, |lister| lister.budget.take(clock::now())) == Some(false) {
            sleep(DELAY).await;
        }
        Ok(turn)
    }

    /// Counts a certificate that the identity stores; refused beyond its budget.
    pub(in crate::hub) fn store_certificate(&self, subject: &Principal) -> Result<(), Refusal> {
        match self.with(subject, |lister| lister.stored.take(clock::now())) {
            Some(true) => Ok(()),
            _ => Err(Refusal::new(
                RefusalKind::HubBusy,
                "this service has stored too many certificates; try again later",
            )),
        }
    }

    fn with<R>(&self, subject: &Principal, work: impl FnOnce(&mut Lister) -> R) -> Option<R> {
        let mut listers = self.0.lock();
        let [budget, stored] = [BUDGET, STORED].map(|rate| TokenBucket::new(rate, clock::now()));
        listers.insert(subject.clone(), Lister { turn: Arc::new(Semaphore::new(1)), budget, stored });
        listers.get_mut(subject).map(work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::id::Role;

    fn service(id: &str) -> Principal {
        Principal { role: Role::Service, id: id.to_owned().try_into().unwrap() }
    }

    #[tokio::test(start_paused = true)]
    async fn an_identity_has_one_list_at_a_time_and_keeps_no_other_waiting() {
        let lists = Lists::default();
        let unread = lists.take_turn(&service("attacker")).await.unwrap();
        let start = clock::now();
        let refused = lists.take_turn(&service("attacker")).await.map(drop);
        assert_eq!(refused.map_err(|refusal| refusal.kind), Err(RefusalKind::HubBusy));
        assert_eq!(clock::now().duration_since(start), TURN_TIMEOUT);
        drop(lists.take_turn(&service("laptop")).await.unwrap());
        drop(unread);
        drop(lists.take_turn(&service("attacker")).await.unwrap());
        assert_eq!(clock::now().duration_since(start), TURN_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn the_certificates_of_a_large_fleet_are_stored_at_once_and_a_flood_is_refused() {
        let lists = Lists::default();
        for _ in 0..5000 {
            lists.store_certificate(&service("laptop")).unwrap();
        }
        let refused = lists.store_certificate(&service("laptop"));
        assert_eq!(refused.map_err(|refusal| refusal.kind), Err(RefusalKind::HubBusy));
        lists.store_certificate(&service("other")).unwrap();
        sleep(Duration::from_secs(10)).await;
        lists.store_certificate(&service("laptop")).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_script_does_not_notice_the_budget_and_a_flood_gets_some_a_second() {
        let (lists, start) = (Lists::default(), clock::now());
        for number in 0..5000 {
            drop(lists.take_turn(&service("script")).await.unwrap());
            assert_eq!(clock::now().duration_since(start).as_secs(), number / 10, "at once");
            sleep(Duration::from_millis(100)).await;
        }
        let start = clock::now();
        let mut given = 0;
        while clock::now().duration_since(start) < Duration::from_secs(60) {
            drop(lists.take_turn(&service("attacker")).await.unwrap());
            given += 1;
        }
        assert!((1100..=1200).contains(&given), "{given}");
    }
}
