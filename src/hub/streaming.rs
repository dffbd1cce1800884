//! The streaming endpoint: a side shows its token, waits for the other one, and the bytes are carried.

use std::fmt::Debug;
use std::time::Duration;

use http::header;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::auth::Action;
use super::broker::{Admission, Event, Joint, Left, Operation, Shown, SideArrival};
use super::door::{Proven, Visitor};
use super::exchange::{Farewell, Handover, Live, Meeting};
use super::open::ends;
use super::standby::{self, Identity};
use super::{Next, Shared, answers};
use crate::net::clock;
use crate::net::relay::{Departure, Leg, Terms, relay};
use crate::net::serve::{Answer, Asked};
use crate::net::tls::Socket;
use crate::net::websocket::{SocketKind, Transport, WebSocket, WebSocketError};
use crate::proto::http::{Bridge, lists};
use crate::proto::id::Role;
use crate::proto::keepalive::Patience;
use crate::proto::limits::CLOSE_TIMEOUT;
use crate::proto::refusal::Kind;
use crate::proto::resume::{self, ResumeToken, Ticket};
use crate::proto::secret::StreamToken;
use crate::proto::stream::StreamProtocol;
use crate::proto::websocket::{is_unmasked, unmasked};

/// A side that was let in, until it is joined.
pub(super) struct Waiting {
    pub(super) meeting: oneshot::Receiver<Meeting<Socket>>,
    pub(super) farewell: Farewell<Socket>,
    /// How long it may be silent, if it speaks `devstream.v1`.
    pub(super) patience: Option<Patience>,
    /// Its connection is used again after the stream.
    pub(super) rests: bool,
}

/// A side that came on a connection of its own, and whose connection may stand by after the stream.
pub(super) struct Arrived {
    waiting: Waiting,
    identity: Option<Identity>,
}

/// Checks who comes and what they show, and lets them in or not. The token is spent before the upgrade is answered.
pub(super) async fn admit(shared: &Shared, visitor: &Visitor, asked: &Asked, bridge: Bridge) -> Answer<Next> {
    let proven = match visitor.permit(shared, asked, Action::Bridge(&bridge)).await {
        Ok(proven) => proven,
        Err(refusal) => return Answer::Reply(answers::refuse(&refusal)),
    };
    let Proven { record, key, is_channel_bound } = proven;
    let authorization = asked.header(header::AUTHORIZATION.as_str()).and_then(|value| value.split_once(' '));
    if authorization.is_some_and(|(scheme, _)| scheme == resume::SCHEME) {
        // Whoever comes back has shown who it is: that its stream is over by now is no offence.
        visitor.set_excused();
    }
    let Some(shown) = authorization.and_then(|(scheme, text)| shown(shared, scheme, text)) else {
        let refusal = visitor.denied(shared, Some(&record.principal), "no stream token, or not one of ours");
        return Answer::Reply(answers::refuse(&refusal));
    };
    let arrival = SideArrival {
        leg: visitor.connection,
        place: bridge,
        principal: record.principal.clone(),
        shown,
        address: visitor.address,
        until: ends(&record.scope),
        scope: record.scope,
    };
    if let Err(refusal) = shared.activity.audit() {
        return Answer::Reply(answers::refuse(&refusal));
    }
    match shared.exchange.side(arrival) {
        Ok(((Admission { protocol, ticket, rests }, meeting), farewell)) => {
            let headers = ticket.map(|(ticket, grace)| way_back(shared, &ticket, grace)).unwrap_or_default();
            let patience = protocol.map(|_| shared.config.patience);
            let (principal, authority) = (record.principal, asked.authority.clone());
            let identity = rests.map(|run| Identity { principal, key: key.key, authority, run });
            let waiting = Waiting { meeting, farewell, patience, rests: rests.is_some() };
            let then = Next::Stream(Box::new(Arrived { waiting, identity }));
            let (protocol, kind) = chosen(asked, protocol, is_channel_bound);
            Answer::Upgrade { protocol, headers, kind, then }
        }
        Err(refusal) => Answer::Reply(answers::refuse(&refusal)),
    }
}

/// The token of a handshake, or a ticket that this hub has signed.
fn shown(shared: &Shared, scheme: &str, text: &str) -> Option<Shown> {
    if scheme == resume::SCHEME {
        let ticket = shared.resume_key.open(&ResumeToken::parse(text)?)?;
        return Some(Shown::Ticket(Box::new(ticket)));
    }
    let token = (scheme == "Bearer").then(|| StreamToken::parse(text).ok())??;
    Some(Shown::Token(token.hash()))
}

/// What a side comes back with.
fn way_back(shared: &Shared, ticket: &Ticket, grace: Duration) -> Vec<(&'static str, String)> {
    let token = shared.resume_key.sign(ticket);
    vec![(resume::TOKEN_HEADER, token.reveal().into()), (resume::GRACE_HEADER, grace.as_secs().to_string())]
}

/// What was agreed in the handshake; else the first one offered, which the original's C client names and ignores.
fn chosen(asked: &Asked, agreed: Option<StreamProtocol>, is_channel_bound: bool) -> (Option<String>, SocketKind) {
    let Some(offered) = asked.header(header::SEC_WEBSOCKET_PROTOCOL.as_str()) else {
        return (None, SocketKind::Stream);
    };
    match agreed.map(StreamProtocol::as_str) {
        Some(agreed) if is_channel_bound && lists(offered, &unmasked(agreed)) => {
            (Some(unmasked(agreed)), SocketKind::UnmaskedStream)
        }
        Some(agreed) if lists(offered, agreed) => (Some(agreed.into()), SocketKind::Stream),
        _ => {
            let is_foreign = |item: &&str| StreamProtocol::named(item).is_none() && !is_unmasked(item);
            (offered.split(',').map(str::trim).find(is_foreign).map(str::to_owned), SocketKind::Stream)
        }
    }
}

/// Waits for the other side, then carries the stream or hands the socket to the task that will.
pub(super) async fn run(
    shared: &Shared,
    visitor: &Visitor,
    arrived: Box<Arrived>,
    socket: WebSocket<Socket>,
    kept: impl Debug + Send + 'static,
) {
    let Arrived { waiting, identity } = *arrived;
    let rested = meet(shared, waiting, Leg::new(socket, kept)).await;
    if let (Some(leg), Some(identity)) = (rested, identity) {
        Box::pin(standby::go_on(shared, visitor, identity, leg)).await;
    }
}

/// The same for a side that may go on to another stream after this one: then it comes back.
pub(super) async fn meet(shared: &Shared, waiting: Waiting, mut leg: Leg<Socket>) -> Option<Leg<Socket>> {
    // The service's farewell is the end of the stream, or of this connection of it: it is dropped last.
    let Waiting { meeting, mut farewell, patience, rests } = waiting;
    let meeting = awaited(meeting, &mut leg, patience, |departure| {
        tracing::debug!(target: "hub", reason = departure.reason(), "a side left before it was joined");
        farewell.left(how(departure, None));
        // Whoever else is on its way is told at once.
        farewell.say();
    });
    match meeting.await {
        Ok(Meeting::Give(other)) => {
            let (back, returned) = oneshot::channel();
            let back = rests.then_some(back);
            match other.send(Handover { leg, back }) {
                Ok(()) => return returned.await.ok(),
                // It came too late.
                Err(Handover { leg, .. }) => leg.refuse(&Kind::Interrupted.into()).await,
            }
        }
        Ok(Meeting::Take(other, joint, live)) => match timeout(CLOSE_TIMEOUT, other).await {
            Ok(Ok(device)) => {
                // In a place of its own: the side that gives its socket away has no use for that.
                return Box::pin(carry(shared, (device, leg), joint, &live, farewell)).await;
            }
            _ => Box::pin(never_joined(leg, *joint, shared, &live, farewell)).await,
        },
        Ok(Meeting::Refused(refusal)) => leg.refuse(&refusal).await,
        Err(Some(departure)) => leg.part(&departure).await,
        Err(None) => {}
    }
    None
}

/// The meeting, or how the side left without one. Whether it left before it was joined or after is for the broker to say,
/// who hears of it: in the latter case it is the stream that it has left, and the other side is told so.
async fn awaited<T: Transport>(
    mut meeting: oneshot::Receiver<Meeting<T>>,
    leg: &mut Leg<T>,
    patience: Option<Patience>,
    left: impl FnOnce(&Departure),
) -> Result<Meeting<T>, Option<Departure>> {
    let departure = tokio::select! {
        biased;
        meeting = &mut meeting => return meeting.map_err(|_| None),
        departure = leg.hold(patience) => departure,
    };
    left(&departure);
    match meeting.await {
        Ok(joined @ (Meeting::Give(_) | Meeting::Take(..))) => {
            leg.departed(departure);
            Ok(joined)
        }
        Ok(Meeting::Refused(_)) | Err(_) => Err(Some(departure)),
    }
}

async fn carry(
    shared: &Shared,
    (device, service): (Handover<Socket>, Leg<Socket>),
    joint: Box<Joint>,
    live: &Live,
    mut farewell: Farewell<Socket>,
) -> Option<Leg<Socket>> {
    let Handover { leg: device, back } = device;
    let resumable = joint.protocol == Some(StreamProtocol::Resumable);
    let terms = Terms {
        text_allowed: joint.protocol.is_some(),
        resumable,
        rests: joint.rests,
        carried: &live.carried,
        end: &live.end,
        draining: &shared.draining,
        drain: shared.config.drain,
        back: &|| shared.come_back_after(),
        patience: shared.config.patience,
    };
    let parting = relay(device, service, &terms).await;
    let how = match parting.left() {
        Some((role, departure)) => how(departure, Some(role)),
        None if matches!(live.why().kind, Kind::Interrupted | Kind::Draining) => Left::Lost(None, live.why().what()),
        None => Left::Meant,
    };
    let interrupted = resumable && matches!(how, Left::Lost(..));
    let left = parting.left().map(|(role, departure)| (role, departure.is_clean(), departure.reason()));
    farewell.left(how);
    if parting.rests() {
        ended(shared, *joint, live, left);
        let (device, service) = parting.into_legs();
        // Its task has a place for it, or has ended.
        if let Some(back) = back {
            drop(back.send(device));
        }
        return Some(service);
    }
    if left.as_ref().is_some_and(|(_, clean, _)| *clean) {
        // It is open until the other side has all of it.
        Box::pin(parting.say_goodbye(&terms, || live.why())).await;
        ended(shared, *joint, live, left);
        return None;
    }
    if !interrupted {
        ended(shared, *joint, live, left);
    }
    // The sides may come back, or be awaited elsewhere, before the last word is said to the one that is left.
    drop(farewell);
    Box::pin(parting.say_goodbye(&terms, || live.why())).await;
    None
}

/// The device's side was lost in the moment in which it was joined. On its first connection it has nothing to come back
/// with.
async fn never_joined(leg: Leg<Socket>, joint: Joint, shared: &Shared, live: &Live, mut farewell: Farewell<Socket>) {
    let gone = Departure::Broken(WebSocketError::Truncated);
    let again = joint.opened.operation == Operation::StreamResumed;
    if again {
        farewell.left(how(&gone, Some(Role::Device)));
    } else {
        farewell.left(Left::Meant);
        ended(shared, joint, live, Some((Role::Device, false, gone.reason())));
    }
    drop(farewell);
    leg.refuse(&if again { Kind::Interrupted } else { Kind::PeerGone }.into()).await;
}

fn how(departure: &Departure, role: Option<Role>) -> Left {
    match departure {
        lost if lost.is_loss() => Left::Lost(role, lost.reason()),
        clean if clean.is_clean() => Left::Closed,
        _ => Left::Meant,
    }
}

/// Every stream that the log saw open, it sees end: how, why, and by whom.
fn ended(shared: &Shared, joint: Joint, live: &Live, left: Option<(Role, bool, String)>) {
    let (result, reason, ended_by) = match left {
        Some((role, clean, reason)) => (if clean { "closed" } else { "broken" }, reason, Some(role)),
        None => ("ended", live.why().what(), None),
    };
    shared.activity.record(Event {
        operation: Operation::StreamClosed,
        result,
        reason,
        ended_by,
        took: Some(clock::now().saturating_duration_since(joint.since)),
        bytes: Some(live.carried.total()),
        ..joint.opened
    });
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::duplex;

    use super::*;
    use crate::net::websocket::Endpoint;
    use crate::proto::stream::CLOSE_RESET;

    #[tokio::test(start_paused = true)]
    async fn a_side_that_leaves_in_the_moment_in_which_it_is_joined_has_left_the_stream() {
        for is_joined in [true, false] {
            let (near, far) = duplex(1024);
            let mut end = WebSocket::new(far, &[], Endpoint::Client, SocketKind::Stream);
            let mut leg = Leg::new(WebSocket::new(near, &[], Endpoint::Server, SocketKind::Stream), ());
            end.writer.close(CLOSE_RESET, "").await.unwrap();
            let (broker, meeting) = oneshot::channel();
            let mut broker = Some(broker);
            let (give, _take) = oneshot::channel();
            let met = awaited(meeting, &mut leg, None, |_| {
                if let Some(broker) = broker.take().filter(|_| is_joined) {
                    assert!(broker.send(Meeting::Give(give)).is_ok(), "it still listens");
                }
            });
            let met = met.now_or_never().expect("the broker has decided");
            match (is_joined, met) {
                (true, Ok(Meeting::Give(_))) => assert!(leg.into_parts().is_none(), "something is left of the stream"),
                (false, Err(Some(departure))) => assert_eq!(departure.reason(), "reset"),
                (_, met) => panic!("{met:?}"),
            }
        }
    }
}
