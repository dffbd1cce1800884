//! PURE. Does this credential speak for this identity, and may the identity do this?

use crate::proto::auth::{Binding, Credential};
use crate::proto::http::Bridge;
use crate::proto::id::{DeviceId, Principal, Role, StreamName};
use crate::proto::key::PublicKey;
use crate::proto::refusal::RefusalKind;
use crate::proto::scope::Scope;
use crate::proto::timestamp::Timestamp;

/// Verified against when an identity has no such key, so that the answer takes as long as any other; what comes of it
/// is not looked at. It is the encoding of the group's neutral element.
const DUMMY_KEY: [u8; 32] = {
    let mut key = [0; 32];
    key[0] = 1;
    key
};

/// Why a credential proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthnError {
    /// The identity has no key that is good now.
    #[error("an identity that is unknown or has not joined")]
    NoKey,
    /// It has others than the one named.
    #[error("another key")]
    OtherKey,
    /// It names a right key.
    #[error("a signature that does not verify")]
    WrongSignature,
}

/// The key with which the credential proves its identity, whose valid keys these are, to be the sender of that
/// request. The reason for a no is for the log alone: whoever asked hears the same in every case.
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

/// What is known of an identity that matters here.
#[derive(Debug, Clone, Copy)]
pub struct AuthzSubject<'a> {
    /// Which.
    pub principal: &'a Principal,
    /// Whether it is kept out.
    pub disabled: bool,
    /// What a service may reach.
    pub scope: &'a Scope,
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy)]
pub enum Action<'a> {
    /// Be a device.
    Control(&'a DeviceId),
    /// Ask a device for a stream.
    Open {
        /// Which device.
        device: &'a DeviceId,
        /// Whether there is such a device.
        exists: bool,
        /// Which of its streams.
        name: Option<&'a StreamName>,
    },
    /// Bring one side of a stream. Its token says more.
    Bridge(&'a Bridge),
    /// Have a connection stand by, on which each stream is asked for or answered.
    Standby,
    /// Ask which devices there are.
    List,
    /// Know of a device.
    ViewDevice(&'a DeviceId),
}

/// Whether an authenticated identity may do something: the one place that says so, for every way in. A device that a
/// service may not see is answered like one that does not exist.
pub fn authorize(subject: AuthzSubject<'_>, action: Action<'_>, now: Timestamp) -> Result<(), RefusalKind> {
    if subject.disabled {
        return Err(RefusalKind::Disabled);
    }
    match subject.principal.role {
        Role::Device => authorize_device(subject.principal, action),
        Role::Service if subject.scope.has_expired(now) && !is_foreign_resource(action) => {
            Err(RefusalKind::AccessEnded)
        }
        Role::Service => authorize_service(subject.scope, action),
    }
}

fn authorize_device(subject: &Principal, action: Action<'_>) -> Result<(), RefusalKind> {
    let own = |device: &DeviceId| subject.id.as_str() == device.as_str();
    let permitted = match action {
        Action::Control(device) => own(device),
        Action::Bridge(bridge) => bridge.role == Role::Device && own(&bridge.device),
        Action::Standby => true,
        Action::Open { .. } | Action::List | Action::ViewDevice(_) => false,
    };
    if permitted { Ok(()) } else { Err(RefusalKind::AuthenticationFailed) }
}

fn authorize_service(scope: &Scope, action: Action<'_>) -> Result<(), RefusalKind> {
    let covered = |permitted, otherwise| if permitted { Ok(()) } else { Err(otherwise) };
    match action {
        Action::Open { device, exists, name } => {
            covered(exists && scope.covers_device(device), RefusalKind::UnknownDevice)?;
            covered(name.is_none_or(|name| scope.covers_stream(name)), RefusalKind::NotPermitted)
        }
        Action::ViewDevice(device) => covered(scope.covers_device(device), RefusalKind::UnknownDevice),
        Action::Bridge(bridge) => covered(
            !is_foreign_resource(action) && scope.covers_device(&bridge.device),
            RefusalKind::AuthenticationFailed,
        ),
        Action::List | Action::Standby => Ok(()),
        Action::Control(_) => Err(RefusalKind::AuthenticationFailed),
    }
}

/// What no service may do, whatever its scope.
fn is_foreign_resource(action: Action<'_>) -> bool {
    match action {
        Action::Control(_) => true,
        Action::Bridge(bridge) => bridge.role == Role::Device,
        Action::Open { .. } | Action::Standby | Action::List | Action::ViewDevice(_) => false,
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

    /// A forger may know that the stand-in key accepts some signatures of everything.
    #[test]
    fn an_unknown_identity_is_refused_whatever_its_signature() {
        let forged = format!("DevStream v=1, role=device, id=x, key=x, sig=AQ{}", "A".repeat(84));
        let credential: Credential = forged.parse().unwrap();
        let binding = Binding { method: "GET", authority: "hub", path: "/", session: Session::Channel(&[0; 32]) };
        assert!(authenticate(&credential, &[], &binding).is_err());
    }
}
