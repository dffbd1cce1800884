use std::future::poll_fn;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::*;
use crate::net::os::clock;
use crate::net::websocket::SocketKind;
use crate::proto::limits::{FULL_MESSAGE_BYTES, MAX_RECEIVED_MESSAGE_BYTES};

/// Encodes a frame.
fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        short @ ..=125 => frame.push(bit | short as u8),
        medium @ 126..=0xFFFF => frame.extend([&[bit | 126], &(medium as u16).to_be_bytes()[..]].concat()),
        long => frame.extend([&[bit | 127], &(long as u64).to_be_bytes()[..]].concat()),
    }
    let mask = mask.inspect(|mask| frame.extend(mask)).unwrap_or_default();
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn server(transport: DuplexStream, options: impl Into<Options>) -> FrameIo<DuplexStream> {
    FrameIo::new(LivenessIo::new(transport).0, &[], WebSocketRole::Server, options.into())
}

async fn next(io: &mut FrameIo<DuplexStream>) -> Result<Message, WebSocketError> {
    poll_fn(|context| io.poll_next(context)).await
}

/// Waits until grown buffers have been released.
async fn settle(io: &mut FrameIo<DuplexStream>) {
    assert!(timeout(3 * KEEP_BULK_BUFFERS, next(io)).await.is_err(), "something arrived");
}

fn is_fresh(io: &FrameIo<DuplexStream>) -> bool {
    !io.is_bulk && io.largest_message <= READ_BUFFER && io.release.is_none() && io.tracked.bounds.is_between_messages()
}

const BINARY: u8 = 0x82;
const PING: u8 = 0x89;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn messages_are_the_same_however_they_are_masked_and_cut_and_leave_no_memory_behind(
        sizes in prop::collection::vec(0_usize..150_000, 1..5), mask: Option<[u8; 4]>, piece in 1_usize..100_000,
    ) {
        let (mut wire, mut wanted) = (Vec::new(), Vec::new());
        for (n, size) in sizes.into_iter().enumerate() {
            let payload: Vec<u8> = (0..size).map(|at| (at * 7 + n).to_le_bytes()[0]).collect();
            wire.extend(frame(BINARY, &payload, mask));
            wire.extend(frame(PING, b"?", mask));
            wanted.extend([Message::Binary(payload.into()), Message::Ping(Bytes::from_static(b"?"))]);
        }
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (near, mut far) = duplex(100_000);
            let mut io = server(near, Options { message_limit: MAX_RECEIVED_MESSAGE_BYTES, masked: mask.is_some() });
            let sends = async {
                for piece in wire.chunks(piece) {
                    far.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
            };
            let receives = async {
                for message in &wanted {
                    assert!(next(&mut io).await.unwrap() == *message);
                }
            };
            tokio::join!(sends, receives);
            settle(&mut io).await;
            assert!(is_fresh(&io), "{:?}", io.tracked.bounds);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn memory_is_kept_while_a_message_or_an_answer_is_under_way() {
    let (near, mut far) = duplex(1 << 20);
    let mut io = server(near, SocketKind::Stream);
    let large = frame(BINARY, &[1; FULL_MESSAGE_BYTES], Some([9; 4]));
    for cut in [1, 7, 8, 5000, large.len() - 1] {
        far.write_all(&[&large, &large[..cut]].concat()).await.unwrap();
        assert_eq!(next(&mut io).await.unwrap().len(), FULL_MESSAGE_BYTES);
        settle(&mut io).await;
        assert!(!is_fresh(&io), "after {cut} bytes of the next");
        far.write_all(&large[cut..]).await.unwrap();
        assert_eq!(next(&mut io).await.unwrap().len(), FULL_MESSAGE_BYTES);
        settle(&mut io).await;
        assert!(is_fresh(&io));
    }
}

#[tokio::test(start_paused = true)]
async fn memory_of_a_message_that_was_sent_is_released() {
    let (near, _far) = duplex(1 << 20);
    let mut io = server(near, SocketKind::Stream);
    let mut message = Some(Message::Binary(vec![1; FULL_MESSAGE_BYTES].into()));
    poll_fn(|context| io.poll_feed(context, &mut message)).await.unwrap();
    poll_fn(|context| io.poll_flush(context)).await.unwrap();
    assert!(!is_fresh(&io));
    settle(&mut io).await;
    assert!(is_fresh(&io));
}

#[tokio::test(start_paused = true)]
async fn memory_of_a_message_that_announces_no_more_is_released_soon() {
    for (size, is_soon) in [(READ_BUFFER + 1, true), (BULK_MESSAGE, true), (BULK_MESSAGE + 1, false)] {
        let (near, mut far) = duplex(1 << 20);
        let mut io = server(near, SocketKind::Stream);
        far.write_all(&frame(BINARY, &vec![1; size], Some([9; 4]))).await.unwrap();
        assert_eq!(next(&mut io).await.unwrap().len(), size);
        assert!(timeout(3 * KEEP_BUFFERS, next(&mut io)).await.is_err());
        assert_eq!(is_fresh(&io), is_soon, "{size} bytes were received");
        settle(&mut io).await;
        let mut message = Some(Message::Binary(vec![1; size].into()));
        poll_fn(|context| io.poll_feed(context, &mut message)).await.unwrap();
        poll_fn(|context| io.poll_flush(context)).await.unwrap();
        assert!(timeout(3 * KEEP_BUFFERS, next(&mut io)).await.is_err());
        assert_eq!(is_fresh(&io), is_soon, "{size} bytes were sent");
    }
}

#[tokio::test(start_paused = true)]
async fn a_queued_message_waits_for_a_flush_or_an_answer_whoever_reads_meanwhile() {
    let (near, mut far) = duplex(1024);
    let mut io = server(near, SocketKind::Stream);
    let (wanted, mut received) = (frame(0x81, b"held", None), [0; 6]);
    for answers in [false, true] {
        let mut message = Some(Message::Text("held".into()));
        poll_fn(|context| io.poll_feed(context, &mut message)).await.unwrap();
        assert!(io.is_holding());
        assert!(timeout(KEEP_BUFFERS, next(&mut io)).await.is_err());
        assert!(timeout(KEEP_BUFFERS, far.read_exact(&mut received)).await.is_err(), "reading sent it");
        if answers {
            far.write_all(&frame(PING, b"", Some([0; 4]))).await.unwrap();
            assert!(next(&mut io).await.unwrap().is_ping());
        } else {
            poll_fn(|context| io.poll_flush(context)).await.unwrap();
        }
        far.read_exact(&mut received).await.unwrap();
        assert!(received == *wanted && !io.is_holding());
    }
}

#[tokio::test]
async fn a_write_error_is_reported_to_the_writer_while_the_reader_reads_on() {
    let (near, mut far) = duplex(1024);
    let mut io = server(near, SocketKind::Stream);
    let said = [frame(PING, b"?", Some([0; 4])), frame(0x88, b"\x0f\xa0why", Some([0; 4]))].concat();
    far.write_all(&said).await.unwrap();
    drop(far);
    assert!(next(&mut io).await.unwrap().is_ping());
    let Message::Close(Some(frame)) = next(&mut io).await.unwrap() else { panic!("no close") };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4000, "why"));
    let mut message = Some(Message::Ping(Bytes::new()));
    assert!(poll_fn(|context| io.poll_feed(context, &mut message)).await.is_err());
    assert!(poll_fn(|context| io.poll_flush(context)).await.is_err());
}

#[tokio::test]
async fn a_length_beyond_the_limit_is_refused_before_any_payload() {
    for length in [MAX_RECEIVED_MESSAGE_BYTES as u64 + 1, i64::MAX as u64] {
        let (near, mut far) = duplex(1024);
        let mut io = server(near, SocketKind::Stream);
        far.write_all(&[&[BINARY, 0x80 | 127], &length.to_be_bytes()[..], &[9; 4]].concat()).await.unwrap();
        assert!(matches!(next(&mut io).await, Err(WebSocketError::Violation(1009, _))));
    }
}

#[tokio::test]
async fn nothing_that_follows_a_violation_is_processed() {
    let (near, mut far) = duplex(1024);
    let mut io = server(near, SocketKind::Stream);
    let sent = [frame(0x81, b"\xc0\xaf", Some([9; 4])), frame(PING, b"", Some([9; 4]))].concat();
    far.write_all(&sent).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(next(&mut io).await, Err(WebSocketError::Violation(1007, _))));
    }
}

#[tokio::test(start_paused = true)]
async fn reads_end_with_each_frame_however_large_messages_vary() {
    let (near, mut far) = duplex(1 << 22);
    let mut io = server(near, SocketKind::Stream);
    let large = |n: usize| frame(BINARY, &vec![1; FULL_MESSAGE_BYTES - 1000 * n], Some([9; 4]));
    let row = [(0..10).flat_map(large).collect(), frame(PING, b"?", Some([9; 4])), (0..10).flat_map(large).collect()]
        .concat();
    far.write_all(&row).await.unwrap();
    for _ in 0..21 {
        next(&mut io).await.unwrap();
        assert!(io.tracked.bounds.is_between_messages() && io.is_bulk);
    }
    settle(&mut io).await;
    assert!(is_fresh(&io));
}

#[tokio::test(start_paused = true)]
async fn messages_that_arrive_with_the_upgrade_or_in_fragments_are_complete_before_buffers_are_replaced() {
    let (near, mut far) = duplex(1 << 20);
    let large = frame(BINARY, &[1; FULL_MESSAGE_BYTES], Some([9; 4]));
    let early = large.repeat(3);
    let mut io = FrameIo::new(LivenessIo::new(near).0, &early, WebSocketRole::Server, SocketKind::Stream.into());
    for _ in 0..3 {
        assert_eq!(next(&mut io).await.unwrap().len(), FULL_MESSAGE_BYTES);
    }
    let [first, last] = [0x02, 0x80].map(|first| frame(first, &[1; 30_000], Some([9; 4])));
    for fragments in [vec![&first, &last], vec![&first], vec![&last]] {
        let whole = fragments.last() == Some(&&last);
        for fragment in fragments {
            far.write_all(fragment).await.unwrap();
        }
        if whole {
            assert_eq!(next(&mut io).await.unwrap().len(), 60_000);
        } else {
            settle(&mut io).await;
            assert!(!is_fresh(&io), "half a message is held");
        }
    }
    settle(&mut io).await;
    assert!(is_fresh(&io));
}

#[tokio::test(start_paused = true)]
async fn no_byte_is_lost_after_a_message_in_two_frames_whatever_their_headers() {
    for (masked, sizes) in [(false, [65_535, 1]), (false, [125, 65_411]), (true, [65_535, 1]), (false, [0, 65_536])] {
        let mask = masked.then_some([9; 4]);
        let (near, mut far) = duplex(1 << 20);
        let mut io = server(near, Options { message_limit: MAX_RECEIVED_MESSAGE_BYTES, masked });
        let sent = [frame(0x02, &vec![1; sizes[0]], mask), frame(0x80, &vec![1; sizes[1]], mask)].concat();
        let following = frame(BINARY, b"next", mask);
        far.write_all(&[&sent, &following[..2]].concat()).await.unwrap();
        assert_eq!(next(&mut io).await.unwrap().len(), 65_536);
        settle(&mut io).await;
        far.write_all(&following[2..]).await.unwrap();
        assert_eq!(next(&mut io).await.unwrap(), Message::Binary(Bytes::from_static(b"next")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_message_does_not_keep_the_read_buffer() {
    let (near, mut far) = duplex(1 << 20);
    let mut io = server(near, SocketKind::Stream);
    let large = frame(BINARY, &[1; FULL_MESSAGE_BYTES], Some([9; 4]));
    far.write_all(&[large, frame(BINARY, b"small", Some([9; 4]))].concat()).await.unwrap();
    assert_eq!(next(&mut io).await.unwrap().len(), FULL_MESSAGE_BYTES);
    let Message::Binary(small) = next(&mut io).await.unwrap() else { panic!("no bytes") };
    assert!(io.is_bulk && small.try_into_mut().unwrap().capacity() < 64);
}

/// The frames of a text message that begins, then has this many empty fragments.
fn fragments(count: usize) -> Vec<u8> {
    let (first, empty) = (frame(0x01, b"{", None), frame(0x00, b"", None));
    [first, empty.repeat(count)].concat()
}

#[tokio::test(start_paused = true)]
async fn a_message_of_many_small_fragments_is_complete_and_was_read_at_a_bounded_rate() {
    let (near, mut far) = duplex(1 << 20);
    let mut io = server(near, SocketKind::UnmaskedStream);
    far.write_all(&[fragments(100_000), frame(0x80, b"}", None)].concat()).await.unwrap();
    let start = clock::now();
    assert_eq!(next(&mut io).await.unwrap(), Message::Text("{}".into()));
    let took = clock::now().duration_since(start);
    assert!((FRAGMENT_PAUSE * 99..FRAGMENT_PAUSE * 110).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn other_tasks_have_their_turn_while_a_message_of_many_fragments_is_read() {
    let (near, mut far) = duplex(1 << 20);
    let mut io = server(near, SocketKind::UnmaskedStream);
    far.write_all(&[fragments(4000), frame(0x80, b"}", None)].concat()).await.unwrap();
    let mut polls = 0;
    let message = poll_fn(|context| {
        polls += 1;
        io.poll_next(context)
    });
    assert_eq!(message.await.unwrap(), Message::Text("{}".into()));
    assert!(polls > 4000 / 200, "{polls} polls");
}
