//! Two pumps whose WebSocket carries one stream after another.

use super::*;
use crate::net::websocket::{CLOSE_POLICY, Incoming, MAX_HOLD};
use crate::proto::resume::{ResumePlaces, ResumeToken};
use crate::proto::stream::{END_ACK_SUFFIX, RELEASE_MESSAGE};

type Tunnelled = Tunnel<DuplexStream>;

/// Creates a tunnel whose WebSocket is reusable.
fn reusable(socket: WebSocket<DuplexStream>, early: EarlyData) -> Tunnelled {
    let resume_credential = ResumeCredential {
        token: ResumeToken::parse("token").unwrap(),
        grace: Duration::from_secs(120),
        places: ResumePlaces::default(),
    };
    Tunnel { early, reusable: true, ..Tunnel::new(socket, Some(StreamProtocol::Resumable), Some(resume_credential)) }
}

/// Creates a pump that returns its WebSocket, and the application's end of its local side.
fn pumped(tunnel: Tunnelled) -> (DuplexStream, impl Future<Output = (Outcome, Option<WebSocket<DuplexStream>>)>) {
    let (application, local) = duplex(PIPE);
    let pump = async move {
        let settings = Settings::default();
        pump(split(local), tunnel, settings.context(NoRejoin)).await
    };
    (application, pump)
}

#[tokio::test(start_paused = true)]
async fn successive_streams_on_one_websocket_keep_their_bytes_apart() {
    let (mut near, mut far) = sockets();
    let mut rng_state = 1_u64;
    for round in 0..200 {
        let mut roll = |below: u64| {
            rng_state = rng_state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from((rng_state >> 33) % below).unwrap()
        };
        let (up, down) = (pattern(roll(9000), roll(99)), pattern(roll(9000), roll(99)));
        // Some of it is early data, which the other end has already.
        let early = Bytes::copy_from_slice(&up[..roll(up.len() as u64 + 1)]);
        let rest = up[early.len()..].to_vec();
        let (a, left) = pumped(reusable(near, EarlyData { sent: early.clone(), ..EarlyData::default() }));
        let (b, right) = pumped(reusable(far, EarlyData { received: early, ..EarlyData::default() }));
        let all = async { tokio::join!(left, right, exchange(a, rest), exchange(b, down.clone())) };
        let ((left, one), (right, other), at_a, at_b) =
            timeout(LONG, all).await.unwrap_or_else(|_| panic!("round {round} makes no progress"));
        assert!(at_a == down && at_b == up, "round {round}: wrong bytes arrived");
        assert_eq!((left.ending, right.ending), (Ending::Clean, Ending::Clean), "round {round}");
        (near, far) = one.zip(other).unwrap_or_else(|| panic!("round {round} did not return its WebSocket"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_queued_before_a_stream_goes_out_with_its_first_bytes_or_after_a_moment() {
    for answer in [Some("welcome"), None] {
        let (mut near, mut far) = sockets();
        near.writer.buffer_text("accepted".into()).await.unwrap();
        let (mut application, pump) = pumped(reusable(near, EarlyData::default()));
        let started_at = clock::now();
        let exchange = async {
            if let Some(answer) = answer {
                application.write_all(answer.as_bytes()).await.unwrap();
            }
            assert_eq!(far.reader.next().await.unwrap(), Incoming::Text("accepted".into()));
            clock::now() - started_at
        };
        let waited = tokio::select! { (outcome, _) = pump => panic!("{outcome:?}"), waited = exchange => waited };
        let limit = if answer.is_some() { Duration::ZERO } else { MAX_HOLD + Duration::from_millis(1) };
        assert!(waited <= limit && (answer.is_some() || waited > Duration::ZERO), "{answer:?}: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_stream_or_one_that_one_end_does_not_reuse_returns_no_websocket() {
    let (near, far) = sockets();
    let (a, left) = pumped(reusable(near, EarlyData::default()));
    let (b, right) = pumped(Tunnel { reusable: false, ..reusable(far, EarlyData::default()) });
    let all = async { tokio::join!(left, right, exchange(a, pattern(5000, 1)), exchange(b, pattern(5000, 2))) };
    let ((_, one), (_, other), ..) = timeout(LONG, all).await.unwrap();
    assert!(one.is_none() && other.is_none());

    let (near, mut far) = sockets();
    let (_application, pump) = pumped(reusable(near, EarlyData::default()));
    far.writer.close(4000, "").await.unwrap();
    let (outcome, socket) = timeout(LONG, pump).await.unwrap();
    assert!(socket.is_none() && outcome.ending == Ending::PeerReset, "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_releases_before_the_end_breaks_the_stream() {
    let (near, mut far) = sockets();
    let (_application, pump) = pumped(reusable(near, EarlyData::default()));
    let close_code = async {
        far.writer.text(StreamControl::Release.encode()).await.unwrap();
        loop {
            if let Incoming::Closed(close_code) = far.reader.next().await.unwrap() {
                return close_code.map(|(code, _)| code);
            }
        }
    };
    let ((outcome, socket), close_code) = timeout(LONG, async { tokio::join!(pump, close_code) }).await.unwrap();
    assert!(socket.is_none() && outcome.ending == Ending::Broken, "{outcome:?}");
    assert_eq!(close_code, Some(CLOSE_POLICY));
}

/// Each control message at the end of a stream costs CPU time in three processes.
#[tokio::test(start_paused = true)]
async fn an_end_is_acknowledged_with_the_end_of_the_other_direction_or_after_a_delay() {
    for (answered_after, acknowledged_after) in
        [(Duration::ZERO, Duration::ZERO), (END_COALESCE_DELAY / 2, END_COALESCE_DELAY / 2), (LONG, END_COALESCE_DELAY)]
    {
        let (near, mut far) = sockets();
        let (mut application, pump) = pumped(reusable(near, EarlyData::default()));
        let peer = async {
            let start = clock::now();
            far.writer.text(StreamControl::End { bytes: 0 }.encode()).await.unwrap();
            while !matches!(far.reader.next().await, Ok(Incoming::Text(text)) if text.ends_with(END_ACK_SUFFIX)) {}
            clock::now() - start
        };
        let target = async {
            assert_eq!(application.read(&mut [0]).await.unwrap(), 0);
            sleep(answered_after).await;
            application.shutdown().await.unwrap();
            std::future::pending().await
        };
        let received =
            tokio::select! { received = peer => received, _ = pump => panic!("over"), () = target => unreachable!() };
        // The paused clock has a resolution of one millisecond.
        assert!(received.abs_diff(acknowledged_after) <= Duration::from_millis(1), "{answered_after:?}: {received:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_lost_after_the_end_is_a_clean_end() {
    // The order in which the loops of a pump are polled is random.
    for _ in 0..32 {
        let (near, mut far) = sockets();
        let (mut application, pump) = pumped(reusable(near, EarlyData::default()));
        let peer = async {
            application.shutdown().await.unwrap();
            far.writer.text(StreamControl::End { bytes: 0 }.encode()).await.unwrap();
            while !matches!(far.reader.next().await, Ok(Incoming::Text(text)) if text.ends_with(END_ACK_SUFFIX)) {}
            let acknowledged = StreamControl::Ack { bytes: 0, window: INITIAL_WINDOW, end: true };
            far.writer.text(acknowledged.encode()).await.unwrap();
            drop(far);
        };
        let ((outcome, socket), ()) = timeout(LONG, async { tokio::join!(pump, peer) }).await.unwrap();
        assert!(socket.is_none() && outcome == Ending::Clean.into(), "{outcome:?}");
    }
}

/// Each control message at the end of a stream costs CPU time in three processes.
#[tokio::test(start_paused = true)]
async fn the_release_is_sent_before_the_own_direction_is_acknowledged() {
    let (near, mut far) = sockets();
    let (mut application, pump) = pumped(reusable(near, EarlyData::default()));
    let peer = async {
        application.shutdown().await.unwrap();
        far.writer.text(StreamControl::End { bytes: 0 }.encode()).await.unwrap();
        while !matches!(far.reader.next().await, Ok(Incoming::Text(text)) if text == RELEASE_MESSAGE) {}
        // The time that the peer's local side takes.
        sleep(Duration::from_secs(10)).await;
        far.writer.text(StreamControl::Ack { bytes: 0, window: INITIAL_WINDOW, end: true }.encode()).await.unwrap();
        far.writer.text(RELEASE_MESSAGE.into()).await.unwrap();
        let pong = async { while far.reader.next().await.is_ok() {} };
        tokio::select! { () = pong => panic!("closed"), () = std::future::pending() => {} }
    };
    let (outcome, socket) = tokio::select! { over = pump => over, () = peer => unreachable!() };
    assert!(socket.is_some() && outcome == Ending::Clean.into(), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn messages_after_the_last_one_of_a_stream_are_left_for_the_next_stream() {
    let end = StreamControl::End { bytes: 0 }.encode();
    let ack = StreamControl::Ack { bytes: 0, window: INITIAL_WINDOW, end: true }.encode();
    for peer_is_last in [false, true] {
        let (near, mut far) = sockets();
        let (mut application, pump) = pumped(reusable(near, EarlyData::default()));
        application.shutdown().await.unwrap();
        let (first, awaited, then) = if peer_is_last {
            (vec![&end], RELEASE_MESSAGE, vec![&ack, RELEASE_MESSAGE, "next"])
        } else {
            (vec![], end.as_str(), vec![&end, &ack, RELEASE_MESSAGE])
        };
        let peer = async {
            for message in first {
                far.writer.text(message.clone()).await.unwrap();
            }
            while far.reader.next().await.unwrap() != Incoming::Text(awaited.into()) {}
            for message in then {
                far.writer.buffer_text(message.into()).await.unwrap();
            }
            far.writer.flush().await.unwrap();
            if !peer_is_last {
                while far.reader.next().await.unwrap() != Incoming::Text(RELEASE_MESSAGE.into()) {}
                far.writer.text("next".into()).await.unwrap();
            }
        };
        let ((outcome, socket), ()) = timeout(LONG, async { tokio::join!(pump, peer) }).await.unwrap();
        let mut socket = socket.unwrap_or_else(|| panic!("{outcome:?}"));
        assert_eq!(socket.reader.next().await.unwrap(), Incoming::Text("next".into()));
    }
}
