//! What becomes of connections and streams when an identity or its scope changes.

use std::time::Instant;

use super::stream::{Phase, Stream};
use super::{Broker, Output};
use crate::proto::id::{DeviceId, Principal, Role, ServiceName, StreamId};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::scope::Scope;

impl Broker {
    pub(super) fn revoked(&mut self, principal: &Principal, why: &Refusal, now: Instant) {
        if principal.role == Role::Device
            && let Some(seat) = self.seats.get(&DeviceId::from(principal.id.clone()))
        {
            self.outputs.push_back(Output::Dismiss { connection: seat.connection, why: why.kind });
        }
        for id in self.ids(|stream| stream.is_side(principal)) {
            self.end(id, why.clone(), now);
        }
    }

    pub(super) fn rescoped(&mut self, service: &ServiceName, scope: &Scope, until: Option<Instant>, now: Instant) {
        for id in self.ids(|stream| stream.ask.service == *service) {
            self.rescope(id, scope, until, now);
        }
    }

    /// A stream's service may reach this from now on; the stream ends if it is outside of it.
    pub(super) fn rescope(&mut self, id: StreamId, scope: &Scope, until: Option<Instant>, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.ask.scope = scope.clone();
        stream.ask.until = until;
        let named = stream.ask.name.as_ref();
        let covered = scope.covers_device(&stream.ask.device) && named.is_none_or(|name| scope.covers_stream(name));
        let timer = match stream.phase {
            Phase::Joined => Some(until),
            Phase::Interrupted { until: grace, .. } => Some(Some(until.map_or(grace, |until| until.min(grace)))),
            Phase::Waiting | Phase::Asked { .. } | Phase::Accepted | Phase::Failed(_) | Phase::Ending(_) => None,
        };
        if !covered {
            self.end(id, Refusal::new(RefusalKind::NotPermitted, "the service may no longer reach this"), now);
        } else if until.is_some_and(|until| until <= now) {
            self.end(id, RefusalKind::AccessEnded.into(), now);
        } else if let Some(timer) = timer {
            self.set_timer(id, timer);
        }
    }

    pub(super) fn keys_changed(&mut self, device: &DeviceId) {
        if let Some(seat) = self.seats.get(device) {
            self.outputs.push_back(Output::Recheck { connection: seat.connection });
        }
    }

    /// Ends a stream, however far it has come.
    pub(super) fn end(&mut self, id: StreamId, why: Refusal, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        match stream.phase {
            Phase::Ending(_) => {}
            Phase::Joined => {
                stream.phase = Phase::Ending(why.clone());
                self.set_timer(id, None);
                self.outputs.push_back(Output::EndStream { stream: id, refusal: why });
            }
            Phase::Interrupted { .. } => self.give_up(id, why, now),
            Phase::Waiting | Phase::Asked { .. } | Phase::Accepted | Phase::Failed(_) => self.refuse(id, why, now),
        }
    }

    /// In an order that a seed always gives again.
    pub(super) fn ids(&self, wanted: impl Fn(&Stream) -> bool) -> Vec<StreamId> {
        let mut ids: Vec<_> = self.streams.iter().filter(|(_, stream)| wanted(stream)).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }
}
