//! The streaming endpoint: a side shows its token, waits for the other one, and the bytes are carried.

use std::fmt::Debug;
use std::time::Instant;

use http::header;
use tokio::sync::oneshot;

use super::auth::Action;
use super::broker::{Event, Joint, Operation, SideArrival};
use super::door::Visitor;
use super::exchange::{Farewell, Live, Meeting};
use super::open::ends;
use super::{Next, Shared, answers};
use crate::net::clock;
use crate::net::relay::{Departure, Leg, Terms, relay};
use crate::net::serve::{Answer, Asked};
use crate::net::tls::Socket;
use crate::net::websocket::{Broken, Purpose, WebSocket};
use crate::proto::http::{Bridge, STREAM_PROTOCOL, lists};
use crate::proto::id::Role;
use crate::proto::limits::CLOSE_TIMEOUT;
use crate::proto::refusal::Kind;
use crate::proto::secret::StreamToken;

/// A side that was let in, until it is joined.
pub(super) struct Waiting {
    meeting: oneshot::Receiver<Meeting<Socket>>,
    farewell: Farewell<Socket>,
}

/// Checks who comes and what they show, and lets them in or not. The token is spent before the upgrade is answered.
pub(super) async fn admit(shared: &Shared, visitor: &Visitor, asked: &Asked, bridge: Bridge) -> Answer<Next> {
    let record = match visitor.permit(shared, asked, Action::Bridge(&bridge)).await {
        Ok(proven) => proven.record,
        Err(refusal) => return Answer::Reply(answers::refuse(&refusal)),
    };
    let token = asked.header(header::AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
    let Some(Ok(token)) = token.map(StreamToken::parse) else {
        let refusal = visitor.denied(shared, Some(&record.principal), "no stream token");
        return Answer::Reply(answers::refuse(&refusal));
    };
    let arrival = SideArrival {
        leg: visitor.connection,
        place: bridge,
        principal: record.principal,
        token: token.hash(),
        address: visitor.address,
        until: ends(&record.scope),
        scope: record.scope,
    };
    if let Err(refusal) = shared.activity.audit() {
        return Answer::Reply(answers::refuse(&refusal));
    }
    match shared.exchange.side(arrival).await {
        Ok(((protocol, meeting), farewell)) => {
            let then = Next::Stream(Box::new(Waiting { meeting, farewell }));
            Answer::Upgrade { protocol: chosen(asked, protocol), purpose: Purpose::Stream, then }
        }
        Err(refusal) => Answer::Reply(answers::refuse(&refusal)),
    }
}

/// What was agreed in the handshake; else the first one offered, which the original's C client names and ignores.
fn chosen(asked: &Asked, agreed: Option<&'static str>) -> Option<String> {
    let offered = asked.header(header::SEC_WEBSOCKET_PROTOCOL.as_str())?;
    match agreed {
        Some(agreed) if lists(offered, agreed) => Some(agreed.into()),
        _ => offered.split(',').map(str::trim).find(|item| *item != STREAM_PROTOCOL).map(str::to_owned),
    }
}

/// Waits for the other side, then carries the stream or hands the socket to the task that will.
pub(super) async fn run(
    shared: &Shared,
    waiting: Box<Waiting>,
    socket: WebSocket<Socket>,
    kept: impl Debug + Send + 'static,
) {
    // The service's farewell is the stream's end: it is dropped last.
    let Waiting { meeting, farewell: _farewell } = *waiting;
    let mut leg = Leg::new(socket, kept);
    let meeting = tokio::select! {
        biased;
        meeting = meeting => meeting,
        departure = leg.hold() => {
            tracing::debug!(target: "hub", reason = departure.reason(), "a side left before it was joined");
            return leg.part(&departure).await;
        }
    };
    match meeting {
        Ok(Meeting::Give(other)) => drop(other.send(leg)),
        Ok(Meeting::Take(other, joint, live)) => match tokio::time::timeout(CLOSE_TIMEOUT, other).await {
            Ok(Ok(device)) => carry(shared, device, leg, *joint, &live).await,
            _ => {
                let gone = Departure::Broken(Broken::Truncated);
                ended(shared, *joint, clock::now(), &live, Some((Role::Device, gone)));
                leg.refuse(&Kind::PeerGone.into()).await;
            }
        },
        Ok(Meeting::Refused(refusal)) => leg.refuse(&refusal).await,
        Err(_) => {}
    }
}

async fn carry(shared: &Shared, device: Leg<Socket>, service: Leg<Socket>, joint: Joint, live: &Live) {
    let opened = clock::now();
    let terms = Terms {
        text_allowed: joint.speaks_v1,
        carried: &live.carried,
        end: &live.end,
        draining: &shared.draining,
        drain: shared.config.drain,
    };
    let left = relay(device, service, &terms, || live.why()).await;
    ended(shared, joint, opened, live, left);
}

/// Every stream that the log saw open, it sees end.
fn ended(shared: &Shared, joint: Joint, opened: Instant, live: &Live, left: Option<(Role, Departure)>) {
    let (result, reason, ended_by) = match &left {
        Some((role, departure)) if departure.is_clean() => ("closed", departure.reason(), Some(*role)),
        Some((role, departure)) => ("broken", departure.reason(), Some(*role)),
        None => ("ended", live.why().what(), None),
    };
    shared.activity.record(Event {
        operation: Operation::StreamClosed,
        result,
        reason,
        ended_by,
        took: Some(clock::now().saturating_duration_since(opened)),
        bytes: Some(live.carried.total()),
        ..joint.opened
    });
}
