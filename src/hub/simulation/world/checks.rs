//! What holds once all faults have ended.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::sleep;

use super::super::hub::request;
use super::super::millis;
use super::{DEVICES, HUBS, LONGEST_OPENING, World, device};
use crate::hub::cluster::view::members::{BEAT_INTERVAL, DEAD_AFTER};
use crate::hub::handlers::elsewhere::open_elsewhere;
use crate::proto::id::StreamId;
use crate::proto::refusal::RefusalKind;

/// The time after the last fault in which all hubs agree: silence is noticed, then a beat and the news that follow it.
const SETTLING: Duration = DEAD_AFTER.saturating_add(Duration::from_secs(6));

impl World {
    /// All faults end; then everything must be as if there had been none.
    pub(in crate::hub::simulation) async fn settle(&mut self) {
        self.log("all faults end".into());
        self.faults.heal();
        self.faults.disturb(0, millis(2));
        for hub in 0..HUBS {
            self.thaw(hub);
            self.switch.set_connected(hub, true);
            if self.hubs[hub].is_none() {
                self.start(hub);
            }
        }
        // Hubs notice what has died.
        for _ in 0..12 {
            sleep(millis(250)).await;
            self.go_on();
        }
        (0..HUBS).filter_map(|hub| self.part(hub).cloned()).for_each(|part| part.drop_dead());
        for _ in 0..SETTLING.as_millis() / 250 {
            sleep(millis(250)).await;
            self.go_on();
        }
        (0..DEVICES).for_each(|number| self.check_agents(number));
        for hub in 0..HUBS {
            for number in 0..DEVICES {
                self.check_found(hub, number).await;
            }
        }
        sleep(LONGEST_OPENING + BEAT_INTERVAL).await;
        for (number, hub) in self.hubs.iter().enumerate() {
            let tasks = hub.as_ref().map_or(0, |hub| hub.tasks.count());
            if tasks != 1 {
                self.say_wrong(format!("hub {number} has {tasks} tasks left"));
            }
        }
        self.hubs.iter().flatten().for_each(|hub| hub.tasks.abort());
    }

    /// One agent of each device is left: the one that connected last of those that are there.
    fn check_agents(&self, number: usize) {
        let at: HashSet<_> = Self::holders(&self.running, &device(number)).into_iter().collect();
        let agents: HashSet<_> =
            self.agents.iter().skip(number).step_by(DEVICES).filter_map(|agent| agent.at).collect();
        if at != agents || at.len() > 1 {
            self.say_wrong(format!("{}: connections at {at:?}, agents at {agents:?}", device(number)));
        }
    }

    async fn check_found(&mut self, hub: usize, number: usize) {
        let Some(part) = self.part(hub).cloned() else { return };
        let holders = Self::holders(&self.running, &device(number));
        if holders.iter().any(|(holder, _)| *holder == hub) {
            return;
        }
        self.streams += 1;
        let stream = StreamId::from_bytes(u128::from(self.streams).to_be_bytes());
        let found = open_elsewhere(&part.node, &request(&device(number), Some(stream))).await;
        let is_right = match &found {
            Ok(Some(opened)) => holders.iter().any(|(at, _)| opened.url == format!("h{at}.hub.test")),
            Ok(None) => holders.is_empty(),
            Err(refusal) => {
                refusal.kind == RefusalKind::HandshakeTimedOut && holders.iter().any(|it| part.is_dead(it.1))
            }
        };
        if !is_right {
            let found = found.map(|opened| opened.map(|opened| opened.url));
            self.say_wrong(format!("hub {hub} finds {} {found:?}, at {holders:?}", device(number)));
        }
    }
}
