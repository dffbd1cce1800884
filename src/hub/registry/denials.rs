//! Identities that are denied for a moment: an operator takes their access at another hub, and the change is on its way.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::net::os::clock;
use crate::proto::bounded_map::BoundedMap;
use crate::proto::id::Principal;

/// The time for which an identity is denied: the change itself takes seconds at most, also where the registry's leader has died.
pub const DENIED_FOR: Duration = Duration::from_secs(60);

/// The limit on denied identities: no operator takes away as many in a minute.
const MAX_DENIALS: usize = 4096;

/// The identities that are denied, and until when.
#[derive(Debug)]
pub(super) struct Denials(Mutex<BoundedMap<Principal, Instant>>);

impl Default for Denials {
    fn default() -> Self {
        Self(Mutex::new(BoundedMap::new(MAX_DENIALS)))
    }
}

impl Denials {
    /// Denies an identity for [`DENIED_FOR`].
    pub(super) fn add(&self, principal: &Principal) {
        let mut denials = self.0.lock();
        denials.remove(principal);
        denials.insert(principal.clone(), clock::now() + DENIED_FOR);
    }

    /// The change has arrived, or was taken back.
    pub(super) fn lift(&self, principal: &Principal) {
        self.0.lock().remove(principal);
    }

    /// Reports whether an identity is denied.
    pub(super) fn contains(&self, principal: &Principal) -> bool {
        self.0.lock().get(principal).is_some_and(|until| clock::now() < *until)
    }
}
