//! PURE. Where devices are connected, as the hubs say it: a hint, which the hub that is asked confirms or not.

use std::collections::HashMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::placement::Presence;
use super::stamp::Stamp;
use crate::proto::id::{DeviceId, HubId};

/// The limit on devices of other hubs: ten times the fleet that a cluster is made for, some 100 bytes each. Beyond it a device is
/// looked for by asking all hubs.
const MAX_DEVICES: usize = 10_000_000;

/// An agent's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentConnection {
    /// The run of the agent.
    pub run: u64,
    /// Its source address.
    pub address: SocketAddr,
}

/// A device that has connected to a hub, or is gone from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceChange {
    /// The device.
    pub device: DeviceId,
    /// The time of the change, by the hub's hybrid clock.
    pub stamp: Stamp,
    /// Its connection; `None` once it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online: Option<AgentConnection>,
}

/// What a hub says of its devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceNews {
    /// The hub.
    pub hub: HubId,
    /// Its run.
    pub run: u64,
    /// The number of the message, one more than the last of the run.
    #[serde(default)]
    pub number: u64,
    /// The number of the list of all devices that this is a part of; `None` for changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<u64>,
    /// The number of the part of the list, from 1.
    #[serde(default)]
    pub part: u64,
    /// The list is complete with this message: devices that it does not have are gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub complete: bool,
    /// The devices.
    pub changes: Vec<PresenceChange>,
}

/// A device at another hub.
#[derive(Debug, Clone, Copy)]
struct AtAnotherHub {
    hub: HubId,
    hub_run: u64,
    stamp: Stamp,
    /// The last list of its hub that was begun when the device was heard of.
    list: u64,
}

/// The devices of all hubs.
#[derive(Debug)]
pub struct PresenceTable {
    own_hub: HubId,
    /// The devices of this hub, and when they connected.
    own: HashMap<DeviceId, (Stamp, AgentConnection)>,
    others: HashMap<DeviceId, AtAnotherHub>,
    /// The list that each hub has begun last, with the run that did.
    lists: HashMap<HubId, (u64, u64)>,
}

/// A device of this hub that has connected to another one since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedAway {
    /// The device.
    pub device: DeviceId,
    /// Its connection there.
    pub to: AgentConnection,
}

impl PresenceTable {
    /// A table of a hub, without devices.
    pub fn new(own_hub: HubId) -> Self {
        Self { own_hub, own: HashMap::new(), others: HashMap::new(), lists: HashMap::new() }
    }

    /// A device has connected to this hub, or is gone from it. Returns what to tell the others; nothing if another connection of
    /// it has taken this one's place.
    pub fn set_own(
        &mut self,
        device: DeviceId,
        online: Result<AgentConnection, AgentConnection>,
        stamp: Stamp,
    ) -> Option<PresenceChange> {
        match online {
            Ok(connection) => {
                self.own.insert(device.clone(), (stamp, connection));
                self.others.remove(&device);
                Some(PresenceChange { device, stamp, online: Some(connection) })
            }
            Err(gone) => {
                self.own.get(&device).filter(|(_, connection)| *connection == gone)?;
                self.own.remove(&device);
                Some(PresenceChange { device, stamp, online: None })
            }
        }
    }

    /// Returns all devices of this hub, as it tells them to one that has not heard of them.
    pub fn own(&self) -> Vec<PresenceChange> {
        let change = |(device, (stamp, connection)): (&DeviceId, &(Stamp, AgentConnection))| PresenceChange {
            device: device.clone(),
            stamp: *stamp,
            online: Some(*connection),
        };
        self.own.iter().map(change).collect()
    }

    /// Takes note of what another hub says. Returns the devices of this hub that are there since.
    pub fn hear(&mut self, news: &PresenceNews) -> Vec<MovedAway> {
        if let Some(list) = news.list {
            self.lists.insert(news.hub, (news.run, list));
        }
        let moved = news.changes.iter().filter_map(|change| self.hear_of(news, change)).collect();
        if let Some(list) = news.list.filter(|_| news.complete) {
            self.others.retain(|_, known| known.hub != news.hub || (known.hub_run, known.list) == (news.run, list));
        }
        moved
    }

    fn hear_of(&mut self, news: &PresenceNews, change: &PresenceChange) -> Option<MovedAway> {
        let (device, stamp) = (&change.device, change.stamp);
        let is_newer = |hub, than| (stamp, news.hub) > (than, hub);
        if self.others.get(device).is_some_and(|known| known.hub != news.hub && !is_newer(known.hub, known.stamp)) {
            return None;
        }
        let Some(connection) = change.online else {
            if self.others.get(device).is_some_and(|known| known.hub == news.hub && known.stamp <= stamp) {
                self.others.remove(device);
            }
            return None;
        };
        let moved = match self.own.get(device) {
            Some((own, _)) if !is_newer(self.own_hub, *own) => return None,
            Some(_) => Some(MovedAway { device: device.clone(), to: connection }),
            None => None,
        };
        if self.others.len() < MAX_DEVICES || self.others.contains_key(device) {
            let list = self.lists.get(&news.hub).filter(|(run, _)| *run == news.run).map_or(0, |(_, list)| *list);
            self.others.insert(device.clone(), AtAnotherHub { hub: news.hub, hub_run: news.run, stamp, list });
        }
        moved
    }

    /// Forgets the devices of a hub.
    pub fn forget(&mut self, hub: HubId) {
        self.others.retain(|_, known| known.hub != hub);
        self.lists.remove(&hub);
    }

    /// Forgets that a device is at a hub, which says that it is not.
    pub fn contradict(&mut self, device: &DeviceId, hub: HubId) {
        if self.others.get(device).is_some_and(|known| known.hub == hub) {
            self.others.remove(device);
        }
    }

    /// Returns what is known of a device. One of this hub's own is the broker's to tell.
    pub fn find(&self, device: &DeviceId) -> Presence {
        let known = self.others.get(device);
        known.map_or(Presence::Unknown, |known| Presence::Elsewhere { hub: known.hub, run: known.hub_run })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: u64 = 1;

    fn hub(number: u8) -> HubId {
        HubId::from_bytes([number; 16])
    }

    fn pi() -> DeviceId {
        "pi-42".parse().unwrap()
    }

    fn at(run: u64) -> AgentConnection {
        AgentConnection { run, address: "192.0.2.1:4711".parse().unwrap() }
    }

    /// Times in an order of their own.
    fn stamp(number: u64) -> Stamp {
        serde_json::from_value(number.into()).unwrap()
    }

    fn change(device: &DeviceId, time: u64, online: bool) -> PresenceChange {
        PresenceChange { device: device.clone(), stamp: stamp(time), online: online.then(|| at(7)) }
    }

    fn news(of: u8, changes: &[PresenceChange]) -> PresenceNews {
        PresenceNews {
            hub: hub(of),
            run: RUN,
            number: 0,
            list: None,
            part: 0,
            complete: false,
            changes: changes.to_vec(),
        }
    }

    fn elsewhere(number: u8) -> Presence {
        Presence::Elsewhere { hub: hub(number), run: RUN }
    }

    #[test]
    fn the_newest_stamp_says_where_a_device_is() {
        let mut table = PresenceTable::new(hub(9));
        assert_eq!(table.find(&pi()), Presence::Unknown);
        assert!(table.hear(&news(1, &[change(&pi(), 10, true)])).is_empty());
        assert_eq!(table.find(&pi()), elsewhere(1));
        table.hear(&news(2, &[change(&pi(), 9, true)]));
        assert_eq!(table.find(&pi()), elsewhere(1), "it was there before");
        table.hear(&news(2, &[change(&pi(), 11, true)]));
        assert_eq!(table.find(&pi()), elsewhere(2));
        table.hear(&news(1, &[change(&pi(), 12, false)]));
        assert_eq!(table.find(&pi()), elsewhere(2), "the end of its connection there says nothing of this one");
        table.hear(&news(2, &[change(&pi(), 13, false)]));
        assert_eq!(table.find(&pi()), Presence::Unknown);
    }

    #[test]
    fn a_device_that_moved_away_is_let_go_and_one_that_came_back_is_not() {
        let mut table = PresenceTable::new(hub(9));
        assert_eq!(table.set_own(pi(), Ok(at(1)), stamp(10)).unwrap().online, Some(at(1)));
        assert_eq!(
            table.hear(&news(1, &[change(&pi(), 10, true)])),
            [],
            "at the same time: the hub with the greater id"
        );
        assert_eq!(table.hear(&news(1, &[change(&pi(), 11, true)])), [MovedAway { device: pi(), to: at(7) }]);
        assert_eq!(table.find(&pi()), elsewhere(1));
        assert!(table.set_own(pi(), Ok(at(2)), stamp(12)).is_some());
        assert_eq!(table.find(&pi()), Presence::Unknown, "the broker knows it");
        assert_eq!(table.set_own(pi(), Err(at(1)), stamp(13)), None, "the former connection ends late");
        assert_eq!(table.own().len(), 1);
        assert_eq!(table.set_own(pi(), Err(at(2)), stamp(14)).unwrap().online, None);
        assert_eq!(table.own(), []);
    }

    #[test]
    fn of_two_agents_that_came_at_the_same_time_to_two_hubs_one_stays() {
        let [mut one, mut other] = [hub(1), hub(2)].map(PresenceTable::new);
        let [from_one, from_other] = [(&mut one, 1), (&mut other, 2)]
            .map(|(table, of)| news(of, &[table.set_own(pi(), Ok(at(7)), stamp(10)).unwrap()]));
        assert_eq!((one.hear(&from_other).len(), other.hear(&from_one).len()), (1, 0));
    }

    #[test]
    fn a_complete_list_takes_the_place_of_all_that_its_hub_said_before() {
        let mut table = PresenceTable::new(hub(9));
        let devices: Vec<DeviceId> = ["a", "b", "c"].map(|id| id.parse().unwrap()).into();
        let [a, b, c] = [&devices[0], &devices[1], &devices[2]];
        table.hear(&news(1, &[change(a, 1, true), change(b, 2, true)]));
        table.hear(&news(2, &[change(c, 3, true)]));
        let part = PresenceNews { list: Some(5), ..news(1, &[change(b, 2, true)]) };
        table.hear(&part);
        assert_eq!(table.find(a), elsewhere(1), "the list is not complete");
        let new: DeviceId = "new".parse().unwrap();
        table.hear(&news(1, &[change(&new, 9, true)]));
        table.hear(&PresenceNews { complete: true, changes: Vec::new(), ..part });
        assert_eq!(
            [a, b, c, &new].map(|it| table.find(it)),
            [Presence::Unknown, elsewhere(1), elsewhere(2), elsewhere(1)]
        );
        table.forget(hub(1));
        assert_eq!([b, c].map(|it| table.find(it)), [Presence::Unknown, elsewhere(2)]);
        table.contradict(c, hub(1));
        assert_eq!(table.find(c), elsewhere(2));
        table.contradict(c, hub(2));
        assert_eq!(table.find(c), Presence::Unknown);
    }
}
