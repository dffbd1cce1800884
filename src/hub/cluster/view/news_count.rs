//! PURE. Which hubs' news of devices was lost on the way: the engine carries each message at most once.

use std::collections::HashMap;

use super::members::Heartbeat;
use super::presence::PresenceNews;
use crate::proto::id::HubId;

/// The limit on hubs, as in the table of members.
const MAX_HUBS: usize = 256;

/// The messages of one run of a hub.
#[derive(Debug, Default)]
struct Count {
    run: u64,
    /// All up to this one were heard, or a list was that came later.
    heard: u64,
    /// The messages that it had sent at its last beat, which have arrived by the next.
    sent: u64,
    is_behind: bool,
    /// The list that is being heard, and its parts so far.
    list: Option<(u64, u64)>,
}

/// The messages of all other hubs.
#[derive(Debug, Default)]
pub struct NewsCounts(HashMap<HubId, Count>);

impl NewsCounts {
    /// Takes note of a message.
    pub fn hear(&mut self, news: &PresenceNews) {
        let Some(count) = self.count(news.hub, news.run) else { return };
        let Some(list) = news.list else {
            if news.number == count.heard + 1 {
                count.heard = news.number;
            }
            return;
        };
        let parts = 1 + count.list.filter(|(of, _)| *of == list).map_or(0, |(_, parts)| parts);
        count.list = Some((list, parts));
        if news.complete && parts == news.part {
            count.heard = count.heard.max(news.number);
        }
    }

    /// Takes note of a beat.
    pub fn hear_beat(&mut self, beat: &Heartbeat) {
        let Some(count) = self.count(beat.hub, beat.run) else { return };
        count.is_behind = count.heard < count.sent;
        count.sent = beat.news;
    }

    /// A hub is dead.
    pub fn forget(&mut self, hub: HubId) {
        self.0.remove(&hub);
    }

    /// Returns the hubs that have to tell all of their devices again.
    pub fn behind(&self) -> Vec<HubId> {
        self.0.iter().filter(|(_, count)| count.is_behind).map(|(hub, _)| *hub).collect()
    }

    fn count(&mut self, hub: HubId, run: u64) -> Option<&mut Count> {
        if self.0.len() >= MAX_HUBS && !self.0.contains_key(&hub) {
            return None;
        }
        let count = self.0.entry(hub).or_default();
        if count.run != run {
            *count = Count { run, ..Count::default() };
        }
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::timestamp::Timestamp;

    const HUB: HubId = HubId::from_bytes([1; 16]);

    fn beat(news: u64) -> Heartbeat {
        Heartbeat {
            hub: HUB,
            run: 1,
            sent: serde_json::from_value(1.into()).unwrap(),
            address: "h1.hub.test".parse().unwrap(),
            version: "1".into(),
            region: None,
            since: Timestamp(0),
            devices: 0,
            streams: 0,
            draining: false,
            leaving: false,
            revision: 0,
            news,
            behind: Vec::new(),
        }
    }

    fn news(number: u64) -> PresenceNews {
        PresenceNews { hub: HUB, run: 1, number, list: None, part: 0, complete: false, changes: Vec::new() }
    }

    fn list(number: u64, part: u64, complete: bool) -> PresenceNews {
        PresenceNews { list: Some(1), part, complete, ..news(number) }
    }

    #[test]
    fn news_that_was_lost_is_noticed_a_beat_later_until_a_whole_list_was_heard() {
        let mut counts = NewsCounts::default();
        counts.hear(&list(1, 1, true));
        counts.hear_beat(&beat(2));
        assert!(counts.behind().is_empty(), "it may be on its way");
        counts.hear(&news(2));
        counts.hear_beat(&beat(3));
        assert!(counts.behind().is_empty());
        counts.hear_beat(&beat(3));
        assert_eq!(counts.behind(), [HUB], "the third was lost");
        counts.hear(&news(4));
        counts.hear_beat(&beat(6));
        assert_eq!(counts.behind(), [HUB]);
        counts.hear(&PresenceNews { list: Some(2), ..list(6, 2, true) });
        counts.hear_beat(&beat(6));
        assert_eq!(counts.behind(), [HUB], "a part of the list was lost");
        counts.hear(&PresenceNews { list: Some(3), ..list(7, 1, false) });
        counts.hear(&PresenceNews { list: Some(3), ..list(8, 2, true) });
        counts.hear_beat(&beat(8));
        assert!(counts.behind().is_empty());
    }

    #[test]
    fn a_hub_of_an_earlier_version_counts_nothing_and_is_never_behind() {
        let mut counts = NewsCounts::default();
        for _ in 0..3 {
            counts.hear(&news(0));
            counts.hear(&list(0, 0, true));
            counts.hear_beat(&beat(0));
        }
        assert!(counts.behind().is_empty());
    }
}
