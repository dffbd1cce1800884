//! A machine joins: `POST /join` with a one-time code and a new key, signed with that key.

use bytes::Bytes;
use http::{Response, StatusCode};

use super::broker::{Event, Operation};
use super::door::Visitor;
use super::registry::Redeemed;
use super::{Shared, answers};
use crate::net::clock;
use crate::net::serve::{Asked, bare};
use crate::proto::auth::{Credential, HEADER};
use crate::proto::id::{Principal, Role};
use crate::proto::join::JoinRequest;
use crate::proto::refusal::{Kind, Refusal};

/// Spends the code. Every wrong code gets the same answer.
pub(super) async fn join(shared: &Shared, visitor: &Visitor, asked: &Asked) -> Response<Bytes> {
    match spend(shared, visitor, asked).await {
        Ok(()) => bare(StatusCode::NO_CONTENT),
        Err(refusal) => answers::refuse(&refusal),
    }
}

async fn spend(shared: &Shared, visitor: &Visitor, asked: &Asked) -> Result<(), Refusal> {
    let credential = asked.header(HEADER).and_then(|text| text.parse::<Credential>().ok());
    let request = serde_json::from_slice::<JoinRequest>(&asked.body).ok();
    let Some((credential, JoinRequest { code, key })) = credential.zip(request) else {
        return Err(visitor.denied(shared, None, "not a join request"));
    };
    if !credential.is_proven_by(&key, &visitor.binding(shared, asked, &credential)) {
        return Err(visitor.denied(shared, Some(&credential.principal), "a signature that does not verify"));
    }
    let principal = credential.principal.clone();
    let hash = code.hash();
    let redeemed =
        shared.directory.with(move |registry| registry.redeem(&principal, &hash, &key, clock::moment())).await;
    match redeemed {
        Ok(Some(redeemed)) => {
            joined(shared, visitor, credential.principal, redeemed).await;
            Ok(())
        }
        Ok(None) => Err(visitor.denied(shared, Some(&credential.principal), "a wrong, used or expired join code")),
        Err(error) => {
            tracing::error!(target: "hub", %error, "cannot redeem a join code");
            Err(Kind::HubFailed.into())
        }
    }
}

/// Says so, and has an earlier machine of the same identity looked at: its key may be on the way out.
async fn joined(shared: &Shared, visitor: &Visitor, who: Principal, redeemed: Redeemed) {
    let event = Event::about(&who, Operation::Join, "joined");
    let reason = redeemed.enrolment.map(|id| format!("with enrolment key {id}")).unwrap_or_default();
    shared.activity.record(Event { source: Some(visitor.address), reason, ..event });
    if who.role == Role::Device {
        shared.exchange.keys_changed(who.id.into()).await;
    }
}
