//! A control connection: whole messages over a WebSocket, with keep-alive inside.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{sleep_until, timeout};

use super::websocket::{CLOSE_NORMAL, CLOSE_POLICY, CLOSE_UNSUPPORTED, Incoming, Transport, WebSocket, WebSocketError};
use super::{clock, random};
use crate::proto::keepalive::{Beat, Heartbeat, Patience};
use crate::proto::limits::{CONTROL_SEND_TIMEOUT, STANDBY_PROBE, STANDBY_QUIET};
use crate::proto::message::{InvalidMessage, decode, encode};
use crate::proto::refusal::{Kind, Refusal};

/// Why a control connection ended.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The peer closed it, with the refusal its close code stands for.
    #[error("closed by the peer{}", .0.as_ref().map(|refusal| format!(": {}", refusal.what())).unwrap_or_default())]
    Closed(Option<Refusal>),
    /// Nothing was heard, or nothing could be sent, for too long.
    #[error("the peer is silent")]
    Silent,
    /// A message made no sense.
    #[error(transparent)]
    Message(#[from] InvalidMessage),
    /// Something came that has no place here.
    #[error("{0}")]
    Unexpected(&'static str),
    /// The WebSocket broke.
    #[error(transparent)]
    Broken(#[from] WebSocketError),
}

/// One end of a control connection.
#[derive(Debug)]
pub struct ControlChannel<T> {
    socket: WebSocket<T>,
    heartbeat: Heartbeat,
    /// When a ping was sent that is not yet answered.
    pinged: Option<Instant>,
    round_trip: Arc<RoundTrip>,
}

/// How long the last ping and its answer took.
#[derive(Debug, Default)]
pub struct RoundTrip(AtomicU64);

impl RoundTrip {
    /// In microseconds; none before the first answer.
    pub fn micros(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|micros| *micros > 0)
    }
}

impl<T: Transport> ControlChannel<T> {
    /// On a WebSocket that was just made.
    pub fn new(socket: WebSocket<T>, patience: Patience) -> Self {
        let heartbeat = Heartbeat::new(patience, socket.endpoint, clock::epoch(), random::dice());
        Self { socket, heartbeat, pinged: None, round_trip: Arc::default() }
    }

    /// How long the last ping took, now and later.
    pub fn round_trip(&self) -> Arc<RoundTrip> {
        self.round_trip.clone()
    }

    /// Asks the peer whether it is there; it is given up if it does not answer within a few seconds.
    pub async fn probe(&mut self) -> Result<(), ChannelError> {
        self.heartbeat.ask(clock::now());
        self.ping().await
    }

    /// The WebSocket, for other uses.
    pub fn into_socket(self) -> WebSocket<T> {
        self.socket
    }

    /// Sends a message, with bytes that go along with it.
    pub async fn send_with<M: Serialize>(&mut self, message: &M, bytes: Bytes) -> Result<(), ChannelError> {
        if bytes.is_empty() {
            return self.send(message).await;
        }
        let both = async {
            self.socket.writer.hold_text(encode(message)).await?;
            self.socket.writer.bytes(bytes).await
        };
        Ok(timeout(CONTROL_SEND_TIMEOUT, both).await.map_err(|_| ChannelError::Silent)??)
    }

    /// The bytes that go along with the message before.
    pub async fn recv_attached(&mut self, length: usize) -> Result<Bytes, ChannelError> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        let bytes = async {
            loop {
                match self.socket.reader.next().await? {
                    Incoming::Ping | Incoming::Pong => {}
                    Incoming::Bytes(bytes) if bytes.len() == length => return Ok(bytes),
                    Incoming::Bytes(_) | Incoming::Text(_) => {
                        return Err(ChannelError::Unexpected("something else than the bytes that were announced"));
                    }
                    Incoming::Closed(told) => return Err(closed(told)),
                }
            }
        };
        timeout(CONTROL_SEND_TIMEOUT, bytes).await.unwrap_or(Err(ChannelError::Silent))
    }

    /// The answer to what was just asked, of a peer that must show soon that it is there at all: there is another way.
    pub async fn answer<M: DeserializeOwned>(&mut self) -> Result<M, ChannelError> {
        match timeout(STANDBY_QUIET, self.next()).await {
            Ok(answer) => answer,
            Err(_) => {
                self.heartbeat.ask_within(clock::now(), STANDBY_PROBE);
                self.ping().await?;
                self.next().await
            }
        }
    }

    /// Sends a message.
    pub async fn send<M: Serialize>(&mut self, message: &M) -> Result<(), ChannelError> {
        let sent = timeout(CONTROL_SEND_TIMEOUT, self.socket.writer.text(encode(message))).await;
        Ok(sent.map_err(|_| ChannelError::Silent)??)
    }

    /// The next message, while keeping the connection alive. Safe to cancel.
    pub async fn next<M: DeserializeOwned>(&mut self) -> Result<M, ChannelError> {
        loop {
            let pulse = &self.socket.pulse;
            match self.heartbeat.poll(clock::now(), pulse.said(), pulse.heard()) {
                Beat::GiveUp => return Err(ChannelError::Silent),
                Beat::Ping => self.ping().await?,
                Beat::WaitUntil(at) => {
                    let incoming = tokio::select! {
                        incoming = self.socket.reader.next() => incoming?,
                        () = sleep_until(at.into()) => continue,
                    };
                    match incoming {
                        Incoming::Text(text) => return Ok(decode(&text)?),
                        Incoming::Bytes(_) => {
                            return Err(ChannelError::Unexpected("a binary message on a control connection"));
                        }
                        Incoming::Ping => {}
                        Incoming::Pong => self.answered(),
                        Incoming::Closed(told) => return Err(closed(told)),
                    }
                }
            }
        }
    }

    /// Sends a ping, of whose answer [`Self::round_trip`] tells.
    pub async fn ping(&mut self) -> Result<(), ChannelError> {
        timeout(CONTROL_SEND_TIMEOUT, self.socket.writer.ping()).await.map_err(|_| ChannelError::Silent)??;
        self.pinged = Some(clock::now());
        Ok(())
    }

    fn answered(&mut self) {
        if let Some(pinged) = self.pinged.take() {
            let micros = clock::now().saturating_duration_since(pinged).as_micros();
            self.round_trip.0.store(u64::try_from(micros).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
        }
    }

    /// Ends the connection and tells the peer why, if it still listens.
    pub async fn end(self, why: &ChannelError) {
        match why {
            ChannelError::Closed(_) => self.socket.await_close().await,
            ChannelError::Silent => {}
            ChannelError::Message(_) => self.socket.close_soon(CLOSE_POLICY, "unreadable message").await,
            ChannelError::Unexpected(what) => self.socket.close_soon(CLOSE_UNSUPPORTED, what).await,
            ChannelError::Broken(broken) => self.socket.close_with_error(broken).await,
        }
    }

    /// Ends the connection because there is nothing more to say.
    pub async fn leave(self) {
        self.socket.close_soon(CLOSE_NORMAL, "").await;
    }

    /// Ends the connection with a refusal.
    pub async fn refuse(self, kind: Kind) {
        self.socket.refuse(&kind.into()).await;
    }
}

fn closed(told: Option<(u16, String)>) -> ChannelError {
    ChannelError::Closed(told.and_then(|(code, why)| Refusal::from_close(code, &why)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{DuplexStream, duplex};

    use super::*;
    use crate::net::websocket::{Endpoint, SocketKind};
    use crate::proto::message::{ToDevice, ToHub};

    fn channel(transport: DuplexStream, endpoint: Endpoint) -> ControlChannel<DuplexStream> {
        ControlChannel::new(WebSocket::new(transport, &[], endpoint, SocketKind::Control), Patience::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_given_up_within_45_seconds_by_either_end() {
        for endpoint in [Endpoint::Server, Endpoint::Client] {
            let (near, _far) = duplex(1024);
            let mut channel = channel(near, endpoint);
            let start = clock::now();
            assert!(matches!(channel.next::<ToHub>().await, Err(ChannelError::Silent)));
            assert!(clock::now() - start <= Duration::from_secs(45));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_ends_with_nothing_to_say_stay_connected_for_a_day() {
        let (near, far) = duplex(1024);
        let (mut hub, mut device) = (channel(near, Endpoint::Server), channel(far, Endpoint::Client));
        let both = async {
            tokio::select! { _ = hub.next::<ToHub>() => {} _ = device.next::<ToDevice>() => {} }
        };
        assert!(timeout(Duration::from_secs(24 * 60 * 60), both).await.is_err(), "one of them gave up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_does_not_hold_up_a_sender_for_ever() {
        let (near, _far) = duplex(64);
        let mut channel = channel(near, Endpoint::Server);
        let long = ToDevice::Welcome { version: "x".repeat(200), standby: None };
        assert!(matches!(channel.send(&long).await, Err(ChannelError::Silent)));
    }
}
