//! Streams that share a small memory budget.

use std::sync::atomic::AtomicUsize;

use futures_util::future::join_all;

use super::*;
use crate::net::stream_memory::ClientLimits;
use crate::proto::limits::STREAM_RESERVE;
use crate::proto::resume::ResumeToken;

const LIMITS: ClientLimits = ClientLimits { max_streams: 16, memory_budget: 1024 * 1024 };

/// Sends this many full messages to the pump's end of a stream, and counts those that were taken. Reads all the time.
async fn flood(far: WebSocket<DuplexStream>, messages: usize, taken: &AtomicUsize) {
    let WebSocket { mut reader, mut writer, .. } = far;
    let write = async {
        for _ in 0..messages {
            writer.bytes(Bytes::from(vec![7; MAX_SENT_MESSAGE_BYTES])).await.unwrap();
            taken.fetch_add(1, Ordering::Relaxed);
        }
        std::future::pending::<()>().await;
    };
    let read = async { while reader.next().await.is_ok() {} };
    tokio::select! { () = write => {} () = read => {} }
}

#[tokio::test(start_paused = true)]
async fn streams_whose_readers_stall_hold_the_budget_and_a_message_each_and_go_on_when_they_read() {
    let window = usize::try_from(INITIAL_WINDOW).unwrap() / MAX_SENT_MESSAGE_BYTES;
    let settings = Settings { runtime: ClientRuntime::new(LIMITS), ..Settings::default() };
    let (taken, mut applications, mut work) = (AtomicUsize::new(0), Vec::new(), Vec::new());
    for _ in 0..LIMITS.streams() {
        let (near, far) = sockets();
        let (application, local) = duplex(PIPE);
        let tunnel = Tunnel::new(near, Some(StreamProtocol::V1), None);
        let pump = pump(split(local), tunnel, settings.context(NoRejoin));
        let flood = flood(far, window, &taken);
        work.push(async {
            tokio::select! { (outcome, _) = pump => panic!("{outcome:?}"), () = flood => {} }
        });
        applications.push(application);
    }
    let mut work = pin!(join_all(work));
    assert!(timeout(LONG, &mut work).await.is_err(), "for an hour");
    let held = taken.load(Ordering::Relaxed) * MAX_SENT_MESSAGE_BYTES;
    let (budget, most) = (usize::try_from(LIMITS.memory_budget).unwrap(), LIMITS.streams() * window);
    assert!(held <= budget + LIMITS.streams() * MAX_SENT_MESSAGE_BYTES, "{held} bytes are held");
    assert!(held >= budget / 2, "only {held} bytes are held");

    // One after the other: each reads what its peer may send, while the others stall.
    for application in &mut applications {
        let mut all = vec![0; window * MAX_SENT_MESSAGE_BYTES];
        let read = timeout(LONG, application.read_exact(&mut all));
        tokio::select! { read = read => assert!(read.unwrap().is_ok()), _ = &mut work => panic!("a stream ended") }
    }
    assert_eq!(taken.load(Ordering::Relaxed), most);
}

#[tokio::test(start_paused = true)]
async fn a_stream_beside_others_that_use_the_budget_up_carries_bytes_both_ways() {
    let runtime = ClientRuntime::new(LIMITS);
    let others = runtime.stream_memory().open_stream();
    others.sending.set_held(LIMITS.memory_budget);
    assert_eq!(runtime.stream_memory().open_stream().sending.limit(), STREAM_RESERVE, "the pool is empty");
    let settings = [Settings { runtime, ..Settings::default() }, Settings::default()];
    let (near, far) = sockets();
    let ((a, left), (b, right)) = (duplex(PIPE), duplex(PIPE));
    let grace = Duration::from_secs(120);
    let credential = || ResumeCredential { token: ResumeToken::parse("token").unwrap(), grace };
    let tunnel = |socket| Tunnel::new(socket, Some(StreamProtocol::Resumable), Some(credential()));
    let near = pump(split(left), tunnel(near), settings[0].context(NoRejoin));
    let far = pump(split(right), tunnel(far), settings[1].context(NoRejoin));
    let (up, down) = (pattern(1_000_000, 1), pattern(2_000_000, 2));
    let all = async { tokio::join!(near, far, exchange(a, up.clone()), exchange(b, down.clone())) };
    let ((near, _), (far, _), at_a, at_b) = timeout(LONG, all).await.unwrap();
    assert!(at_a == down && at_b == up, "wrong bytes arrived");
    assert_eq!((near.ending, far.ending), (Ending::Clean, Ending::Clean));
}
