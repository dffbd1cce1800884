//! Tickets, with which a session is resumed and its first bytes go out with the first message (0-RTT, RFC 8446 section 2.3).
//!
//! Whoever carries that message can repeat it. The device therefore keeps its tickets in memory alone, takes each one once,
//! and remembers the ones that it has taken: rustls would merely decline the bytes that come with a repetition, whereupon a
//! service whose answer was withheld sends them a second time.
//!
//! What a run of the device has taken, the next one does not know. A device that declines a ticket therefore says the age of its
//! memory, and a service sends declined bytes again only if that memory is older than its message: whichever device declined
//! them would then know if it had taken them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::server::StoresServerSessions;

use super::peers::Anchors;
use crate::net::os::clock;
use crate::proto::bounded_map::BoundedMap;

/// Tickets that a device keeps, the oldest lost first; a session is about 300 bytes.
const DEVICE_TICKETS: usize = 1024;

/// Used tickets that a device remembers: a hundred streams a second, in 6 MiB.
const USED_TICKETS: usize = 64 * 1024;

/// Time for which a used ticket is remembered: longer than any service waits for its stream.
const USED_FOR: Duration = Duration::from_secs(10 * 60);

/// Tickets that a service keeps for one stream of one device: more than streams that are opened at once.
const SERVICE_TICKETS: usize = 64;

/// Tickets that are enough for a service, as many as 32 streams of a device then have under [`DEVICE_TICKETS`].
const ENOUGH_TICKETS: usize = 32;

/// The first half of a ticket, which is 32 random bytes of the device.
type TicketId = [u8; 16];

/// The tickets that a device has issued, and those that were used.
pub(super) struct DeviceTickets {
    started_at: Instant,
    issued: Mutex<Issued>,
}

struct Issued {
    /// Sessions, each with the keys that vouched for the service then. Where others do now, the session is not resumed: a full
    /// handshake tells the service which key is refused.
    sessions: BoundedMap<TicketId, (Vec<u8>, Anchors)>,
    /// When tickets were used.
    used: BoundedMap<TicketId, Instant>,
}

impl Default for DeviceTickets {
    fn default() -> Self {
        let (sessions, used) = (BoundedMap::new(DEVICE_TICKETS), BoundedMap::new(USED_TICKETS));
        Self { started_at: clock::now(), issued: Mutex::new(Issued { sessions, used }) }
    }
}

impl fmt::Debug for DeviceTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceTickets")
    }
}

/// What a ticket turned out to be.
#[derive(Debug, PartialEq, Eq)]
enum Presented {
    Session(Vec<u8>),
    /// Other keys vouch for the service than when it was issued, or it could not be remembered.
    Outdated,
    Unknown,
    Used,
}

impl DeviceTickets {
    /// Takes the session of a ticket, if these keys vouch for its service. While too many were used lately to remember another
    /// one, none is taken, and it is not kept: the service repeats what is declined now, and it must not be accepted later.
    fn take(&self, ticket: &[u8], anchors: &Anchors) -> Presented {
        let (Some(ticket), now) = (id_of(ticket), clock::now()) else { return Presented::Unknown };
        let Issued { sessions, used } = &mut *self.issued.lock();
        used.evict_while(|at| now.saturating_duration_since(*at) > USED_FOR);
        if used.contains(&ticket) {
            return Presented::Used;
        }
        let Some((session, vouched)) = sessions.remove(&ticket) else { return Presented::Unknown };
        if used.len() >= USED_TICKETS {
            return Presented::Outdated;
        }
        used.insert(ticket, now);
        if vouched == *anchors { Presented::Session(session) } else { Presented::Outdated }
    }

    /// Keeps the session of a new ticket; reports whether it did.
    fn put(&self, ticket: &[u8], session: Vec<u8>, anchors: Anchors) -> bool {
        let id = id_of(ticket);
        id.map(|id| self.issued.lock().sessions.insert(id, (session, anchors))).is_some()
    }
}

fn id_of(ticket: &[u8]) -> Option<TicketId> {
    ticket.first_chunk().copied()
}

/// The tickets of a device, for one of its sessions.
pub(super) struct ConnectionTickets {
    all: Arc<DeviceTickets>,
    anchors: Anchors,
    is_replayed: AtomicBool,
    is_presented: AtomicBool,
}

impl ConnectionTickets {
    pub(super) fn new(all: Arc<DeviceTickets>, anchors: Anchors) -> Self {
        Self { all, anchors, is_replayed: AtomicBool::default(), is_presented: AtomicBool::default() }
    }

    /// The time for which used tickets have been remembered, if one was presented.
    pub(super) fn memory_age(&self) -> Option<Duration> {
        let age = || clock::now().saturating_duration_since(self.all.started_at).min(USED_FOR);
        self.is_presented.load(Ordering::Relaxed).then(age)
    }

    /// Reports whether a ticket was presented that was used before.
    pub(super) fn is_replayed(&self) -> bool {
        self.is_replayed.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for ConnectionTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionTickets")
    }
}

impl StoresServerSessions for ConnectionTickets {
    fn put(&self, ticket: Vec<u8>, session: Vec<u8>) -> bool {
        self.all.put(&ticket, session, self.anchors.clone())
    }

    fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn take(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.is_presented.store(true, Ordering::Relaxed);
        match self.all.take(ticket, &self.anchors) {
            Presented::Session(session) => Some(session),
            Presented::Outdated | Presented::Unknown => None,
            Presented::Used => {
                self.is_replayed.store(true, Ordering::Relaxed);
                None
            }
        }
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// The tickets that a service has for one stream of one device, of whose key it knows the same throughout.
#[derive(Default)]
pub(super) struct ServiceTickets {
    key_exchange: Mutex<Option<NamedGroup>>,
    tickets: Mutex<VecDeque<Tls13ClientSessionValue>>,
}

impl ServiceTickets {
    /// Reports whether there are enough for streams that are opened at once.
    pub(super) fn are_enough(&self) -> bool {
        self.tickets.lock().len() >= ENOUGH_TICKETS
    }
}

impl fmt::Debug for ServiceTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceTickets")
    }
}

impl ClientSessionStore for ServiceTickets {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        *self.key_exchange.lock() = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        *self.key_exchange.lock()
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut tickets = self.tickets.lock();
        if tickets.len() >= SERVICE_TICKETS {
            tickets.pop_front();
        }
        tickets.push_back(ticket);
    }

    /// Takes the newest ticket: the device loses the oldest first.
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.tickets.lock().pop_back()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::key::PublicKey;

    const ID: TicketId = [1; 16];

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_taken_once_and_known_as_used_for_ten_minutes() {
        let tickets = DeviceTickets::default();
        tickets.put(&ID, vec![1], None);
        assert_eq!(tickets.take(&[2; 16], &None), Presented::Unknown);
        assert_eq!(tickets.take(&ID, &None), Presented::Session(vec![1]));
        assert_eq!(tickets.take(&ID, &None), Presented::Used);
        tokio::time::advance(USED_FOR).await;
        assert_eq!(tickets.take(&ID, &None), Presented::Used);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(tickets.take(&ID, &None), Presented::Unknown, "forgotten, and the session is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_of_used_tickets_is_never_said_to_be_longer_than_it_is() {
        let connection = ConnectionTickets::new(Arc::default(), None);
        assert_eq!(connection.memory_age(), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(connection.take(&ID), None);
        assert_eq!(connection.memory_age(), Some(Duration::from_secs(1)));
        tokio::time::advance(USED_FOR * 2).await;
        assert_eq!(connection.memory_age(), Some(USED_FOR));
    }

    #[test]
    fn a_ticket_holds_only_under_the_keys_that_vouched_for_its_service() {
        let key = |byte| Some(vec![PublicKey::from_bytes([byte; 32])]);
        let tickets = DeviceTickets::default();
        for (id, then, now) in [([1; 16], key(1), key(2)), ([2; 16], None, key(1)), ([3; 16], key(1), None)] {
            tickets.put(&id, vec![1], then);
            assert_eq!(tickets.take(&id, &now), Presented::Outdated);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn used_tickets_are_not_forgotten_for_new_ones() {
        let tickets = DeviceTickets::default();
        let ticket = |number: usize| (number as u128).to_be_bytes();
        for number in 0..USED_TICKETS {
            tickets.put(&ticket(number), vec![1], None);
            assert_eq!(tickets.take(&ticket(number), &None), Presented::Session(vec![1]));
        }
        tickets.put(&[3; 16], vec![2], None);
        assert_eq!(tickets.take(&[3; 16], &None), Presented::Outdated, "it could not be remembered");
        assert_eq!(tickets.take(&ticket(0), &None), Presented::Used);
        tokio::time::advance(USED_FOR + Duration::from_secs(1)).await;
        assert_eq!(tickets.take(&[3; 16], &None), Presented::Unknown, "its bytes were repeated after the decline");
    }
}
