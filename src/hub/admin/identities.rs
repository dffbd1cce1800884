//! Devices, services and enrolment keys over their whole life. Each change is in the registry first, and then takes
//! hold of what is connected.

use std::collections::HashMap;
use std::time::Duration;

use crate::hub::Shared;
use crate::hub::broker::{Event, Operation};
use crate::hub::open::ends;
use crate::hub::registry::{CodeHash, Record, RegistryError, StoredKey};
use crate::net::{clock, random};
use crate::proto::admin::{AdminAnswer, Identity, KeyStatus, Presence};
use crate::proto::id::{DeviceId, Principal, PrincipalId, Role, ServiceName};
use crate::proto::join::JoinLink;
use crate::proto::key::PublicKey;
use crate::proto::moment::Moment;
use crate::proto::refusal::{Kind, Refusal};
use crate::proto::scope::{Glob, Scope, ScopeChange};
use crate::proto::secret::JoinCode;

type Done = Result<AdminAnswer, RegistryError>;

pub(super) async fn add(shared: &Shared, principal: Principal, scope: Scope, link_seconds: u64) -> Done {
    let (code, hash) = new_code(link_seconds);
    let (who, until) = (principal.clone(), hash.until);
    shared.directory.with(move |registry| registry.add(&who, &scope, &hash, clock::moment())).await?;
    record(shared, &principal, Operation::IdentityAdded, "added", String::new());
    Ok(link(shared, principal.role, Some(principal.id), code, until, None).await)
}

pub(super) async fn rotate(shared: &Shared, principal: Principal, overlap_seconds: u64, link_seconds: u64) -> Done {
    let (code, hash) = new_code(link_seconds);
    let (who, until) = (principal.clone(), hash.until);
    let overlap = Duration::from_secs(overlap_seconds);
    shared.directory.with(move |registry| registry.rotate(&who, &hash, overlap)).await?;
    record(shared, &principal, Operation::IdentityChanged, "rotating", String::new());
    Ok(link(shared, principal.role, Some(principal.id), code, until, None).await)
}

pub(super) async fn rescope(shared: &Shared, service: ServiceName, change: ScopeChange) -> Done {
    let principal = Principal { role: Role::Service, id: service.clone().into() };
    let who = principal.clone();
    let scope = shared.directory.with(move |registry| registry.rescope(&who, change)).await?;
    record(shared, &principal, Operation::IdentityChanged, "rescoped", String::new());
    let until = ends(&scope);
    shared.exchange.rescope(service, scope, until).await;
    Ok(AdminAnswer::Done)
}

pub(super) async fn enable(shared: &Shared, principal: Principal, enabled: bool) -> Done {
    let who = principal.clone();
    shared.directory.with(move |registry| registry.set_disabled(&who, !enabled)).await?;
    let word = if enabled { "enabled" } else { "disabled" };
    record(shared, &principal, Operation::IdentityChanged, word, String::new());
    if !enabled {
        let why = Refusal::new(Kind::Disabled, principal.to_string());
        shared.exchange.revoke(principal, why).await;
    }
    Ok(AdminAnswer::Done)
}

pub(super) async fn list(shared: &Shared, role: Role) -> Done {
    let records = shared.directory.with(move |registry| registry.list(role)).await?;
    let mut online = shared.exchange.online().await;
    let told = |record| identity(shared.directory.refreshed(record), &mut online);
    Ok(AdminAnswer::Identities { identities: records.into_iter().map(told).collect() })
}

pub(super) async fn show(shared: &Shared, principal: Principal) -> Done {
    let record = shared.directory.find(&principal).await?.ok_or(RegistryError::Unknown(principal))?;
    let mut online = shared.exchange.online().await;
    Ok(AdminAnswer::Identities { identities: vec![identity(record, &mut online)] })
}

pub(super) async fn remove(shared: &Shared, principal: Principal) -> Done {
    let who = principal.clone();
    shared.directory.with(move |registry| registry.remove(&who)).await?;
    record(shared, &principal, Operation::IdentityRemoved, "removed", String::new());
    let why = Refusal::new(Kind::AuthenticationFailed, format!("{principal} was removed"));
    shared.exchange.revoke(principal, why).await;
    Ok(AdminAnswer::Done)
}

pub(super) async fn enrol(shared: &Shared, principal: Principal, key: PublicKey) -> Done {
    shared.directory.with(move |registry| registry.enrol(&principal, &key, clock::moment())).await?;
    Ok(AdminAnswer::Hub(shared.info.clone()))
}

pub(super) async fn add_enrolment(shared: &Shared, devices: Glob, uses: u32, seconds: u64) -> Done {
    let (code, hash) = new_code(seconds);
    let (pattern, until) = (devices.clone(), hash.until);
    let adding = shared.directory.with(move |registry| registry.add_enrolment(&devices, uses, &hash, clock::moment()));
    let id = adding.await?;
    let reason = format!("enrolment key {id} for {pattern}, {uses} uses");
    shared.activity.record(Event { reason, ..Event::new(Operation::EnrolmentAdded, "added") });
    Ok(link(shared, Role::Device, None, code, until, Some(id)).await)
}

pub(super) async fn enrolments(shared: &Shared) -> Done {
    let enrolments = shared.directory.with(|registry| registry.enrolments()).await?;
    Ok(AdminAnswer::Enrolments { enrolments })
}

pub(super) async fn remove_enrolment(shared: &Shared, id: u64) -> Done {
    shared.directory.with(move |registry| registry.remove_enrolment(id)).await?;
    let reason = format!("enrolment key {id}");
    shared.activity.record(Event { reason, ..Event::new(Operation::EnrolmentRemoved, "removed") });
    Ok(AdminAnswer::Done)
}

fn record(shared: &Shared, who: &Principal, operation: Operation, word: &'static str, reason: String) {
    shared.activity.record(Event { reason, ..Event::about(who, operation, word) });
}

fn new_code(seconds: u64) -> (JoinCode, CodeHash) {
    let code: JoinCode = random::secret();
    let hash = CodeHash { hash: code.hash(), until: clock::moment().after(Duration::from_secs(seconds)) };
    (code, hash)
}

async fn link(
    shared: &Shared,
    role: Role,
    id: Option<PrincipalId>,
    code: JoinCode,
    until: Moment,
    enrolment: Option<u64>,
) -> AdminAnswer {
    let link = JoinLink { hub: shared.public.clone(), role, id, pin: shared.link_pin().await, code };
    AdminAnswer::Link { link: link.reveal(), until, enrolment }
}

fn identity(record: Record, online: &mut HashMap<DeviceId, Presence>) -> Identity {
    let (online, scope) = match record.principal.role {
        Role::Device => (online.remove(&record.principal.id.clone().into()), None),
        Role::Service => (None, Some(record.scope)),
    };
    let key = |stored: &StoredKey| KeyStatus {
        fingerprint: stored.key.fingerprint(),
        added: stored.added,
        until: stored.until,
    };
    Identity {
        principal: record.principal,
        enabled: !record.disabled,
        joined: !record.keys.is_empty(),
        keys: record.keys.iter().map(key).collect(),
        created: record.created,
        enrolment: record.enrolment,
        last_seen: record.last_seen,
        online,
        scope,
    }
}
