//! `GET` and `PUT /devices/{id}/certificate`, `/services/{name}/certificate`: what the owner of a fleet keeps at the hub beside
//! the keys of identities. The proof is the machine's, and the hub does not read it; the certificate is the owner's, and the hub
//! sees only that it is for the key beside which it is kept.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use tokio::time::sleep;

use crate::hub::admission::lists::ListTurn;
use crate::hub::auth::Action;
use crate::hub::connection::ConnectionContext;
use crate::hub::consequences::{Clocks, change_identity, keys_changed};
use crate::hub::event::{CERTIFIED, Event, Operation};
use crate::hub::registry::{Record, RegistryError};
use crate::hub::responses;
use crate::hub::shared::Shared;
use crate::net::e2e::verdict::is_for;
use crate::net::os::clock;
use crate::net::transport::http_server::{HttpRequest, empty_response};
use crate::proto::endorsement::{Endorsements, StoredCertificate};
use crate::proto::id::{Principal, Role};
use crate::proto::invitation::{MAX_OPAQUE_BYTES, is_opaque_text};
use crate::proto::refusal::{Refusal, RefusalKind};

/// Shows the proofs and certificates of an identity's valid keys.
pub(in crate::hub) async fn show(
    shared: &Shared,
    context: &ConnectionContext,
    request: &HttpRequest,
    owner: Principal,
) -> Response<Bytes> {
    match endorsements(shared, context, request, owner).await {
        Ok(endorsements) => {
            let mut response = Response::new(serde_json::to_vec(&endorsements).unwrap_or_default().into());
            let json = HeaderValue::from_static("application/json; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            response
        }
        Err(refusal) => responses::refusal(&refusal),
    }
}

/// Stores a certificate for one of an identity's keys. A device that is online is given it.
pub(in crate::hub) async fn store(
    shared: &Shared,
    context: &ConnectionContext,
    request: &HttpRequest,
    owner: Principal,
) -> Response<Bytes> {
    match store_certificate(shared, context, request, owner).await {
        Ok(()) => empty_response(StatusCode::NO_CONTENT),
        Err(refusal) => responses::refusal(&refusal),
    }
}

async fn endorsements(
    shared: &Shared,
    context: &ConnectionContext,
    request: &HttpRequest,
    owner: Principal,
) -> Result<Endorsements, Refusal> {
    let (_, record, _turn) = authorized(shared, context, request, owner, false).await?;
    ensure_enabled(&record)?;
    let owner = record.principal.clone();
    let found = shared.registry.with(move |registry| registry.endorsements(&owner)).await;
    let mut keys = found.map_err(|error| error.to_public_refusal())?;
    let now = clock::now_utc();
    keys.retain(|endorsement| record.valid_key(&endorsement.key, now).is_some());
    Ok(Endorsements { keys })
}

async fn store_certificate(
    shared: &Shared,
    context: &ConnectionContext,
    request: &HttpRequest,
    owner: Principal,
) -> Result<(), Refusal> {
    let (service, record, _turn) = authorized(shared, context, request, owner, true).await?;
    ensure_enabled(&record)?;
    let owner = record.principal;
    let stored = serde_json::from_slice::<StoredCertificate>(&request.body).ok();
    let Some(StoredCertificate { key, certificate }) = stored.filter(|stored| is_opaque_text(&stored.certificate))
    else {
        let expected = format!("expected a key, and a certificate of 1 to {MAX_OPAQUE_BYTES} characters of base64url");
        return Err(Refusal::new(RefusalKind::BadRequest, expected));
    };
    // Garbage would be in the way of the owner's, which another service stores.
    if !is_for(&certificate, &owner, &key) {
        return Err(Refusal::new(RefusalKind::BadRequest, format!("it is no certificate for this key of {owner}")));
    }
    shared.admission.lists.store_certificate(&service.principal)?;
    let (subject, activity, broker) = (owner.clone(), shared.activity.clone(), shared.streams.broker.clone());
    let (source, by) = (Some(context.address), Some(format!("service:{}", service.principal.id)));
    let storing = change_identity(shared, &subject, move |registry| {
        let stores = (&service.principal.id, service.scope.covers_everything());
        if !registry.set_certificate(&owner, &key, &certificate, stores)? {
            return Ok(());
        }
        let event = Event::about(&owner, Operation::IdentityChanged, CERTIFIED);
        activity.record(Event { source, by, reason: format!("for the key {}", key.short()), ..event });
        if owner.role == Role::Device {
            // Its connection looks its key up again, and finds the certificate.
            let found = registry.find(&owner)?;
            found.iter().for_each(|record| broker.handle(keys_changed(record, Clocks::now())));
        }
        Ok(())
    });
    storing.await.map_err(|error| {
        if let RegistryError::UnknownKey(_) = error {
            return Refusal::new(RefusalKind::BadRequest, error.to_string());
        }
        if let RegistryError::StoredByAnother(_) = error {
            return Refusal::new(RefusalKind::NotPermitted, error.to_string());
        }
        error.to_public_refusal()
    })
}

/// Fails for an identity that is disabled: its machine may be in wrong hands, and is not to be signed.
fn ensure_enabled(Record { principal, disabled, .. }: &Record) -> Result<(), Refusal> {
    if *disabled { Err(Refusal::new(RefusalKind::Disabled, principal.to_string())) } else { Ok(()) }
}

/// Authenticates and authorises a service, waits for its turn, and returns its record and that of the identity that it asks
/// about.
async fn authorized(
    shared: &Shared,
    context: &ConnectionContext,
    request: &HttpRequest,
    owner: Principal,
    stores: bool,
) -> Result<(Record, Record, ListTurn), Refusal> {
    let subject = context.authenticate(shared, request).await?.record;
    let found = match owner.role {
        Role::Device => shared.registry.find_ignoring_case(&owner).await,
        Role::Service => shared.registry.find(&owner).await,
    };
    let found = found.map_err(|error| error.to_public_refusal())?;
    let named = found.as_ref().map_or(&owner, |record| &record.principal);
    let action = Action::Certificates { owner: named, exists: found.is_some(), stores };
    if let Err(refusal) = context.authorize(shared, &subject, action) {
        if context.is_authenticated()
            && let Some(delay) = shared.admission.refusals.charge(&subject.principal, clock::now())
        {
            sleep(delay).await;
        }
        return Err(refusal);
    }
    let turn = shared.admission.lists.take_turn(&subject.principal).await?;
    let record = found.ok_or_else(|| Refusal::new(RefusalKind::BadRequest, format!("there is no {owner}")))?;
    Ok((subject, record, turn))
}
