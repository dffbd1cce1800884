//! `POST /join`: a machine redeems a one-time code for its new key, in a request signed with that key.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Response, StatusCode};

use crate::hub::admission::Admission;
use crate::hub::admission::penalty::PenaltyReason;
use crate::hub::auth::AuthnError;
use crate::hub::connection::ConnectionContext;
use crate::hub::consequences::change_identity;
use crate::hub::event::{Event, JOINED, Operation};
use crate::hub::registry::{CodeCheck, Redeemed, RegistryError};
use crate::hub::responses;
use crate::hub::shared::Shared;
use crate::net::os::clock;
use crate::net::transport::http_server::{HttpRequest, empty_response};
use crate::proto::auth::{AUTH_HEADER, Credential};
use crate::proto::http::STREAMING_ENDPOINT_HEADER;
use crate::proto::id::Principal;
use crate::proto::invitation::{MAX_OPAQUE_BYTES, is_opaque_text};
use crate::proto::join::JoinRequest;
use crate::proto::key::PublicKey;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::secret::JoinCode;

/// Redeems the code. Every wrong code gets the same response; only a code that was right is told why it is refused.
pub(in crate::hub) async fn join(
    shared: &Shared,
    context: &ConnectionContext,
    request: &HttpRequest,
) -> Response<Bytes> {
    match redeem_code(shared, context, request).await {
        Ok(()) => {
            let mut response = empty_response(StatusCode::NO_CONTENT);
            if let Ok(endpoint) = shared.endpoints.urls.authority_for(&request.authority).as_str().parse() {
                response.headers_mut().insert(STREAMING_ENDPOINT_HEADER, endpoint);
            }
            response
        }
        Err(refusal) => responses::refusal(&refusal),
    }
}

async fn redeem_code(shared: &Shared, context: &ConnectionContext, request: &HttpRequest) -> Result<(), Refusal> {
    let credential = request.header(AUTH_HEADER).and_then(|text| text.parse::<Credential>().ok());
    let join = serde_json::from_slice::<JoinRequest>(&request.body).ok();
    let Some((credential, JoinRequest { code, key, proof })) = credential.zip(join) else {
        return Err(context.auth_failed(shared, None, "malformed join request"));
    };
    if !credential.is_signed_by(&key, &context.binding(shared, request, &credential)) {
        return Err(context.reject_proof(shared, &credential, AuthnError::WrongSignature));
    }
    if proof.as_deref().is_some_and(|proof| !is_opaque_text(proof)) {
        let expected = format!("expected a proof of 1 to {MAX_OPAQUE_BYTES} characters of base64url");
        return Err(Refusal::new(RefusalKind::BadRequest, expected));
    }
    let presented = Presented { code, key, proof };
    let before = shared.activity.changes();
    match redeem(shared, context.address, &credential.principal, presented).await {
        Ok(Outcome::Joined) => {
            shared.activity.changes_synced(before).await;
            Ok(())
        }
        Ok(Outcome::WrongCode) => {
            context.exempt_from_penalty();
            Err(context.auth_failed(shared, Some(&credential.principal), "unknown join code"))
        }
        Ok(Outcome::Refused(refusal)) => {
            let event = Event::about(&credential.principal, Operation::Join, refusal.kind.row().label);
            let reason = refusal.detail.as_str().into();
            shared.activity.record(Event { source: Some(context.address), reason, ..event });
            Err(refusal)
        }
        Err(error) => Err(error.to_public_refusal()),
    }
}

/// What a machine presents to join.
struct Presented {
    code: JoinCode,
    key: PublicKey,
    /// Kept beside the key.
    proof: Option<String>,
}

/// The outcome of a join request.
enum Outcome {
    Joined,
    WrongCode,
    /// The code was right, and is good for nothing.
    Refused(Refusal),
}

impl Outcome {
    /// The outcome of a code that is good for nothing; `None` for others.
    fn of_useless(check: CodeCheck) -> Option<Self> {
        Some(match check {
            CodeCheck::Wrong => Self::WrongCode,
            CodeCheck::Spent(spent) => Self::Refused(Refusal::new(RefusalKind::LinkSpent, spent.to_string())),
            CodeCheck::NotCovered(devices) => {
                Self::Refused(Refusal::new(RefusalKind::IdNotCovered, format!("it is for {devices}")))
            }
            CodeCheck::IdTaken => Self::Refused(RefusalKind::IdTaken.into()),
            CodeCheck::HasKey { .. } | CodeCheck::Good => return None,
        })
    }
}

/// Redeems the code if it is good, and has everyone learn of the new key. A wrong code is looked up only: it must not
/// cost what a change does.
async fn redeem(
    shared: &Shared,
    source: SocketAddr,
    subject: &Principal,
    Presented { code, key, proof }: Presented,
) -> Result<Outcome, RegistryError> {
    let (principal, hash, admission) = (subject.clone(), code.hash(), shared.admission.clone());
    let check = shared.registry.with(move |registry| {
        let check = registry.check_code(&principal, &hash, &key, clock::now_utc())?;
        let is_guess = matches!(check, CodeCheck::Wrong | CodeCheck::Spent(_) | CodeCheck::NotCovered(_));
        // A joined machine that asks with any code costs a lookup each time.
        if is_guess || check == (CodeCheck::HasKey { has_code: false }) {
            record_penalty(&admission, source);
        }
        Ok(check)
    });
    let check = check.await?;
    if let CodeCheck::HasKey { has_code } = check {
        // The response to an earlier request was lost, or its machine joins once more.
        if let Some(proof) = proof.filter(|_| has_code) {
            let principal = subject.clone();
            change_identity(shared, subject, move |registry| registry.set_proof(&principal, &key, &proof)).await?;
        }
        return Ok(Outcome::Joined);
    }
    if let Some(useless) = Outcome::of_useless(check) {
        return Ok(useless);
    }
    let (principal, hash, admission) = (subject.clone(), code.hash(), shared.admission.clone());
    let activity = shared.activity.clone();
    let redeemed = change_identity(shared, subject, move |registry| {
        let Some(redeemed) = registry.redeem(&principal, &hash, &key, clock::now_utc())? else {
            // Another machine was faster: with the code, or with an enrolment key for the same id.
            record_penalty(&admission, source);
            let check = registry.check_code(&principal, &hash, &key, clock::now_utc())?;
            return Ok(Outcome::of_useless(check).unwrap_or(Outcome::WrongCode));
        };
        if redeemed.is_new {
            activity.record(join_event(&principal, source, &redeemed));
        }
        // Where this fails, the machine asks once more with the same key.
        if let Some(proof) = &proof {
            registry.set_proof(&principal, &key, proof)?;
        }
        Ok(Outcome::Joined)
    });
    redeemed.await
}

/// Called where the code is looked up and not in the request's task, which ends when the peer closes the connection.
fn record_penalty(admission: &Admission, source: SocketAddr) {
    admission.record_penalty(source, PenaltyReason::AuthFailed);
}

fn join_event(subject: &Principal, source: SocketAddr, redeemed: &Redeemed) -> Event {
    let event = Event::about(subject, Operation::Join, JOINED);
    let reason = redeemed.enrolment.map(|id| format!("with enrolment key {id}")).unwrap_or_default();
    Event { source: Some(source), reason, ..event }
}
