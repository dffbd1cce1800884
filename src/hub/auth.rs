//! PURE. Does this credential speak for this identity, and may the identity do this?

use crate::proto::admin::Scope;
use crate::proto::auth::{Binding, Credential};
use crate::proto::http::Bridge;
use crate::proto::id::{DeviceId, Principal, Role, StreamName};
use crate::proto::key::PublicKey;
use crate::proto::refusal::Kind;

/// Verified against when an identity has no key, so that the answer takes as long as any other; what comes of it is
/// not looked at. It is the encoding of the group's neutral element.
const NOBODYS_KEY: [u8; 32] = {
    let mut key = [0; 32];
    key[0] = 1;
    key
};

/// Whether the credential proves its identity, whose key this is, to be the sender of that request. The reason for a
/// no is for the log alone: whoever asked hears the same in every case.
pub fn authenticate(
    credential: &Credential,
    key: Option<&PublicKey>,
    binding: &Binding<'_>,
) -> Result<(), &'static str> {
    let proven = credential.is_proven_by(key.unwrap_or(&PublicKey::from_bytes(NOBODYS_KEY)), binding);
    match key {
        None => Err("an identity that is unknown or has not joined"),
        Some(key) if key.fingerprint() != credential.key => Err("another key"),
        Some(_) if !proven => Err("a signature that does not verify"),
        Some(_) => Ok(()),
    }
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
        known: bool,
        /// Which of its streams.
        name: Option<&'a StreamName>,
    },
    /// Bring one side of a stream. Its token says more.
    Bridge(&'a Bridge),
}

/// Whether an authenticated identity may do something: the one place that says so, for every way in. A device that a
/// service may not see is answered like one that does not exist.
pub fn authorize(who: &Principal, scope: &Scope, action: Action<'_>) -> Result<(), Kind> {
    let own = |device: &DeviceId| who.id.as_str() == device.as_str();
    let permitted = match (who.role, action) {
        (Role::Device, Action::Control(device)) => own(device),
        (Role::Device, Action::Bridge(bridge)) => bridge.role == Role::Device && own(&bridge.device),
        (Role::Service, Action::Bridge(bridge)) => {
            bridge.role == Role::Service && scope.covers_device(bridge.device.as_str())
        }
        (Role::Service, Action::Open { device, known, .. }) if !known || !scope.covers_device(device.as_str()) => {
            return Err(Kind::UnknownDevice);
        }
        (Role::Service, Action::Open { name, .. }) => {
            return if name.is_none_or(|name| scope.covers_stream(name)) { Ok(()) } else { Err(Kind::NotPermitted) };
        }
        (Role::Device, Action::Open { .. }) | (Role::Service, Action::Control(_)) => false,
    };
    if permitted { Ok(()) } else { Err(Kind::AuthenticationFailed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::auth::Session;
    use crate::proto::key::PrivateKey;
    use crate::proto::secret::KeySeed;

    #[test]
    fn nobodys_key_and_anothers_key_prove_nothing() {
        let key = PrivateKey::from_seed(&KeySeed::new([1; 32]));
        let other = PrivateKey::from_seed(&KeySeed::new([2; 32])).public();
        let binding = Binding { method: "GET", authority: "hub", path: "/", session: Session::Channel(&[0; 32]) };
        let principal = Principal { role: Role::Device, id: "pi-42".to_owned().try_into().unwrap() };
        let credential = Credential::sign(principal, &key, &binding);
        assert!(authenticate(&credential, Some(&key.public()), &binding).is_ok());
        assert!(authenticate(&credential, Some(&other), &binding).is_err());
        assert!(authenticate(&credential, None, &binding).is_err());
    }

    /// A forger may know that the stand-in key accepts some signatures of everything.
    #[test]
    fn an_unknown_identity_is_refused_whatever_its_signature() {
        let forged = format!("DevStream v=1, role=device, id=x, key=x, sig=AQ{}", "A".repeat(84));
        let credential: Credential = forged.parse().unwrap();
        let binding = Binding { method: "GET", authority: "hub", path: "/", session: Session::Channel(&[0; 32]) };
        assert!(authenticate(&credential, None, &binding).is_err());
    }
}
