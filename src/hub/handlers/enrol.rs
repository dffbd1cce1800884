//! `POST /join`: a machine redeems a one-time code for its new key, in a request signed with that key.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Response, StatusCode};

use crate::hub::admission::penalty::PenaltyReason;
use crate::hub::auth::AuthnError;
use crate::hub::broker::Input;
use crate::hub::broker_handle::BrokerHandle;
use crate::hub::connection::ConnectionContext;
use crate::hub::event::{Event, Operation};
use crate::hub::registry::Redeemed;
use crate::hub::responses;
use crate::hub::shared::Shared;
use crate::net::os::clock;
use crate::net::tls::Socket;
use crate::net::transport::http_server::{HttpRequest, empty_response};
use crate::proto::auth::{AUTH_HEADER, Credential};
use crate::proto::id::{Principal, Role};
use crate::proto::join::JoinRequest;
use crate::proto::refusal::{Refusal, RefusalKind};

/// Redeems the code. Every wrong code gets the same response.
pub(in crate::hub) async fn join(
    shared: &Shared,
    context: &ConnectionContext,
    request: &HttpRequest,
) -> Response<Bytes> {
    match redeem_code(shared, context, request).await {
        Ok(()) => empty_response(StatusCode::NO_CONTENT),
        Err(refusal) => responses::refusal(&refusal),
    }
}

async fn redeem_code(shared: &Shared, context: &ConnectionContext, request: &HttpRequest) -> Result<(), Refusal> {
    let credential = request.header(AUTH_HEADER).and_then(|text| text.parse::<Credential>().ok());
    let join = serde_json::from_slice::<JoinRequest>(&request.body).ok();
    let Some((credential, JoinRequest { code, key })) = credential.zip(join) else {
        return Err(context.auth_failed(shared, None, "malformed join request"));
    };
    if !credential.is_signed_by(&key, &context.binding(shared, request, &credential)) {
        return Err(context.reject_proof(shared, &credential, AuthnError::WrongSignature));
    }
    let (subject, hash, source) = (credential.principal.clone(), code.hash(), context.address);
    let (activity, broker) = (shared.activity.clone(), shared.streams.broker.clone());
    let admission = shared.admission.clone();
    let redeemed = shared.registry.change(move |registry| {
        let redeemed = registry.redeem(&subject, &hash, &key, clock::now_utc())?;
        if let Some(redeemed) = &redeemed {
            activity.record(join_event(&subject, source, redeemed));
            revoke_replaced_key(&broker, subject, redeemed);
        } else {
            // Here and not in the request's task, which ends when the peer closes the connection.
            admission.record_penalty(source, PenaltyReason::AuthFailed);
        }
        Ok(redeemed.is_some())
    });
    match redeemed.await {
        Ok(true) => Ok(()),
        Ok(false) => {
            context.exempt_from_penalty();
            Err(context.auth_failed(shared, Some(&credential.principal), "wrong, used or expired join code"))
        }
        Err(error) => Err(error.to_public_refusal()),
    }
}

fn join_event(subject: &Principal, source: SocketAddr, redeemed: &Redeemed) -> Event {
    let event = Event::about(subject, Operation::Join, "joined");
    let reason = redeemed.enrolment.map(|id| format!("with enrolment key {id}")).unwrap_or_default();
    Event { source: Some(source), reason, ..event }
}

/// Ends the connections and streams of a replaced key; where the key stays valid for a while, control connections
/// revalidate theirs.
fn revoke_replaced_key(broker: &BrokerHandle<Socket>, subject: Principal, redeemed: &Redeemed) {
    if redeemed.replaced_at_once {
        let reason = Refusal::new(RefusalKind::KeyReplaced, subject.to_string());
        broker.handle(Input::IdentityRevoked { principal: subject, reason });
    } else if subject.role == Role::Device {
        broker.handle(Input::KeysChanged { device: subject.id.into() });
    }
}
