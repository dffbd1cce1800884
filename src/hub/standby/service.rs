//! A service's connection that stands by: one stream that it asks for.

use std::time::Duration;

use bytes::Bytes;

use super::{Channel, End, Standby, part};
use crate::hub::broker::{Grant, Shown};
use crate::hub::open::{self, Wanted};
use crate::hub::streaming::meet;
use crate::net::relay::Leg;
use crate::net::tls::Socket;
use crate::proto::id::{DeviceId, Role};
use crate::proto::message::encode;
use crate::proto::refusal::{Kind, Refusal};
use crate::proto::resume::Pass;
use crate::proto::standby::{FromHub, Open, Opened, ToHub, WayBack};

impl Standby<'_> {
    /// One stream that the service asks for.
    pub(super) async fn serve_service(&self, mut channel: Channel) -> Option<Channel> {
        let asked = async {
            let ToHub::Open(open) = self.idle(&mut channel).await? else { return Err(End::Refused(Kind::BadRequest)) };
            let early = channel.recv_attached(open.early.bytes()).await?;
            Ok((open, early))
        };
        match asked.await {
            Ok((open, early)) => self.open(open, early, channel).await,
            Err(end) => part(channel, end).await,
        }
    }

    async fn open(&self, open: Open, early: Bytes, channel: Channel) -> Option<Channel> {
        let device = open.device.clone();
        let mut leg = Leg::new(channel.into_socket(), ());
        // Where every line of the log must be written before anything is carried, nothing is carried ahead of it.
        let ahead = if self.shared.activity.is_required() { Bytes::new() } else { early.clone() };
        let is_ahead = !ahead.is_empty();
        let granted = tokio::select! {
            granted = Box::pin(self.ask(open, ahead)) => granted,
            departure = leg.hold(Some(self.shared.config.patience)) => {
                leg.part(&departure).await;
                return None;
            }
        };
        let grant = match granted {
            Ok(grant) => grant,
            Err(refusal) => return self.refuse(leg, refusal).await,
        };
        // Much may have changed while the device was asked.
        let scope = match self.record().await {
            Ok(record) => record.scope,
            Err(refusal) => {
                self.shared.exchange.kill(grant.stream);
                return self.refuse(leg, refusal).await;
            }
        };
        let token = Shown::Token(grant.token.hash());
        match self.side((&device, grant.stream), scope, token) {
            Ok((waiting, pass)) => {
                if leg.say(encode(&self.opened(&device, &grant, pass.as_ref()))).await.is_err() {
                    return None;
                }
                if grant.has_early && is_ahead {
                    leg.set_delivered(early.len() as u64)
                } else {
                    leg.begin_with(early)
                }
                meet(self.shared, waiting, leg).await.and_then(|leg| self.back(leg))
            }
            Err(refusal) => self.refuse(leg, refusal).await,
        }
    }

    /// As on any other way, with what is known of the service by now.
    async fn ask(&self, open: Open, early: Bytes) -> Result<Grant, Refusal> {
        let record = self.record().await?;
        let wanted = Wanted {
            device: open.device,
            name: open.stream_name,
            connect_timeout: Duration::from_millis(open.connect_timeout_ms),
            response_timeout: Duration::from_millis(open.response_timeout_ms),
            protocols: open::protocols(open.protocols.iter().map(String::as_str)),
            stream: Some(open.request_id),
            rests: true,
            standby: true,
            early,
        };
        open::request(self.shared, self.visitor, record, wanted).await
    }

    fn opened(&self, device: &DeviceId, grant: &Grant, pass: Option<&Pass>) -> FromHub {
        FromHub::Opened(Opened {
            url: self.shared.streaming_url(&self.identity.authority, device, grant.stream, Role::Service),
            protocol: grant.protocol.map(|protocol| protocol.as_str().to_owned()),
            way_back: pass.map(WayBack::from),
            rests: grant.rests,
        })
    }

    /// There is no stream; the connection stands by again, unless it is the identity that is refused: then the service
    /// comes another way, with another key perhaps, and hears more there.
    async fn refuse(&self, mut leg: Leg<Socket>, reason: Refusal) -> Option<Channel> {
        if self.record().await.is_err() {
            leg.refuse(&reason).await;
            return None;
        }
        leg.say(encode(&FromHub::Refused { reason })).await.ok()?;
        self.back(leg)
    }
}
