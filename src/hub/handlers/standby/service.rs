//! A service's standby connection: one stream that it opens.

use std::time::Duration;

use bytes::Bytes;

use super::{Channel, Standby, StandbyEnd};
use crate::hub::broker::{Grant, LegCredential};
use crate::hub::handlers::open::{self, OpenParams, Opened};
use crate::hub::handlers::streaming::join_and_relay;
use crate::net::tls::Socket;
use crate::net::tunnel::relay::Leg;
use crate::proto::id::{DeviceId, Role};
use crate::proto::message::encode;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::resume::ResumeGrant;
use crate::proto::standby::{StandbyFromHub, StandbyOpenRequest, StandbyOpened, StandbyToHub};

impl Standby<'_> {
    /// Serves one stream that the service opens. Returns the channel if it stands by again.
    pub(super) async fn serve_service(&self, mut channel: Channel) -> Option<Channel> {
        let opening = async {
            let StandbyToHub::Open(open) = self.next_message(&mut channel).await? else {
                return Err(StandbyEnd::Refused(RefusalKind::BadRequest));
            };
            let early = channel.recv_attached(open.early.bytes()).await?;
            Ok((open, early))
        };
        match opening.await {
            Ok((open, early)) => self.open(open, early, channel).await,
            Err(end) => self.close(channel, end).await,
        }
    }

    async fn open(&self, open: StandbyOpenRequest, early: Bytes, channel: Channel) -> Option<Channel> {
        let mut leg = Leg::new(channel.into_socket(), ());
        // Early data travels with the request, before its activity line is written: not where the log is required.
        let ahead = if self.shared.activity.is_required() { Bytes::new() } else { early.clone() };
        let is_ahead = !ahead.is_empty();
        let result = tokio::select! {
            result = Box::pin(self.request_stream(open, ahead)) => result,
            leg_close = leg.buffer_until_joined(Some(self.shared.config.idle_timeout)) => {
                leg.close(&leg_close).await;
                return None;
            }
        };
        let (device, grant) = match result {
            Ok(Opened::Here(device, grant)) => (device, grant),
            // The service asks anew without a standby connection, and is sent there.
            Ok(Opened::Elsewhere(_) | Opened::AskAnew) => {
                leg.refuse(&RefusalKind::PeerGone.into()).await;
                return None;
            }
            Err(refusal) => return self.refuse(leg, refusal).await,
        };
        // The identity may have changed while the device was asked.
        let valid = match self.revalidate().await {
            Ok(valid) => (valid.record.scope, valid.key_expiry),
            Err(refusal) => {
                self.shared.streams.broker.kill_stream(grant.stream);
                return self.refuse(leg, refusal).await;
            }
        };
        let token = LegCredential::Token(grant.token.hash());
        match self.attach_leg((&device, grant.stream), valid, token) {
            Ok((pending, ticket)) => {
                let resume_grant = ticket.as_ref().map(|ticket| (&self.shared.resume_credential(ticket)).into());
                if leg.buffer_text(encode(&self.opened_message(&device, &grant, resume_grant))).await.is_err() {
                    return None;
                }
                if grant.early_data_delivered && is_ahead {
                    leg.set_early_data_delivered(early.len() as u64)
                } else {
                    leg.prepend(early)
                }
                join_and_relay(self.shared, pending, leg).await.and_then(|leg| self.control_channel(leg))
            }
            Err(refusal) => self.refuse(leg, refusal).await,
        }
    }

    /// Opens the stream as for a plain request, with the service's present record.
    async fn request_stream(&self, open: StandbyOpenRequest, early: Bytes) -> Result<Opened, Refusal> {
        let record = self.revalidate().await?.record;
        let params = OpenParams {
            device: open.device,
            name: open.stream_name,
            connect_timeout: Duration::from_millis(open.connect_timeout_ms),
            response_timeout: Duration::from_millis(open.response_timeout_ms),
            protocols: open::protocols(open.protocols.iter().map(String::as_str)),
            end_to_end: open.end_to_end,
            stream: Some(open.request_id),
            reusable: true,
            standby: true,
            early,
            repeatable: open.repeatable,
        };
        open::open_stream(self.shared, self.context, record, params).await
    }

    fn opened_message(&self, device: &DeviceId, grant: &Grant, resume_grant: Option<ResumeGrant>) -> StandbyFromHub {
        StandbyFromHub::Opened(StandbyOpened {
            url: self.shared.endpoints.urls.stream(&self.identity.authority, device, grant.stream, Role::Service),
            protocol: grant.protocol.map(|protocol| protocol.as_str().to_owned()),
            end_to_end: grant.end_to_end,
            resume_grant,
            reusable: grant.reusable,
        })
    }

    /// Refuses the stream. The connection stands by again unless the identity itself is no longer valid: then it
    /// closes, and the service learns the cause when it authenticates again.
    async fn refuse(&self, mut leg: Leg<Socket>, reason: Refusal) -> Option<Channel> {
        if self.revalidate().await.is_err() {
            leg.refuse(&reason).await;
            return None;
        }
        leg.send_text(encode(&StandbyFromHub::Refused { reason })).await.ok()?;
        self.control_channel(leg)
    }
}
