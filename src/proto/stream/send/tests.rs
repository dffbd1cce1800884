//! The outgoing direction, alone and with the peer that acknowledges it.

use super::*;
use crate::proto::limits::{MAX_ACK_EVERY, MAX_WINDOW, STREAM_RESERVE};
use crate::proto::stream::receive::ReceiveState;

const MANY: u64 = 1 << 20;

fn sent(outgoing: &mut SendState) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(Chunk::Bytes(bytes)) = outgoing.next_chunk() {
        all.extend_from_slice(&bytes);
    }
    all
}

#[test]
fn unacknowledged_bytes_are_resent_from_the_peers_offset() {
    let mut outgoing = SendState::new(true, MANY);
    outgoing.push(Bytes::from_static(b"abcde"));
    outgoing.push(Bytes::from_static(b"fgh"));
    assert_eq!(sent(&mut outgoing), b"abcdefgh");
    outgoing.on_ack(2, MANY, false).unwrap();
    for received in [3, 8, 2, 5, 6] {
        outgoing.rewind(received).unwrap();
        assert_eq!(sent(&mut outgoing), b"abcdefgh"[usize::try_from(received).unwrap()..]);
    }
    outgoing.on_ack(7, MANY, false).unwrap();
    assert!(outgoing.rewind(6).is_err(), "acknowledged bytes are gone");
    outgoing.rewind(7).unwrap();
    assert_eq!(sent(&mut outgoing), b"h");
}

#[test]
fn impossible_offsets_are_errors() {
    let mut outgoing = SendState::new(true, MANY);
    outgoing.push(Bytes::from_static(b"abc"));
    assert!(outgoing.on_ack(1, 0, false).is_err(), "nothing was sent");
    assert!(outgoing.rewind(1).is_err());
    sent(&mut outgoing);
    assert!(outgoing.on_ack(3, 0, true).is_err(), "no end was sent");
    assert!(outgoing.on_ack(4, 0, false).is_err());
    assert!(outgoing.rewind(4).is_err());
}

#[test]
fn the_end_is_resent_until_it_is_acknowledged() {
    let mut outgoing = SendState::new(true, MANY);
    outgoing.push(Bytes::from_static(b"abc"));
    outgoing.finish();
    let end = Some(Chunk::End(StreamControl::End { bytes: 3 }));
    assert!(matches!(outgoing.next_chunk(), Some(Chunk::Bytes(_))));
    assert_eq!(outgoing.next_chunk(), end);
    outgoing.rewind(3).unwrap();
    assert!(!outgoing.is_end_sent());
    assert_eq!(outgoing.next_chunk(), end);
    outgoing.rewind(3).unwrap();
    outgoing.on_ack(3, 0, true).unwrap();
    assert_eq!(outgoing.next_chunk(), None, "it was acknowledged");
    outgoing.rewind(3).unwrap();
    assert_eq!(outgoing.next_chunk(), None);
}

#[test]
fn no_more_is_kept_than_the_share_and_no_more_sent_than_the_window() {
    let (window, share) = (3 * STREAM_RESERVE, 2 * STREAM_RESERVE);
    let mut outgoing = SendState::new(true, window);
    while outgoing.capacity(share) > 0 {
        let capacity = usize::try_from(outgoing.capacity(share)).unwrap();
        outgoing.push(Bytes::from(vec![0; capacity]));
    }
    let unacked = outgoing.unacked();
    assert_eq!(unacked, share - SMALL_MESSAGE, "a full message and all but one of the small ones");
    assert_eq!(outgoing.capacity(MANY), window - unacked);
    sent(&mut outgoing);
    outgoing.on_ack(unacked, window, false).unwrap();
    assert_eq!((outgoing.unacked(), outgoing.capacity(share)), (0, share - STREAM_RESERVE));
    assert_eq!(outgoing.capacity(MANY), window);
}

/// Sends 4 MiB to a peer with this window; `share` decides how much may be kept at each step. Returns the largest
/// number of bytes kept, and the number of messages.
fn send_all(window: u64, mut share: impl FnMut() -> u64) -> (u64, u64) {
    let (mut outgoing, mut incoming) = (SendState::new(true, window), ReceiveState::new(window));
    let (mut most, mut messages) = (0, 0);
    while outgoing.acknowledged < 4 << 20 {
        let capacity = usize::try_from(outgoing.capacity(share())).unwrap().min(FULL_MESSAGE_BYTES);
        if capacity > 0 {
            outgoing.push(Bytes::from(vec![0; capacity]));
        }
        most = most.max(outgoing.unacked());
        let before = messages;
        while let Some(Chunk::Bytes(bytes)) = outgoing.next_chunk() {
            incoming.on_bytes(bytes.len()).unwrap();
            incoming.on_written(bytes.len());
            messages += 1;
        }
        let ack = incoming.next_ack(window);
        assert!(messages > before || ack.is_some() || outgoing.capacity(INITIAL_WINDOW) == 0, "it waits for ever");
        if let Some(StreamControl::Ack { bytes, window, end }) = ack {
            outgoing.on_ack(bytes, window, end).unwrap();
        }
    }
    (most, messages)
}

#[test]
fn a_sender_with_a_small_share_is_acknowledged_all_the_same() {
    for window in [INITIAL_WINDOW, MAX_WINDOW] {
        for share in [STREAM_RESERVE, 100_000, MAX_ACK_EVERY, INITIAL_WINDOW] {
            let (most, messages) = send_all(window, || share);
            assert!(most <= share, "{most} of {share}");
            assert!(messages <= (4 << 20) / share * (u64::from(ACK_MESSAGES) + 4), "{share}: {messages}");
        }
    }
}

/// Messages of a few bytes cost as much as full ones.
#[test]
fn a_sender_sends_no_small_messages_once_an_acknowledgement_is_due() {
    for window in [INITIAL_WINDOW, MAX_WINDOW] {
        let (mut outgoing, share) = (SendState::new(true, window), STREAM_RESERVE + ack_interval(window));
        while outgoing.capacity(share) > 0 {
            let capacity = usize::try_from(outgoing.capacity(share)).unwrap().min(FULL_MESSAGE_BYTES);
            outgoing.push(Bytes::from(vec![0; capacity]));
        }
        assert!(outgoing.unacked.len() <= 4, "{window}: {} messages", outgoing.unacked.len());
    }
}

#[test]
fn a_sender_whose_share_changes_all_the_time_is_acknowledged_all_the_same() {
    for seed in 0..1000_u64 {
        let mut random = seed;
        let share = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            STREAM_RESERVE << ((random >> 33) % 6)
        };
        let window = if seed % 2 == 0 { INITIAL_WINDOW } else { MAX_WINDOW };
        let (most, _) = send_all(window, share);
        assert!(most <= STREAM_RESERVE << 5);
    }
}

#[test]
fn the_remainder_of_a_large_window_is_no_message_of_its_own() {
    let mut outgoing = SendState::new(true, INITIAL_WINDOW);
    while outgoing.capacity(MANY) > 0 {
        let bytes = usize::try_from(outgoing.capacity(MANY)).unwrap().min(FULL_MESSAGE_BYTES);
        assert_eq!(bytes, FULL_MESSAGE_BYTES);
        outgoing.push(Bytes::from(vec![0; bytes]));
    }
    sent(&mut outgoing);
    outgoing.on_ack(FULL_MESSAGE_BYTES as u64, INITIAL_WINDOW, false).unwrap();
    assert!(outgoing.capacity(MANY) >= FULL_MESSAGE_BYTES as u64);
}

#[test]
fn acknowledged_bytes_free_their_buffers_for_reuse() {
    let mut outgoing = SendState::new(true, MANY);
    for _ in 0..2 {
        outgoing.push(Bytes::from(vec![0; FULL_MESSAGE_BYTES]));
    }
    sent(&mut outgoing);
    outgoing.on_ack(FULL_MESSAGE_BYTES as u64, MANY, false).unwrap();
    assert!(
        outgoing.take_spare_buffer().is_some_and(|block| block.is_empty() && block.capacity() >= FULL_MESSAGE_BYTES)
    );
    outgoing.on_ack(2 * FULL_MESSAGE_BYTES as u64, MANY, false).unwrap();
    assert!(outgoing.take_spare_buffer().is_none(), "an idle stream holds nothing");
}

#[test]
fn spare_buffers_count_as_held_and_are_given_up_where_memory_is_short() {
    const FULL: u64 = FULL_MESSAGE_BYTES as u64;
    let mut outgoing = SendState::new(true, MANY);
    for _ in 0..6 {
        outgoing.push(Bytes::from(vec![0; FULL_MESSAGE_BYTES]));
    }
    sent(&mut outgoing);
    outgoing.on_ack(5 * FULL, MANY, false).unwrap();
    let kept = FULL + CHUNK_OVERHEAD;
    assert_eq!((outgoing.unacked(), outgoing.held()), (FULL, 4 * FULL + kept));
    outgoing.shed_spare_buffers(2 * FULL + kept);
    assert_eq!(outgoing.held(), 2 * FULL + kept);
    outgoing.shed_spare_buffers(0);
    assert_eq!(outgoing.held(), kept, "what is not acknowledged stays");
}

#[test]
fn single_bytes_are_held_with_what_each_of_them_takes() {
    const LIMIT: u64 = 64 * 1024;
    let mut outgoing = SendState::new(true, MANY);
    while outgoing.capacity(LIMIT) > 0 {
        outgoing.push(Bytes::from_static(b"x"));
    }
    assert!(outgoing.held() <= LIMIT, "{} bytes are held", outgoing.held());
    assert!(outgoing.unacked.len() >= ACK_MESSAGES as usize, "too few for an acknowledgement");
}

#[test]
fn a_writer_of_single_bytes_is_limited_by_their_number() {
    let mut outgoing = SendState::new(true, MANY);
    while outgoing.capacity(MANY) > 0 {
        outgoing.push(Bytes::from_static(b"x"));
    }
    assert_eq!(outgoing.accepted, MAX_UNACKED_CHUNKS as u64);
}

#[test]
fn streams_that_are_not_resumable_keep_nothing() {
    let mut outgoing = SendState::new(false, MANY);
    outgoing.push(Bytes::from_static(b"abcd"));
    sent(&mut outgoing);
    assert!(outgoing.unacked.is_empty());
    assert!(outgoing.rewind(4).is_err());
}
