//! Bytes between the application and the session: those that go ahead of the handshake (0-RTT), and decrypted ones that wait.

use std::io::{self, Read as _, Write as _};

use rustls::{ClientConnection, Connection};

use crate::net::os::clock::Reading;
use crate::proto::limits::{EARLY_DATA_BYTES, EARLY_REPEAT_TIME};

/// The bytes ahead of the handshake.
#[derive(Default)]
pub(super) struct EarlyBytes {
    /// A service's, and when the first of them went out: again after the handshake, if the device declined them.
    sent: Vec<u8>,
    sent_at: Option<Reading>,
    /// A device's.
    pub(super) received: Undelivered,
}

impl EarlyBytes {
    pub(super) fn has_sent(&self) -> bool {
        !self.sent.is_empty()
    }

    /// The number of bytes that a ticket still protects.
    pub(super) fn room(&self, tls: &mut Connection) -> usize {
        let Connection::Client(client) = tls else { return 0 };
        let left = client.early_data().map_or(0, |early| early.bytes_left());
        left.min(EARLY_DATA_BYTES.saturating_sub(self.sent.len()))
    }

    /// Encrypts bytes of the application ahead of the handshake; `false` if that is not possible.
    pub(super) fn send(&mut self, plaintext: &[u8], tls: &mut Connection) -> io::Result<bool> {
        let Connection::Client(client) = tls else { return Ok(false) };
        let Some(mut early) = client.early_data() else { return Ok(false) };
        self.sent.extend_from_slice(plaintext);
        self.sent_at.get_or_insert_with(Reading::now);
        early.write_all(plaintext).map(|()| true)
    }

    /// Takes what a service sent; reports whether the device accepts such.
    pub(super) fn receive(&mut self, tls: &mut Connection) -> bool {
        let Connection::Server(server) = tls else { return false };
        let Some(mut early) = server.early_data() else { return false };
        // All that has arrived is there; rustls limits it to what the configuration allows.
        let _ = early.read_to_end(&mut self.received.bytes);
        true
    }

    /// Reports whether the device has declined bytes that a former run of its agent may have taken. One that knows the ticket
    /// has issued it, and takes it once.
    pub(super) fn may_have_arrived(&self, client: &ClientConnection, is_resumed: bool) -> bool {
        let is_late = self.sent_at.is_some_and(|at| at.elapsed() >= EARLY_REPEAT_TIME);
        is_late && !is_resumed && !client.is_early_data_accepted()
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
