//! The lifecycle of devices, services and enrolment keys. Each change is committed to the registry, then applied to
//! connections and streams.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::By;
use crate::hub::broker_handle::BrokerHandle;
use crate::hub::consequences::change_identity;
use crate::hub::event::{Event, Operation};
use crate::hub::handlers::cluster::deny_here;
use crate::hub::handlers::gather::{self, Gathered};
use crate::hub::registry::portable::Subject;
use crate::hub::registry::{CodeHash, DENIED_FOR, Enrolled, Record, RegistryError, StoredKey};
use crate::hub::shared::Shared;
use crate::net::os::clock;
use crate::net::os::random;
use crate::net::tls::Socket;
use crate::proto::admin::{AdminResponse, HubInfo, Identity, KeyStatus, Presence, StreamStatus};
use crate::proto::id::{DeviceId, Principal, PrincipalId, Role, ServiceName, UNNAMED_SERVICE};
use crate::proto::join::{HubAddress, JoinLink};
use crate::proto::key::PublicKey;
use crate::proto::limits::BACKOFF_CAP;
use crate::proto::scope::{Glob, Scope, ScopeChange};
use crate::proto::secret::JoinCode;
use crate::proto::text;
use crate::proto::timestamp::Timestamp;

type AdminResult = Result<AdminResponse, RegistryError>;

pub(super) async fn add(shared: &Shared, principal: Principal, scope: Scope, link_seconds: u64, by: By) -> AdminResult {
    if is_own_users(&principal) {
        let reason = format!(
            "the name {UNNAMED_SERVICE} is for the services of the hub's own user, which need no link; choose another one"
        );
        return Ok(AdminResponse::Failed { reason });
    }
    let (code, hash) = new_code(link_seconds);
    let (subject, until, activity) = (principal.clone(), hash.until, shared.activity.clone());
    let adding = change_identity(shared, &principal, move |registry| {
        registry.add(&subject, &scope, &hash, clock::now_utc())?;
        let reason = if subject.role == Role::Service { scope_in_words(&scope) } else { String::new() };
        activity.record(Event { reason, by, ..Event::about(&subject, Operation::IdentityAdded, "added") });
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
    by: By,
) -> AdminResult {
    if is_own_users(&principal) {
        let reason = format!(
            "{principal} is the hub's own user, whose key is made on this machine; for another machine: devstream hub service \
             add NAME --device ID"
        );
        return Ok(AdminResponse::Failed { reason });
    }
    let (code, hash) = new_code(link_seconds);
    let (subject, until, activity) = (principal.clone(), hash.until, shared.activity.clone());
    let overlap = Duration::from_secs(overlap_seconds);
    let rotating = change_identity(shared, &principal, move |registry| {
        registry.rotate(&subject, &hash, overlap)?;
        activity.record(Event { by, ..Event::about(&subject, Operation::IdentityChanged, "rotating") });
        Ok(())
    });
    rotating.await?;
    Ok(link(shared, principal.role, Some(principal.id), code, until, None).await)
}

pub(super) async fn rescope(shared: &Shared, service: ServiceName, change: ScopeChange, by: By) -> AdminResult {
    let principal = Principal { role: Role::Service, id: service.clone().into() };
    let (subject, activity) = (principal.clone(), shared.activity.clone());
    let changing = change_identity(shared, &subject, move |registry| {
        let before = registry.find(&principal)?.map(|record| record.scope);
        let scope = registry.rescope(&principal, change)?;
        let reach = scope_in_words(&scope);
        if before.as_ref() == Some(&scope) {
            let what = format!("service {service} may reach {reach}, as before; nothing was changed");
            return Ok(AdminResponse::Done { what });
        }
        let what = format!("service {service} may reach {reach}");
        let event = Event::about(&principal, Operation::IdentityChanged, "rescoped");
        activity.record(Event { reason: reach, by, ..event });
        Ok(AdminResponse::Done { what })
    });
    changing.await
}

pub(super) async fn enable(shared: &Shared, principal: Principal, enabled: bool, by: By) -> AdminResult {
    let (subject, activity, broker) = (principal.clone(), shared.activity.clone(), shared.streams.broker.clone());
    let denied = if enabled { None } else { deny_everywhere(shared, &principal).await };
    let (mirror, shared_value) = (shared.mirror.clone(), Subject::Identity(principal.clone()));
    let changing = change_identity(shared, &subject, move |registry| {
        let word = if enabled { "enabled" } else { "disabled" };
        // Another hub may have changed it a moment ago.
        let _ = mirror.is_some_and(|mirror| mirror.refresh(&shared_value));
        let found = registry.find(&principal)?;
        if found.as_ref().is_some_and(|record| record.disabled != enabled) {
            return Ok(AdminResponse::Done { what: format!("{principal} is {word} already; nothing was changed") });
        }
        registry.set_disabled(&principal, !enabled)?;
        activity.record(Event { by, ..Event::about(&principal, Operation::IdentityChanged, word) });
        if enabled {
            let has_agent = principal.role == Role::Device && found.is_some_and(|record| !record.keys.is_empty());
            let back = has_agent.then(agent_comes_back).unwrap_or_default();
            return Ok(AdminResponse::Done { what: format!("{principal} is enabled{back}") });
        }
        Ok(AdminResponse::Done { what: format!("{principal} is disabled; {}", ended(&broker, &principal)) })
    });
    Ok(denied_until_stored(shared, &subject, changing.await, denied))
}

/// Has every hub of the cluster deny an identity, this one first: its change may have to wait for the engine.
async fn deny_everywhere(shared: &Shared, principal: &Principal) -> Option<Gathered<Vec<HubAddress>>> {
    shared.cluster.as_ref()?;
    deny_here(shared, principal);
    Some(gather::deny(shared, principal).await)
}

/// Lifts the denial once the change is stored. Where it is not, all hubs deny the identity for a moment all the same.
fn denied_until_stored(
    shared: &Shared,
    principal: &Principal,
    stored: AdminResult,
    denied: Option<Gathered<Vec<HubAddress>>>,
) -> AdminResponse {
    match stored {
        Ok(response) => {
            shared.registry.lift_denial(principal);
            at_other_hubs(response, denied)
        }
        Err(error) => {
            let reason = super::error_with_advice(&error);
            let all_the_same =
                format!("; {principal} is refused for {} s all the same: repeat this then", DENIED_FOR.as_secs());
            let said = if denied.is_some() { all_the_same } else { String::new() };
            AdminResponse::Failed { reason: reason + &said }
        }
    }
}

/// Adds at which other hubs access is taken.
fn at_other_hubs(response: AdminResponse, denied: Option<Gathered<Vec<HubAddress>>>) -> AdminResponse {
    let list = |hubs: &[HubAddress]| hubs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match (response, denied) {
        (AdminResponse::Done { what }, Some(Gathered { all, silent })) if !all.is_empty() || !silent.is_empty() => {
            let there = (!all.is_empty()).then(|| format!("; it is so at {} too", list(&all)));
            let later = (!silent.is_empty())
                .then(|| format!("; {} did not answer: it is so there once the change arrives", list(&silent)));
            AdminResponse::Done { what: what + &there.unwrap_or_default() + &later.unwrap_or_default() }
        }
        (response, _) => response,
    }
}

/// Words when a refused agent tries again: it has not been told.
fn agent_comes_back() -> String {
    format!("; its agent connects again within {} s, or at once if it is restarted", BACKOFF_CAP.as_secs())
}

pub(super) async fn list(shared: &Shared, role: Role) -> AdminResult {
    let records = shared.registry.with(move |registry| registry.list(role)).await?;
    let ending = shared.streams.broker.ending_devices();
    let Gathered { all: mut elsewhere, silent } = match role {
        Role::Device => gather::devices(shared).await,
        Role::Service => Gathered { all: HashMap::new(), silent: Vec::new() },
    };
    let to_identity = |record: Record| {
        let elsewhere = elsewhere.remove(&record.principal.id.clone().into());
        identity(shared, shared.registry.with_last_seen(record), &ending, elsewhere)
    };
    Ok(AdminResponse::Identities { identities: records.into_iter().map(to_identity).collect(), silent })
}

pub(super) async fn show(shared: &Shared, principal: Principal) -> AdminResult {
    let record = shared.registry.find(&principal).await?.ok_or(RegistryError::Unknown(principal))?;
    let ending = shared.streams.broker.ending_devices();
    let Gathered { all: elsewhere, silent } = match record.principal.role {
        Role::Device => gather::device(shared, &record.principal.id.clone().into()).await,
        Role::Service => Gathered { all: None, silent: Vec::new() },
    };
    Ok(AdminResponse::Identities { identities: vec![identity(shared, record, &ending, elsewhere)], silent })
}

pub(super) async fn remove(shared: &Shared, principal: Principal, by: By) -> AdminResult {
    let (subject, activity, broker) = (principal.clone(), shared.activity.clone(), shared.streams.broker.clone());
    let denied = deny_everywhere(shared, &principal).await;
    let removing = change_identity(shared, &subject, move |registry| {
        registry.remove(&principal)?;
        activity.record(Event { by, ..Event::about(&principal, Operation::IdentityRemoved, "removed") });
        let mut what = format!("{principal} is removed; {}", ended(&broker, &principal));
        if is_own_users(&principal) {
            what += "; the hub's own user is added again, with access to everything, at the next use: to bar that, `devstream hub \
                     service disable local`";
        }
        Ok(AdminResponse::Done { what })
    });
    Ok(denied_until_stored(shared, &subject, removing.await, denied))
}

pub(super) async fn enrol(shared: &Shared, principal: Principal, key: PublicKey, by: By) -> AdminResult {
    let (subject, activity) = (principal.clone(), shared.activity.clone());
    let enrolling = change_identity(shared, &subject, move |registry| {
        match registry.enrol(&principal, &key, clock::now_utc())? {
            Enrolled::Created => {
                activity.record(Event { by, ..Event::about(&principal, Operation::IdentityAdded, "added") })
            }
            Enrolled::NewKey => {
                activity.record(Event { by, ..Event::about(&principal, Operation::IdentityChanged, "newKey") });
            }
            Enrolled::Unchanged => {}
        }
        Ok(())
    });
    enrolling.await?;
    Ok(AdminResponse::Hub(shared.endpoints.info.clone()))
}

pub(super) async fn add_enrolment(shared: &Shared, devices: Glob, uses: u32, seconds: u64, by: By) -> AdminResult {
    let (code, hash) = new_code(seconds);
    let until = hash.until;
    let activity = shared.activity.clone();
    let adding = shared.registry.change_enrolments(move |registry| {
        let id = registry.add_enrolment(&devices, uses, &hash, clock::now_utc())?;
        let reason = format!("enrolment key {id} for {devices}, {}", text::count(uses, "use"));
        activity.record(Event { reason, by, ..Event::new(Operation::EnrolmentAdded, "added") });
        Ok(id)
    });
    let id = adding.await?;
    Ok(link(shared, Role::Device, None, code, until, Some(id)).await)
}

/// Reports the keys by which an identity is known now.
pub(super) async fn keys(shared: &Shared, principal: Principal) -> AdminResult {
    let now = clock::now_utc();
    let found = match principal.role {
        Role::Device => shared.registry.find_ignoring_case(&principal).await?,
        Role::Service => shared.registry.find(&principal).await?,
    };
    let keys = found.iter().flat_map(|record| &record.keys).filter(|stored| stored.is_valid(now));
    Ok(AdminResponse::Keys { keys: keys.map(|stored| stored.key).collect() })
}

pub(super) async fn enrolments(shared: &Shared) -> AdminResult {
    let enrolments = shared.registry.with(|registry| registry.enrolments()).await?;
    Ok(AdminResponse::Enrolments { enrolments })
}

pub(super) async fn remove_enrolment(shared: &Shared, id: u64, by: By) -> AdminResult {
    let activity = shared.activity.clone();
    let removing = shared.registry.change_enrolments(move |registry| {
        registry.remove_enrolment(id)?;
        let reason = format!("enrolment key {id}");
        activity.record(Event { reason, by, ..Event::new(Operation::EnrolmentRemoved, "removed") });
        Ok(AdminResponse::Done { what: format!("enrolment key {id} is revoked; devices that joined with it stay") })
    });
    removing.await
}

/// Reports whether an identity is the one that the hub's own user has without a link.
fn is_own_users(Principal { role, id }: &Principal) -> bool {
    *role == Role::Service && id.as_str() == UNNAMED_SERVICE
}

/// Words what of an identity is about to be ended.
fn ended(broker: &BrokerHandle<Socket>, Principal { role, id }: &Principal) -> String {
    let is_its = |stream: &StreamStatus| match role {
        Role::Device => stream.device.as_str() == id.as_str(),
        Role::Service => stream.service.as_str() == id.as_str(),
    };
    let streams = match broker.all_streams().iter().filter(|stream| is_its(stream)).count() {
        0 => None,
        1 => Some("1 stream".to_owned()),
        count => Some(format!("{count} streams")),
    };
    let is_online = *role == Role::Device && broker.presence(&id.clone().into()).is_some();
    match (is_online, streams) {
        (true, Some(streams)) => format!("its connection and {streams} ended"),
        (true, None) => "its connection ended".into(),
        (false, Some(streams)) => format!("{streams} ended"),
        (false, None) => "it had no streams".into(),
    }
}

fn scope_in_words(Scope { devices, streams, until, max_streams }: &Scope) -> String {
    let list = |globs: &[Glob]| globs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let devices = if devices.is_empty() { "no device".into() } else { list(devices) };
    let until = until.map(|until| match until <= clock::now_utc() {
        true => format!("; its access has ended ({until})"),
        false => format!(", until {until}"),
    });
    let until = until.unwrap_or_default();
    let at_once = max_streams.map(|max| format!(", {max} at once")).unwrap_or_default();
    format!("{devices}, streams {}{at_once}{until}", if streams.is_empty() { "none".into() } else { list(streams) })
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
    let HubInfo { name_is_guessed, loopback_only, .. } = shared.endpoints.info;
    AdminResponse::Link { link: link.reveal(), until, name_is_guessed, loopback_only, enrolment }
}

fn identity(shared: &Shared, record: Record, ending: &HashSet<DeviceId>, elsewhere: Option<Presence>) -> Identity {
    let (online, scope) = match record.principal.role {
        Role::Device => {
            let here = shared.streams.broker.presence(&record.principal.id.clone().into());
            let here = here.map(|presence| Presence { hub: shared.own_address().cloned(), ..presence });
            (here.or(elsewhere), None)
        }
        Role::Service => (None, Some(record.scope)),
    };
    let is_device = record.principal.role == Role::Device;
    let ending = is_device && online.is_none() && ending.contains(&record.principal.id.clone().into());
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
        ending,
        online,
        scope,
    }
}
