//! A machine joins: `POST /join` with a one-time code and a new key, signed with that key.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::auth::AuthnError;
use super::broker::{Event, Input, Operation};
use super::broker_handle::BrokerHandle;
use super::connection::ConnectionContext;
use super::penalty::PenaltyReason;
use super::registry::Redeemed;
use super::{Shared, record_penalty, responses};
use crate::net::os::clock;
use crate::net::tls::Socket;
use crate::net::transport::http_server::{HttpRequest, empty_response};
use crate::proto::auth::{AUTH_HEADER, Credential};
use crate::proto::id::{Principal, Role};
use crate::proto::join::JoinRequest;
use crate::proto::refusal::{Refusal, RefusalKind};

/// Spends the code. Every wrong code gets the same answer.
pub(super) async fn join(shared: &Shared, context: &ConnectionContext, request: &HttpRequest) -> Response<Bytes> {
    match redeem_code(shared, context, request).await {
        Ok(()) => empty_response(StatusCode::NO_CONTENT),
        Err(refusal) => responses::refusal(&refusal),
    }
}

async fn redeem_code(shared: &Shared, context: &ConnectionContext, request: &HttpRequest) -> Result<(), Refusal> {
    let credential = request.header(AUTH_HEADER).and_then(|text| text.parse::<Credential>().ok());
    let join = serde_json::from_slice::<JoinRequest>(&request.body).ok();
    let Some((credential, JoinRequest { code, key })) = credential.zip(join) else {
        return Err(context.auth_failed(shared, None, "not a join request"));
    };
    if !credential.is_signed_by(&key, &context.binding(shared, request, &credential)) {
        return Err(context.reject_proof(shared, &credential, AuthnError::WrongSignature));
    }
    let (subject, hash, source) = (credential.principal.clone(), code.hash(), context.address);
    let (activity, broker, limiter) = (shared.activity.clone(), shared.broker.clone(), shared.limiter.clone());
    let redeemed = shared.registry.change(move |registry| {
        let redeemed = registry.redeem(&subject, &hash, &key, clock::now_utc())?;
        if let Some(redeemed) = &redeemed {
            activity.record(join_event(&subject, source, redeemed));
            revoke_replaced_key(&broker, subject, redeemed);
        } else {
            // Here, where hanging up prevents nothing.
            record_penalty(&limiter, &activity, source, PenaltyReason::AuthFailed);
        }
        Ok(redeemed.is_some())
    });
    match redeemed.await {
        Ok(true) => Ok(()),
        Ok(false) => {
            context.exempt_from_penalty();
            Err(context.auth_failed(shared, Some(&credential.principal), "a wrong, used or expired join code"))
        }
        Err(error) => Err(error.to_public_refusal()),
    }
}

fn join_event(subject: &Principal, source: SocketAddr, redeemed: &Redeemed) -> Event {
    let event = Event::about(subject, Operation::Join, "joined");
    let reason = redeemed.enrolment.map(|id| format!("with enrolment key {id}")).unwrap_or_default();
    Event { source: Some(source), reason, ..event }
}

/// What an earlier key of the same identity holds: ended where that key is void by now, looked at where it will be.
fn revoke_replaced_key(broker: &BrokerHandle<Socket>, subject: Principal, redeemed: &Redeemed) {
    if redeemed.replaced_at_once {
        let reason = Refusal::new(RefusalKind::KeyReplaced, subject.to_string());
        broker.handle(Input::IdentityRevoked { principal: subject, reason });
    } else if subject.role == Role::Device {
        broker.handle(Input::KeysChanged { device: subject.id.into() });
    }
}
