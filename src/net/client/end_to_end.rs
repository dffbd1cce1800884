//! The client's end of end-to-end sessions: its own leaf, and what it knows of its peers.

use std::sync::Arc;

use super::Client;
use crate::net::e2e::config::{Expected, SessionEnd};
use crate::net::e2e::peers::{Anchors, PeerKeys};
use crate::net::os::clock;
use crate::proto::e2e::StreamBinding;
use crate::proto::fleet::Fleet;
use crate::proto::id::{DeviceId, Principal, ServiceName, StreamName};
use crate::proto::refusal::{Refusal, RefusalKind};

impl Client {
    /// Sets where the keys of peers are kept; without it, in memory.
    #[must_use]
    pub fn with_peer_keys(self, peer_keys: Arc<dyn PeerKeys>) -> Self {
        Self { peer_keys, ..self }
    }

    /// Sets the fleet that must have signed the keys of peers; without one, it is known keys that count.
    #[must_use]
    pub fn with_fleet(self, fleet: Option<Fleet>) -> Self {
        Self { fleet, ..self }
    }

    /// What this end knows of its peers.
    pub fn peer_keys(&self) -> &Arc<dyn PeerKeys> {
        &self.peer_keys
    }

    /// Reports whether a key of a peer is known, which then encrypts its streams. An error if what is known cannot be read.
    pub fn has_known_key(&self, peer: &Principal) -> Result<bool, Refusal> {
        self.peer_keys.ensure_readable()?;
        Ok(self.peer_keys.known(peer).is_some())
    }

    /// Creates the service's end of a session for a stream; without a name it is the device's default.
    pub async fn service_session(&self, device: &DeviceId, stream: Option<&StreamName>) -> Result<SessionEnd, Refusal> {
        let binding = StreamBinding::new(device, self.principal.id.clone().into(), stream.cloned());
        let peer = binding.device_principal();
        let anchors = self.anchors(&peer).await?;
        self.accept_postponed(clock::now_utc());
        self.fetch_certificate().await;
        let signed = self.sign(&peer).await;
        let expected = Expected::device(binding, anchors).in_fleet(self.fleet).certified_by(signed);
        self.runtime
            .sessions()
            .service_end(&self.own.leaf(), expected, self.peer_keys.clone())
            .map_err(|error| failed(&error))
    }

    /// Creates the device's end of a session for a stream of this name, which may be its default.
    pub async fn device_session(
        &self,
        service: &ServiceName,
        stream: &StreamName,
        is_default: bool,
    ) -> Result<SessionEnd, Refusal> {
        let binding = StreamBinding::new(&self.principal.id.clone().into(), service.clone(), Some(stream.clone()));
        let anchors = self.anchors(&binding.service_principal()).await.map_err(for_service)?;
        self.accept_postponed(clock::now_utc());
        let expected = Expected::service(binding, is_default, anchors).in_fleet(self.fleet);
        self.runtime
            .sessions()
            .device_end(&self.own.leaf(), expected, self.peer_keys.clone())
            .map_err(|error| failed(&error))
    }

    /// Returns the known keys that may vouch for a peer: none with a fleet.
    async fn anchors(&self, peer: &Principal) -> Result<Anchors, Refusal> {
        if self.fleet.is_some() { Ok(None) } else { self.peer_keys.anchors(peer).await }
    }
}

/// The device's own words about keys are for its own operator: those at the other end are made there.
fn for_service(refusal: Refusal) -> Refusal {
    if !refusal.kind.is_of_session() {
        return refusal;
    }
    let rejected = Refusal::new(RefusalKind::RejectedByDevice, refusal.detail.as_str());
    match refusal.advice() {
        Some(advice) => rejected.advised(advice.to_owned()),
        None => rejected,
    }
}

fn failed(error: &rustls::Error) -> Refusal {
    Refusal::new(RefusalKind::EndToEndNotBegun, error.to_string())
}
