//! Refused requests of each identity: beyond its budget, each is answered a second later. Asking costs a client nothing on
//! a connection that it keeps, and the hub a lookup.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::proto::bounded_map::BoundedMap;
use crate::proto::id::Principal;
use crate::proto::token_bucket::{Rate, TokenBucket};

/// The refused requests of one identity that are answered at once: a script that asks a thousand devices, half of which
/// are offline, and then 20 a second.
const BUDGET: Rate = Rate { burst: 500, per_second: 20.0 };

/// The delay of the others. With all the standby connections that it may have, an identity is refused some hundred times a
/// second.
const DELAY: Duration = Duration::from_secs(1);

/// The limit on identities whose budgets are remembered; the oldest is forgotten, and has a full one again.
const MAX_IDENTITIES: usize = 4096;

/// The budgets of identities that were refused.
#[derive(Debug)]
pub(in crate::hub) struct RefusalBudgets(Mutex<BoundedMap<Principal, TokenBucket>>);

impl Default for RefusalBudgets {
    fn default() -> Self {
        Self(Mutex::new(BoundedMap::new(MAX_IDENTITIES)))
    }
}

impl RefusalBudgets {
    /// Counts a refusal and returns the time after which it is to be answered, if not at once.
    pub(in crate::hub) fn charge(&self, subject: &Principal, now: Instant) -> Option<Duration> {
        let mut budgets = self.0.lock();
        budgets.insert(subject.clone(), TokenBucket::new(BUDGET, now));
        let is_within = budgets.get_mut(subject).is_some_and(|budget| budget.take(now));
        (!is_within).then_some(DELAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::os::clock;
    use crate::proto::id::Role;

    #[test]
    fn refusals_beyond_the_budget_wait_and_those_of_another_identity_do_not() {
        let (budgets, start) = (RefusalBudgets::default(), clock::now());
        let service = |id: &str| Principal { role: Role::Service, id: id.to_owned().try_into().unwrap() };
        let at_once = |id, now| (0..5000).filter(|_| budgets.charge(&service(id), now).is_none()).count();
        assert_eq!((at_once("attacker", start), at_once("laptop", start)), (500, 500));
        assert_eq!(at_once("attacker", start + Duration::from_secs(10)), 200);
    }
}
