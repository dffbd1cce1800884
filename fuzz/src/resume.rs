//! Resumption against a model: bytes are sent over legs that are lost with everything in flight, and arrive without
//! gaps and repetitions, and completely once a leg lasts.

use std::collections::VecDeque;

use bytes::Bytes;
use devstream::proto::limits::{INITIAL_WINDOW, MAX_WINDOW};
use devstream::proto::stream::StreamControl;
use devstream::proto::stream::receive::ReceiveState;
use devstream::proto::stream::send::{Chunk, SendState};

use super::input::Input;

/// Limit of bytes that either end keeps.
const SHARE: u64 = INITIAL_WINDOW;

/// Sizes of local reads: small ones as often as those that fill a window within an input.
const READS: [usize; 4] = [1, 30, 1000, 60_000];

/// More than the chunks of any input, each of which takes one round.
const ROUNDS: usize = 100_000;

pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    if input.coin() {
        hostile_peer(input);
    } else {
        let mut stream = Stream::new();
        while !input.is_empty() {
            stream.step(&mut input);
        }
        stream.finish();
    }
}

/// One direction between two conforming ends.
struct Stream {
    outgoing: SendState,
    incoming: ReceiveState,
    /// Bytes written by the sending application, and delivered to the receiving one.
    written: u64,
    delivered: u64,
    /// Bytes that have arrived and are not written to the local side yet.
    unread: VecDeque<u8>,
    /// Messages in flight on the current leg.
    up: VecDeque<Chunk>,
    down: VecDeque<StreamControl>,
}

impl Stream {
    fn new() -> Self {
        Self {
            outgoing: SendState::new(true, INITIAL_WINDOW),
            incoming: ReceiveState::new(INITIAL_WINDOW),
            written: 0,
            delivered: 0,
            unread: VecDeque::new(),
            up: VecDeque::new(),
            down: VecDeque::new(),
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 16 {
            0..3 => self.local_write(READS[usize::from(input.byte() % 4)]),
            3..6 => self.send(),
            6..9 => self.arrive(),
            9..11 => self.write(usize::from(input.byte()) * 500),
            11..13 => self.acknowledge(),
            13 => self.receive_ack(),
            14 => self.lose_connection(input.byte(), input.byte()),
            // Rarely, so that most of the input comes before the end.
            _ if input.byte() < 16 && self.outgoing.is_open() => self.outgoing.finish(),
            _ => self.write(1),
        }
    }

    /// The local side writes as much as is allowed.
    fn local_write(&mut self, most: usize) {
        let length = most.min(usize::try_from(self.outgoing.capacity(SHARE)).unwrap());
        if length > 0 {
            assert!(self.outgoing.is_open());
            let bytes: Vec<u8> = (self.written..).take(length).map(byte_at).collect();
            self.written += length as u64;
            self.outgoing.push(Bytes::from(bytes));
        }
    }

    fn send(&mut self) {
        let chunk = self.outgoing.next_chunk();
        assert!(self.outgoing.bytes_sent() <= self.written, "sent bytes that were never written");
        self.up.extend(chunk);
    }

    fn arrive(&mut self) {
        match self.up.pop_front() {
            Some(Chunk::Bytes(bytes)) => {
                self.incoming.on_bytes(bytes.len()).expect("what was sent was allowed");
                self.unread.extend(bytes);
            }
            Some(Chunk::End(StreamControl::End { bytes })) => {
                assert_eq!(bytes, self.written);
                self.incoming.on_end(bytes).expect("every byte came before the end");
            }
            Some(Chunk::End(other)) => panic!("an end that is none: {other:?}"),
            None => {}
        }
    }

    fn write(&mut self, most: usize) {
        let length = most.min(self.unread.len());
        for byte in self.unread.drain(..length) {
            assert_eq!(byte, byte_at(self.delivered), "another byte at {} of {}", self.delivered, self.written);
            self.delivered += 1;
        }
        self.incoming.on_written(length);
        if self.incoming.is_complete() && self.unread.is_empty() {
            assert_eq!(self.delivered, self.written, "the end before all bytes");
            self.incoming.on_end_written();
        }
    }

    fn acknowledge(&mut self) {
        let ack = self.incoming.next_ack(MAX_WINDOW);
        self.down.extend(ack);
    }

    fn receive_ack(&mut self) {
        match self.down.pop_front() {
            Some(StreamControl::Ack { bytes, window, end }) => {
                assert!(bytes <= self.delivered, "acknowledged undelivered bytes");
                self.outgoing.on_ack(bytes, window, end).expect("it was sent");
            }
            Some(other) => panic!("no acknowledgement: {other:?}"),
            None => {}
        }
    }

    /// Delivers some of the messages in flight in each direction, drops the rest, and resumes on another leg.
    fn lose_connection(&mut self, up: u8, down: u8) {
        for _ in 0..up % 8 {
            self.arrive();
        }
        for _ in 0..down % 8 {
            self.receive_ack();
        }
        self.up.clear();
        self.down.clear();
        let StreamControl::Resume { received } = self.incoming.resume_message() else { panic!("no resumption") };
        assert_eq!(received, self.delivered + self.unread.len() as u64);
        self.outgoing.rewind(received).expect("the peer's offset is kept");
    }

    /// Completes the stream on a leg that lasts: for both ends, one of which may know of the end already.
    fn finish(mut self) {
        if self.outgoing.is_open() {
            self.outgoing.finish();
        }
        for round in 0.. {
            if self.outgoing.is_acknowledged() && self.incoming.is_end_acked() {
                break;
            }
            assert!(round < ROUNDS, "stalled: {:?} {:?}", self.outgoing, self.incoming);
            self.send();
            self.arrive();
            self.write(usize::MAX);
            self.acknowledge();
            self.receive_ack();
        }
        assert_eq!(self.delivered, self.written);
        assert!(self.incoming.is_complete());
    }
}

/// Checks that a peer that violates the protocol is rejected, and never gets more than it granted.
fn hostile_peer(mut input: Input<'_>) {
    let mut outgoing = SendState::new(true, INITIAL_WINDOW);
    let mut incoming = ReceiveState::new(INITIAL_WINDOW);
    let (mut written, mut allowed) = (0, INITIAL_WINDOW);
    while !input.is_empty() {
        let done = match input.byte() % 8 {
            0 => {
                let length = u64::from(input.byte()).min(outgoing.capacity(SHARE));
                if length > 0 {
                    written += length;
                    outgoing.push(Bytes::from(vec![0; usize::try_from(length).unwrap()]));
                }
                Ok(())
            }
            1 => {
                outgoing.next_chunk();
                Ok(())
            }
            2 => {
                let (bytes, window) = (input.number(), input.number());
                allowed = allowed.max(bytes.saturating_add(window));
                outgoing.on_ack(bytes, window, input.coin())
            }
            3 => outgoing.rewind(input.number()),
            4 => incoming.on_bytes(usize::try_from(input.number()).unwrap()),
            5 => incoming.on_end(input.number()),
            6 => {
                incoming.on_written(usize::try_from(input.number()).unwrap());
                incoming.next_ack(input.number());
                Ok(())
            }
            _ => {
                incoming.resume_message();
                outgoing.finish();
                Ok(())
            }
        };
        assert!(written <= allowed && outgoing.bytes_sent() <= written);
        if done.is_err() {
            return;
        }
    }
}

/// Returns the byte at an offset; neighbours differ, as do bytes at the distance of a lost or repeated chunk.
fn byte_at(position: u64) -> u8 {
    (position.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}
