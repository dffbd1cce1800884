//! The lifecycle of devices, services and enrolment keys. Each change is committed to the registry, then applied to
//! connections and streams.

use std::time::Duration;

use crate::hub::broker::{Input, LegKey};
use crate::hub::event::{Event, Operation};
use crate::hub::registry::{CodeHash, Enrolled, Record, RegistryError, StoredKey};
use crate::hub::revalidation::access_deadline;
use crate::hub::shared::Shared;
use crate::net::os::clock;
use crate::net::os::random;
use crate::proto::admin::{AdminResponse, Identity, KeyStatus};
use crate::proto::id::{Principal, PrincipalId, Role, ServiceName};
use crate::proto::join::JoinLink;
use crate::proto::key::PublicKey;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::scope::{Glob, Scope, ScopeChange};
use crate::proto::secret::JoinCode;
use crate::proto::timestamp::Timestamp;

type AdminResult = Result<AdminResponse, RegistryError>;

pub(super) async fn add(shared: &Shared, principal: Principal, scope: Scope, link_seconds: u64) -> AdminResult {
    let (code, hash) = new_code(link_seconds);
    let (subject, until, activity) = (principal.clone(), hash.until, shared.activity.clone());
    let adding = shared.registry.change(&principal, move |registry| {
        registry.add(&subject, &scope, &hash, clock::now_utc())?;
        activity.record(Event::about(&subject, Operation::IdentityAdded, "added"));
        Ok(())
    });
    adding.await?;
    Ok(link(shared, principal.role, Some(principal.id), code, until, None).await)
}

pub(super) async fn rotate(
    shared: &Shared,
    principal: Principal,
    overlap_seconds: u64,
    link_seconds: u64,
) -> AdminResult {
    let (code, hash) = new_code(link_seconds);
    let (subject, until, activity) = (principal.clone(), hash.until, shared.activity.clone());
    let overlap = Duration::from_secs(overlap_seconds);
    let rotating = shared.registry.change(&principal, move |registry| {
        registry.rotate(&subject, &hash, overlap)?;
        activity.record(Event::about(&subject, Operation::IdentityChanged, "rotating"));
        Ok(())
    });
    rotating.await?;
    Ok(link(shared, principal.role, Some(principal.id), code, until, None).await)
}

pub(super) async fn rescope(shared: &Shared, service: ServiceName, change: ScopeChange) -> AdminResult {
    let principal = Principal { role: Role::Service, id: service.clone().into() };
    let (subject, activity, broker) = (principal.clone(), shared.activity.clone(), shared.streams.broker.clone());
    let changing = shared.registry.change(&subject, move |registry| {
        let scope = registry.rescope(&principal, change)?;
        activity.record(Event::about(&principal, Operation::IdentityChanged, "rescoped"));
        let until = access_deadline(&scope);
        broker.handle(Input::ScopeChanged { service, scope, until });
        Ok(AdminResponse::Done)
    });
    changing.await
}

pub(super) async fn enable(shared: &Shared, principal: Principal, enabled: bool) -> AdminResult {
    let (subject, activity, broker) = (principal.clone(), shared.activity.clone(), shared.streams.broker.clone());
    let changing = shared.registry.change(&subject, move |registry| {
        registry.set_disabled(&principal, !enabled)?;
        let word = if enabled { "enabled" } else { "disabled" };
        activity.record(Event::about(&principal, Operation::IdentityChanged, word));
        if !enabled {
            let reason = Refusal::new(RefusalKind::Disabled, principal.to_string());
            broker.handle(Input::IdentityRevoked { principal, reason });
        }
        Ok(AdminResponse::Done)
    });
    changing.await
}

pub(super) async fn list(shared: &Shared, role: Role) -> AdminResult {
    let records = shared.registry.with(move |registry| registry.list(role)).await?;
    let to_identity = |record| identity(shared, shared.registry.with_last_seen(record));
    Ok(AdminResponse::Identities { identities: records.into_iter().map(to_identity).collect() })
}

pub(super) async fn show(shared: &Shared, principal: Principal) -> AdminResult {
    let record = shared.registry.find(&principal).await?.ok_or(RegistryError::Unknown(principal))?;
    Ok(AdminResponse::Identities { identities: vec![identity(shared, record)] })
}

pub(super) async fn remove(shared: &Shared, principal: Principal) -> AdminResult {
    let (subject, activity, broker) = (principal.clone(), shared.activity.clone(), shared.streams.broker.clone());
    let removing = shared.registry.change(&subject, move |registry| {
        registry.remove(&principal)?;
        activity.record(Event::about(&principal, Operation::IdentityRemoved, "removed"));
        let reason = Refusal::new(RefusalKind::AuthenticationFailed, format!("{principal} was removed"));
        broker.handle(Input::IdentityRevoked { principal, reason });
        Ok(AdminResponse::Done)
    });
    removing.await
}

pub(super) async fn enrol(shared: &Shared, principal: Principal, key: PublicKey) -> AdminResult {
    let (subject, activity, broker) = (principal.clone(), shared.activity.clone(), shared.streams.broker.clone());
    let enrolling = shared.registry.change(&subject, move |registry| {
        let enrolled = registry.enrol(&principal, &key, clock::now_utc())?;
        match enrolled {
            Enrolled::Created => activity.record(Event::about(&principal, Operation::IdentityAdded, "added")),
            Enrolled::KeyAdded | Enrolled::KeyReplaced => {
                activity.record(Event::about(&principal, Operation::IdentityChanged, "newKey"));
            }
            Enrolled::Unchanged => return Ok(()),
        }
        if enrolled == Enrolled::KeyReplaced {
            let reason = Refusal::new(RefusalKind::KeyReplaced, principal.to_string());
            broker.handle(Input::IdentityRevoked { principal: principal.clone(), reason });
        }
        broker.handle(Input::KeysChanged { principal, keys: vec![LegKey { key, until: None }] });
        Ok(())
    });
    enrolling.await?;
    Ok(AdminResponse::Hub(shared.endpoints.info.clone()))
}

pub(super) async fn add_enrolment(shared: &Shared, devices: Glob, uses: u32, seconds: u64) -> AdminResult {
    let (code, hash) = new_code(seconds);
    let until = hash.until;
    let activity = shared.activity.clone();
    let adding = shared.registry.change_enrolments(move |registry| {
        let id = registry.add_enrolment(&devices, uses, &hash, clock::now_utc())?;
        let plural = if uses == 1 { "" } else { "s" };
        let reason = format!("enrolment key {id} for {devices}, {uses} use{plural}");
        activity.record(Event { reason, ..Event::new(Operation::EnrolmentAdded, "added") });
        Ok(id)
    });
    let id = adding.await?;
    Ok(link(shared, Role::Device, None, code, until, Some(id)).await)
}

pub(super) async fn enrolments(shared: &Shared) -> AdminResult {
    let enrolments = shared.registry.with(|registry| registry.enrolments()).await?;
    Ok(AdminResponse::Enrolments { enrolments })
}

pub(super) async fn remove_enrolment(shared: &Shared, id: u64) -> AdminResult {
    let activity = shared.activity.clone();
    let removing = shared.registry.change_enrolments(move |registry| {
        registry.remove_enrolment(id)?;
        let reason = format!("enrolment key {id}");
        activity.record(Event { reason, ..Event::new(Operation::EnrolmentRemoved, "removed") });
        Ok(AdminResponse::Done)
    });
    removing.await
}

fn new_code(seconds: u64) -> (JoinCode, CodeHash) {
    let code: JoinCode = random::secret();
    let hash = CodeHash { hash: code.hash(), until: clock::now_utc().after(Duration::from_secs(seconds)) };
    (code, hash)
}

async fn link(
    shared: &Shared,
    role: Role,
    id: Option<PrincipalId>,
    code: JoinCode,
    until: Timestamp,
    enrolment: Option<u64>,
) -> AdminResponse {
    let link =
        JoinLink { hub: shared.endpoints.public.clone(), role, id, pin: shared.endpoints.link_pin().await, code };
    AdminResponse::Link {
        link: link.reveal(),
        until,
        name_is_guessed: shared.endpoints.info.name_is_guessed,
        enrolment,
    }
}

fn identity(shared: &Shared, record: Record) -> Identity {
    let (online, scope) = match record.principal.role {
        Role::Device => (shared.streams.broker.presence(&record.principal.id.clone().into()), None),
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
