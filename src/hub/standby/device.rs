//! A device's connection that stands by: one stream that it is asked for.

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Channel, End, Standby, part};
use crate::hub::broker::{DeviceAsk, Shown};
use crate::hub::exchange::{DeviceAsked, Ready};
use crate::hub::streaming::meet;
use crate::net::channel::ChannelError;
use crate::net::relay::Leg;
use crate::proto::id::{DeviceId, Role};
use crate::proto::message::{StreamRequest, StreamResponse};
use crate::proto::refusal::Kind;
use crate::proto::scope::Scope;
use crate::proto::standby::{Early, FromHub, Request, ToHub, WayBack};

impl End {
    /// Of a connection whose request goes another way: a device that was merely slow does not take it for an interruption.
    fn if_withdrawn(self) -> Self {
        match self {
            Self::Ended(ChannelError::Silent) => Self::Refused(Kind::PeerGone),
            Self::Ended(_) | Self::Refused(_) => self,
        }
    }
}

impl Standby<'_> {
    /// One stream that the device is asked for.
    pub(super) async fn serve_device(&self, device: &DeviceId, run: u64, mut channel: Channel) -> Option<Channel> {
        let DeviceAsked { connection, ask, withdrawn } = match self.wanted(device, run, &mut channel).await {
            Ok(asked) => asked,
            Err(end) => return part(channel, end).await,
        };
        let response = tokio::select! {
            response = self.asked(device, &ask, &mut channel) => response,
            // The device lets go of its target when it hears this.
            () = withdrawn.cancelled() => return part(channel, End::Refused(Kind::PeerGone)).await,
        };
        let response = match response {
            Ok(response) => response,
            Err(end) => {
                self.shared.exchange.unanswered(connection, ask);
                return part(channel, end.if_withdrawn()).await;
            }
        };
        let accepted = response.accepted;
        self.shared.exchange.answered(connection, response, true);
        if !accepted {
            return Some(channel);
        }
        // What this connection takes is counted here, for as long as its socket lives: also at the other side's task.
        let (lives, gone) = oneshot::channel::<()>();
        let leg = Leg::new(channel.into_socket(), lives);
        let rested = match self.side((device, ask.stream), Scope::everything(), Shown::Token(ask.token.hash())) {
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
    async fn wanted(&self, device: &DeviceId, run: u64, channel: &mut Channel) -> Result<DeviceAsked, End> {
        self.record().await.map_err(|refusal| End::Refused(refusal.kind))?;
        let (wanted, mut asked) = oneshot::channel();
        self.shared.exchange.ready(Ready { device: device.clone(), run, wanted });
        let end = tokio::select! {
            biased;
            asked = &mut asked => match asked {
                Ok(asked) => return Ok(asked),
                // Nobody asks any more: the device is not online, or another run of it is.
                Err(_) => End::Refused(Kind::PeerGone),
            },
            said = self.idle(channel) => said.map_or_else(|end| end, |_| End::Refused(Kind::BadRequest)),
        };
        asked.close();
        if let Ok(DeviceAsked { connection, ask, .. }) = asked.try_recv() {
            self.shared.exchange.unanswered(connection, ask);
        }
        Err(end)
    }

    /// Passes a request on, and waits for the answer to it.
    async fn asked(&self, device: &DeviceId, ask: &DeviceAsk, channel: &mut Channel) -> Result<StreamResponse, End> {
        let url = self.shared.streaming_url(&self.identity.authority, device, ask.stream, Role::Device);
        // It is let in already.
        let stream = StreamRequest { authorization_token: None, ..ask.request(url) };
        let pass = ask.ticket.as_ref().map(|(ticket, grace)| self.pass(ticket, *grace));
        let early = Early::try_from(ask.early.len()).map_err(|_| End::Refused(Kind::HubFailed))?;
        let way_back = pass.as_ref().map(WayBack::from);
        let request = FromHub::StreamRequest(Request { stream, way_back, early });
        channel.send_with(&request, ask.early.clone()).await?;
        let answer = timeout(self.shared.config.broker.handshake, channel.answer()).await;
        match answer.unwrap_or(Err(ChannelError::Silent))? {
            ToHub::StreamResponse(response) if response.request_id == ask.stream => Ok(response),
            ToHub::StreamResponse(_) | ToHub::Open(_) => Err(End::Refused(Kind::BadRequest)),
        }
    }
}
