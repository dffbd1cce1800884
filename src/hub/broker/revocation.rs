//! Changes of identities and scopes, applied to connections and streams.

use std::time::Instant;

use super::stream::{Phase, Stream};
use super::{Broker, LegKey, Output};
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
        // It may come back with other keys.
        self.recent_keys.remove(principal);
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
            Phase::Joined => Some(stream.access_end().map(|(until, _)| until)),
            Phase::Interrupted { until: grace, .. } => Some(Some(until.map_or(grace, |until| until.min(grace)))),
            Phase::AwaitingDevice | Phase::Requested { .. } | Phase::Accepted | Phase::Failed(_) | Phase::Ending(_) => {
                None
            }
        };
        if !covered {
            self.end(id, Refusal::new(RefusalKind::NotPermitted, "the service's scope no longer covers it"), now);
        } else if until.is_some_and(|until| until <= now) {
            let ended = stream.access_ended();
            self.end(id, ended, now);
        } else if let Some(timer) = timer {
            self.set_timer(id, timer);
        }
    }

    pub(super) fn keys_changed(&mut self, principal: &Principal, keys: Vec<LegKey>, now: Instant) {
        if principal.role == Role::Device
            && let Some(online) = self.devices.get(&DeviceId::from(principal.id.clone()))
        {
            self.outputs.push_back(Output::RevalidateKey { connection: online.connection });
        }
        self.recent_keys.remove(principal);
        self.recent_keys.insert(principal.clone(), keys);
        for id in self.ids(|stream| stream.belongs_to(principal)) {
            self.apply_keys(id, principal, now);
        }
    }

    /// Gives a stream's leg the present end of its key; the stream does not go on with one that is gone.
    fn apply_keys(&mut self, id: StreamId, principal: &Principal, now: Instant) {
        let Some(key) = self.streams.get_mut(&id).and_then(|stream| stream.slot(principal.role).key()) else { return };
        let Some(key) = self.present_key(principal, key) else {
            return self.access_ended(id, Some(principal.role), now);
        };
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.slot(principal.role).set_key(key);
        if stream.phase == Phase::Joined {
            let until = stream.access_end().map(|(until, _)| until);
            self.set_timer(id, until);
        }
    }

    /// Returns a key with the end that the last change of the identity's keys gave it; `None` if it is no longer one of
    /// them.
    pub(super) fn present_key(&self, principal: &Principal, key: LegKey) -> Option<LegKey> {
        match self.recent_keys.get(principal) {
            Some(keys) => keys.iter().find(|present| present.key == key.key).copied(),
            None => Some(key),
        }
    }

    /// Ends a stream at the end of its service's access, or of the key of a leg. A stream that can be resumed is
    /// interrupted at the latter, or stays so: an end that has the new key goes on.
    pub(super) fn access_ended(&mut self, id: StreamId, key_of: Option<Role>, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let Some(role) = key_of else {
            let ended = stream.access_ended();
            return self.end(id, ended, now);
        };
        let refusal = Refusal::new(RefusalKind::KeyReplaced, stream.principal(role).to_string());
        match stream.phase {
            Phase::Joined if stream.resumes() => {
                self.outputs.push_back(Output::EndStream { stream: id, refusal: RefusalKind::Interrupted.into() });
                self.interrupt(id, (Some(role), refusal.message()), now);
            }
            Phase::Interrupted { .. } => {
                if let Some(leg) = stream.slot(role).leg() {
                    stream.slot(role).detach();
                    self.connections.remove(&leg);
                    self.outputs.push_back(Output::Refuse { leg, refusal: RefusalKind::Interrupted.into() });
                }
            }
            Phase::AwaitingDevice
            | Phase::Requested { .. }
            | Phase::Accepted
            | Phase::Failed(_)
            | Phase::Joined
            | Phase::Ending(_) => self.end(id, refusal, now),
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
