//! Streams whose hub is gone and whose ends returned to different hubs, because they could not reach the same ones. The service's
//! end is sent to where the device's waits.

use std::time::{Duration, Instant};

use super::Broker;
use super::stream::{Phase, Stream};
use crate::proto::id::{Role, StreamId};
use crate::proto::refusal::RefusalKind;
use crate::proto::resume::ResumeTicket;

/// The time for the other end to come by itself: most do within it.
const MEETING_TIME: Duration = Duration::from_millis(300);

/// The time for which a device's end is taken to wait at another hub: that hub says it again twice a second.
const REMEMBERED: Duration = Duration::from_secs(3);

/// The limit on device's ends that are known to wait at other hubs. An end beyond it waits for the next time that it is told.
pub(super) const MAX_WAITING_ELSEWHERE: usize = 16 * 1024;

impl Broker {
    /// Returns the streams of dead hubs whose device's end waits here for the service's.
    pub fn devices_waiting(&self, now: Instant) -> Vec<StreamId> {
        // Nothing is looked through where no hub has died.
        if !self.adopts_any(now) {
            return Vec::new();
        }
        let waits = |stream: &Stream| {
            let is_late = matches!(stream.phase, Phase::Interrupted { since, .. } if since + MEETING_TIME <= now);
            is_late && stream.was_never_joined_here() && stream.device.leg().is_some()
        };
        self.ids(waits)
    }

    /// Takes note of streams whose device's end waits at another hub. The service's end does not wait here any more.
    pub(super) fn devices_wait_elsewhere(&mut self, streams: &[StreamId], now: Instant) {
        self.waiting_elsewhere.evict_while(|until| *until <= now);
        for id in streams {
            self.waiting_elsewhere.remove(id);
            self.waiting_elsewhere.insert(*id, now + REMEMBERED);
            let waits = |stream: &Stream| stream.was_never_joined_here() && stream.service.leg().is_some();
            if self.streams.get(id).is_some_and(waits) {
                self.send_away(*id);
            }
        }
    }

    /// Reports whether the end of a ticket is the service's, and the device's is known to wait at another hub.
    pub(super) fn waits_elsewhere(&self, ticket: &ResumeTicket, now: Instant) -> bool {
        let until = self.waiting_elsewhere.get(&ticket.stream);
        ticket.role == Role::Service && until.is_some_and(|until| now < *until)
    }

    /// Refuses the end that waits for an interrupted stream, which goes on at another hub.
    pub(super) fn send_away(&mut self, id: StreamId) {
        self.refuse_waiting(id, &RefusalKind::Interrupted.into());
        if let Some(stream) = self.streams.get_mut(&id) {
            // It has not ended.
            stream.adopted = false;
        }
        self.forget(id);
    }
}

impl Stream {
    /// Reports whether another hub carried it, and the ends have not met here since.
    pub(super) fn was_never_joined_here(&self) -> bool {
        self.adopted_from.is_some() && self.opened_at.is_none() && matches!(self.phase, Phase::Interrupted { .. })
    }
}
