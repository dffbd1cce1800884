//! A device's standby connection: one requested stream.

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Channel, Standby, StandbyEnd};
use crate::hub::broker::{DeviceRequest, LegCredential};
use crate::hub::broker_handle::{DeviceStandby, StandbyRequest};
use crate::hub::handlers::streaming::join_and_relay;
use crate::net::tunnel::relay::Leg;
use crate::net::websocket::channel::ChannelError;
use crate::proto::id::{DeviceId, Role};
use crate::proto::message::{StreamRequest, StreamResponse};
use crate::proto::refusal::RefusalKind;
use crate::proto::scope::Scope;
use crate::proto::standby::{EarlyLength, StandbyFromHub, StandbyStreamRequest, StandbyToHub};

impl StandbyEnd {
    /// Replaces the end of a connection whose request is repeated on the control connection: a device that was merely
    /// slow must not take it for an interruption.
    fn refuse_if_withdrawn(self) -> Self {
        match self {
            Self::Channel(ChannelError::Silent) => Self::Refused(RefusalKind::PeerGone),
            Self::Channel(_) | Self::Refused(_) | Self::GivesWay => self,
        }
    }
}

impl Standby<'_> {
    /// Serves one stream that the device is asked for. Returns the channel if it stands by again.
    pub(super) async fn serve_device(&self, device: &DeviceId, run: u64, mut channel: Channel) -> Option<Channel> {
        let StandbyRequest { connection, request, withdrawn } =
            match self.wait_for_request(device, run, &mut channel).await {
                Ok(request) => request,
                Err(end) => return self.close(channel, end).await,
            };
        let response = tokio::select! {
            response = self.forward_request(device, &request, &mut channel) => response,
            // The device disconnects from its target on this close code.
            () = withdrawn.cancelled() => return self.close(channel, StandbyEnd::Refused(RefusalKind::PeerGone)).await,
        };
        let response = match response {
            Ok(response) => response,
            Err(end) => {
                self.shared.streams.broker.standby_failed(connection, request.stream, true);
                return self.close(channel, end.refuse_if_withdrawn()).await;
            }
        };
        let key_expiry = match self.revalidate().await {
            Ok(valid) => valid.key_expiry,
            Err(refusal) => {
                self.shared.streams.broker.standby_failed(connection, request.stream, true);
                return self.close(channel, StandbyEnd::Refused(refusal.kind)).await;
            }
        };
        let accepted = response.accepted;
        self.shared.streams.broker.device_responded(connection, response, true);
        if !accepted {
            return Some(channel);
        }
        // This task holds the connection's permits, so it lasts as long as the socket, which the other leg's task may
        // own.
        let (alive, closed) = oneshot::channel::<()>();
        let leg = Leg::new(channel.into_socket(), alive);
        let token = LegCredential::Token(request.token.hash());
        let reusable_leg = match self.attach_leg((device, request.stream), (Scope::everything(), key_expiry), token) {
            Ok((pending, _)) => join_and_relay(self.shared, pending, leg).await,
            Err(refusal) => {
                leg.refuse(&refusal).await;
                None
            }
        };
        if reusable_leg.is_none() {
            // Completes with an error when the sender is dropped with the socket.
            let _ = closed.await;
        }
        reusable_leg.and_then(|leg| self.control_channel(leg))
    }

    /// Registers the connection with the broker and waits for a request.
    async fn wait_for_request(
        &self,
        device: &DeviceId,
        run: u64,
        channel: &mut Channel,
    ) -> Result<StandbyRequest, StandbyEnd> {
        self.revalidate().await.map_err(|refusal| StandbyEnd::Refused(refusal.kind))?;
        let (requests, mut receiver) = oneshot::channel();
        self.shared.streams.broker.add_standby(DeviceStandby { device: device.clone(), run, requests });
        let end = tokio::select! {
            biased;
            request = &mut receiver => match request {
                Ok(request) => return Ok(request),
                // The broker dropped the sender: the device is offline, or another run of its agent is online.
                Err(_) => StandbyEnd::Refused(RefusalKind::PeerGone),
            },
            message = self.next_message(channel) => match message {
                Ok(_) => StandbyEnd::Refused(RefusalKind::BadRequest),
                Err(end) => end,
            },
        };
        receiver.close();
        if let Ok(StandbyRequest { connection, request, .. }) = receiver.try_recv() {
            self.shared.streams.broker.standby_failed(connection, request.stream, false);
        }
        Err(end)
    }

    /// Forwards a request to the device and waits for the response.
    async fn forward_request(
        &self,
        device: &DeviceId,
        request: &DeviceRequest,
        channel: &mut Channel,
    ) -> Result<StreamResponse, StandbyEnd> {
        let url = self.shared.endpoints.urls.stream(&self.identity.authority, device, request.stream, Role::Device);
        let resume_grant = request.ticket.as_ref().map(|ticket| (&self.shared.resume_credential(ticket)).into());
        // No token: this connection becomes the leg.
        let stream = StreamRequest { authorization_token: None, ..request.to_stream_request(url, resume_grant) };
        let early =
            EarlyLength::try_from(request.early.len()).map_err(|_| StandbyEnd::Refused(RefusalKind::HubFailed))?;
        let message =
            StandbyFromHub::StreamRequest(StandbyStreamRequest { stream, early, repeatable: request.repeatable });
        channel.send_with(&message, request.early.clone()).await?;
        let message = timeout(self.shared.config.broker.handshake, channel.receive_response()).await;
        match message.unwrap_or(Err(ChannelError::Silent))? {
            StandbyToHub::StreamResponse(response) if response.request_id == request.stream => Ok(response),
            StandbyToHub::StreamResponse(_) | StandbyToHub::Open(_) => {
                Err(StandbyEnd::Refused(RefusalKind::BadRequest))
            }
        }
    }
}
