//! Two pumps whose WebSockets carry one stream after another.

use super::*;
use crate::net::websocket::{CLOSE_POLICY, Incoming};
use crate::proto::resume::ResumeToken;
use crate::proto::stream::{END_ACK_SUFFIX, RELEASE_MESSAGE};

type Tunnelled = Tunnel<DuplexStream>;

/// A stream that leaves its WebSocket for the next one.
fn resting(socket: WebSocket<DuplexStream>, early: EarlyData) -> Tunnelled {
    let resume_credential =
        ResumeCredential { token: ResumeToken::parse("token").unwrap(), grace: Duration::from_secs(120) };
    Tunnel { early, reusable: true, ..Tunnel::new(socket, Some(StreamProtocol::Resumable), Some(resume_credential)) }
}

/// A pump that gives its WebSocket back, and the application's end of its local side.
fn pumped(tunnel: Tunnelled) -> (DuplexStream, impl Future<Output = (Outcome, Option<WebSocket<DuplexStream>>)>) {
    let (application, local) = duplex(PIPE);
    let pump = async move {
        let (counters, stop) = (Counters::default(), CancellationToken::new());
        let context = PumpContext {
            counters: &counters,
            on_event: &|_| {},
            rejoin: NoWay,
            idle_timeout: IdleTimeout::default(),
            network: NetworkMonitor::disabled(),
            stop: &stop,
        };
        pump(split(local), tunnel, context).await
    };
    (application, pump)
}

#[tokio::test(start_paused = true)]
async fn one_stream_after_another_over_the_same_pair_has_its_own_bytes() {
    let (mut near, mut far) = sockets();
    let mut dice = 1_u64;
    for round in 0..200 {
        let mut roll = |below: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from((dice >> 33) % below).unwrap()
        };
        let (up, down) = (pattern(roll(9000), roll(99)), pattern(roll(9000), roll(99)));
        // Some of it goes along with the request, and is with the other end already.
        let early = Bytes::copy_from_slice(&up[..roll(up.len() as u64 + 1)]);
        let rest = up[early.len()..].to_vec();
        let (a, left) = pumped(resting(near, EarlyData { sent: early.clone(), ..EarlyData::default() }));
        let (b, right) = pumped(resting(far, EarlyData { received: early, ..EarlyData::default() }));
        let all = async { tokio::join!(left, right, exchange(a, rest), exchange(b, down.clone())) };
        let ((left, one), (right, other), at_a, at_b) =
            timeout(LONG, all).await.unwrap_or_else(|_| panic!("round {round} stands still"));
        assert!(at_a == down && at_b == up, "round {round}: other bytes arrived");
        assert_eq!((left.ending, right.ending), (Ending::Clean, Ending::Clean), "round {round}");
        (near, far) = one.zip(other).unwrap_or_else(|| panic!("round {round} used its connection up"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_reset_or_has_an_end_that_does_not_agree_leaves_nothing() {
    let (near, far) = sockets();
    let (a, left) = pumped(resting(near, EarlyData::default()));
    let (b, right) = pumped(Tunnel { reusable: false, ..resting(far, EarlyData::default()) });
    let all = async { tokio::join!(left, right, exchange(a, pattern(5000, 1)), exchange(b, pattern(5000, 2))) };
    let ((_, one), (_, other), ..) = timeout(LONG, all).await.unwrap();
    assert!(one.is_none() && other.is_none());

    let (near, mut far) = sockets();
    let (_application, pump) = pumped(resting(near, EarlyData::default()));
    far.writer.close(4000, "").await.unwrap();
    let (outcome, socket) = timeout(LONG, pump).await.unwrap();
    assert!(socket.is_none() && outcome.ending == Ending::PeerReset, "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_rests_before_all_is_said_breaks_the_stream() {
    let (near, mut far) = sockets();
    let (_application, pump) = pumped(resting(near, EarlyData::default()));
    let told = async {
        far.writer.text(StreamControl::Release.encode()).await.unwrap();
        loop {
            if let Incoming::Closed(told) = far.reader.next().await.unwrap() {
                return told.map(|(code, _)| code);
            }
        }
    };
    let ((outcome, socket), told) = timeout(LONG, async { tokio::join!(pump, told) }).await.unwrap();
    assert!(socket.is_none() && outcome.ending == Ending::Broken, "{outcome:?}");
    assert_eq!(told, Some(CLOSE_POLICY));
}

/// Each message of a stream that ends is three processes' work.
#[tokio::test(start_paused = true)]
async fn an_end_is_acknowledged_together_with_the_one_that_answers_it_or_soon() {
    for (answered_after, heard_after) in
        [(Duration::ZERO, Duration::ZERO), (END_COALESCE_DELAY / 2, END_COALESCE_DELAY / 2), (LONG, END_COALESCE_DELAY)]
    {
        let (near, mut far) = sockets();
        let (mut application, pump) = pumped(resting(near, EarlyData::default()));
        let peer = async {
            let began = clock::now();
            far.writer.text(StreamControl::End { bytes: 0 }.encode()).await.unwrap();
            while !matches!(far.reader.next().await, Ok(Incoming::Text(text)) if text.ends_with(END_ACK_SUFFIX)) {}
            clock::now() - began
        };
        let target = async {
            assert_eq!(application.read(&mut [0]).await.unwrap(), 0);
            sleep(answered_after).await;
            application.shutdown().await.unwrap();
            std::future::pending().await
        };
        let heard = tokio::select! { heard = peer => heard, _ = pump => panic!("over"), () = target => unreachable!() };
        // The clock goes in steps of a millisecond.
        assert!(heard.abs_diff(heard_after) <= Duration::from_millis(1), "{answered_after:?}: {heard:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_lost_after_the_end_was_no_interruption() {
    // The order in which the parts of a pump are looked at is drawn by lot.
    for _ in 0..32 {
        let (near, mut far) = sockets();
        let (mut application, pump) = pumped(resting(near, EarlyData::default()));
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

/// Each message of a stream that ends is three processes' work.
#[tokio::test(start_paused = true)]
async fn an_end_that_has_told_all_says_so_before_its_own_direction_is_acknowledged() {
    let (near, mut far) = sockets();
    let (mut application, pump) = pumped(resting(near, EarlyData::default()));
    let peer = async {
        application.shutdown().await.unwrap();
        far.writer.text(StreamControl::End { bytes: 0 }.encode()).await.unwrap();
        while !matches!(far.reader.next().await, Ok(Incoming::Text(text)) if text == RELEASE_MESSAGE) {}
        // As long as the local side takes there.
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
async fn what_follows_the_last_word_of_a_stream_is_left_for_the_next_one() {
    let end = StreamControl::End { bytes: 0 }.encode();
    let ack = StreamControl::Ack { bytes: 0, window: INITIAL_WINDOW, end: true }.encode();
    for peer_is_last in [false, true] {
        let (near, mut far) = sockets();
        let (mut application, pump) = pumped(resting(near, EarlyData::default()));
        application.shutdown().await.unwrap();
        let (first, awaited, then) = if peer_is_last {
            (vec![&end], RELEASE_MESSAGE, vec![&ack, RELEASE_MESSAGE, "next"])
        } else {
            (vec![], end.as_str(), vec![&end, &ack, RELEASE_MESSAGE])
        };
        let peer = async {
            for word in first {
                far.writer.text(word.clone()).await.unwrap();
            }
            while far.reader.next().await.unwrap() != Incoming::Text(awaited.into()) {}
            for word in then {
                far.writer.hold_text(word.into()).await.unwrap();
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
