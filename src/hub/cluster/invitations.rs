//! Invitations of further hubs, until they are redeemed, for an hour at most. They are kept in memory, sealed with a code that
//! this hub does not have.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::proto::bounded_map::BoundedMap;
use crate::proto::secret::SecretHash;

/// The limit on invitations at the same time: hubs are added one by one.
const MAX_INVITATIONS: usize = 16;

/// The longest validity: a person pastes the link on the other machine.
pub const VALIDITY: Duration = Duration::from_secs(60 * 60);

/// The invitations that were not redeemed, by the hashes of their codes.
#[derive(Debug)]
pub struct Invitations(Mutex<BoundedMap<[u8; 32], Invitation>>);

#[derive(Debug, Clone)]
struct Invitation {
    sealed: Vec<u8>,
    until: Instant,
}

impl Default for Invitations {
    fn default() -> Self {
        Self(Mutex::new(BoundedMap::new(MAX_INVITATIONS)))
    }
}

impl Invitations {
    /// Keeps what is sealed with the code of this hash.
    pub fn add(&self, code: &SecretHash, sealed: Vec<u8>, now: Instant) {
        self.0.lock().insert(*code.bytes(), Invitation { sealed, until: now + VALIDITY });
    }

    /// Takes what is sealed with the code of this hash, once. Hashes are 256 random bits: nobody guesses one by the time that a
    /// lookup takes.
    pub fn redeem(&self, code: &SecretHash, now: Instant) -> Option<Vec<u8>> {
        let mut invitations = self.0.lock();
        invitations.evict_while(|invitation| invitation.until <= now);
        let Invitation { sealed, until } = invitations.remove(code.bytes())?;
        (now < until).then_some(sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::secret::Secret;

    #[test]
    fn an_invitation_is_redeemed_once_and_in_time() {
        let (invitations, now) = (Invitations::default(), tokio::time::Instant::now().into_std());
        let hash = |byte| Secret::new([byte; 32]).hash();
        invitations.add(&hash(1), vec![1], now);
        invitations.add(&hash(2), vec![2], now);
        assert_eq!(invitations.redeem(&hash(3), now), None);
        assert_eq!(invitations.redeem(&hash(1), now), Some(vec![1]));
        assert_eq!(invitations.redeem(&hash(1), now), None);
        assert_eq!(invitations.redeem(&hash(2), now + VALIDITY), None);
    }
}
