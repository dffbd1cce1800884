//! Rejoining a stream at its hub after its WebSocket is lost.

use super::upgrade::parse_stream_url;
use super::{ClientFactory, Connection};
use crate::net::tunnel::pump::{Rejoin, Tunnel};
use crate::proto::join::HubAddress;
use crate::proto::refusal::Refusal;
use crate::proto::resume::{self, ResumeCredential};
use crate::proto::stream::StreamProtocol;

/// The streaming endpoint of an open stream. Each rejoin builds a new client, since the hub may have another address by
/// then, or know this machine by another key.
pub struct ResumeTarget {
    /// Builds the clients.
    pub client_factory: ClientFactory,
    /// The URL of the stream's first WebSocket.
    pub url: String,
    /// The hub's address when the stream was opened.
    pub hub: HubAddress,
}

impl Rejoin<Connection> for ResumeTarget {
    async fn rejoin(&self, resume_credential: &ResumeCredential) -> Result<Tunnel<Connection>, Refusal> {
        let client = self.client_factory.client().await?;
        let (endpoint, path) = parse_stream_url(&self.url)?;
        // A separate streaming endpoint keeps its address; the hub's own endpoint moves with the hub.
        let hub = if endpoint == self.hub { client.hub() } else { &endpoint };
        let token = format!("{} {}", resume::SCHEME, resume_credential.token.reveal());
        Ok(client.open_tunnel(hub, path, token, Some(StreamProtocol::Resumable)).await?)
    }
}
