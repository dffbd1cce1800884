//! Authentication of a connection: an Ed25519 signature over the TLS channel binding and the request.
//!
//! The signature covers 32 bytes of keying material exported from the TLS session ([`super::channel_binding`]), so a
//! captured signature is worthless on another connection, and no clock is needed.

use std::fmt;
use std::str::FromStr;

use super::challenge::Challenge;
use super::channel_binding::Exporter;
use super::id::{Principal, Role};
use super::key::{PrivateKey, PublicKey, Signature};

/// The request header with the [`Credential`]; `Authorization` carries the stream token.
pub const AUTH_HEADER: &str = "devstream-authorization";

const SCHEME: &str = "DevStream";
/// Domain separation of signatures over the channel binding.
const CHANNEL_CONTEXT: &[u8] = b"devstream-auth-v1\0";
/// Domain separation of signatures over a challenge: a challenge chosen to equal a channel binding is of no use.
const CHALLENGE_CONTEXT: &[u8] = b"devstream-auth-challenge-v1\0";

/// The nonce of a signature, which binds it to one connection or one request.
#[derive(Debug, Clone, Copy)]
pub enum Session<'a> {
    /// The channel binding of the TLS session that carries the request.
    Channel(&'a Exporter),
    /// The hub's challenge for one request, where TLS is inspected.
    Challenge(&'a Challenge),
}

/// The request that a signature is for.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// The hub's name as the client addressed it: the `Host` header.
    pub authority: &'a str,
    /// The request's path.
    pub path: &'a str,
    /// The nonce.
    pub session: Session<'a>,
}

impl Binding<'_> {
    /// The bytes to sign. Each field is preceded by its length, so no two requests give the same bytes.
    fn message(&self, principal: &Principal) -> Vec<u8> {
        let fields = [principal.role.as_str(), principal.id.as_str(), self.method, self.authority, self.path];
        let (context, bytes) = match self.session {
            Session::Channel(exporter) => (CHANNEL_CONTEXT, exporter),
            Session::Challenge(challenge) => (CHALLENGE_CONTEXT, challenge.bytes()),
        };
        let mut message = context.to_vec();
        for field in fields {
            message.extend((field.len() as u64).to_be_bytes());
            message.extend(field.as_bytes());
        }
        message.extend(bytes);
        message
    }

    fn challenge(&self) -> Option<Challenge> {
        match self.session {
            Session::Channel(_) => None,
            Session::Challenge(challenge) => Some(*challenge),
        }
    }
}

/// A claimed identity and its proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The claimed identity.
    pub principal: Principal,
    /// [`PublicKey::fingerprint`] of the signing key.
    pub key: String,
    /// The challenge that is signed instead of the channel binding.
    pub challenge: Option<Challenge>,
    signature: Signature,
}

impl Credential {
    /// Signs a request.
    pub fn sign(principal: Principal, key: &PrivateKey, binding: &Binding<'_>) -> Self {
        let signature = key.sign(&binding.message(&principal));
        Self { key: key.public().fingerprint(), principal, challenge: binding.challenge(), signature }
    }

    /// Reports whether the owner of `key` signed this request in this session.
    pub fn is_signed_by(&self, key: &PublicKey, binding: &Binding<'_>) -> bool {
        self.challenge == binding.challenge() && key.verifies(&binding.message(&self.principal), &self.signature)
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Principal { role, id } = &self.principal;
        write!(f, "{SCHEME} v=1, role={role}, id={id}, key={}, ", self.key)?;
        if let Some(challenge) = &self.challenge {
            write!(f, "challenge={challenge}, ")?;
        }
        write!(f, "sig={}", self.signature)
    }
}

/// The error for text that is not a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid credential")]
pub struct InvalidCredential;

impl FromStr for Credential {
    type Err = InvalidCredential;

    fn from_str(text: &str) -> Result<Self, InvalidCredential> {
        let fields = text.strip_prefix(SCHEME).ok_or(InvalidCredential)?;
        let mut fields = fields.split(',').map(|field| field.trim().split_once('=')).peekable();
        let is_challenge = |field: &Option<(&str, &str)>| field.is_some_and(|(name, _)| name == "challenge");
        let mut field = |name| match fields.next() {
            Some(Some((found, value))) if found == name => Ok(value),
            _ => Err(InvalidCredential),
        };
        if field("v")? != "1" {
            return Err(InvalidCredential);
        }
        let role: Role = field("role")?.parse().map_err(|_| InvalidCredential)?;
        let id = field("id")?.to_owned().try_into().map_err(|_| InvalidCredential)?;
        let key = field("key")?.to_owned();
        let challenge = fields.next_if(is_challenge).flatten().map(|(_, value)| value.parse());
        let challenge = challenge.transpose().map_err(|_| InvalidCredential)?;
        let Some(Some(("sig", signature))) = fields.next() else { return Err(InvalidCredential) };
        let signature = signature.parse().map_err(|_| InvalidCredential)?;
        if fields.next().is_some() {
            return Err(InvalidCredential);
        }
        Ok(Self { principal: Principal { role, id }, key, challenge, signature })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::secret::KeySeed;

    const EXPORTER: Exporter = [5; 32];

    fn binding() -> Binding<'static> {
        Binding {
            method: "GET",
            authority: "hub:8443",
            path: "/devices/pi-42/control",
            session: Session::Channel(&EXPORTER),
        }
    }

    fn device(id: &str) -> Principal {
        Principal { role: Role::Device, id: id.to_owned().try_into().unwrap() }
    }

    #[test]
    fn a_credential_round_trips_through_its_header() {
        let key = PrivateKey::from_seed(&KeySeed::new([1; 32]));
        let credential = Credential::sign(device("pi-42"), &key, &binding());
        let parsed: Credential = credential.to_string().parse().unwrap();
        assert_eq!(parsed, credential);
        assert!(parsed.is_signed_by(&key.public(), &binding()));
    }

    #[test]
    fn a_credential_is_invalid_for_another_request_session_or_identity() {
        let key = PrivateKey::from_seed(&KeySeed::new([1; 32]));
        let good = Credential::sign(device("pi-42"), &key, &binding());
        let other_session = [6; 32];
        for other in [
            Binding { method: "POST", ..binding() },
            Binding { authority: "hub2:8443", ..binding() },
            Binding { path: "/devices/pi-43/control", ..binding() },
            Binding { session: Session::Channel(&other_session), ..binding() },
        ] {
            assert!(!good.is_signed_by(&key.public(), &other), "{other:?}");
        }
        let mut stolen = good;
        stolen.principal.role = Role::Service;
        assert!(!stolen.is_signed_by(&key.public(), &binding()));
        stolen.principal = device("pi-43");
        assert!(!stolen.is_signed_by(&key.public(), &binding()));
    }

    #[test]
    fn a_challenge_never_replaces_a_channel_binding_or_the_reverse() {
        let key = PrivateKey::from_seed(&KeySeed::new([1; 32]));
        let challenge = Challenge::new(EXPORTER);
        let answered = Binding { session: Session::Challenge(&challenge), ..binding() };
        let answer = Credential::sign(device("pi-42"), &key, &answered);
        let parsed: Credential = answer.to_string().parse().unwrap();
        assert_eq!(parsed, answer);
        assert!(parsed.is_signed_by(&key.public(), &answered));
        assert!(!parsed.is_signed_by(&key.public(), &binding()), "the same bytes, from the channel");
        let relabelled = Credential { challenge: None, ..answer.clone() };
        assert!(!relabelled.is_signed_by(&key.public(), &binding()));
        let other = Challenge::new([6; 32]);
        assert!(!answer.is_signed_by(&key.public(), &Binding { session: Session::Challenge(&other), ..binding() }));
        let direct = Credential::sign(device("pi-42"), &key, &binding());
        assert!(!direct.is_signed_by(&key.public(), &answered));
    }

    #[test]
    fn malformed_headers_are_errors() {
        let key = PrivateKey::from_seed(&KeySeed::new([1; 32]));
        let good = Credential::sign(device("pi-42"), &key, &binding()).to_string();
        for bad in [
            "",
            "Bearer x",
            &good[1..],
            &good[..good.len() - 1],
            &good.replace("v=1", "v=2"),
            &good.replace("role=device", "role=root"),
            &good.replace("id=pi-42", "id="),
            &format!("{good}, more=1"),
        ] {
            assert_eq!(bad.parse::<Credential>(), Err(InvalidCredential), "{bad}");
        }
    }
}
