//! PURE. Invitations to a fleet: what a join link has after its `#`, and the proof that the machine which joins with it
//! gives.
//!
//! The fragment has the fleet's keys and a secret, and the hub gets neither. It gets the proof: a code over the machine's
//! role, id and key, made with the secret. The hub keeps that with the key, and who made the invitation learns by it that this key
//! is the one of the machine where the link was pasted.

use std::str::FromStr;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::fleet::{FleetKeys, MAX_CERTIFICATE_BYTES};
use super::id::{DeviceId, Principal, PrincipalId, Role};
use super::key::PublicKey;
use super::secret::Secret;

/// The secret of an invitation.
pub type InvitationSecret = Secret<32>;

/// Length limit of what the hub keeps beside a key and does not read, in bytes: a proof and a certificate, the longer of the two.
pub const MAX_OPAQUE_BYTES: usize = MAX_CERTIFICATE_BYTES;

/// What begins an invitation in a link.
pub const FRAGMENT: char = '#';

const LABEL: &str = "devstream-fleet-proof-v1";

/// The part of a join link that the hub neither makes nor gets.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// The fleet that the machine is to trust.
    pub keys: FleetKeys,
    /// What proves that its link was this one.
    pub secret: InvitationSecret,
}

/// The error for text after the `#` of a link that is not an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid invitation after the link's #: copy the whole line that `devstream fleet invite` printed")]
pub struct InvalidInvitation;

impl Invitation {
    /// Formats the text after the `#`, secret included, for the person who requested it.
    pub fn reveal(&self) -> String {
        format!("fleet={}&proof={}", self.keys, self.secret.reveal())
    }
}

impl FromStr for Invitation {
    type Err = InvalidInvitation;

    fn from_str(text: &str) -> Result<Self, InvalidInvitation> {
        let (keys, secret) = text.split_once('&').ok_or(InvalidInvitation)?;
        let keys = keys.strip_prefix("fleet=").and_then(|keys| keys.parse().ok()).ok_or(InvalidInvitation)?;
        let secret = secret.strip_prefix("proof=").and_then(|secret| Secret::parse(secret).ok());
        Ok(Self { keys, secret: secret.ok_or(InvalidInvitation)? })
    }
}

/// Returns the proof that a machine with this identity and key has the secret.
pub fn prove(secret: &InvitationSecret, owner: &Principal, key: &PublicKey) -> String {
    URL_SAFE_NO_PAD.encode(hmac::sign(&hmac_key(secret), &message(owner, key)))
}

/// Verifies a proof, in constant time.
pub fn verifies(secret: &InvitationSecret, owner: &Principal, key: &PublicKey, proof: &str) -> bool {
    let tag = URL_SAFE_NO_PAD.decode(proof).unwrap_or_default();
    hmac::verify(&hmac_key(secret), &message(owner, key), &tag).is_ok()
}

/// Reports whether text may be kept beside a key: it is base64url, and not too long.
pub fn is_opaque_text(text: &str) -> bool {
    let is_base64url = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    (1..=MAX_OPAQUE_BYTES).contains(&text.len()) && text.bytes().all(is_base64url)
}

fn hmac_key(secret: &InvitationSecret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.bytes())
}

/// Label, role, id and key, each preceded by its length. The id is as in certificates: a device's in lower case.
fn message(owner: &Principal, key: &PublicKey) -> Vec<u8> {
    let Principal { role, id } = owner;
    let id: PrincipalId = match role {
        Role::Device => DeviceId::from(id.clone()).lower_case().into(),
        Role::Service => id.clone(),
    };
    let mut message = Vec::new();
    for part in [LABEL.as_bytes(), role.as_str().as_bytes(), id.as_str().as_bytes(), key.bytes()] {
        message.extend_from_slice(&(part.len() as u64).to_be_bytes());
        message.extend_from_slice(part);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::id::Role;
    use crate::proto::key::PrivateKey;
    use crate::proto::secret::KeySeed;

    fn key(seed: u8) -> PublicKey {
        PrivateKey::from_seed(&KeySeed::new([seed; 32])).public()
    }

    fn owner(role: Role, id: &str) -> Principal {
        Principal { role, id: id.parse().unwrap() }
    }

    #[test]
    fn an_invitation_is_read_as_it_was_written_and_a_damaged_one_is_none() {
        let invitation = Invitation { keys: FleetKeys::new(key(1), key(2)), secret: Secret::new([3; 32]) };
        let text = invitation.reveal();
        let read: Invitation = text.parse().unwrap();
        assert_eq!((read.keys, read.reveal()), (invitation.keys, text.clone()));
        assert!(!format!("{read:?}").contains(&invitation.secret.reveal()));
        for length in 0..text.len() {
            assert!(text[..length].parse::<Invitation>().is_err(), "{length}");
        }
        for damaged in [format!("{text}&more=1"), text.replace("fleet", "keys"), text.replace("proof=", "proof=A")] {
            assert_eq!(damaged.parse::<Invitation>().unwrap_err(), InvalidInvitation, "{damaged}");
        }
    }

    #[test]
    fn a_proof_holds_for_one_secret_role_id_and_key() {
        let (secret, pi_42) = (Secret::new([3; 32]), owner(Role::Device, "pi-42"));
        let proof = prove(&secret, &pi_42, &key(1));
        assert!(verifies(&secret, &pi_42, &key(1), &proof));
        assert!(verifies(&secret, &owner(Role::Device, "PI-42"), &key(1), &proof), "as ssh writes it");
        assert!(!verifies(&Secret::new([4; 32]), &pi_42, &key(1), &proof), "another secret");
        assert!(!verifies(&secret, &owner(Role::Service, "pi-42"), &key(1), &proof), "another role");
        assert!(!verifies(&secret, &owner(Role::Device, "pi-43"), &key(1), &proof), "another id");
        assert!(!verifies(&secret, &pi_42, &key(2), &proof), "another key");
        for length in 0..proof.len() {
            assert!(!verifies(&secret, &pi_42, &key(1), &proof[..length]), "{length}");
        }
    }

    /// PROTOCOL.md has this one.
    #[test]
    fn the_proof_is_what_the_protocol_says() {
        let proof = prove(&Secret::new([3; 32]), &owner(Role::Device, "pi-42"), &PublicKey::from_bytes([7; 32]));
        assert_eq!(proof, EXAMPLE);
    }

    const EXAMPLE: &str = "EqS2TqBGew9qeQ5Y6Sx4-P-fZEfpM3FAiw3odpff6aQ";

    #[test]
    fn what_the_hub_keeps_beside_a_key_is_short_base64url() {
        assert!(is_opaque_text("A-_9") && is_opaque_text(&"x".repeat(MAX_OPAQUE_BYTES)));
        for text in ["", "a b", "a\n", "=", "é", &"x".repeat(MAX_OPAQUE_BYTES + 1)] {
            assert!(!is_opaque_text(text), "{text}");
        }
    }
}
