//! What becomes of connections and streams when an identity or its scope changes.

use std::time::Instant;

use super::stream::{Phase, Stream};
use super::{Broker, Output};
use crate::proto::id::{DeviceId, Principal, Role, ServiceName, StreamId};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::scope::Scope;

impl Broker {
    pub(super) fn identity_revoked(&mut self, principal: &Principal, reason: &Refusal, now: Instant) {
        if principal.role == Role::Device
            && let Some(online) = self.devices.get(&DeviceId::from(principal.id.clone()))
        {
            self.outputs.push_back(Output::Dismiss { connection: online.connection, reason: reason.kind });
        }
        for id in self.ids(|stream| stream.belongs_to(principal)) {
            self.end(id, reason.clone(), now);
        }
    }

    pub(super) fn scope_changed(&mut self, service: &ServiceName, scope: &Scope, until: Option<Instant>, now: Instant) {
        for id in self.ids(|stream| stream.request.service == *service) {
            self.rescope(id, scope, until, now);
        }
    }

    /// A stream's service may reach this from now on; the stream ends if it is outside of it.
    pub(super) fn rescope(&mut self, id: StreamId, scope: &Scope, until: Option<Instant>, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.request.scope = scope.clone();
        stream.request.until = until;
        let named = stream.request.name.as_ref();
        let covered = scope.covers_device(&stream.request.device) && named.is_none_or(|name| scope.covers_stream(name));
        let timer = match stream.phase {
            Phase::Joined => Some(until),
            Phase::Interrupted { until: grace, .. } => Some(Some(until.map_or(grace, |until| until.min(grace)))),
            Phase::AwaitingDevice | Phase::Requested { .. } | Phase::Accepted | Phase::Failed(_) | Phase::Ending(_) => {
                None
            }
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
        if let Some(online) = self.devices.get(device) {
            self.outputs.push_back(Output::RevalidateKey { connection: online.connection });
        }
    }

    /// Ends a stream, however far it has come.
    pub(super) fn end(&mut self, id: StreamId, reason: Refusal, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        match stream.phase {
            Phase::Ending(_) => {}
            Phase::Joined => {
                stream.phase = Phase::Ending(reason.clone());
                self.set_timer(id, None);
                self.outputs.push_back(Output::EndStream { stream: id, refusal: reason });
            }
            Phase::Interrupted { .. } => self.abandon(id, reason, now),
            Phase::AwaitingDevice | Phase::Requested { .. } | Phase::Accepted | Phase::Failed(_) => {
                self.refuse(id, reason, now)
            }
        }
    }

    /// In an order that a seed always gives again.
    pub(super) fn ids(&self, predicate: impl Fn(&Stream) -> bool) -> Vec<StreamId> {
        let mut ids: Vec<_> = self.streams.iter().filter(|(_, stream)| predicate(stream)).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }
}
