//! A device's connection that stands by: one stream that it is asked for.

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Channel, Standby, StandbyEnd, close};
use crate::hub::broker::{DeviceRequest, LegCredential};
use crate::hub::broker_handle::{DeviceStandby, StandbyRequest};
use crate::hub::streaming::join_and_relay;
use crate::net::tunnel::relay::Leg;
use crate::net::websocket::channel::ChannelError;
use crate::proto::id::{DeviceId, Role};
use crate::proto::message::{StreamRequest, StreamResponse};
use crate::proto::refusal::RefusalKind;
use crate::proto::scope::Scope;
use crate::proto::standby::{EarlyLength, ResumeGrant, StandbyFromHub, StandbyStreamRequest, StandbyToHub};

impl StandbyEnd {
    /// Of a connection whose request goes another way: a device that was merely slow does not take it for an interruption.
    fn if_withdrawn(self) -> Self {
        match self {
            Self::Channel(ChannelError::Silent) => Self::Refused(RefusalKind::PeerGone),
            Self::Channel(_) | Self::Refused(_) => self,
        }
    }
}

impl Standby<'_> {
    /// One stream that the device is asked for.
    pub(super) async fn serve_device(&self, device: &DeviceId, run: u64, mut channel: Channel) -> Option<Channel> {
        let StandbyRequest { connection, request, withdrawn } =
            match self.wait_for_request(device, run, &mut channel).await {
                Ok(request) => request,
                Err(end) => return close(channel, end).await,
            };
        let response = tokio::select! {
            response = self.forward_request(device, &request, &mut channel) => response,
            // The device lets go of its target when it hears this.
            () = withdrawn.cancelled() => return close(channel, StandbyEnd::Refused(RefusalKind::PeerGone)).await,
        };
        let response = match response {
            Ok(response) => response,
            Err(end) => {
                self.shared.broker.standby_failed(connection, request);
                return close(channel, end.if_withdrawn()).await;
            }
        };
        let accepted = response.accepted;
        self.shared.broker.device_responded(connection, response, true);
        if !accepted {
            return Some(channel);
        }
        // What this connection takes is counted here, for as long as its socket lives: also at the other side's task.
        let (alive, closed) = oneshot::channel::<()>();
        let leg = Leg::new(channel.into_socket(), alive);
        let reusable_leg = match self.attach_leg(
            (device, request.stream),
            Scope::everything(),
            LegCredential::Token(request.token.hash()),
        ) {
            Ok((pending, _)) => join_and_relay(self.shared, pending, leg).await,
            Err(refusal) => {
                leg.refuse(&refusal).await;
                None
            }
        };
        if reusable_leg.is_none() {
            // Only ever an error, when the other end is dropped.
            let _ = closed.await;
        }
        reusable_leg.and_then(|leg| self.control_channel(leg))
    }

    /// Waits until the device is asked for a stream.
    async fn wait_for_request(
        &self,
        device: &DeviceId,
        run: u64,
        channel: &mut Channel,
    ) -> Result<StandbyRequest, StandbyEnd> {
        self.revalidate().await.map_err(|refusal| StandbyEnd::Refused(refusal.kind))?;
        let (requests, mut receiver) = oneshot::channel();
        self.shared.broker.add_standby(DeviceStandby { device: device.clone(), run, requests });
        let end = tokio::select! {
            biased;
            request = &mut receiver => match request {
                Ok(request) => return Ok(request),
                // Nobody asks any more: the device is not online, or another run of it is.
                Err(_) => StandbyEnd::Refused(RefusalKind::PeerGone),
            },
            message = self.next_message(channel) => message.map_or_else(|end| end, |_| StandbyEnd::Refused(RefusalKind::BadRequest)),
        };
        receiver.close();
        if let Ok(StandbyRequest { connection, request, .. }) = receiver.try_recv() {
            self.shared.broker.standby_failed(connection, request);
        }
        Err(end)
    }

    /// Passes a request on, and waits for the answer to it.
    async fn forward_request(
        &self,
        device: &DeviceId,
        request: &DeviceRequest,
        channel: &mut Channel,
    ) -> Result<StreamResponse, StandbyEnd> {
        let url = self.shared.streaming_url(&self.identity.authority, device, request.stream, Role::Device);
        // It is let in already.
        let stream = StreamRequest { authorization_token: None, ..request.to_stream_request(url) };
        let resume_credential = request.ticket.as_ref().map(|(ticket, grace)| self.resume_credential(ticket, *grace));
        let early =
            EarlyLength::try_from(request.early.len()).map_err(|_| StandbyEnd::Refused(RefusalKind::HubFailed))?;
        let resume_grant = resume_credential.as_ref().map(ResumeGrant::from);
        let message = StandbyFromHub::StreamRequest(StandbyStreamRequest { stream, resume_grant, early });
        channel.send_with(&message, request.early.clone()).await?;
        let message = timeout(self.shared.config.broker.handshake, channel.answer()).await;
        match message.unwrap_or(Err(ChannelError::Silent))? {
            StandbyToHub::StreamResponse(response) if response.request_id == request.stream => Ok(response),
            StandbyToHub::StreamResponse(_) | StandbyToHub::Open(_) => {
                Err(StandbyEnd::Refused(RefusalKind::BadRequest))
            }
        }
    }
}
