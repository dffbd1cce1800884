//! PURE. The URLs at which the hub has its clients connect.

use std::sync::Arc;

use crate::proto::http::{Bridge, Route};
use crate::proto::id::{DeviceId, Role, StreamId};
use crate::proto::join::HubAddress;
use crate::proto::resume::ResumePlaces;

/// The prefix of a URL's host and port.
const SCHEME: &str = "wss://";

/// The one place that decides which host and port these URLs have.
pub(super) struct OwnUrls {
    /// Those of the hub's own streaming endpoint; without one, each client gets the `Host` with which it reached the hub.
    own: Option<Arc<str>>,
    /// The hub's name in paths.
    hub: String,
    resume_places: ResumePlaces,
}

/// The host and port in the URLs for one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UrlAuthority(Arc<str>);

impl UrlAuthority {
    /// Returns `HOST[:PORT]`.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl OwnUrls {
    /// The URLs of a hub with this public host name. `streaming` is the base URL of its own streaming endpoint, if it has one, or
    /// of the address that it alone has in a cluster.
    pub(super) fn new(public_host: &str, streaming: Option<&str>) -> Self {
        let own = streaming.and_then(|url| url.strip_prefix(SCHEME)).map(Arc::from);
        // A name of its own is the same for both ends of a stream; each end knows by itself how it reached the hub else.
        let resume_places = ResumePlaces::parse(streaming.filter(|_| own.is_some())).unwrap_or_default();
        let hub = if public_host.contains(':') { "hub" } else { public_host };
        Self { own, hub: hub.into(), resume_places }
    }

    /// Returns the host and port for a client that reached the hub with this `Host`.
    pub(super) fn authority_for(&self, host: &str) -> UrlAuthority {
        UrlAuthority(self.own.clone().unwrap_or_else(|| host.into()))
    }

    /// Returns the URL at which one leg of a stream connects.
    pub(super) fn stream(&self, at: &UrlAuthority, device: &DeviceId, stream: StreamId, role: Role) -> String {
        let bridge = Bridge { hub: self.hub.clone(), device: device.clone(), stream, role };
        format!("{SCHEME}{}{}", at.0, Route::Bridge(bridge))
    }

    /// Returns the URL for standby connections.
    pub(super) fn standby(&self, at: &UrlAuthority) -> String {
        format!("{SCHEME}{}{}", at.0, Route::Standby)
    }

    /// Returns where a stream may be resumed: at the hub's own endpoint, and where its ends meet if the hub is gone.
    pub(super) fn resume_places_with(&self, successors: &[HubAddress]) -> ResumePlaces {
        let own = self.own.iter().map(|own| format!("{SCHEME}{own}"));
        let urls: Vec<_> = own.chain(successors.iter().map(|address| format!("{SCHEME}{address}"))).collect();
        ResumePlaces::parse(urls.iter().map(String::as_str)).unwrap_or_default()
    }

    /// Returns where a stream may be resumed: at the hub's own endpoint, if it has one.
    pub(super) fn resume_places(&self) -> &ResumePlaces {
        &self.resume_places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(urls: &OwnUrls, host: &str) -> String {
        urls.stream(&urls.authority_for(host), &"pi-42".parse().unwrap(), StreamId::from_bytes([1; 16]), Role::Device)
    }

    #[test]
    fn a_hub_without_an_endpoint_of_its_own_is_where_the_client_reached_it() {
        let (urls, id) = (OwnUrls::new("hub.test", None), "01".repeat(16));
        for host in ["hub.test", "10.0.0.1:8443", "[::1]:8443"] {
            let expected = format!("wss://{host}/bridges/ih/hub.test/d/pi-42/sid/{id}/r/device");
            assert_eq!(url(&urls, host), expected);
            assert_eq!(urls.standby(&urls.authority_for(host)), format!("wss://{host}/standby"));
        }
        assert!(urls.resume_places().is_empty());
    }

    #[test]
    fn an_endpoint_of_its_own_is_the_same_for_every_client_and_where_streams_resume() {
        let urls = OwnUrls::new("hub.test", Some("wss://streams.test:444"));
        assert!(url(&urls, "10.0.0.1:8443").starts_with("wss://streams.test:444/bridges/ih/hub.test/"));
        assert_eq!(urls.standby(&urls.authority_for("hub.test")), "wss://streams.test:444/standby");
        assert_eq!(urls.authority_for("hub.test"), urls.authority_for("10.0.0.1:8443"));
        assert_eq!(urls.resume_places().to_string(), "wss://streams.test:444");
    }

    #[test]
    fn an_address_that_is_no_part_of_a_path_is_replaced_there() {
        assert!(url(&OwnUrls::new("::1", None), "[::1]:8443").starts_with("wss://[::1]:8443/bridges/ih/hub/d/"));
    }
}
