//! The memory that streams hold, and those that give way where it is short.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::driver::BrokerDriver;
use super::{ActiveStream, BrokerHandle};
use crate::hub::admission::relief::{Holding, Holdings, Room, Shortage};
use crate::hub::broker::Input;
use crate::net::os::clock;
use crate::net::os::send_queues::Ends;
use crate::net::tunnel::relay::WaitingBytes;
use crate::net::websocket::Transport;
use crate::proto::id::{ServiceName, StreamId};
use crate::proto::limits::CLOSE_TIMEOUT;

/// The time after which more streams give way where those before have not freed enough: the memory of a few is only freed
/// when their ends have had their close frames.
const RELIEF_INTERVAL: Duration = Duration::from_secs(1);

impl<T: Transport> BrokerHandle<T> {
    /// Reports whether the streams of a service hold more than its part of the room that all have, and one who may come.
    pub(in crate::hub) fn exceeds_share(&self, service: &ServiceName, room: Room) -> bool {
        self.with(|driver| driver.holdings(None, room).exceeds_share(service)).unwrap_or_default()
    }

    /// Has streams give way of services that hold more than their share, unless the one that asks is such a one. Reports
    /// whether memory is being freed.
    pub(in crate::hub) fn relieve(&self, asking: Option<&ServiceName>, shortage: Shortage) -> bool {
        self.with(|driver| driver.relieve(asking, shortage)).unwrap_or_default()
    }

    /// Notes what the kernel holds for the ends of streams.
    pub(in crate::hub) fn note_queues(&self, queues: &HashMap<Ends, u64>) {
        let _ = self.with(|driver| driver.note_queues(queues));
    }

    /// Returns what waits for the readers of all streams.
    pub(in crate::hub) fn waiting(&self) -> &WaitingBytes {
        &self.0.waiting
    }
}

impl<T: Transport> BrokerDriver<T> {
    fn note_queues(&mut self, queues: &HashMap<Ends, u64>) {
        let now = clock::now();
        self.active.values().for_each(|active| active.note_queues(queues, now));
    }

    /// Returns what the joined streams hold, and the legs that wait for the other one, where `asking` is one service more
    /// if it has none.
    fn holdings(&self, asking: Option<&ServiceName>, room: Room) -> Holdings {
        let now = clock::now();
        let holding = |(id, active): (&StreamId, &Arc<ActiveStream>)| {
            let (service, is_resumable) = self.broker.joined(*id)?;
            Some(Holding { stream: *id, service: service.clone(), legs: 2, is_resumable, held: active.held(now) })
        };
        let joined = self.active.iter().filter_map(holding);
        let waiting = self.broker.waiting(now).map(Holding::waiting);
        Holdings::new(joined.chain(waiting).collect(), self.broker.services(asking), room)
    }

    fn relieve(&mut self, asking: Option<&ServiceName>, shortage: Shortage) -> bool {
        let holdings = self.holdings(asking, shortage.room);
        if asking.is_some_and(|service| holdings.exceeds_share(service)) {
            return false;
        }
        let now = clock::now();
        let is_being_freed =
            |&(at, excess): &_| now < at + RELIEF_INTERVAL && (!shortage.is_critical || shortage.excess <= excess);
        if self.relieved.as_ref().is_some_and(is_being_freed) {
            return true;
        }
        let chosen = holdings.choose(shortage);
        for holding in &chosen {
            if let Some(active) = self.active.get(&holding.stream) {
                active.free();
            }
            self.handle(Input::GivesWay { stream: holding.stream, refusal: holding.refusal() });
            self.relieved = Some((now, shortage.excess));
        }
        !chosen.is_empty() || self.relieved.is_some_and(|(at, _)| now < at + CLOSE_TIMEOUT)
    }
}
