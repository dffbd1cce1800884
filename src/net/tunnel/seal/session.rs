//! The session of a sealed pair, which both halves share.

use std::io::{self, BufRead as _, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::Duration;

use rustls::{Connection, HandshakeKind};
use tokio::io::ReadBuf;
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

use super::Unfilled;
use super::early::{EarlyBytes, Undelivered, general};
use crate::net::e2e::config::SessionEnd;
use crate::net::e2e::expected::other;
use crate::net::e2e::facts::SessionFacts;
use crate::net::e2e::failure::Failure;
use crate::net::e2e::peers::Anchors;
use crate::net::tunnel::pump::Counters;
use crate::proto::e2e::encode_memory_age;
use crate::proto::id::Principal;
use crate::proto::limits::{FULL_MESSAGE_BYTES, SESSION_TIMEOUT};
use crate::proto::refusal::Refusal;

pub(super) struct Session {
    end: SessionEnd,
    state: State,
    /// The reading half, where it waits for the application or the peer.
    waiting_reader: Option<Waker>,
    /// When a handshake that is not over fails; `None` before the stream is open.
    deadline: Option<Pin<Box<Sleep>>>,
    early: EarlyBytes,
    /// Decrypted bytes that go to the application in one write.
    staged: Undelivered,
    /// What is due for the peer may wait for bytes of the application.
    may_hold: bool,
    /// The application has ended its direction.
    has_local_ended: bool,
    /// The peer learns that it has.
    has_ended: bool,
    /// The peer has ended its direction.
    has_peer_ended: bool,
    /// The stream is over, with this refusal if it has one.
    stream_end: Option<Option<Refusal>>,
    /// Wakes whoever waits for the session to open.
    changed: Arc<Notify>,
    /// What has come about since [`SessionView::drive`] last looked; `None` if each half is woken by itself.
    news: Option<News>,
}

/// What the work that carries a stream has to know after it was polled.
#[derive(Clone, Copy, Default)]
pub(super) struct News {
    /// The peer is authorised now.
    pub(super) has_opened: bool,
    /// The reading half may have something to send.
    pub(super) is_reader_due: bool,
}

enum State {
    /// The handshake is under way.
    Opening,
    /// The peer is authorised.
    Open,
    /// The session failed; an alert may still be on its way to the peer.
    Failed(Failure),
}

impl Session {
    pub(super) fn new(mut end: SessionEnd) -> Self {
        // What the application writes is read only once all before it has gone out.
        end.tls.set_buffer_limit(None);
        let early = EarlyBytes::new(&mut end.tls);
        Self {
            end,
            state: State::Opening,
            waiting_reader: None,
            deadline: None,
            early,
            staged: Undelivered::default(),
            may_hold: false,
            has_local_ended: false,
            has_ended: false,
            has_peer_ended: false,
            stream_end: None,
            changed: Arc::default(),
            news: None,
        }
    }

    /// Takes what has come about since the last call, and has it kept for the next.
    pub(super) fn take_news(&mut self) -> News {
        self.news.replace(News::default()).unwrap_or_default()
    }

    pub(super) fn changed(&self) -> Arc<Notify> {
        self.changed.clone()
    }

    /// What the session has come to; nothing while the handshake is under way.
    pub(super) fn settled(&self) -> Option<Result<SessionFacts, Refusal>> {
        match (&self.state, &self.stream_end) {
            (State::Open, _) => Some(self.end.facts().ok_or_else(|| self.not_begun())),
            (State::Failed(failure), _) => Some(Err(self.end.refusal(failure))),
            (State::Opening, Some(refusal)) => Some(Err(refusal.clone().unwrap_or_else(|| self.not_begun()))),
            (State::Opening, None) => None,
        }
    }

    /// The stream is over.
    pub(super) fn end_with(&mut self, refusal: Option<Refusal>) {
        self.stream_end = Some(refusal);
        self.changed.notify_waiters();
    }

    fn set_state(&mut self, state: State) {
        self.state = state;
        if let Some(news) = &mut self.news {
            news.has_opened |= matches!(self.state, State::Open);
        }
        self.changed.notify_waiters();
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// The peer, and the keys that may vouch for it.
    pub(super) fn expected(&self) -> (Principal, Anchors) {
        self.end.expected()
    }

    pub(super) fn has_sent_early(&self) -> bool {
        self.early.has_sent()
    }

    pub(super) fn is_early_accepted(&self) -> bool {
        matches!(&*self.end.tls, Connection::Client(client) if client.is_early_data_accepted())
    }

    pub(super) fn is_resumed(&self) -> bool {
        self.end.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The stream is open, and the peer has [`SESSION_TIMEOUT`] from now on.
    pub(super) fn start_deadline(&mut self) {
        self.deadline.get_or_insert_with(|| Box::pin(sleep(SESSION_TIMEOUT)));
    }

    /// The number of bytes that a ticket still protects ahead of the handshake.
    pub(super) fn early_room(&mut self) -> usize {
        self.early.room(&mut self.end.tls)
    }

    /// An error once the session has failed.
    pub(super) fn check(&self) -> io::Result<()> {
        match &self.state {
            State::Failed(failure) => Err(io::Error::new(io::ErrorKind::InvalidData, failure.clone())),
            State::Opening | State::Open => Ok(()),
        }
    }

    pub(super) fn refusal(&self) -> Option<Refusal> {
        match &self.state {
            State::Failed(failure) => Some(self.end.refusal(failure)),
            State::Opening | State::Open => None,
        }
    }

    pub(super) fn not_begun(&self) -> Refusal {
        self.end.refusal(&Failure::NotBegun)
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(self.state, State::Failed(_))
    }

    /// Reports once that what is due for the peer may wait for bytes of the application.
    pub(super) fn take_hold(&mut self) -> bool {
        std::mem::take(&mut self.may_hold) && !self.has_ended
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Writes what is due for the peer.
    pub(super) fn write_to(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
        while self.end.tls.wants_write() && buffer.remaining() > 0 {
            self.end.tls.write_tls(&mut Unfilled(buffer))?;
        }
        Ok(())
    }

    /// Wakes the reading half once the peer has sent something.
    pub(super) fn wake_when_changed(&mut self, context: &Context<'_>) {
        match &mut self.waiting_reader {
            Some(waiting) => waiting.clone_from(context.waker()),
            None => self.waiting_reader = Some(context.waker().clone()),
        }
    }

    /// Reports whether the handshake is over and nothing is due for the peer.
    fn is_settled(&self) -> bool {
        self.is_open() && !self.end.tls.is_handshaking() && !self.end.tls.wants_write()
    }

    fn wake_reader(&mut self) {
        match (&mut self.news, &self.waiting_reader) {
            (Some(news), _) => news.is_reader_due = true,
            (None, Some(waiting)) => waiting.wake_by_ref(),
            (None, None) => {}
        }
    }

    /// Fails a handshake that takes too long.
    pub(super) fn poll_deadline(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let is_opening = matches!(self.state, State::Opening);
        if is_opening && self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(context).is_ready()) {
            self.set_state(State::Failed(Failure::NotBegun));
        }
        self.check()
    }

    /// The number of the application's bytes that may be read now.
    pub(super) fn room(&mut self, fitting: usize) -> usize {
        match self.state {
            _ if self.has_local_ended => 0,
            State::Open => fitting,
            State::Opening => fitting.min(self.early_room()),
            State::Failed(_) => 0,
        }
    }

    /// Encrypts what the application wrote; nothing means that it ended its direction.
    pub(super) fn encrypt(&mut self, plaintext: &[u8], counters: &Counters) -> io::Result<()> {
        counters.sent.fetch_add(plaintext.len() as u64, Ordering::Relaxed);
        if plaintext.is_empty() {
            self.has_local_ended = true;
            self.end_when_established();
            return Ok(());
        }
        if matches!(self.state, State::Opening) && self.early.send(plaintext, &mut self.end.tls)? {
            return Ok(());
        }
        self.end.tls.writer().write_all(plaintext)
    }

    /// Tells the peer that the application has ended its direction, once the handshake is over: before, the tickets that
    /// the device sends with its end would be lost.
    fn end_when_established(&mut self) {
        if self.has_local_ended && !self.has_ended && self.is_open() && !self.end.tls.is_handshaking() {
            self.end.tls.send_close_notify();
            self.has_ended = true;
        }
    }

    /// Takes bytes of the stream, as many as are to be decrypted before the application has what came of them, and returns
    /// their number. The reading half may have something to send then.
    pub(super) fn decrypt(&mut self, ciphertext: &[u8]) -> io::Result<usize> {
        let mut taken = self.decrypt_some(ciphertext)?;
        while taken < ciphertext.len() && self.staged.bytes.len() < FULL_MESSAGE_BYTES {
            self.stage();
            taken += self.decrypt_some(&ciphertext[taken..])?;
        }
        if !self.staged.is_empty() {
            self.stage();
        }
        Ok(taken)
    }

    /// Makes room for another record, the plaintext of one being all that rustls holds: without it, each record would be a
    /// write of its own to the application.
    fn stage(&mut self) {
        let mut reader = self.end.tls.reader();
        while let Ok(plaintext @ [_, ..]) = reader.fill_buf() {
            let length = plaintext.len();
            self.staged.bytes.extend_from_slice(plaintext);
            reader.consume(length);
        }
    }

    fn decrypt_some(&mut self, mut ciphertext: &[u8]) -> io::Result<usize> {
        if self.has_peer_ended {
            self.set_state(State::Failed(Failure::Altered("bytes after the end of the session".into())));
            return self.check().map(|()| 0);
        }
        let was_settled = self.is_settled();
        let taken = self.end.tls.read_tls(&mut ciphertext)?;
        if let Err(error) = self.advance() {
            self.set_state(State::Failed(self.end.failure(&error, self.is_open())));
        }
        if !(was_settled && self.is_settled()) {
            self.wake_reader();
        }
        self.check().map(|()| taken)
    }

    /// Processes what was taken, and opens the session once the peer is authorised.
    fn advance(&mut self) -> Result<(), rustls::Error> {
        let was_handshaking = self.end.tls.is_handshaking();
        let state = self.end.tls.process_new_packets()?;
        self.has_peer_ended = state.peer_has_closed();
        self.end.ensure_not_replayed()?;
        let is_established = !self.end.tls.is_handshaking();
        let was_open = self.is_open();
        let is_early = self.early.receive(&mut self.end.tls).map_err(general)?;
        if is_established && was_handshaking {
            self.may_hold |= !self.is_awaited();
            self.say_age()?;
        }
        if matches!(self.state, State::Opening) && (is_early || (is_established && self.is_told_age()?)) {
            self.end.authorise()?;
            self.set_state(State::Open);
            self.repeat_declined()?;
        }
        if is_established {
            self.end_when_established();
        } else {
            // The service has its answer as soon as the application has written one.
            self.may_hold |= is_early && !was_open;
        }
        Ok(())
    }

    /// Reports whether the peer waits for what follows the handshake: a device that has accepted early bytes does not, and a
    /// service waits for the age of the device's memory alone, not for tickets.
    fn is_awaited(&self) -> bool {
        match &*self.end.tls {
            Connection::Client(_) => !self.is_early_accepted(),
            Connection::Server(_) => self.due_age().is_some(),
        }
    }

    /// The age of a device's memory of tickets, which it owes a service that presented a ticket in vain.
    fn due_age(&self) -> Option<Duration> {
        if self.is_resumed() { None } else { self.end.memory_age() }
    }

    fn say_age(&mut self) -> Result<(), rustls::Error> {
        let Some(age) = self.due_age() else { return Ok(()) };
        self.end.tls.writer().write_all(&encode_memory_age(age)).map_err(general)
    }

    /// Reports whether a service that presented a ticket in vain has the age of the device's memory; fails if its early bytes may
    /// have arrived before that began.
    fn is_told_age(&mut self) -> Result<bool, rustls::Error> {
        if self.is_resumed() {
            return Ok(true);
        }
        let Connection::Client(client) = &mut *self.end.tls else { return Ok(true) };
        let Some(age) = self.early.read_memory_age(client).map_err(general)? else { return Ok(false) };
        if self.early.may_have_arrived(age) { Err(other(Failure::MayHaveArrived)) } else { Ok(true) }
    }

    /// Sends the bytes again that went out ahead of the handshake, if the device has not taken them.
    fn repeat_declined(&mut self) -> Result<(), rustls::Error> {
        let Connection::Client(client) = &mut *self.end.tls else { return Ok(()) };
        self.early.repeat_declined(client).map_err(general)
    }

    /// The next decrypted bytes for the application, if there are any.
    pub(super) fn plaintext(&mut self) -> io::Result<Option<&[u8]>> {
        if !self.is_open() {
            return Ok(None);
        }
        let waiting = [&self.early.received, &self.staged].into_iter().find(|waiting| !waiting.is_empty());
        if let Some(waiting) = waiting {
            return Ok(Some(waiting.rest()));
        }
        match self.end.tls.reader().into_first_chunk() {
            Ok([]) => Ok(None),
            Ok(available) => Ok(Some(available)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes bytes that the application has taken.
    pub(super) fn consume(&mut self, taken: usize) {
        match [&mut self.early.received, &mut self.staged].into_iter().find(|waiting| !waiting.is_empty()) {
            Some(waiting) => waiting.consume(taken),
            None => self.end.tls.reader().consume(taken),
        }
    }

    /// The stream's own end has come: an error, unless the peer has ended its direction inside the session before.
    pub(super) fn end_of_input(&mut self) -> io::Result<()> {
        self.check()?;
        if self.has_peer_ended {
            return Ok(());
        }
        let failure = if self.is_open() { Failure::Altered("it ends in the middle".into()) } else { Failure::NotBegun };
        self.set_state(State::Failed(failure));
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
