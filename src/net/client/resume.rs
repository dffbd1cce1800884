//! Rejoining a stream at its hub after its WebSocket is lost.

use super::{Client, ClientFactory, Connection};
use crate::net::tunnel::pump::{Rejoin, Tunnel, ends_stream};
use crate::proto::join::HubAddress;
use crate::proto::refusal::Refusal;
use crate::proto::resume::{self, ResumeCredential};
use crate::proto::stream::StreamProtocol;

/// Where an open stream is rejoined. Each rejoin builds a new client, since the hub may have another address by then, or
/// know this machine by another key.
pub struct ResumeTarget {
    client_factory: ClientFactory,
    /// A separate streaming endpoint, which keeps its address; `None` for the hub's own, which moves with the hub.
    endpoint: Option<HubAddress>,
    path: String,
}

impl Client {
    /// Checks the URL that the hub gave for a stream, as [`Client::open_stream`] does: streams that began on a standby
    /// connection go there first when they are rejoined.
    pub fn resume_target(&self, client_factory: ClientFactory, url: &str) -> Result<ResumeTarget, Refusal> {
        let (endpoint, path) = self.stream_endpoint(url)?;
        let endpoint = (endpoint != *self.hub()).then_some(endpoint);
        Ok(ResumeTarget { client_factory, endpoint, path: path.to_owned() })
    }
}

impl ResumeTarget {
    async fn rejoin_at(
        &self,
        client: &Client,
        hub: &HubAddress,
        resume_credential: &ResumeCredential,
    ) -> Result<Tunnel<Connection>, Refusal> {
        let token = format!("{} {}", resume::SCHEME, resume_credential.token.reveal());
        Ok(client.open_tunnel(hub, &self.path, token, Some(StreamProtocol::Resumable)).await?)
    }
}

impl Rejoin<Connection> for ResumeTarget {
    async fn rejoin(&self, resume_credential: &ResumeCredential) -> Result<Tunnel<Connection>, Refusal> {
        let client = self.client_factory.client().await?;
        let last = self.endpoint.as_ref().unwrap_or_else(|| client.hub());
        for place in resume_credential.places.before(last, |place| client.may_dial(place)) {
            let client = client.only_at(place);
            match Box::pin(self.rejoin_at(&client, place, resume_credential)).await {
                Ok(tunnel) => return Ok(tunnel),
                Err(refusal) if ends_stream(refusal.kind) => return Err(refusal),
                Err(refusal) => tracing::debug!("the stream is not resumed at {place}: {}", refusal.message()),
            }
        }
        // Boxed: a stream that is never interrupted has no room for it.
        Box::pin(self.rejoin_at(&client, last, resume_credential)).await
    }
}
