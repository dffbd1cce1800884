//! An end of the stream: the state machines that the pump drives, and a local application.

use super::*;

use devstream::proto::keepalive::KeepaliveAction;
use devstream::proto::limits::MAX_SENT_MESSAGE_BYTES;
use devstream::proto::stream::endpoint::{CloseMeaning, NextSend, StreamEndpoint};
use devstream::proto::stream::rejoin::{RejoinAction, RejoinTimer};
use devstream::proto::stream::{CLOSE_NORMAL, CLOSE_RESET, StreamProtocol};

pub(super) struct Side {
    number: usize,
    pub(super) end: StreamEndpoint,
    rejoin_timer: RejoinTimer,
    pub(super) ticket: Option<ResumeTicket>,
    pub(super) leg: Option<usize>,
    attempt: u64,
    dialing: bool,
    /// Time until which the peer is awaited on this connection.
    peer_deadline: Option<Instant>,
    back: Duration,
    keepalive: Keepalive,
    keepalive_at: Instant,
    last_write: Instant,
    last_read: Instant,
    poll_at: Option<Instant>,
    /// One-way latency to the hub, in milliseconds, and the end of an outage.
    pub(super) latency: u64,
    pub(super) offline_until: Instant,
    pub(super) ending: Option<Ending>,
    /// Bytes that the application writes in all, and per write, and the longest pause between writes, in milliseconds.
    size: usize,
    step: usize,
    pace: u64,
    pub(super) bytes_written: usize,
    pub(super) acknowledged: usize,
    pub(super) finished: bool,
    /// Bytes that it reads at once, and a period in which it reads nothing.
    read_size: usize,
    paused: (Instant, Instant),
    pub(super) bytes_read: usize,
    /// Bytes in its socket.
    chunk: usize,
    pub(super) writing: usize,
    pub(super) ended: bool,
    pub(super) resets: bool,
}

impl Side {
    pub(super) fn new(number: usize, now: Instant) -> Self {
        Self {
            number,
            end: StreamEndpoint::new(Some(StreamProtocol::Resumable)),
            rejoin_timer: RejoinTimer::new(Duration::ZERO),
            ticket: None,
            leg: None,
            attempt: 0,
            dialing: false,
            peer_deadline: None,
            back: Duration::ZERO,
            keepalive: Keepalive::new(IdleTimeout::default(), WebSocketRole::Client, now, 0),
            keepalive_at: now,
            last_write: now,
            last_read: now,
            poll_at: None,
            latency: 1,
            offline_until: now,
            ending: None,
            size: 0,
            step: 1,
            pace: 1,
            bytes_written: 0,
            acknowledged: 0,
            finished: false,
            read_size: 1,
            paused: (now, now),
            bytes_read: 0,
            chunk: 0,
            writing: 0,
            ended: false,
            resets: false,
        }
    }

    pub(super) fn begin(&mut self, leg: usize, ticket: ResumeTicket, grace: Duration, now: Instant) {
        self.rejoin_timer = RejoinTimer::new(grace);
        self.rejoin_timer.on_restored(now);
        (self.ticket, self.leg) = (Some(ticket), Some(leg));
    }

    fn reads(&self, now: Instant) -> bool {
        !(self.paused.0..self.paused.1).contains(&now)
    }
}

impl Simulation {
    pub(super) fn plan_applications(&mut self) {
        for number in 0..2 {
            let size = [0, 3000, 100_000, MAX_BYTES as u64, MAX_BYTES as u64][self.random_below(5) as usize];
            let (size, parts) = (self.random_below(size + 1) as usize, 1 + self.random_below(60));
            let (latency, pace, read_sizes) =
                (1 + self.random_below(150), 1 + self.random_below(5000), 1 + self.random_below(30));
            let (from, long) = (self.up_to(60_000), self.up_to(200_000));
            let never = self.random_below(3) > 0;
            let now = self.now;
            let side = &mut self.sides[number];
            (side.size, side.step) = (size, (size / parts as usize).max(1));
            (side.latency, side.pace, side.read_size) = (latency, pace, MAX_BYTES / read_sizes as usize);
            side.paused = if never { (now, now) } else { (now + from, now + from + long) };
        }
    }

    pub(super) fn poll_soon(&mut self, side: usize) {
        self.poll_at(side, self.now);
    }

    fn poll_at(&mut self, side: usize, at: Instant) {
        if self.sides[side].poll_at.is_none_or(|other| at < other || other < self.now) {
            self.sides[side].poll_at = Some(at);
            self.at(at, Event::PollSide(side));
        }
    }

    pub(super) fn poll_side(&mut self, number: usize) {
        let now = self.now;
        if self.sides[number].poll_at.take_if(|at| *at == now).is_none() || self.sides[number].ending.is_some() {
            return;
        }
        let busy = self.application(number);
        let Some(timer) = self.timers(number) else { return };
        self.flush(number);
        let pace = self.sides[number].pace;
        let next = if busy { (now + Duration::from_millis(1 + self.random_below(pace))).min(timer) } else { timer };
        let side = &self.sides[number];
        let next = if side.reads(now) { next } else { next.min(side.paused.1) };
        if side.ending.is_none() {
            self.poll_at(number, next.max(now + Duration::from_millis(1)));
        }
    }

    /// Writes and reads; returns `true` if there is more to do.
    fn application(&mut self, number: usize) -> bool {
        let (now, share) = (self.now, self.kept_share);
        let other = &self.sides[1 - number];
        let (others_written, others_all) = (other.bytes_written, other.finished);
        let side = &mut self.sides[number];
        let until = side.size.min(side.bytes_written + side.step);
        let mut capacity = usize::try_from(side.end.capacity(share)).unwrap();
        while capacity > 0 && side.bytes_written < until {
            let length = capacity.min(until - side.bytes_written).min(MAX_SENT_MESSAGE_BYTES);
            side.end.push_local(self.pattern.slice(side.bytes_written..side.bytes_written + length));
            side.bytes_written += length;
            capacity = usize::try_from(side.end.capacity(share)).unwrap();
        }
        // End of file is read as bytes are: when there is capacity.
        if side.bytes_written == side.size && !side.finished && capacity > 0 {
            side.end.push_local(Bytes::new());
            side.finished = true;
        }
        if side.reads(now) {
            if side.writing == 0
                && let Some(bytes) = side.end.pop_local()
            {
                let expected = &self.pattern[side.bytes_read..side.bytes_read + bytes.len()];
                assert!(bytes == expected, "other bytes at {} of {others_written}", side.bytes_read);
                assert!(side.bytes_read + bytes.len() <= others_written, "read bytes that were never written");
                (side.chunk, side.writing) = (bytes.len(), bytes.len());
            }
            let taken = side.writing.min(side.read_size);
            side.writing -= taken;
            side.bytes_read += taken;
            if side.writing == 0 && side.chunk > 0 {
                side.end.on_written(std::mem::take(&mut side.chunk));
            }
            if side.end.undelivered() == 0 && side.end.has_received_all() && !side.ended {
                assert!(others_all && side.bytes_read == others_written, "the end before all bytes");
                side.ended = true;
                side.end.on_end_written();
            }
        }
        let more_to_write = !side.finished && side.end.capacity(share) > 0;
        let more_to_read = side.end.undelivered() > 0;
        more_to_write || more_to_read && side.reads(now)
    }

    /// Handles the timers that are due; returns the next, unless this end is over.
    fn timers(&mut self, number: usize) -> Option<Instant> {
        let (now, random) = (self.now, self.random());
        let side = &mut self.sides[number];
        if side.leg.is_none() {
            return self.rejoin(number);
        }
        if side.resets {
            self.over(number, Ending::LocalReset, Some(CLOSE_RESET));
            return None;
        }
        if side.peer_deadline.is_some_and(|until| now >= until) && side.end.is_awaiting_resume() {
            self.over(number, Ending::Broken, Some(RefusalKind::NotResumed.row().close));
            return None;
        }
        if now >= side.keepalive_at {
            match side.keepalive.poll(now, side.last_write, side.last_read) {
                KeepaliveAction::WaitUntil(at) => side.keepalive_at = at,
                KeepaliveAction::Ping => {
                    side.end.queue_ping();
                    side.keepalive_at = now + Duration::from_secs(1);
                }
                KeepaliveAction::GiveUp if side.end.is_closed() => side.keepalive_at = now + LIMIT,
                KeepaliveAction::GiveUp => {
                    let leg = &self.legs[side.leg.unwrap()];
                    let sound = leg.up && leg.down && leg.run == self.run && !matches!(leg.state, LegState::Closed);
                    assert!(!sound, "an end gave up a connected hub");
                    self.lost(number, Duration::ZERO, random);
                    return self.rejoin(number);
                }
            }
        }
        let side = &self.sides[number];
        let awaited = side.peer_deadline.filter(|_| side.end.is_awaiting_resume());
        Some(awaited.map_or(side.keepalive_at, |until| until.min(side.keepalive_at)))
    }

    fn rejoin(&mut self, number: usize) -> Option<Instant> {
        let now = self.now;
        let until = self.sides[number].rejoin_timer.deadline().unwrap_or(now);
        match self.sides[number].rejoin_timer.poll(now) {
            RejoinAction::GiveUp => {
                self.over(number, Ending::Broken, None);
                None
            }
            _ if self.sides[number].dialing => Some(until),
            RejoinAction::WaitUntil(at) => Some(at),
            RejoinAction::Attempt => {
                let side = &mut self.sides[number];
                side.attempt += 1;
                side.dialing = true;
                let attempt = side.attempt;
                let there = self.delay(number) * 2;
                self.after(there, Event::RejoinArrives(number, attempt));
                self.after(DIAL_TIMEOUT, Event::Refused(number, attempt, None));
                Some(until)
            }
        }
    }

    pub(super) fn refused(&mut self, number: usize, attempt: u64, kind: Option<RefusalKind>) {
        let (now, random) = (self.now, self.random());
        let side = &mut self.sides[number];
        if !side.dialing || side.attempt != attempt || side.ending.is_some() {
            return;
        }
        side.dialing = false;
        match kind {
            None | Some(RefusalKind::Draining | RefusalKind::Interrupted | RefusalKind::HubBusy) => {
                side.rejoin_timer.on_connection_lost(now, Duration::ZERO, random);
                self.poll_soon(number);
            }
            Some(_) => self.over(number, Ending::Broken, None),
        }
    }

    pub(super) fn side_disconnects(&mut self, leg: usize) {
        let (number, random) = (self.legs[leg].side, self.random());
        (self.legs[leg].up, self.legs[leg].down) = (false, false);
        if self.sides[number].leg == Some(leg) && self.sides[number].ending.is_none() {
            let back = self.sides[number].back;
            self.lost(number, back, random);
            self.poll_soon(number);
        }
    }

    fn lost(&mut self, number: usize, back: Duration, random: u64) {
        let Some(leg) = self.sides[number].leg.take() else { return };
        self.abort(leg);
        self.sides[number].rejoin_timer.on_connection_lost(self.now, back, random);
    }

    /// Aborts the connection; the hub notices if the path is open.
    fn abort(&mut self, leg: usize) {
        if self.legs[leg].up {
            let at = self.legs[leg].last_up.max(self.now + self.delay(self.legs[leg].side));
            self.at(at, Event::HubDisconnects(leg));
        }
    }

    /// Ends the stream at this end, and closes the connection with this code.
    fn over(&mut self, number: usize, ending: Ending, close_code: Option<u16>) {
        self.sides[number].ending = Some(ending);
        let Some(leg) = self.sides[number].leg.take() else { return };
        if let Some(code) = close_code {
            self.send_up(leg, Message::Close(code, String::new()));
        }
        self.abort(leg);
    }

    /// Stops its process.
    pub(super) fn stop(&mut self, number: usize) {
        if self.sides[number].ending.is_none() {
            self.over(number, Ending::Broken, Some(RefusalKind::PeerGone.row().close));
        }
    }

    fn flush(&mut self, number: usize) {
        while let Some(leg) = self.sides[number].leg {
            let side = &mut self.sides[number];
            if side.end.is_finished() {
                return self.over(number, Ending::Clean, Some(CLOSE_NORMAL));
            }
            let message = match side.end.next_send(self.share) {
                Some(NextSend::Text(control)) => Message::Text(control),
                Some(NextSend::Bytes(bytes)) => Message::Bytes(bytes),
                Some(NextSend::Ping) => Message::Ping,
                Some(NextSend::Close) => panic!("both ends have half-close"),
                None => return,
            };
            side.last_write = self.now;
            self.send_up(leg, message);
            self.sides[number].end.on_flushed();
        }
    }

    pub(super) fn at_side(&mut self, leg: usize, message: Message) {
        let (now, random) = (self.now, self.random());
        let (number, down) = (self.legs[leg].side, self.legs[leg].down);
        let attempt = self.legs[leg].attempt;
        let side = &mut self.sides[number];
        if !down || side.ending.is_some() {
            return;
        }
        if let Message::Upgraded(ticket, grace) = message {
            if side.dialing && side.attempt == attempt {
                self.attach(number, leg, *ticket, grace);
                self.poll_soon(number);
            } else {
                self.abort(leg);
            }
            return;
        }
        if side.leg != Some(leg) {
            return;
        }
        side.last_read = now;
        let result = match message {
            Message::Bytes(bytes) => side.end.on_bytes(&bytes),
            Message::Text(StreamControl::End { bytes }) => side.end.on_end(bytes),
            Message::Text(StreamControl::Ack { bytes, window, end }) => {
                side.acknowledged = side.acknowledged.max(usize::try_from(bytes).unwrap());
                side.end.on_ack(bytes, window, end)
            }
            Message::Text(StreamControl::Resume { received }) => {
                side.rejoin_timer.on_restored(now);
                self.tally.resumed += 1;
                side.end.on_resume(received)
            }
            Message::Text(StreamControl::Release) => side.end.on_release(),
            Message::Text(StreamControl::Drain { reconnect_delay_ms, .. }) => {
                side.back = Duration::from_millis(reconnect_delay_ms);
                Ok(())
            }
            Message::Ping => {
                side.last_write = now;
                self.send_up(leg, Message::Pong);
                Ok(())
            }
            Message::Pong | Message::Upgraded(..) => Ok(()),
            Message::Close(code, reason) => {
                match side.end.interpret_close(Some((code, &reason))) {
                    CloseMeaning::Done => side.end.on_close(),
                    CloseMeaning::Reset => self.over(number, Ending::PeerReset, None),
                    CloseMeaning::Lost(_) => {
                        let back = side.back;
                        self.lost(number, back, random);
                    }
                    CloseMeaning::Broken(_) => self.over(number, Ending::Broken, None),
                }
                Ok(())
            }
        };
        assert_eq!(result, Ok(()), "both ends keep to the protocol");
        self.flush(number);
        self.poll_soon(number);
    }

    fn attach(&mut self, number: usize, leg: usize, ticket: ResumeTicket, grace: Duration) {
        let (now, random) = (self.now, self.random());
        let side = &mut self.sides[number];
        assert_eq!(side.number, number);
        side.rejoin_timer.set_grace(grace);
        (side.dialing, side.leg, side.ticket) = (false, Some(leg), Some(ticket));
        (side.peer_deadline, side.back) = (side.rejoin_timer.deadline(), Duration::ZERO);
        (side.last_write, side.last_read, side.keepalive_at) = (now, now, now);
        side.keepalive = Keepalive::new(self.idle_timeout, WebSocketRole::Client, self.start, random);
        side.end.attach();
    }
}
