//! The addresses of one hub. The one that answered last is tried first.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::proto::join::HubAddress;

/// The index of the address that answered last. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct AddressPreference(Arc<AtomicUsize>);

/// The addresses of one hub, at least one.
#[derive(Debug, Clone)]
pub struct HubAddresses {
    first: HubAddress,
    others: Arc<[HubAddress]>,
    preference: AddressPreference,
}

impl From<HubAddress> for HubAddresses {
    fn from(only: HubAddress) -> Self {
        Self { first: only, others: Arc::default(), preference: AddressPreference::default() }
    }
}

impl HubAddresses {
    /// Creates the list; `None` if it is empty. A caller that creates it again passes the same preference.
    pub fn new(addresses: &[HubAddress], preference: AddressPreference) -> Option<Self> {
        let (first, others) = addresses.split_first()?;
        Some(Self { first: first.clone(), others: others.into(), preference })
    }

    /// The address that answered last, else the first.
    pub fn preferred(&self) -> &HubAddress {
        self.get(self.preference.0.load(Ordering::Relaxed))
    }

    /// The addresses to try for the hub at `address`: it, and all others of this hub if it is one of them, beginning with the
    /// preferred one. Of several hubs that are one, `address` alone has what is meant there.
    pub(in crate::net) fn candidates<'a>(&'a self, address: &'a HubAddress) -> Vec<&'a HubAddress> {
        let count = 1 + self.others.len();
        if !(0..count).any(|index| self.get(index) == address) {
            return vec![address];
        }
        let from = self.preference.0.load(Ordering::Relaxed);
        let others = (from..from + count).map(|index| self.get(index % count)).filter(|other| *other != address);
        std::iter::once(address).chain(others).collect()
    }

    /// Reports whether one of the addresses is at this host, at any port.
    pub(in crate::net) fn has_host(&self, host: &str) -> bool {
        (0..=self.others.len()).any(|index| self.get(index).host.eq_ignore_ascii_case(host))
    }

    /// Reports whether this is one of the addresses.
    pub(in crate::net) fn contains(&self, address: &HubAddress) -> bool {
        let is_same = |own: &HubAddress| own.port == address.port && own.host.eq_ignore_ascii_case(&address.host);
        (0..=self.others.len()).any(|index| is_same(self.get(index)))
    }

    /// Reports whether this is the address of one hub of several that are one: `h2.hub.example.com` beside `hub.example.com`, at the
    /// same port. Names below the hub's own are its operator's.
    pub(in crate::net) fn has_member(&self, address: &HubAddress) -> bool {
        let is_below = |own: &HubAddress| {
            let label =
                address.host.to_ascii_lowercase().strip_suffix(&own.host.to_ascii_lowercase()).map(str::to_owned);
            let label = label.as_deref().and_then(|rest| rest.strip_suffix('.'));
            let is_name = own.host.contains('.') && own.host.parse::<IpAddr>().is_err();
            is_name && own.port == address.port && label.is_some_and(|label| !label.is_empty() && !label.contains('.'))
        };
        (0..=self.others.len()).any(|index| is_below(self.get(index)))
    }

    /// Records that this address answered.
    pub(in crate::net) fn prefer(&self, hub: &HubAddress) {
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
    fn the_address_that_is_meant_is_tried_first_and_then_the_one_that_answered_last_also_by_later_lists() {
        let addresses: Vec<HubAddress> = ["a", "b", "c"].map(|name| name.parse().unwrap()).into();
        let preference = AddressPreference::default();
        let hubs = || HubAddresses::new(&addresses, preference.clone()).unwrap();
        let order = |address: &str| {
            let address = address.parse().unwrap();
            hubs().candidates(&address).into_iter().map(|hub| hub.host.clone()).collect::<Vec<_>>().concat()
        };
        assert_eq!((order("a"), order("c")), ("abc".into(), "cab".into()));
        hubs().prefer(&addresses[1]);
        assert_eq!((order("a"), hubs().preferred().host.as_str()), ("abc".into(), "b"));
        assert_eq!(order("elsewhere"), "elsewhere", "a separate streaming endpoint is not an address of the hub");
        hubs().prefer(&"elsewhere".parse().unwrap());
        assert_eq!(order("c"), "cba");
        assert!(HubAddresses::new(&[], preference.clone()).is_none());
    }

    #[test]
    fn a_hub_of_several_has_one_label_more_and_the_same_port() {
        let hubs = HubAddresses::from("hub.example.com:8443".parse::<HubAddress>().unwrap());
        for (address, is_member) in [
            ("h2.hub.example.com:8443", true),
            ("H2.HUB.example.com:8443", true),
            ("h2.hub.example.com:22", false),
            ("hub.example.com:8443", false),
            ("a.h2.hub.example.com:8443", false),
            (".hub.example.com:8443", false),
            ("evilhub.example.com:8443", false),
            ("example.com:8443", false),
            ("10.0.0.7:8443", false),
        ] {
            assert_eq!(address.parse().is_ok_and(|address| hubs.has_member(&address)), is_member, "{address}");
        }
        for no_name in ["localhost:8443", "10.0.0.1:8443"] {
            let hubs = HubAddresses::from(no_name.parse::<HubAddress>().unwrap());
            assert!(!hubs.has_member(&format!("h2.{no_name}").parse().unwrap()), "{no_name}");
        }
    }
}
