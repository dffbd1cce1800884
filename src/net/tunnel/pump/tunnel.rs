//! A stream's WebSocket with what both ends agreed for it, and the settings of its transport.

use bytes::Bytes;

use crate::net::websocket::WebSocket;
use crate::proto::keepalive::IdleTimeout;
use crate::proto::limits::STANDBYS_PER_IDENTITY;
use crate::proto::resume::ResumeCredential;
use crate::proto::stream::StreamProtocol;

/// A stream's WebSocket and what both ends agreed for it.
#[derive(Debug)]
pub struct Tunnel<T> {
    /// The WebSocket; `None` if its connection was lost before its upgrade was answered: the hub may have joined it, and
    /// the stream begins with a rejoin.
    pub socket: Option<WebSocket<T>>,
    /// The protocol of the stream; `None` for bytes without control messages.
    pub protocol: Option<StreamProtocol>,
    /// The credential to rejoin with, where both ends can resume. Boxed: a tunnel is moved often, and each move takes its size
    /// in the task of its stream.
    pub resume_credential: Option<Box<ResumeCredential>>,
    /// The bytes that were sent or received before the WebSocket was there.
    pub early: EarlyData,
    /// The WebSocket is used for another stream after this one.
    pub reusable: bool,
    /// The stream's last messages may be left for the owner of the WebSocket to send, if this end releases it last.
    pub hold_release: bool,
}

impl<T> Tunnel<T> {
    /// Creates the tunnel of a WebSocket that was opened for one stream, without early data.
    pub fn new(
        socket: WebSocket<T>,
        protocol: Option<StreamProtocol>,
        resume_credential: Option<ResumeCredential>,
    ) -> Self {
        let early = EarlyData::default();
        let resume_credential = resume_credential.map(Box::new);
        Self { socket: Some(socket), protocol, resume_credential, early, reusable: false, hold_release: false }
    }

    /// Creates the tunnel of a resumable stream whose first WebSocket was lost.
    pub fn lost(resume_credential: ResumeCredential) -> Self {
        let (protocol, early) = (Some(StreamProtocol::Resumable), EarlyData::default());
        let resume_credential = Some(Box::new(resume_credential));
        Self { socket: None, protocol, resume_credential, early, reusable: false, hold_release: false }
    }
}

/// The first bytes of a stream, where they travel ahead of its WebSocket.
#[derive(Debug, Default)]
pub struct EarlyData {
    /// From the local side, not sent yet.
    pub to_send: Bytes,
    /// From the local side, already sent.
    pub sent: Bytes,
    /// From the peer, for the local side.
    pub received: Bytes,
}

/// The settings of a role's connections to the hub.
#[derive(Debug, Clone, Copy)]
pub struct TransportOptions {
    /// Offer to resume streams after their connection is lost.
    pub resume: bool,
    /// The longest silence of the hub before its connection is given up.
    pub idle_timeout: IdleTimeout,
    /// The largest number of standby connections.
    pub standbys: usize,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self { resume: true, idle_timeout: IdleTimeout::default(), standbys: STANDBYS_PER_IDENTITY }
    }
}

impl TransportOptions {
    /// The names of the stream protocols that this end offers.
    pub fn protocols(&self) -> Vec<String> {
        StreamProtocol::offered(self.resume).map(|protocol| protocol.as_str().to_owned()).collect()
    }
}
