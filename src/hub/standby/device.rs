//! A device's connection that stands by: one stream that it is asked for.

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Channel, End, Standby, part};
use crate::hub::broker::{DeviceRequest, LegCredential};
use crate::hub::broker_handle::{DeviceStandby, StandbyRequest};
use crate::hub::streaming::meet;
use crate::net::channel::Ended;
use crate::net::relay::Leg;
use crate::proto::id::{DeviceId, Role};
use crate::proto::message::{StreamRequest, StreamResponse};
use crate::proto::refusal::RefusalKind;
use crate::proto::scope::Scope;
use crate::proto::standby::{EarlyLength, FromHub, Request, ResumeGrant, ToHub};

impl End {
    /// Of a connection whose request goes another way: a device that was merely slow does not take it for an interruption.
    fn if_withdrawn(self) -> Self {
        match self {
            Self::Ended(Ended::Silent) => Self::Refused(RefusalKind::PeerGone),
            Self::Ended(_) | Self::Refused(_) => self,
        }
    }
}

impl Standby<'_> {
    /// One stream that the device is asked for.
    pub(super) async fn serve_device(&self, device: &DeviceId, run: u64, mut channel: Channel) -> Option<Channel> {
        let StandbyRequest { connection, request, withdrawn } = match self.wanted(device, run, &mut channel).await {
            Ok(asked) => asked,
            Err(end) => return part(channel, end).await,
        };
        let response = tokio::select! {
            response = self.asked(device, &request, &mut channel) => response,
            // The device lets go of its target when it hears this.
            () = withdrawn.cancelled() => return part(channel, End::Refused(RefusalKind::PeerGone)).await,
        };
        let response = match response {
            Ok(response) => response,
            Err(end) => {
                self.shared.broker.standby_failed(connection, request);
                return part(channel, end.if_withdrawn()).await;
            }
        };
        let accepted = response.accepted;
        self.shared.broker.device_responded(connection, response, true);
        if !accepted {
            return Some(channel);
        }
        // What this connection takes is counted here, for as long as its socket lives: also at the other side's task.
        let (lives, gone) = oneshot::channel::<()>();
        let leg = Leg::new(channel.into_socket(), lives);
        let rested = match self.attach_leg(
            (device, request.stream),
            Scope::everything(),
            LegCredential::Token(request.token.hash()),
        ) {
            Ok((waiting, _)) => meet(self.shared, waiting, leg).await,
            Err(refusal) => {
                leg.refuse(&refusal).await;
                None
            }
        };
        if rested.is_none() {
            // Only ever an error, when the other end is dropped.
            let _ = gone.await;
        }
        rested.and_then(|leg| self.back(leg))
    }

    /// Waits until the device is asked for a stream.
    async fn wanted(&self, device: &DeviceId, run: u64, channel: &mut Channel) -> Result<StandbyRequest, End> {
        self.record().await.map_err(|refusal| End::Refused(refusal.kind))?;
        let (wanted, mut asked) = oneshot::channel();
        self.shared.broker.add_standby(DeviceStandby { device: device.clone(), run, requests: wanted });
        let end = tokio::select! {
            biased;
            asked = &mut asked => match asked {
                Ok(asked) => return Ok(asked),
                // Nobody asks any more: the device is not online, or another run of it is.
                Err(_) => End::Refused(RefusalKind::PeerGone),
            },
            said = self.idle(channel) => said.map_or_else(|end| end, |_| End::Refused(RefusalKind::BadRequest)),
        };
        asked.close();
        if let Ok(StandbyRequest { connection, request, .. }) = asked.try_recv() {
            self.shared.broker.standby_failed(connection, request);
        }
        Err(end)
    }

    /// Passes a request on, and waits for the answer to it.
    async fn asked(
        &self,
        device: &DeviceId,
        request: &DeviceRequest,
        channel: &mut Channel,
    ) -> Result<StreamResponse, End> {
        let url = self.shared.streaming_url(&self.identity.authority, device, request.stream, Role::Device);
        // It is let in already.
        let stream = StreamRequest { authorization_token: None, ..request.to_stream_request(url) };
        let resume_credential = request.ticket.as_ref().map(|(ticket, grace)| self.resume_credential(ticket, *grace));
        let early = EarlyLength::try_from(request.early.len()).map_err(|_| End::Refused(RefusalKind::HubFailed))?;
        let resume_grant = resume_credential.as_ref().map(ResumeGrant::from);
        let message = FromHub::StreamRequest(Request { stream, resume_grant, early });
        channel.send_with(&message, request.early.clone()).await?;
        let answer = timeout(self.shared.config.broker.handshake, channel.answer()).await;
        match answer.unwrap_or(Err(Ended::Silent))? {
            ToHub::StreamResponse(response) if response.request_id == request.stream => Ok(response),
            ToHub::StreamResponse(_) | ToHub::Open(_) => Err(End::Refused(RefusalKind::BadRequest)),
        }
    }
}
