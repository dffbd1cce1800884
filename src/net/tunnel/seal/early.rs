//! Bytes between the application and the session: those that go ahead of the handshake (0-RTT), and decrypted ones that wait.

use std::io::{self, Read as _, Write as _};
use std::time::Duration;

use rustls::{ClientConnection, Connection};

use super::RECORD_OVERHEAD;
use crate::net::os::clock::Reading;
use crate::proto::e2e::{MEMORY_AGE_BYTES, MEMORY_AGE_UNIT, decode_memory_age};
use crate::proto::limits::EARLY_DATA_BYTES;

/// Two clocks may differ by this part of a time: each is off by less than half of it, slewing included.
const CLOCK_DIFFERENCE: u32 = 1000;

/// The bytes ahead of the handshake.
#[derive(Default)]
pub(super) struct EarlyBytes {
    /// A service's, and when the first of them went out: again after the handshake, if the device declined them.
    sent: Vec<u8>,
    sent_at: Option<Reading>,
    /// The number of their records.
    sent_records: usize,
    /// The service has presented a ticket.
    has_ticket: bool,
    /// The bytes that it has of the age of the device's memory.
    memory_age: Vec<u8>,
    /// A device's, and how many have come in all.
    pub(super) received: Undelivered,
    received_in_all: usize,
}

impl EarlyBytes {
    /// Nothing yet, in a session whose first message is not made.
    pub(super) fn new(tls: &mut Connection) -> Self {
        let mut early = Self::default();
        early.has_ticket = early.room(tls) > 0;
        early
    }

    pub(super) fn has_sent(&self) -> bool {
        !self.sent.is_empty()
    }

    /// The number of bytes that a ticket still protects. Their records count whole: a device that declines them keeps them, as
    /// rustls does, until the handshake goes on.
    pub(super) fn room(&self, tls: &mut Connection) -> usize {
        let Connection::Client(client) = tls else { return 0 };
        let left = client.early_data().map_or(0, |early| early.bytes_left());
        left.min(EARLY_DATA_BYTES.saturating_sub(self.sent.len() + (self.sent_records + 1) * RECORD_OVERHEAD))
    }

    /// Encrypts bytes of the application ahead of the handshake; `false` if that is not possible.
    pub(super) fn send(&mut self, plaintext: &[u8], tls: &mut Connection) -> io::Result<bool> {
        let Connection::Client(client) = tls else { return Ok(false) };
        let Some(mut early) = client.early_data() else { return Ok(false) };
        self.sent.extend_from_slice(plaintext);
        self.sent_at.get_or_insert_with(Reading::now);
        self.sent_records += 1;
        early.write_all(plaintext).map(|()| true)
    }

    /// Takes what a service sent; reports whether the device accepts such. Fails if it is more than a service may send.
    pub(super) fn receive(&mut self, tls: &mut Connection) -> io::Result<bool> {
        let Connection::Server(server) = tls else { return Ok(false) };
        let Some(mut early) = server.early_data() else { return Ok(false) };
        // All that has arrived is there.
        self.received_in_all += early.read_to_end(&mut self.received.bytes)?;
        if self.received_in_all > EARLY_DATA_BYTES { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(true) }
    }

    /// Reads the age of the device's memory, which comes before all else where a ticket was presented in vain; `None` until it is
    /// there. Where none was presented, any age will do.
    pub(super) fn read_memory_age(&mut self, client: &mut ClientConnection) -> io::Result<Option<Duration>> {
        if !self.has_ticket {
            return Ok(Some(Duration::MAX));
        }
        let missing = MEMORY_AGE_BYTES - self.memory_age.len();
        match client.reader().take(missing as u64).read_to_end(&mut self.memory_age) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(_) | Err(_) => Ok(self.memory_age.as_slice().try_into().ok().map(decode_memory_age)),
        }
    }

    /// Reports whether a former run of the device's agent may have taken the bytes: this one, which declined them, has a
    /// memory of this age, and would know if it had.
    pub(super) fn may_have_arrived(&self, memory_age: Duration) -> bool {
        self.sent_at.is_some_and(|at| {
            let elapsed = at.elapsed();
            memory_age < elapsed + elapsed / CLOCK_DIFFERENCE + MEMORY_AGE_UNIT
        })
    }

    /// Sends the bytes again if the device has not taken them.
    pub(super) fn repeat_declined(&mut self, client: &mut ClientConnection) -> io::Result<()> {
        let sent = std::mem::take(&mut self.sent);
        if client.is_early_data_accepted() { Ok(()) } else { client.writer().write_all(&sent) }
    }
}

/// Bytes for the application, and how many of them it has.
#[derive(Default)]
pub(super) struct Undelivered {
    pub(super) bytes: Vec<u8>,
    delivered: usize,
}

impl Undelivered {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What the application does not have yet.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.delivered..]
    }

    /// Counts what the application has taken, and releases the memory once that is all.
    pub(super) fn consume(&mut self, taken: usize) {
        self.delivered += taken;
        if self.delivered == self.bytes.len() {
            *self = Self::default();
        }
    }
}

/// Makes an error of the session from one of reading or writing in it.
pub(super) fn general(error: io::Error) -> rustls::Error {
    rustls::Error::General(error.to_string())
}
