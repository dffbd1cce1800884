//! Changes of identities and scopes, applied to connections and streams.

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

    /// Applies a service's new scope to a stream, and ends the stream if it is outside.
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
            self.end(id, Refusal::new(RefusalKind::NotPermitted, "the service's scope no longer covers it"), now);
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

    /// Ends a stream in any phase.
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

    /// Returns the matching streams in a deterministic order.
    pub(super) fn ids(&self, predicate: impl Fn(&Stream) -> bool) -> Vec<StreamId> {
        let mut ids: Vec<_> = self.streams.iter().filter(|(_, stream)| predicate(stream)).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }
}
