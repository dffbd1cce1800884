//! PURE. The invitations that an owner's machine has made, and the text of the file that keeps them.
//!
//! One line for each, in words: secret, end, role, id (`*` where the link names none), state. The state is `open`, or `used`
//! or `stored` with the id and the key of the machine that proved it had the secret; `stored` once the hub has that machine's
//! certificate.

use std::time::Duration;

use super::id::{Principal, PrincipalId, Role};
use super::invitation::{InvitationSecret, verifies};
use super::key::PublicKey;
use super::secret::Secret;
use super::timestamp::Timestamp;

/// Time for which an invitation is good: a device that is prepared at a desk and first started where it belongs, weeks later, is
/// signed all the same. Its hub's link is mostly good for less.
pub const INVITATION_TIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Limit of invitations that are kept at a time: each proof is tried with each of them.
pub const MAX_INVITATIONS: usize = 256;

/// Length limit of the file, in bytes: more than [`MAX_INVITATIONS`] of the longest lines.
pub const MAX_INVITATIONS_BYTES: u64 = 128 * 1024;

/// The text for any id.
const ANY: &str = "*";

/// An invitation that was made.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Its secret.
    pub secret: InvitationSecret,
    /// Its end.
    pub until: Timestamp,
    /// The role of the machine that it is for.
    pub role: Role,
    /// The id of that machine, if it is known.
    pub id: Option<PrincipalId>,
    /// The machine that it was good for.
    pub used: Option<Used>,
}

/// The machine that has proved to have the secret of an invitation: it is for no other one from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// Its id.
    pub id: PrincipalId,
    /// Its key.
    pub key: PublicKey,
    /// The hub has its certificate.
    pub stored: bool,
}

/// Why a proof does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// None of the secrets here made it.
    #[error("its proof is of no invitation that was made here, or of one that has ended")]
    Unknown,
    /// The invitation names another machine.
    #[error("its proof is of the invitation for {0}")]
    ForAnother(PrincipalId),
    /// The invitation was used by another machine.
    #[error("its invitation was used before, by {id} with the key {}", key.short())]
    UsedByAnother {
        /// That machine.
        id: PrincipalId,
        /// Its key.
        key: PublicKey,
    },
}

/// The error for an invitation that has no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {MAX_INVITATIONS} invitations, which is the limit; the next one ends at {0}")]
pub struct TooMany(pub Timestamp);

/// The error for a line that is none of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {0} is no invitation")]
pub struct InvalidLine(pub usize);

/// All invitations, the oldest first.
#[derive(Debug, Clone, Default)]
pub struct Invitations(Vec<Issued>);

impl Invitations {
    /// Parses the file.
    pub fn parse(text: &str) -> Result<Self, InvalidLine> {
        let mut all = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let issued = parse_line(line).filter(|_| index < MAX_INVITATIONS);
            all.push(issued.ok_or(InvalidLine(index + 1))?);
        }
        Ok(Self(all))
    }

    /// Formats the file, secrets included.
    pub fn reveal(&self) -> String {
        self.0.iter().map(line).collect()
    }

    /// Removes those that have ended.
    pub fn end(&mut self, now: Timestamp) {
        self.0.retain(|issued| now < issued.until);
    }

    /// Adds one.
    pub fn add(&mut self, issued: Issued) -> Result<(), TooMany> {
        if self.0.len() >= MAX_INVITATIONS {
            let first = self.0.iter().map(|issued| issued.until).min();
            return Err(TooMany(first.unwrap_or(issued.until)));
        }
        self.0.push(issued);
        Ok(())
    }

    /// Returns the machines that may be waiting to be signed: those with an invitation of their own that is open or whose
    /// certificate the hub does not have yet.
    pub fn awaited(&self) -> Vec<Principal> {
        let waits = |issued: &&Issued| issued.used.as_ref().is_none_or(|used| !used.stored);
        let named = |issued: &Issued| {
            let id = issued.used.as_ref().map(|used| used.id.clone()).or_else(|| issued.id.clone())?;
            Some(Principal { role: issued.role, id })
        };
        let mut awaited: Vec<_> = self.0.iter().filter(waits).filter_map(named).collect();
        awaited.sort();
        awaited.dedup();
        awaited
    }

    /// Reports whether one is open that names no machine.
    pub fn has_unnamed(&self, role: Role) -> bool {
        self.0.iter().any(|issued| issued.role == role && issued.id.is_none() && issued.used.is_none())
    }

    /// Has a machine use the invitation whose secret made this proof. It may do so again.
    pub fn redeem(&mut self, owner: &Principal, key: &PublicKey, proof: &str) -> Result<(), ProofError> {
        let is_of = |issued: &&mut Issued| issued.role == owner.role && verifies(&issued.secret, owner, key, proof);
        let issued = self.0.iter_mut().find(is_of).ok_or(ProofError::Unknown)?;
        if let Some(id) = issued.id.as_ref().filter(|id| **id != owner.id) {
            return Err(ProofError::ForAnother(id.clone()));
        }
        match &issued.used {
            Some(used) if used.id == owner.id && used.key == *key => {}
            Some(used) => return Err(ProofError::UsedByAnother { id: used.id.clone(), key: used.key }),
            None => issued.used = Some(Used { id: owner.id.clone(), key: *key, stored: false }),
        }
        Ok(())
    }

    /// Notes that the hub has the certificate of a machine.
    pub fn note_stored(&mut self, owner: &Principal, key: &PublicKey) {
        for issued in self.0.iter_mut().filter(|issued| issued.role == owner.role) {
            if let Some(used) = issued.used.as_mut().filter(|used| used.id == owner.id && used.key == *key) {
                used.stored = true;
            }
        }
    }
}

fn line(Issued { secret, until, role, id, used }: &Issued) -> String {
    let id = id.as_ref().map_or(ANY, PrincipalId::as_str);
    let state = match used {
        None => "open".to_owned(),
        Some(Used { id, key, stored }) => {
            format!("{} {id} {}", if *stored { "stored" } else { "used" }, String::from(*key))
        }
    };
    format!("{} {until} {role} {id} {state}\n", secret.reveal())
}

fn parse_line(line: &str) -> Option<Issued> {
    let words: Vec<_> = line.split(' ').collect();
    let [secret, until, role, id, state, rest @ ..] = words.as_slice() else { return None };
    let used = match (*state, rest) {
        ("open", []) => None,
        ("used" | "stored", [id, key]) => {
            Some(Used { id: id.parse().ok()?, key: key.parse().ok()?, stored: *state == "stored" })
        }
        _ => return None,
    };
    Some(Issued {
        secret: Secret::parse(secret).ok()?,
        until: Timestamp::parse(until)?,
        role: role.parse().ok()?,
        id: if *id == ANY { None } else { Some(id.parse().ok()?) },
        used,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::invitation::prove;
    use crate::proto::key::PrivateKey;
    use crate::proto::secret::KeySeed;

    const END: Timestamp = Timestamp(1_800_000_000);

    fn key(seed: u8) -> PublicKey {
        PrivateKey::from_seed(&KeySeed::new([seed; 32])).public()
    }

    fn device(id: &str) -> Principal {
        Principal { role: Role::Device, id: id.parse().unwrap() }
    }

    fn secret(byte: u8) -> InvitationSecret {
        Secret::new([byte; 32])
    }

    fn issued(byte: u8, id: Option<&str>) -> Issued {
        let id = id.map(|id| id.parse().unwrap());
        Issued { secret: secret(byte), until: END, role: Role::Device, id, used: None }
    }

    fn all(issued: impl IntoIterator<Item = Issued>) -> Invitations {
        let mut all = Invitations::default();
        issued.into_iter().for_each(|issued| all.add(issued).unwrap());
        all
    }

    #[test]
    fn what_is_written_is_read_again_and_a_damaged_line_is_named() {
        let mut invitations = all([issued(1, Some("pi-42")), issued(2, None), issued(3, None)]);
        let (pi_42, pi_43) = (device("pi-42"), device("pi-43"));
        invitations.redeem(&pi_42, &key(1), &prove(&secret(1), &pi_42, &key(1))).unwrap();
        invitations.redeem(&pi_43, &key(2), &prove(&secret(2), &pi_43, &key(2))).unwrap();
        invitations.note_stored(&pi_43, &key(2));
        let text = invitations.reveal();
        assert!(
            text.contains(" used pi-42 ") && text.contains(" stored pi-43 ") && text.ends_with("* open\n"),
            "{text}"
        );
        assert_eq!(Invitations::parse(&text).unwrap().reveal(), text);
        let first = text.lines().next().unwrap();
        for length in 0..first.len() {
            let damaged = text.replacen(first, &first[..length], 1);
            assert_eq!(Invitations::parse(&damaged).unwrap_err(), InvalidLine(1), "{length}");
        }
        assert!(!format!("{invitations:?}").contains(&secret(1).reveal()));
    }

    #[test]
    fn a_secret_is_for_the_first_identity_and_key_that_prove_it() {
        let (pi_42, pi_43) = (device("pi-42"), device("pi-43"));
        let mut invitations = all([issued(1, None), issued(2, Some("pi-43"))]);
        let proof = |byte, owner: &Principal, seed| prove(&secret(byte), owner, &key(seed));
        let redeemed = invitations.redeem(&pi_42, &key(1), &proof(9, &pi_42, 1));
        assert_eq!(redeemed, Err(ProofError::Unknown), "another secret");
        assert_eq!(invitations.redeem(&pi_42, &key(2), &proof(1, &pi_42, 1)), Err(ProofError::Unknown), "another key");
        let redeemed = invitations.redeem(&pi_42, &key(1), &proof(2, &pi_42, 1));
        assert_eq!(redeemed, Err(ProofError::ForAnother("pi-43".parse().unwrap())));
        for _ in 0..2 {
            assert_eq!(invitations.redeem(&pi_42, &key(1), &proof(1, &pi_42, 1)), Ok(()), "as often as it asks");
        }
        let used = ProofError::UsedByAnother { id: "pi-42".parse().unwrap(), key: key(1) };
        assert_eq!(invitations.redeem(&pi_42, &key(2), &proof(1, &pi_42, 2)), Err(used.clone()));
        assert_eq!(invitations.redeem(&pi_43, &key(1), &proof(1, &pi_43, 1)), Err(used));
        let service = Principal { role: Role::Service, ..pi_43.clone() };
        assert_eq!(invitations.redeem(&service, &key(3), &proof(2, &service, 3)), Err(ProofError::Unknown));
    }

    #[test]
    fn those_are_awaited_whose_certificate_the_hub_does_not_have() {
        let pi_42 = device("pi-42");
        let mut invitations = all([issued(1, None), issued(2, Some("pi-43"))]);
        assert_eq!(invitations.awaited(), [device("pi-43")]);
        assert!(invitations.has_unnamed(Role::Device) && !invitations.has_unnamed(Role::Service));
        invitations.redeem(&pi_42, &key(1), &prove(&secret(1), &pi_42, &key(1))).unwrap();
        assert_eq!(invitations.awaited(), [pi_42.clone(), device("pi-43")]);
        assert!(!invitations.has_unnamed(Role::Device));
        invitations.note_stored(&pi_42, &key(1));
        assert_eq!(invitations.awaited(), [device("pi-43")]);
    }

    #[test]
    fn there_are_few_at_a_time_and_those_that_have_ended_make_room() {
        let mut invitations = all((0..MAX_INVITATIONS).map(|_| issued(1, Some(&"x".repeat(128)))));
        assert_eq!(invitations.add(issued(2, None)), Err(TooMany(END)));
        assert!(invitations.reveal().len() as u64 <= MAX_INVITATIONS_BYTES);
        assert!(Invitations::parse(&invitations.reveal()).is_ok());
        invitations.end(END.before(Duration::from_secs(1)));
        assert_eq!(invitations.add(issued(2, None)), Err(TooMany(END)));
        invitations.end(END);
        assert_eq!((invitations.add(issued(2, None)), invitations.awaited()), (Ok(()), vec![]));
    }
}
