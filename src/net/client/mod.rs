//! The client's side of a hub: requests and WebSockets in the name of an identity.
//!
//! A role builds a [`Client`] with its [`ClientFactory`] whenever it must connect. The client dials the hub (or
//! whichever of its addresses answers), signs each request for its TLS channel, and returns the response, a control
//! connection, a stream's [`Tunnel`](crate::net::tunnel::pump::Tunnel) or a standby connection. Every request has a
//! connection of its own.

mod certificates;
mod end_to_end;
mod factory;
mod probe;
mod request;
mod response;
mod resume;
pub mod standby;
mod stored;
mod upgrade;

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use self::certificates::OwnLeaf;
pub use self::certificates::{Certificates, SignFuture};
pub use self::factory::ClientFactory;
pub use self::probe::{Probe, ProbeError, ProbeResult};
pub use self::request::RequestOptions;
use self::request::{ResponseLimits, header_value, sensitive_header};
pub use self::response::{RequestError, UpgradedParts, response_refusal, round_trip};
pub use self::resume::ResumeTarget;
pub use self::stored::{IdentityChange, StoredAt};
use self::upgrade::{chose_unmasked, without_unmasked};
use crate::net::e2e::leaf::Leaf;
use crate::net::e2e::peers::{FirstUse, PeerKeys};
use crate::net::runtime::ClientRuntime;
use crate::net::tls::interception;
use crate::net::tls::read_ahead::ReadAhead;
use crate::net::tls::{self, Trust};
use crate::net::transport::dial::{DialTrace, dial};
use crate::net::transport::hub_addresses::HubAddresses;
use crate::proto::auth::{self, Binding, Credential, Session};
use crate::proto::challenge::Challenge;
use crate::proto::channel_binding::Exporter;
use crate::proto::fleet::Fleet;
use crate::proto::http::Route;
use crate::proto::id::Principal;
use crate::proto::join::HubAddress;
use crate::proto::key::PrivateKey;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::via::ProxySettings;

/// A client's connection to the hub.
pub type Connection = TlsStream<ReadAhead<TcpStream>>;

/// An identity at a hub, and what it takes to connect there.
#[derive(Debug, Clone)]
pub struct Client {
    hubs: HubAddresses,
    proxy_settings: ProxySettings,
    trust: Arc<Trust>,
    tls: Arc<ClientConfig>,
    principal: Principal,
    key: Arc<PrivateKey>,
    /// The key as it is presented to the other end of a stream.
    own: Arc<OwnLeaf>,
    peer_keys: Arc<dyn PeerKeys>,
    /// The fleet that must have signed the keys of peers.
    fleet: Option<Fleet>,
    certificates: Option<Arc<dyn Certificates>>,
    allow_tls_inspection: bool,
    /// The streaming endpoint besides the hub's own address; without one, streams connect to any port of the hub's host.
    streaming_endpoint: Option<HubAddress>,
    runtime: ClientRuntime,
}

impl Client {
    /// Creates a client that dials the hub directly and refuses TLS inspection.
    pub fn new(
        hubs: impl Into<HubAddresses>,
        trust: &Trust,
        principal: Principal,
        key: Arc<PrivateKey>,
    ) -> Result<Self, rustls::Error> {
        let (hubs, proxy_settings, tls) = (hubs.into(), ProxySettings::default(), tls::client_config(trust)?);
        let leaf = Leaf::self_signed(&principal, key.clone());
        let leaf = leaf.map_err(|error| rustls::Error::General(error.to_string()))?;
        let own = Arc::new(OwnLeaf::new(leaf, None, None));
        Ok(Self {
            hubs,
            proxy_settings,
            trust: Arc::new(trust.clone()),
            tls,
            principal,
            key,
            own,
            peer_keys: Arc::new(FirstUse::default()),
            fleet: None,
            certificates: None,
            allow_tls_inspection: false,
            streaming_endpoint: None,
            runtime: ClientRuntime::default(),
        })
    }

    /// Sets the proxies through which hubs are dialled.
    #[must_use]
    pub fn with_proxy(self, proxy_settings: ProxySettings) -> Self {
        Self { proxy_settings, ..self }
    }

    /// Sets whether a proxy on the path may inspect TLS, if the hub allows it too.
    #[must_use]
    pub fn allowing_tls_inspection(mut self, allowed: bool) -> Self {
        self.allow_tls_inspection = allowed;
        self
    }

    /// Has streams connect to the hub's own address and to this endpoint alone, whatever the hub says later.
    #[must_use]
    pub fn with_streaming_endpoint(self, streaming_endpoint: Option<HubAddress>) -> Self {
        Self { streaming_endpoint, ..self }
    }

    /// Returns a client that reaches the hub at this address alone.
    fn only_at(&self, address: &HubAddress) -> Self {
        Self { hubs: address.clone().into(), ..self.clone() }
    }

    fn with_runtime(self, runtime: ClientRuntime) -> Self {
        Self { runtime, ..self }
    }

    /// Reports whether both clients come from the same enrolment.
    pub fn is_same_enrolment(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.key, &other.key)
    }

    /// Reports whether both clients present the same key in the name of the same identity.
    pub fn has_same_key(&self, other: &Self) -> bool {
        self.principal == other.principal && self.key.public_bytes() == other.key.public_bytes()
    }

    /// The hub's address: of several, the one that answered last.
    pub fn hub(&self) -> &HubAddress {
        self.hubs.preferred()
    }

    /// The identity in whose name the client's requests are signed.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Sends a request, and returns its response whatever the status.
    pub async fn request(&self, route: &Route, options: RequestOptions) -> Result<Response<Bytes>, RequestError> {
        let (request, limits) = options.request(route)?;
        Ok(Box::pin(self.send(self.hub(), request, limits)).await?.0)
    }

    /// Sends a request to the hub at `address`.
    async fn send(
        &self,
        address: &HubAddress,
        request: Request<Full<Bytes>>,
        limits: ResponseLimits,
    ) -> Result<(Response<Bytes>, UpgradedParts), RequestError> {
        let reached = self.connect(address, &mut DialTrace::default()).await?;
        self.send_with_fallback(reached, request, limits).await
    }

    /// Sends a request signed for its TLS channel. If a proxy inspects TLS and both ends allow that, sends it again on
    /// a second connection, signed for the hub's challenge.
    async fn send_with_fallback(
        &self,
        (hub, stream): (&HubAddress, Connection),
        request: Request<Full<Bytes>>,
        limits: ResponseLimits,
    ) -> Result<(Response<Bytes>, UpgradedParts), RequestError> {
        let (response, exporter) = self.send_signed((hub, stream), request.clone(), None, limits).await?;
        match interception::detect(&response.0, &exporter, self.allow_tls_inspection)? {
            None => Ok(response),
            Some(challenge) => {
                let reached = self.connect(hub, &mut DialTrace::default()).await?;
                let response = self.send_signed(reached, without_unmasked(request), Some(challenge), limits).await?.0;
                if chose_unmasked(&response.0) {
                    let detail = "the hub chose unmasked frames, which were not offered";
                    return Err(Refusal::new(RefusalKind::IncompatibleVersion, detail).into());
                }
                Ok(response)
            }
        }
    }

    async fn send_signed(
        &self,
        (hub, stream): (&HubAddress, Connection),
        mut request: Request<Full<Bytes>>,
        challenge: Option<Challenge>,
        (response_timeout, max_response_bytes): ResponseLimits,
    ) -> Result<((Response<Bytes>, UpgradedParts), Exporter), RequestError> {
        let exporter = tls::exporter(stream.get_ref().1).map_err(|error| tls::explain(&error))?;
        let session = challenge.as_ref().map_or(Session::Channel(&exporter), Session::Challenge);
        let (method, authority, path) = (request.method().as_str(), hub.to_string(), request.uri().to_string());
        let binding = Binding { method, authority: &authority, path: &path, session };
        let credential = Credential::sign(self.principal.clone(), &self.key, &binding);
        request.headers_mut().insert(header::HOST, header_value(&authority)?);
        request.headers_mut().insert(auth::AUTH_HEADER, sensitive_header(&credential.to_string())?);
        Ok((round_trip(stream, request, response_timeout, max_response_bytes).await?, exporter))
    }

    /// Connects to the hub at `address`. If that is one of this hub's addresses, the others are tried after it,
    /// beginning with the one that answered last; `trace` records the steps of all attempts.
    pub async fn connect<'a>(
        &'a self,
        address: &'a HubAddress,
        trace: &mut DialTrace<'_>,
    ) -> Result<(&'a HubAddress, Connection), Refusal> {
        let mut refusals = Vec::new();
        for hub in self.hubs.candidates(address) {
            match dial(hub, &self.proxy_settings, self.tls.clone(), &self.runtime, trace).await {
                Ok(stream) => {
                    self.hubs.prefer(hub);
                    return Ok((hub, stream));
                }
                Err(refusal) => refusals.push(refusal),
            }
        }
        Err(merge_refusals(refusals))
    }
}

/// The first refusal that says more than "unreachable", else one with the details of all.
fn merge_refusals(mut refusals: Vec<Refusal>) -> Refusal {
    let specific = refusals.iter().position(|refusal| refusal.kind != RefusalKind::HubUnreachable);
    if let Some(index) = specific {
        return refusals.swap_remove(index);
    }
    let details: Vec<_> = refusals.iter().map(|refusal| refusal.detail.as_str()).collect();
    let all = Refusal::new(RefusalKind::HubUnreachable, details.join("; "));
    let advice = refusals.first().and_then(Refusal::advice);
    match advice.filter(|advice| refusals.iter().all(|refusal| refusal.advice() == Some(advice))) {
        Some(advice) => all.advised(advice.to_owned()),
        None => all,
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::net::os::random;
    use crate::proto::id::Role;

    fn factory(hub: &str) -> ClientFactory {
        let principal = Principal { role: Role::Service, id: "alice".parse().unwrap() };
        let key = Arc::new(PrivateKey::from_seed(&random::secret()));
        let client = Client::new(hub.parse::<HubAddress>().unwrap(), &Trust::Public, principal, key).unwrap();
        ClientFactory::new(move || std::future::ready(Ok(client.clone())))
    }

    #[tokio::test]
    async fn two_clients_with_different_hubs_do_not_disturb_each_others_monitor() {
        let listeners =
            [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
        let addresses = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
        let factories = addresses.map(|address| factory(&address.to_string()));
        let recorded = || factories.each_ref().map(|factory| factory.runtime().hub_address());
        let mut expected = [None, None];
        for (index, listener) in listeners.iter().enumerate() {
            let client = factories[index].client().await.unwrap();
            let accept = async { drop(listener.accept().await.unwrap()) };
            let mut trace = DialTrace::default();
            let (refused, ()) = tokio::join!(client.connect(client.hub(), &mut trace), accept);
            assert_eq!(refused.unwrap_err().kind, RefusalKind::ConnectionRejected);
            expected[index] = Some(addresses[index]);
            assert_eq!(recorded(), expected);
        }
    }
}
