//! The parts of a running hub that its connections share.

use std::sync::Arc;
use std::time::Duration;

use super::activity::Activity;
use super::admission::Admission;
use super::cluster::node::Node;
use super::config::HubConfig;
use super::endpoints::Endpoints;
use super::in_front::Warnings;
use super::metrics::Metrics;
use super::own_urls::UrlAuthority;
use super::registry::RegistryCache;
use super::registry::mirrored::Mirror;
use super::streams::Streams;
use crate::proto::join::HubAddress;
use crate::proto::message::StandbyOffer;
use crate::proto::resume::{ResumeCredential, ResumeTicket};
use crate::proto::timestamp::Timestamp;

/// The parts of a running hub, each of which stands for itself.
pub(super) struct Shared {
    pub(super) config: HubConfig,
    pub(super) endpoints: Endpoints,
    /// This hub's part in its cluster; `None` if it is alone.
    pub(super) cluster: Option<Arc<Node>>,
    /// The mirror of the registry that the cluster's hubs share.
    pub(super) mirror: Option<Arc<Mirror>>,
    pub(super) registry: RegistryCache,
    pub(super) admission: Arc<Admission>,
    pub(super) streams: Streams,
    pub(super) activity: Activity,
    pub(super) metrics: Arc<Metrics>,
    pub(super) started_at: Timestamp,
    /// Held while all devices are listed: one list at a time reads the whole registry.
    pub(super) list_lock: tokio::sync::Mutex<()>,
    /// The warnings about what stands in front of the hub.
    pub(super) in_front: Warnings,
}

impl Shared {
    /// Returns the URL for standby connections and their limit, or `None` while the hub takes none.
    pub(super) fn standby_offer(&self, authority: &UrlAuthority) -> Option<StandbyOffer> {
        let offer = StandbyOffer { url: self.endpoints.urls.standby(authority), limit: self.config.standbys };
        Some(offer).filter(|offer| offer.limit > 0 && !self.streams.is_draining())
    }

    /// The address of this hub alone, in a cluster.
    pub(super) fn own_address(&self) -> Option<&HubAddress> {
        self.cluster.as_ref().map(|node| &node.address)
    }

    /// Returns the credential with which a leg may resume its stream.
    pub(super) fn resume_credential(&self, (ticket, grace): &(ResumeTicket, Duration)) -> ResumeCredential {
        let places = match &self.cluster {
            Some(node) => self.endpoints.urls.resume_places_with(&node.successors(ticket.stream)),
            None => self.endpoints.urls.resume_places().clone(),
        };
        ResumeCredential { token: self.streams.resume_key.sign(ticket), grace: *grace, places }
    }

    /// Returns the limit of streams that one client shall be opening at the same time: half of what its address may have
    /// in unauthenticated connections, so that others behind the same address get in, and what one service may have in
    /// handshakes with one device.
    pub(super) fn opening_limit(&self) -> usize {
        let per_source = self.config.limits.unauthenticated.per_source / 2;
        per_source.min(self.config.broker.pending.per_service_and_device()).max(1)
    }
}
