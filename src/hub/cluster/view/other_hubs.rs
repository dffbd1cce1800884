//! PURE. Whether the streams of another hub go on there, or at whichever hub their ends return to.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::proto::id::HubId;

/// The other hubs, as the broker needs them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OtherHubs {
    /// Each one that is remembered, with the time at which it died.
    pub hubs: HashMap<HubId, Option<Instant>>,
    /// The others cannot be asked.
    pub isolated: bool,
}

impl OtherHubs {
    /// Reports whether a stream goes on at that hub: it lives, and has the stream or adopts it.
    pub fn carries_on(&self, hub: HubId) -> bool {
        !self.isolated && self.hubs.get(&hub).is_some_and(Option::is_none)
    }

    /// Reports whether a hub's streams may be adopted: it died no longer ago than this, or whether it lives cannot be known.
    pub fn may_adopt_from(&self, hub: HubId, window: Duration, now: Instant) -> bool {
        match self.hubs.get(&hub) {
            Some(Some(died)) => now < *died + window,
            Some(None) => self.isolated,
            None => false,
        }
    }

    /// Reports whether any hub's streams may be adopted.
    pub fn may_adopt(&self, window: Duration, now: Instant) -> bool {
        self.hubs.keys().any(|hub| self.may_adopt_from(*hub, window, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(180);

    #[test]
    fn streams_are_adopted_from_a_hub_that_died_lately_or_cannot_be_asked() {
        let (now, [alive, dead, unknown]) =
            (tokio::time::Instant::now().into_std(), [1, 2, 3].map(|number| HubId::from_bytes([number; 16])));
        let hubs = [(alive, None), (dead, Some(now))].into();
        let mut others = OtherHubs { hubs, isolated: false };
        let adopts = |others: &OtherHubs, at| [alive, dead, unknown].map(|hub| others.may_adopt_from(hub, WINDOW, at));
        assert_eq!([alive, dead, unknown].map(|hub| others.carries_on(hub)), [true, false, false]);
        assert_eq!(adopts(&others, now), [false, true, false]);
        assert!(others.may_adopt(WINDOW, now) && !others.may_adopt(WINDOW, now + WINDOW));
        assert_eq!(adopts(&others, now + WINDOW), [false; 3]);
        others.isolated = true;
        assert_eq!(adopts(&others, now), [true, true, false]);
        assert!(!others.carries_on(alive));
    }
}
