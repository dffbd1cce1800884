//! The addresses of one hub, of which the one that answered last is tried first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::proto::join::HubAddress;

/// Which address answered last; shared by all its copies.
#[derive(Debug, Clone, Default)]
pub struct Preference(Arc<AtomicUsize>);

/// One hub's addresses, at least one.
#[derive(Debug, Clone)]
pub struct HubAddresses {
    first: HubAddress,
    others: Arc<[HubAddress]>,
    preference: Preference,
}

impl From<HubAddress> for HubAddresses {
    fn from(only: HubAddress) -> Self {
        Self { first: only, others: Arc::default(), preference: Preference::default() }
    }
}

impl HubAddresses {
    /// These addresses; none if there are none. Whoever makes them again passes the same preference.
    pub fn new(addresses: &[HubAddress], preference: Preference) -> Option<Self> {
        let (first, others) = addresses.split_first()?;
        Some(Self { first: first.clone(), others: others.into(), preference })
    }

    /// The one that answered last, else the first.
    pub fn preferred(&self) -> &HubAddress {
        self.get(self.preference.0.load(Ordering::Relaxed))
    }

    /// What to try for the hub at `there`: if it is this one, all addresses, beginning with the preferred one.
    pub(super) fn candidates<'a>(&'a self, there: &'a HubAddress) -> Vec<&'a HubAddress> {
        let count = 1 + self.others.len();
        if !(0..count).any(|index| self.get(index) == there) {
            return vec![there];
        }
        let from = self.preference.0.load(Ordering::Relaxed);
        (from..from + count).map(|index| self.get(index % count)).collect()
    }

    /// This one answered.
    pub(super) fn prefer(&self, hub: &HubAddress) {
        if let Some(index) = (0..=self.others.len()).find(|index| self.get(*index) == hub) {
            self.preference.0.store(index, Ordering::Relaxed);
        }
    }

    fn get(&self, index: usize) -> &HubAddress {
        index.checked_sub(1).and_then(|index| self.others.get(index)).unwrap_or(&self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_answered_last_is_first_also_for_whoever_asks_anew() {
        let addresses: Vec<HubAddress> = ["a", "b", "c"].map(|name| name.parse().unwrap()).into();
        let preference = Preference::default();
        let hubs = || HubAddresses::new(&addresses, preference.clone()).unwrap();
        let order = |there: &str| {
            let there = there.parse().unwrap();
            hubs().candidates(&there).into_iter().map(|hub| hub.host.clone()).collect::<Vec<_>>().concat()
        };
        assert_eq!((order("a"), order("c")), ("abc".into(), "abc".into()));
        hubs().prefer(&addresses[1]);
        assert_eq!((order("a"), hubs().preferred().host.as_str()), ("bca".into(), "b"));
        assert_eq!(order("elsewhere"), "elsewhere", "a streaming endpoint of its own is no address of the hub");
        hubs().prefer(&"elsewhere".parse().unwrap());
        assert_eq!(order("c"), "bca");
        assert!(HubAddresses::new(&[], preference.clone()).is_none());
    }
}
