//! PURE. Does this credential speak for this identity, and may the identity do this?

use super::registry::Record;
use crate::proto::auth::{Binding, Credential};
use crate::proto::http::Bridge;
use crate::proto::id::{DeviceId, Principal, Role, StreamName};
use crate::proto::refusal::Kind;

/// Whether the credential proves its identity for that request. The reason for a no is for the log alone: whoever
/// asked hears the same in every case.
pub fn authenticate(
    credential: &Credential,
    record: Option<&Record>,
    binding: &Binding<'_>,
) -> Result<(), &'static str> {
    let record = record.ok_or("unknown identity")?;
    let stored = record.key.ok_or("the identity has not joined")?;
    if stored.key.fingerprint() != credential.key {
        return Err("another key");
    }
    if credential.is_proven_by(&stored.key, binding) { Ok(()) } else { Err("a signature that does not verify") }
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy)]
pub enum Action<'a> {
    /// Be a device.
    Control(&'a DeviceId),
    /// Ask a device, known or not, for a stream.
    Open(&'a DeviceId, Option<&'a StreamName>, Option<&'a Record>),
    /// Bring one side of a stream. Its token says more.
    Bridge(&'a Bridge),
}

/// Whether an authenticated identity may do something: the one place that says so, for every way in. A device that a
/// service may not see is answered like one that does not exist.
pub fn authorize(who: &Record, action: Action<'_>) -> Result<(), Kind> {
    let Principal { role, id } = &who.principal;
    match (role, action) {
        (Role::Device, Action::Control(device)) if id.as_str() == device.as_str() => Ok(()),
        (Role::Device, Action::Bridge(bridge)) => {
            let own = bridge.role == Role::Device && id.as_str() == bridge.device.as_str();
            if own { Ok(()) } else { Err(Kind::AuthenticationFailed) }
        }
        (Role::Service, Action::Open(device, name, known)) => {
            let covered = who.scope.covers_device(device.as_str());
            if known.is_none() || !covered {
                return Err(Kind::UnknownDevice);
            }
            if name.is_some_and(|name| !who.scope.covers_stream(name)) { Err(Kind::NotPermitted) } else { Ok(()) }
        }
        (Role::Service, Action::Bridge(bridge)) => {
            let covered = bridge.role == Role::Service && who.scope.covers_device(bridge.device.as_str());
            if covered { Ok(()) } else { Err(Kind::AuthenticationFailed) }
        }
        (Role::Device, Action::Control(_) | Action::Open(..)) | (Role::Service, Action::Control(_)) => {
            Err(Kind::AuthenticationFailed)
        }
    }
}
