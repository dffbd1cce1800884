//! Control channels: JSON messages over a WebSocket, with a keepalive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{sleep_until, timeout};

use crate::net::os::clock;
use crate::net::os::random;
use crate::net::websocket::{
    CLOSE_NORMAL, CLOSE_POLICY, CLOSE_UNSUPPORTED, Incoming, MAX_HOLD, SocketKind, Transport, WebSocket, WebSocketError,
};
use crate::proto::keepalive::{IdleTimeout, Keepalive, KeepaliveAction};
use crate::proto::limits::{CONTROL_SEND_TIMEOUT, STANDBY_PING_DELAY, STANDBY_PROBE_TIMEOUT};
use crate::proto::message::{InvalidMessage, decode, encode};
use crate::proto::refusal::{Refusal, RefusalKind};

/// The end of a control channel.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The peer closed it, with the refusal for its close code, if there is one.
    #[error("closed by the peer{}", .0.as_ref().map(|refusal| format!(": {}", refusal.message())).unwrap_or_default())]
    Closed(Option<Refusal>),
    /// The peer sent nothing, or accepted nothing, for too long.
    #[error("nothing received within the idle timeout")]
    Silent,
    /// The peer sent an invalid message.
    #[error(transparent)]
    Message(#[from] InvalidMessage),
    /// The peer sent something that is not allowed at this point.
    #[error("{0}")]
    Unexpected(&'static str),
    /// The WebSocket failed.
    #[error(transparent)]
    Broken(#[from] WebSocketError),
}

impl ChannelError {
    /// Reports whether the peer sent what it must not.
    pub fn is_violation(&self) -> bool {
        match self {
            Self::Closed(_) | Self::Silent => false,
            Self::Message(_) | Self::Unexpected(_) => true,
            Self::Broken(error) => !error.is_loss(),
        }
    }
}

/// One end of a control channel.
#[derive(Debug)]
pub struct ControlChannel<T> {
    socket: WebSocket<T>,
    keepalive: Keepalive,
    /// The instant of the last ping, until it is answered.
    pinged_at: Option<Instant>,
    round_trip: Arc<RoundTrip>,
}

/// The round-trip time of the last ping.
#[derive(Debug, Default)]
pub struct RoundTrip(AtomicU64);

impl RoundTrip {
    /// Returns the time in microseconds; `None` before the first pong.
    pub fn micros(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|micros| *micros > 0)
    }
}

impl<T: Transport> ControlChannel<T> {
    /// Creates a channel on a new WebSocket, or on that of a finished stream.
    pub fn new(socket: WebSocket<T>, idle_timeout: IdleTimeout) -> Self {
        socket.limit_messages(SocketKind::Control);
        let keepalive = Keepalive::new(idle_timeout, socket.endpoint, clock::epoch(), random::u64());
        Self { socket, keepalive, pinged_at: None, round_trip: Arc::default() }
    }

    /// Returns the round-trip time of the last ping; later pings update it.
    pub fn round_trip(&self) -> Arc<RoundTrip> {
        self.round_trip.clone()
    }

    /// Pings the peer, and gives it up if it does not answer within a few seconds.
    pub async fn probe(&mut self) -> Result<(), ChannelError> {
        self.keepalive.probe(clock::now());
        self.ping().await
    }

    /// Takes out the WebSocket, for a stream.
    pub fn into_socket(self) -> WebSocket<T> {
        self.socket.limit_messages(SocketKind::Stream);
        self.socket
    }

    /// Sends a message with attached bytes.
    pub async fn send_with<M: Serialize>(&mut self, message: &M, bytes: Bytes) -> Result<(), ChannelError> {
        if bytes.is_empty() {
            return self.send(message).await;
        }
        let both = async {
            self.socket.writer.buffer_text(encode(message)).await?;
            self.socket.writer.bytes(bytes).await
        };
        Ok(timeout(CONTROL_SEND_TIMEOUT, both).await.map_err(|_| ChannelError::Silent)??)
    }

    /// Receives the bytes attached to the message before, of this length.
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
                        return Err(ChannelError::Unexpected("a message in place of attached bytes"));
                    }
                    Incoming::Closed(frame) => return Err(closed(frame)),
                }
            }
        };
        timeout(CONTROL_SEND_TIMEOUT, bytes).await.unwrap_or(Err(ChannelError::Silent))
    }

    /// Receives the answer to a request. The peer is pinged early and given up soon, since the caller has another way
    /// to reach it.
    pub async fn receive_response<M: DeserializeOwned>(&mut self) -> Result<M, ChannelError> {
        match timeout(STANDBY_PING_DELAY, self.next()).await {
            Ok(answer) => answer,
            Err(_) => {
                self.keepalive.probe_within(clock::now(), STANDBY_PROBE_TIMEOUT);
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

    /// Queues a message, to go out with the next one.
    pub async fn buffer<M: Serialize>(&mut self, message: &M) -> Result<(), ChannelError> {
        let queued = timeout(CONTROL_SEND_TIMEOUT, self.socket.writer.buffer_text(encode(message))).await;
        Ok(queued.map_err(|_| ChannelError::Silent)??)
    }

    async fn flush(&mut self) -> Result<(), ChannelError> {
        Ok(timeout(CONTROL_SEND_TIMEOUT, self.socket.writer.flush()).await.map_err(|_| ChannelError::Silent)??)
    }

    /// Receives the next message, and keeps the connection alive meanwhile. What was queued before is sent after
    /// [`MAX_HOLD`]. Safe to cancel.
    pub async fn next<M: DeserializeOwned>(&mut self) -> Result<M, ChannelError> {
        let mut held_until = self.socket.writer.is_holding().then(|| clock::now() + MAX_HOLD);
        loop {
            let liveness = &self.socket.liveness;
            match self.keepalive.poll(clock::now(), liveness.last_write(), liveness.last_read()) {
                KeepaliveAction::GiveUp => return Err(ChannelError::Silent),
                KeepaliveAction::Ping => self.ping().await?,
                KeepaliveAction::WaitUntil(at) => {
                    let incoming = tokio::select! {
                        incoming = self.socket.reader.next() => incoming?,
                        () = sleep_until(held_until.map_or(at, |held_until| held_until.min(at)).into()) => {
                            if held_until.take().is_some() {
                                self.flush().await?;
                            }
                            continue;
                        }
                    };
                    match incoming {
                        Incoming::Text(text) => return Ok(decode(&text)?),
                        Incoming::Bytes(_) => {
                            return Err(ChannelError::Unexpected("a binary message on a control connection"));
                        }
                        Incoming::Ping => {}
                        Incoming::Pong => self.record_round_trip(),
                        Incoming::Closed(frame) => return Err(closed(frame)),
                    }
                }
            }
        }
    }

    /// Sends a ping; [`Self::round_trip`] is updated with its answer.
    pub async fn ping(&mut self) -> Result<(), ChannelError> {
        timeout(CONTROL_SEND_TIMEOUT, self.socket.writer.ping()).await.map_err(|_| ChannelError::Silent)??;
        self.pinged_at = Some(clock::now());
        Ok(())
    }

    fn record_round_trip(&mut self) {
        if let Some(pinged_at) = self.pinged_at.take() {
            let micros = clock::now().saturating_duration_since(pinged_at).as_micros();
            self.round_trip.0.store(u64::try_from(micros).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
        }
    }

    /// Closes the channel with the code for this error; after silence, drops it.
    pub async fn close_with_error(self, error: &ChannelError) {
        match error {
            ChannelError::Closed(_) => self.socket.await_close().await,
            ChannelError::Silent => {}
            ChannelError::Message(_) => self.socket.close_with_timeout(CLOSE_POLICY, "unreadable message").await,
            ChannelError::Unexpected(message) => self.socket.close_with_timeout(CLOSE_UNSUPPORTED, message).await,
            ChannelError::Broken(error) => self.socket.close_with_error(error).await,
        }
    }

    /// Closes the channel normally.
    pub async fn close(self) {
        self.socket.close_with_timeout(CLOSE_NORMAL, "").await;
    }

    /// Closes the channel with a refusal.
    pub async fn refuse(self, kind: RefusalKind) {
        self.socket.refuse(&kind.into()).await;
    }
}

fn closed(frame: Option<(u16, String)>) -> ChannelError {
    ChannelError::Closed(frame.and_then(|(code, reason)| Refusal::from_close(code, &reason)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;
    use crate::net::websocket::WebSocketRole;
    use crate::proto::limits::{CONTROL_MESSAGE_BYTES, CONTROL_MESSAGE_TIME};
    use crate::proto::message::{ToDevice, ToHub};

    fn channel(transport: DuplexStream, endpoint: WebSocketRole) -> ControlChannel<DuplexStream> {
        ControlChannel::new(WebSocket::new(transport, &[], endpoint, SocketKind::Control), IdleTimeout::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_given_up_within_45_seconds_by_either_end() {
        for endpoint in [WebSocketRole::Server, WebSocketRole::Client] {
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
        let (mut hub, mut device) = (channel(near, WebSocketRole::Server), channel(far, WebSocketRole::Client));
        let both = async {
            tokio::select! { _ = hub.next::<ToHub>() => {} _ = device.next::<ToDevice>() => {} }
        };
        assert!(timeout(Duration::from_secs(24 * 60 * 60), both).await.is_err(), "one of them gave up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_hub_waits_ten_seconds_for_the_rest_of_a_message_and_an_idle_channel_has_no_deadline() {
        let (near, mut far) = duplex(1024);
        let mut channel = channel(near, WebSocketRole::Server);
        let trickle = async {
            for text in [br#"{"type":"targets","dead":[]}"#.as_slice(), b"{"] {
                // Longer than the deadline after the message before.
                sleep_until((clock::now() + 2 * CONTROL_MESSAGE_TIME).into()).await;
                let frame = [&[0x81, 0x80 | 28, 0, 0, 0, 0], text].concat();
                let (first, rest) = frame.split_at(3);
                far.write_all(first).await.unwrap();
                sleep_until((clock::now() + CONTROL_MESSAGE_TIME - MAX_HOLD).into()).await;
                far.write_all(rest).await.unwrap();
            }
            let begun = clock::now();
            while clock::now() < begun + 2 * CONTROL_MESSAGE_TIME {
                sleep_until((clock::now() + Duration::from_secs(1)).into()).await;
                let _ = far.write_all(b" ").await;
            }
        };
        let received = async {
            assert!(matches!(channel.next::<ToHub>().await, Ok(ToHub::Targets { .. })));
            let ended = channel.next::<ToHub>().await;
            (ended.unwrap_err().to_string(), clock::now())
        };
        let start = clock::now();
        let (_, (reason, at)) = tokio::join!(trickle, received);
        assert_eq!(reason, "the peer broke the protocol: half a message for 10 s");
        let expected = start + 5 * CONTROL_MESSAGE_TIME + CONTROL_MESSAGE_TIME;
        assert!(at <= expected && at + Duration::from_secs(1) >= expected, "{:?}", at - start);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_for_a_stream_is_too_large_for_a_channel_before_and_after_it() {
        let large = Bytes::from(vec![b' '; CONTROL_MESSAGE_BYTES + 1]);
        let (near, far) = duplex(1024 * 1024);
        let mut client = WebSocket::new(near, &[], WebSocketRole::Client, SocketKind::Stream);
        let hub = WebSocket::new(far, &[], WebSocketRole::Server, SocketKind::Stream);
        let mut socket = ControlChannel::new(hub, IdleTimeout::default()).into_socket();
        client.writer.bytes(large.clone()).await.unwrap();
        assert_eq!(socket.reader.next().await.unwrap(), Incoming::Bytes(large.clone()));
        let mut channel = ControlChannel::new(socket, IdleTimeout::default());
        client.writer.bytes(large).await.unwrap();
        let ended = channel.next::<ToHub>().await.unwrap_err();
        assert!(ended.is_violation() && ended.to_string().contains("too long"), "{ended}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_was_queued_before_is_sent_a_moment_later_if_none_follows() {
        let (near, far) = duplex(1024);
        let mut socket = WebSocket::new(near, &[], WebSocketRole::Server, SocketKind::Control);
        socket.writer.buffer_text(encode(&ToDevice::Drain { reconnect_delay_ms: 7 })).await.unwrap();
        let (mut hub, mut device) =
            (ControlChannel::new(socket, IdleTimeout::default()), channel(far, WebSocketRole::Client));
        let start = clock::now();
        let received = tokio::select! {
            ended = hub.next::<ToHub>() => panic!("{ended:?}"),
            received = device.next::<ToDevice>() => received.unwrap(),
        };
        assert!(matches!(received, ToDevice::Drain { reconnect_delay_ms: 7 }));
        assert!(clock::now() - start <= 2 * MAX_HOLD);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_does_not_hold_up_a_sender_for_ever() {
        let (near, _far) = duplex(64);
        let mut channel = channel(near, WebSocketRole::Server);
        let long = ToDevice::Welcome {
            version: "x".repeat(200),
            standby: None,
            opening_limit: None,
            certificate: None,
            targets: false,
        };
        assert!(matches!(channel.send(&long).await, Err(ChannelError::Silent)));
    }
}
