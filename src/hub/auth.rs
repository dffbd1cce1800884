//! PURE. Authentication and authorisation: does this credential prove this identity, and may the identity do this?

use crate::proto::auth::{Binding, Credential};
use crate::proto::http::Bridge;
use crate::proto::id::{DeviceId, Principal, Role, StreamName};
use crate::proto::key::PublicKey;
use crate::proto::refusal::RefusalKind;
use crate::proto::scope::Scope;
use crate::proto::timestamp::Timestamp;

/// The key that signatures are verified against when the identity has no such key, so that timing does not reveal
/// whether it exists; the outcome is ignored. The encoding of the curve's neutral element.
const DUMMY_KEY: [u8; 32] = {
    let mut key = [0; 32];
    key[0] = 1;
    key
};

/// The cause of a failed authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthnError {
    /// The identity is unknown or has no valid key.
    #[error("unknown identity, or one without a valid key")]
    NoKey,
    /// The identity has no key with the credential's fingerprint.
    #[error("unknown key")]
    OtherKey,
    /// The key is right, its signature is not.
    #[error("invalid signature")]
    WrongSignature,
}

/// Verifies a credential against the identity's valid keys and the request that it must cover, and returns the key that
/// signed it. The error is for the log only: clients get the same refusal in every case.
pub fn authenticate(
    credential: &Credential,
    keys: &[PublicKey],
    binding: &Binding<'_>,
) -> Result<PublicKey, AuthnError> {
    let named = keys.iter().find(|key| key.fingerprint() == credential.key);
    let proven = credential.is_signed_by(named.unwrap_or(&PublicKey::from_bytes(DUMMY_KEY)), binding);
    match named {
        None if keys.is_empty() => Err(AuthnError::NoKey),
        None => Err(AuthnError::OtherKey),
        Some(_) if !proven => Err(AuthnError::WrongSignature),
        Some(key) => Ok(*key),
    }
}

/// The authorisation-relevant part of an identity's record.
#[derive(Debug, Clone, Copy)]
pub struct AuthzSubject<'a> {
    /// The identity.
    pub principal: &'a Principal,
    /// The identity is disabled.
    pub disabled: bool,
    /// The devices and streams that a service may reach.
    pub scope: &'a Scope,
}

/// An action that needs authorisation.
#[derive(Debug, Clone, Copy)]
pub enum Action<'a> {
    /// Open a control connection as this device.
    Control(&'a DeviceId),
    /// Open a stream to a device.
    Open {
        /// The device.
        device: &'a DeviceId,
        /// The device is registered.
        exists: bool,
        /// The stream name, if the service gave one.
        name: Option<&'a StreamName>,
    },
    /// Connect one leg of a stream. Its token is checked by the broker.
    AttachLeg(&'a Bridge),
    /// Keep a standby connection, on which streams are requested one after another.
    Standby,
    /// List devices.
    List,
    /// See that a device exists.
    ViewDevice(&'a DeviceId),
    /// See the proofs and certificates that the hub keeps for an identity's keys, or have it keep a certificate.
    Certificates {
        /// The identity.
        owner: &'a Principal,
        /// The identity is registered.
        exists: bool,
        /// Have it keep one.
        stores: bool,
    },
}

/// Checks that an authenticated identity may do something. Every entry point to the hub calls this and nothing else
/// decides. A device outside a service's scope is refused as if it did not exist.
pub fn authorize(subject: AuthzSubject<'_>, action: Action<'_>, now: Timestamp) -> Result<(), RefusalKind> {
    if subject.disabled {
        return Err(RefusalKind::Disabled);
    }
    match subject.principal.role {
        Role::Device => authorize_device(subject.principal, action),
        Role::Service if subject.scope.has_expired(now) && !is_foreign_resource(action) => {
            Err(RefusalKind::AccessEnded)
        }
        Role::Service => authorize_service(subject.principal, subject.scope, action),
    }
}

fn authorize_device(subject: &Principal, action: Action<'_>) -> Result<(), RefusalKind> {
    let own = |device: &DeviceId| subject.id.as_str() == device.as_str();
    let permitted = match action {
        Action::Control(device) => own(device),
        Action::AttachLeg(bridge) => bridge.role == Role::Device && own(&bridge.device),
        Action::Standby => true,
        Action::Open { .. } | Action::List | Action::ViewDevice(_) | Action::Certificates { .. } => false,
    };
    if permitted { Ok(()) } else { Err(RefusalKind::AuthenticationFailed) }
}

fn authorize_service(subject: &Principal, scope: &Scope, action: Action<'_>) -> Result<(), RefusalKind> {
    let covered = |permitted, otherwise| if permitted { Ok(()) } else { Err(otherwise) };
    match action {
        Action::Open { device, exists, name } => {
            covered(exists && scope.covers_device(device), RefusalKind::UnknownDevice)?;
            covered(name.is_none_or(|name| scope.covers_stream(name)), RefusalKind::NotPermitted)
        }
        Action::ViewDevice(device) => covered(scope.covers_device(device), RefusalKind::UnknownDevice),
        Action::Certificates { owner, stores: false, .. } if owner == subject => Ok(()),
        Action::Certificates { owner, exists, .. } => match owner.role {
            Role::Device => {
                covered(exists && scope.covers_device(&owner.id.clone().into()), RefusalKind::UnknownDevice)
            }
            // Whoever may reach everything learns nothing new by the names of services.
            Role::Service => covered(scope.covers_everything(), RefusalKind::NotPermitted),
        },
        Action::AttachLeg(bridge) => covered(
            !is_foreign_resource(action) && scope.covers_device(&bridge.device),
            RefusalKind::AuthenticationFailed,
        ),
        Action::List | Action::Standby => Ok(()),
        Action::Control(_) => Err(RefusalKind::AuthenticationFailed),
    }
}

/// Reports whether the action needs another role, whatever the scope.
fn is_foreign_resource(action: Action<'_>) -> bool {
    match action {
        Action::Control(_) => true,
        Action::AttachLeg(bridge) => bridge.role == Role::Device,
        Action::Open { .. } | Action::Standby | Action::List | Action::ViewDevice(_) | Action::Certificates { .. } => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::auth::Session;
    use crate::proto::key::PrivateKey;
    use crate::proto::secret::KeySeed;

    #[test]
    fn a_dummy_key_and_another_identitys_key_authenticate_nothing() {
        let key = PrivateKey::from_seed(&KeySeed::new([1; 32]));
        let other = PrivateKey::from_seed(&KeySeed::new([2; 32])).public();
        let binding = Binding { method: "GET", authority: "hub", path: "/", session: Session::Channel(&[0; 32]) };
        let principal = Principal { role: Role::Device, id: "pi-42".to_owned().try_into().unwrap() };
        let credential = Credential::sign(principal, &key, &binding);
        let own = key.public();
        assert_eq!(authenticate(&credential, &[other, own], &binding), Ok(own));
        assert!(authenticate(&credential, &[other], &binding).is_err());
        assert!(authenticate(&credential, &[], &binding).is_err());
    }

    /// The dummy key accepts some signatures of every message.
    #[test]
    fn an_unknown_identity_is_refused_whatever_its_signature() {
        let forged = format!("DevStream v=1, role=device, id=x, key=x, sig=AQ{}", "A".repeat(84));
        let credential: Credential = forged.parse().unwrap();
        let binding = Binding { method: "GET", authority: "hub", path: "/", session: Session::Channel(&[0; 32]) };
        assert!(authenticate(&credential, &[], &binding).is_err());
    }
}
