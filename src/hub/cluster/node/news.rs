//! What this hub tells the others of its devices: changes, and all of them where some news was missed.

use std::time::Duration;

use super::Node;
use crate::hub::cluster::view::presence::{PresenceChange, PresenceNews};
use crate::net::os::clock;
use crate::proto::id::HubId;

/// The devices in one message: a few hundred bytes each, far below the engine's limit of 1 MiB.
const DEVICES_PER_MESSAGE: usize = 1000;

/// The least time between two lists of all devices for hubs that have missed news: they may have missed it because there was
/// too much of it.
const LIST_INTERVAL: Duration = Duration::from_secs(5);

impl Node {
    /// Takes what is to be told of this hub's devices: the messages.
    pub(in crate::hub::cluster) fn take_news(&self) -> Vec<PresenceNews> {
        let mut state = self.state.lock();
        let (is_list, untold) = (std::mem::take(&mut state.is_list_due), std::mem::take(&mut state.untold));
        let (mut list, mut changes) = (None, untold);
        if is_list {
            state.lists += 1;
            state.list_at = Some(clock::now());
            (list, changes) = (Some(state.lists), state.presence.own());
        }
        let mut parts: Vec<_> = changes.chunks(DEVICES_PER_MESSAGE).collect();
        if parts.is_empty() && is_list {
            parts.push(&[]);
        }
        let (count, before) = (parts.len(), state.news_sent);
        state.news_sent += u64::try_from(count).unwrap_or_default();
        let message = |(part, changes): (u64, &[PresenceChange])| PresenceNews {
            hub: self.id,
            run: self.own.run,
            number: before + part,
            list,
            part,
            complete: is_list && before + part == state.news_sent,
            changes: changes.to_vec(),
        };
        (1..).zip(parts).map(message).collect()
    }

    /// Has all devices of this hub told: another one has not heard of them.
    pub(in crate::hub::cluster) fn tell_all_devices(&self) {
        self.state.lock().is_list_due = true;
        self.news.notify_one();
    }

    /// Returns the number of messages about this hub's devices so far.
    pub fn news_sent(&self) -> u64 {
        self.state.lock().news_sent
    }

    /// Returns the hubs some of whose news was lost.
    pub fn behind(&self) -> Vec<HubId> {
        self.state.lock().news_counts.behind()
    }

    /// Has all devices told to a hub that has missed some news, but not too often.
    pub(super) fn tell_again(&self) {
        let last = self.state.lock().list_at;
        if last.is_none_or(|last| last + LIST_INTERVAL <= clock::now()) {
            self.tell_all_devices();
        }
    }
}
