//! PURE. The invitations that an owner's machine has made, and the text of the file that keeps them.
//!
//! One line for each, in words: secret, end, role, id (a pattern where the link names none), state. The state is `open`, or
//! `used` or `stored` with the id and the key of the machine that proved it had the secret; `stored` once the hub has that
//! machine's certificate.
//!
//! A lost link must not be good for another machine later: whatever settles which key is an id's ends the other invitations
//! for that id, those that have ended by the clock too, which may be wrong. A machine that was forgotten is none that an
//! invitation without an id is for: a line `forgotten` with its role and id, for as long as there are such invitations.

mod errors;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

pub use self::errors::{InvalidLine, ProofError, TooMany};
use super::id::{Principal, PrincipalId, Role};
use super::invitation::{InvitationSecret, verifies};
use super::key::PublicKey;
use super::scope::Glob;
use super::secret::Secret;
use super::timestamp::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Time for which an invitation is good: a device that is prepared at a desk and first started where it belongs, weeks later, is
/// signed all the same. Its hub's link is mostly good for less.
pub const INVITATION_TIME: Duration = DAY.saturating_mul(30);

/// Time for which one that has ended is kept: a clock that was ahead for a while must not have cost all that are open.
const KEPT_AFTER_END: Duration = DAY.saturating_mul(90);

/// Limit of invitations that are kept at a time: each proof is tried with each of them.
pub const MAX_INVITATIONS: usize = 256;

/// Limit of forgotten machines that are kept. With more, the invitations that would be for the next one are ended instead.
const MAX_FORGOTTEN: usize = 512;

/// Length limit of the file, in bytes: more than [`MAX_INVITATIONS`] and `MAX_FORGOTTEN` of the longest lines.
pub const MAX_INVITATIONS_BYTES: u64 = 256 * 1024;

/// The machine that an invitation is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invited {
    /// The one with this id.
    Id(PrincipalId),
    /// One whose id matches: its link is an enrolment key, which names none.
    Matching(Glob),
}

/// The error for text that is neither an id nor a pattern of ids. It does not repeat that: it may be a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an id, or a pattern of ids with * or ?")]
pub struct InvalidInvited;

impl Invited {
    /// Reports whether it is for the machine with this id.
    pub fn covers(&self, id: &PrincipalId) -> bool {
        match self {
            Self::Id(invited) => invited == id,
            Self::Matching(glob) => glob.matches(id.as_str()),
        }
    }
}

impl FromStr for Invited {
    type Err = InvalidInvited;

    fn from_str(text: &str) -> Result<Self, InvalidInvited> {
        if text.contains(['*', '?']) {
            return text.parse().map(Self::Matching).map_err(|_| InvalidInvited);
        }
        text.parse().map(Self::Id).map_err(|_| InvalidInvited)
    }
}

impl fmt::Display for Invited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => f.write_str(id.as_str()),
            Self::Matching(glob) => fmt::Display::fmt(glob, f),
        }
    }
}

/// An invitation that was made.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Its secret.
    pub secret: InvitationSecret,
    /// Its end.
    pub until: Timestamp,
    /// The role of the machine that it is for.
    pub role: Role,
    /// That machine.
    pub invited: Invited,
    /// The machine that it was good for.
    pub used: Option<Used>,
}

impl Issued {
    fn is_open_for(&self, owner: &Principal) -> bool {
        let is_named = matches!(&self.invited, Invited::Id(id) if *id == owner.id);
        self.used.is_none() && self.role == owner.role && is_named
    }

    /// Reports whether it names no id, and may be used by this machine.
    fn may_be_for(&self, owner: &Principal) -> bool {
        let is_unnamed = self.used.is_none() && matches!(self.invited, Invited::Matching(_));
        is_unnamed && self.role == owner.role && self.invited.covers(&owner.id)
    }

    fn used_by(&self, owner: &Principal) -> Option<&Used> {
        self.used.as_ref().filter(|used| self.role == owner.role && used.id == owner.id)
    }
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

/// What a machine claims, by the hub.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The machine.
    pub owner: &'a Principal,
    /// Its key.
    pub key: &'a PublicKey,
    /// The proof of that.
    pub proof: &'a str,
    /// The key that was signed here for the same machine before.
    pub signed: Option<&'a PublicKey>,
}

/// What a proof is looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// A stream meets the machine. Nobody reads what is said before it is done, so nothing is replaced.
    Stream,
    /// A person has all machines signed that wait for it.
    All,
    /// A person names the machine.
    Named,
}

/// What is to be done for a proof that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redeemed {
    /// The key is to be signed.
    ToSign,
    /// It was signed, and the hub has had its certificate.
    AlreadyStored,
}

/// All invitations, the oldest first.
#[derive(Debug, Clone, Default)]
pub struct Invitations {
    live: Vec<Issued>,
    ended: Vec<Issued>,
    forgotten: Vec<Principal>,
}

impl Invitations {
    /// Parses the file.
    pub fn parse(text: &str) -> Result<Self, InvalidLine> {
        let mut all = Self::default();
        for (index, line) in text.lines().enumerate() {
            match (parse_forgotten(line), parse_line(line)) {
                (Some(owner), _) if all.forgotten.len() < MAX_FORGOTTEN => all.forgotten.push(owner),
                (_, Some(issued)) if all.live.len() < MAX_INVITATIONS => all.live.push(issued),
                _ => return Err(InvalidLine(index + 1)),
            }
        }
        Ok(all)
    }

    /// Formats the file, secrets included.
    pub fn reveal(&self) -> String {
        let forgotten = self.forgotten.iter().map(|Principal { role, id }| format!("{FORGOTTEN} {role} {id}\n"));
        self.ended.iter().chain(&self.live).map(line).chain(forgotten).collect()
    }

    /// Has those count no more that have ended, and removes those that did so long ago.
    pub fn end(&mut self, now: Timestamp) {
        self.ended.extend(self.live.extract_if(.., |issued| issued.until <= now));
        self.ended.retain(|issued| now < issued.until.after(KEPT_AFTER_END));
        let (live, ended) = (&self.live, &self.ended);
        self.forgotten.retain(|owner| live.iter().chain(ended).any(|issued| issued.may_be_for(owner)));
    }

    /// Adds one, in place of those that are open for the same machine; a key of it that has used one has done so for good.
    /// Those that have done their work make room.
    pub fn add(&mut self, issued: Issued) -> Result<(), TooMany> {
        if let Invited::Id(id) = &issued.invited {
            let owner = Principal { role: issued.role, id: id.clone() };
            self.retain(|other| !other.is_open_for(&owner));
            self.forgotten.retain(|forgotten| *forgotten != owner);
            for other in self.live.iter_mut().chain(&mut self.ended).filter(|other| other.role == owner.role) {
                if let Some(used) = other.used.as_mut().filter(|used| used.id == owner.id) {
                    used.stored = true;
                }
            }
        }
        if self.live.len() + self.ended.len() >= MAX_INVITATIONS {
            let is_done = |issued: &Issued| issued.used.as_ref().is_some_and(|used| used.stored);
            if !self.ended.is_empty() {
                self.ended.remove(0);
            } else if let Some(done) = self.live.iter().position(is_done) {
                self.live.remove(done);
            } else {
                let first = self.live.iter().map(|issued| issued.until).min();
                return Err(TooMany(first.unwrap_or(issued.until)));
            }
        }
        self.live.push(issued);
        Ok(())
    }

    /// Returns the machines that may be waiting to be signed: those with an invitation of their own that is open or whose
    /// certificate the hub does not have yet.
    pub fn awaited(&self) -> Vec<Principal> {
        let named = |issued: &Issued| {
            let id = match (&issued.used, &issued.invited) {
                (Some(used), _) if used.stored => return None,
                (Some(used), _) => used.id.clone(),
                (None, Invited::Id(id)) => id.clone(),
                (None, Invited::Matching(_)) => return None,
            };
            Some(Principal { role: issued.role, id })
        };
        let mut awaited: Vec<_> = self.live.iter().filter_map(named).collect();
        awaited.sort();
        awaited.dedup();
        awaited
    }

    /// The number of those that no machine has used.
    pub fn open(&self) -> usize {
        self.live.iter().filter(|issued| issued.used.is_none()).count()
    }

    /// Reports whether one is open for this machine by name.
    pub fn is_open_for(&self, owner: &Principal) -> bool {
        self.live.iter().any(|issued| issued.is_open_for(owner))
    }

    /// Reports whether one is open that names no id.
    pub fn has_unnamed(&self, role: Role) -> bool {
        self.unnamed(role).next().is_some()
    }

    /// Reports whether one is open that names no id and is for such a machine.
    pub fn has_unnamed_for(&self, owner: &Principal) -> bool {
        !self.forgotten.contains(owner) && self.live.iter().any(|issued| issued.may_be_for(owner))
    }

    fn unnamed(&self, role: Role) -> impl Iterator<Item = &Issued> {
        let is_unnamed = |issued: &Issued| matches!(issued.invited, Invited::Matching(_)) && issued.used.is_none();
        self.live.iter().filter(move |issued| issued.role == role && is_unnamed(issued))
    }

    /// Has a machine use the invitation whose secret made its proof. It may do so again.
    pub fn redeem(&mut self, claim: &Claim<'_>, occasion: Occasion) -> Result<Redeemed, ProofError> {
        let Claim { owner, key, proof, signed } = *claim;
        let is_of = |issued: &&mut Issued| issued.role == owner.role && verifies(&issued.secret, owner, key, proof);
        let issued = self.live.iter_mut().find(is_of).ok_or(ProofError::Unknown)?;
        let invited = issued.invited.clone();
        if !invited.covers(&owner.id) {
            return Err(ProofError::ForAnother(invited));
        }
        let other = signed.copied().filter(|signed| signed != key);
        match (&issued.used, &invited, occasion, other) {
            (Some(used), ..) if used.id != owner.id || used.key != *key => {
                return Err(ProofError::UsedByAnother { id: used.id.clone(), key: used.key });
            }
            (None, Invited::Matching(_), ..) if self.forgotten.contains(owner) => {
                return Err(ProofError::Forgotten { invited });
            }
            (_, Invited::Matching(_), _, Some(signed)) => return Err(ProofError::ReplacesNone { signed, invited }),
            (_, _, Occasion::Stream, Some(signed)) => {
                return Err(ProofError::AnotherSigned { signed, owner: owner.clone() });
            }
            (None, Invited::Matching(_), Occasion::Stream, _) => {
                return Err(ProofError::NamesNone { invited, owner: owner.clone() });
            }
            (Some(used), ..) if used.stored => return Ok(Redeemed::AlreadyStored),
            (Some(_), ..) => return Ok(Redeemed::ToSign),
            (None, ..) => issued.used = Some(Used { id: owner.id.clone(), key: *key, stored: false }),
        }
        self.settle(owner, key);
        Ok(Redeemed::ToSign)
    }

    /// Ends all invitations for a machine but that which this key of it has used, and reports whether there were any.
    pub fn settle(&mut self, owner: &Principal, key: &PublicKey) -> bool {
        let is_other = |used: &Used| used.key != *key;
        self.forgotten.retain(|forgotten| forgotten != owner);
        self.retain(|issued| !issued.is_open_for(owner) && !issued.used_by(owner).is_some_and(is_other))
    }

    /// Ends all invitations for a machine, used or not, has those that name none be for others, and reports whether there were
    /// any.
    pub fn forget(&mut self, owner: &Principal) -> bool {
        let any = self.retain(|issued| !issued.is_open_for(owner) && issued.used_by(owner).is_none());
        let may_return = self.live.iter().chain(&self.ended).any(|issued| issued.may_be_for(owner));
        if may_return && !self.forgotten.contains(owner) {
            if self.forgotten.len() < MAX_FORGOTTEN {
                self.forgotten.push(owner.clone());
            } else {
                self.retain(|issued| !issued.may_be_for(owner));
            }
        }
        any
    }

    /// Ends those that `keep` does not name, whatever the clock says of them, and reports whether there were any.
    fn retain(&mut self, keep: impl Fn(&Issued) -> bool) -> bool {
        let count = self.live.len() + self.ended.len();
        self.live.retain(&keep);
        self.ended.retain(&keep);
        self.live.len() + self.ended.len() < count
    }

    /// Notes that the hub has the certificate of a machine.
    pub fn note_stored(&mut self, owner: &Principal, key: &PublicKey) {
        for issued in self.live.iter_mut().filter(|issued| issued.role == owner.role) {
            if let Some(used) = issued.used.as_mut().filter(|used| used.id == owner.id && used.key == *key) {
                used.stored = true;
            }
        }
    }
}

fn line(Issued { secret, until, role, invited, used }: &Issued) -> String {
    let state = match used {
        None => "open".to_owned(),
        Some(Used { id, key, stored }) => {
            format!("{} {id} {}", if *stored { "stored" } else { "used" }, String::from(*key))
        }
    };
    format!("{} {until} {role} {invited} {state}\n", secret.reveal())
}

/// The first word of a forgotten machine's line.
const FORGOTTEN: &str = "forgotten";

fn parse_forgotten(line: &str) -> Option<Principal> {
    let (role, id) = line.strip_prefix(FORGOTTEN)?.strip_prefix(' ')?.split_once(' ')?;
    Some(Principal { role: role.parse().ok()?, id: id.parse().ok()? })
}

fn parse_line(line: &str) -> Option<Issued> {
    let words: Vec<_> = line.split(' ').collect();
    let [secret, until, role, invited, state, rest @ ..] = words.as_slice() else { return None };
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
        invited: invited.parse().ok()?,
        used,
    })
}

#[cfg(test)]
mod tests;
