//! The private admin socket: what the hub's own user asks of it.

use std::collections::HashMap;

use tokio::net::UnixStream;

use super::Shared;
use super::broker::{Event, Operation};
use super::registry::{Record, RegistryError};
use crate::net::clock::Moment;
use crate::net::{local, random};
use crate::proto::admin::{AdminAnswer, AdminRequest, Identity, Presence, Scope};
use crate::proto::id::{DeviceId, Principal, Role};
use crate::proto::join::JoinLink;
use crate::proto::key::PublicKey;
use crate::proto::limits::JOIN_CODE_LIFETIME;
use crate::proto::secret::JoinCode;

/// Answers one connection.
pub(super) async fn converse(shared: &Shared, stream: UnixStream) {
    if let Err(error) = local::answer(stream, |request| answer(shared, request)).await {
        tracing::debug!(target: "hub", %error, "an admin request failed");
    }
}

async fn answer(shared: &Shared, request: AdminRequest) -> AdminAnswer {
    let done = match request {
        AdminRequest::Show => Ok(AdminAnswer::Hub(shared.info.clone())),
        AdminRequest::Add { principal, scope } => add(shared, principal, scope).await,
        AdminRequest::List { role } => list(shared, role).await,
        AdminRequest::ShowIdentity { principal } => show(shared, principal).await,
        AdminRequest::Remove { principal } => remove(shared, principal).await,
        AdminRequest::Enrol { principal, key } => enrol(shared, principal, key).await,
    };
    done.unwrap_or_else(|error| AdminAnswer::Failed { reason: advice(&error) })
}

/// The error, and what to do about it.
fn advice(error: &RegistryError) -> String {
    match error {
        RegistryError::AlreadyJoined(Principal { role, id }) => {
            format!("{error}; to let another machine be {id}, first run `devstream hub {role} remove {id}`")
        }
        RegistryError::Unknown(Principal { role, .. }) => {
            format!("{error}; `devstream hub {role} list` shows those there are")
        }
        RegistryError::Store(_) => error.to_string(),
    }
}

async fn add(shared: &Shared, principal: Principal, scope: Scope) -> Result<AdminAnswer, RegistryError> {
    let code: JoinCode = random::secret();
    let (who, hash, now) = (principal.clone(), code.hash(), Moment::now());
    let until = now.after(JOIN_CODE_LIFETIME);
    shared.directory.with(move |registry| registry.add(&who, &scope, &hash, until, now)).await?;
    shared.activity.record(Event::about(&principal, Operation::IdentityAdded, "added"));
    let link = JoinLink { hub: shared.public.clone(), principal, pin: shared.link_pin().await, code };
    Ok(AdminAnswer::Added { link: link.reveal(), seconds: JOIN_CODE_LIFETIME.as_secs() })
}

async fn list(shared: &Shared, role: Role) -> Result<AdminAnswer, RegistryError> {
    let records = shared.directory.with(move |registry| registry.list(role)).await?;
    let mut online = shared.exchange.online().await;
    let identities = records.into_iter().map(|record| identity(record, &mut online)).collect();
    Ok(AdminAnswer::Identities { identities })
}

async fn show(shared: &Shared, principal: Principal) -> Result<AdminAnswer, RegistryError> {
    let record = shared.directory.find(&principal).await?.ok_or(RegistryError::Unknown(principal))?;
    let mut online = shared.exchange.online().await;
    Ok(AdminAnswer::Identities { identities: vec![identity(record, &mut online)] })
}

async fn remove(shared: &Shared, principal: Principal) -> Result<AdminAnswer, RegistryError> {
    let who = principal.clone();
    shared.directory.with(move |registry| registry.remove(&who)).await?;
    shared.activity.record(Event::about(&principal, Operation::IdentityRemoved, "removed"));
    shared.exchange.revoke(principal).await;
    Ok(AdminAnswer::Done)
}

async fn enrol(shared: &Shared, principal: Principal, key: PublicKey) -> Result<AdminAnswer, RegistryError> {
    shared.directory.with(move |registry| registry.enrol(&principal, &key, Moment::now())).await?;
    Ok(AdminAnswer::Hub(shared.info.clone()))
}

fn identity(record: Record, online: &mut HashMap<DeviceId, Presence>) -> Identity {
    let (online, scope) = match record.principal.role {
        Role::Device => (online.remove(&record.principal.id.clone().into()), None),
        Role::Service => (None, Some(record.scope)),
    };
    Identity {
        principal: record.principal,
        joined: record.key.is_some(),
        keys: record.key.iter().map(|stored| stored.key.fingerprint()).collect(),
        created: record.created.rfc3339(),
        last_seen: record.last_seen.map(Moment::rfc3339),
        online,
        scope,
    }
}
