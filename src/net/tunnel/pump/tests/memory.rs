//! Streams that share a small memory budget.

use std::sync::atomic::AtomicUsize;

use futures_util::future::join_all;

use super::*;
use crate::net::stream_memory::{ClientLimits, StreamShares};
use crate::proto::limits::STREAM_RESERVE;
use crate::proto::resume::{ResumePlaces, ResumeToken};

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

/// Runs `applications` at the ends of a stream whose near pump belongs to this client; returns what both pumps and the
/// applications return.
async fn beside_others<O>(
    runtime: ClientRuntime,
    protocol: StreamProtocol,
    applications: impl AsyncFnOnce(DuplexStream, DuplexStream) -> O,
) -> (Outcome, Outcome, O) {
    let settings = [Settings { runtime, ..Settings::default() }, Settings::default()];
    let (near, far) = sockets();
    let ((at_near, left), (at_far, right)) = (duplex(PIPE), duplex(PIPE));
    let grace = Duration::from_secs(120);
    let credential =
        || ResumeCredential { token: ResumeToken::parse("token").unwrap(), grace, places: ResumePlaces::default() };
    let tunnel = |socket| Tunnel::new(socket, Some(protocol), Some(credential()));
    let near = pump(split(left), tunnel(near), settings[0].context(NoRejoin));
    let far = pump(split(right), tunnel(far), settings[1].context(NoRejoin));
    let all = async { tokio::join!(near, far, applications(at_near, at_far)) };
    let ((near, _), (far, _), output) = timeout(LONG, all).await.expect("a stream hangs");
    (near, far, output)
}

/// A client whose budget a stream uses up, for as long as its shares are kept.
pub(super) fn used_up() -> (ClientRuntime, StreamShares) {
    used_up_of(LIMITS)
}

fn used_up_of(limits: ClientLimits) -> (ClientRuntime, StreamShares) {
    let runtime = ClientRuntime::new(limits);
    let others = runtime.stream_memory().open_stream();
    others.sending.set_held(limits.memory_budget);
    assert_eq!(runtime.stream_memory().open_stream().sending.limit(), STREAM_RESERVE, "the pool is empty");
    (runtime, others)
}

/// Writes back what it reads, and reads no more until that is written.
pub(super) async fn echo(mut application: DuplexStream) {
    let mut buffer = vec![0; PIPE];
    while let Ok(read @ 1..) = application.read(&mut buffer).await {
        if application.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    let _ = application.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_beside_others_that_use_the_budget_up_carries_bytes_both_ways() {
    let (runtime, _others) = used_up();
    let (up, down) = (pattern(1_000_000, 1), pattern(2_000_000, 2));
    let applications = async |a, b| tokio::join!(exchange(a, up.clone()), exchange(b, down.clone()));
    let (near, far, (at_near, at_far)) = beside_others(runtime, StreamProtocol::Resumable, applications).await;
    assert!(at_near == down && at_far == up, "wrong bytes arrived");
    assert_eq!((near.ending, far.ending), (Ending::Clean, Ending::Clean));
}

#[tokio::test(start_paused = true)]
async fn an_application_that_writes_before_it_reads_on_is_not_deadlocked_where_the_budget_is_used_up() {
    for protocol in StreamProtocol::ALL {
        let (runtime, _others) = used_up();
        let bytes = pattern(2_000_000, 1);
        let applications = async |a, b| tokio::join!(echo(a), exchange(b, bytes.clone()));
        let (near, far, ((), echoed)) = beside_others(runtime, protocol, applications).await;
        assert!(echoed == bytes, "wrong bytes arrived");
        assert_eq!((near.ending, far.ending), (Ending::Clean, Ending::Clean));
    }
}

/// An application that reads nothing for 50 minutes is slow, and no more: before that it ended its direction, or what it wrote
/// was acknowledged at last. The peer's pongs have piled up meanwhile.
#[tokio::test(start_paused = true)]
async fn a_reader_that_pauses_where_the_budget_is_used_up_keeps_its_stream() {
    for (length, ends) in [(100, true), (12_000, true), (100_000, false)] {
        let (runtime, _others) = used_up();
        // One that may still write is lent the excess; the others do without.
        let deadlocked = runtime.stream_memory().open_stream();
        assert!(!ends || deadlocked.allow_excess());
        let (sent, answer) = (pattern(length, 1), pattern(100_000, 2));
        let paused = async |application| {
            let (mut reader, mut writer) = split(application);
            writer.write_all(&sent).await.unwrap();
            if ends {
                writer.shutdown().await.unwrap();
            }
            sleep(LONG / 6 * 5).await;
            let mut received = vec![0; answer.len()];
            let read = reader.read_exact(&mut received).await.map(drop);
            read.map(|()| received == answer)
        };
        let applications = async |a, b| tokio::join!(paused(a), exchange(b, answer.clone()));
        let (near, far, (read, received)) = beside_others(runtime, StreamProtocol::Resumable, applications).await;
        assert!(matches!(read, Ok(true)), "{length}: {read:?}, {near:?}");
        assert!(received == sent, "{length}: wrong bytes arrived");
        assert_eq!((near.ending, far.ending), (Ending::Clean, Ending::Clean), "{length}");
    }
}

/// Others use the budget up for a moment; after that, the peer's application is slow to read.
#[tokio::test(start_paused = true)]
async fn a_deadlock_that_was_over_in_time_ends_no_stream_later() {
    let (runtime, others) = used_up_of(ClientLimits { memory_budget: 16 * LIMITS.memory_budget, ..LIMITS });
    let bytes = pattern(2_000_000, 1);
    let applications = async |near: DuplexStream, far: DuplexStream| {
        let free = async {
            sleep(Duration::from_secs(30)).await;
            drop(others);
        };
        let (mut reader, mut writer) = split(far);
        let slow = async {
            sleep(LONG / 6).await;
            let mut all = Vec::new();
            reader.read_to_end(&mut all).await.map(|_| all)
        };
        let write = async {
            writer.write_all(&bytes).await?;
            writer.shutdown().await
        };
        tokio::join!(echo(near), free, slow, write)
    };
    let (near, far, (.., read, written)) = beside_others(runtime, StreamProtocol::Resumable, applications).await;
    assert!(written.is_ok() && read.is_ok_and(|read| read == bytes), "{near:?} {far:?}");
}

#[tokio::test(start_paused = true)]
async fn a_deadlock_that_the_excess_does_not_end_ends_the_stream_with_the_cause() {
    let (runtime, _others) = used_up();
    // Another deadlocked stream has all that is allowed beyond the budget.
    let deadlocked = runtime.stream_memory().open_stream();
    assert!(deadlocked.allow_excess());
    let bytes = pattern(2_000_000, 1);
    let applications = async |a, b| {
        let (mut reader, mut writer) = split(b);
        let mut all = Vec::new();
        tokio::join!(echo(a), writer.write_all(&bytes), reader.read_to_end(&mut all)).1.is_err()
    };
    let started_at = clock::now();
    let (near, far, failed) = beside_others(runtime, StreamProtocol::Resumable, applications).await;
    assert!(failed, "the application was not told");
    assert!(clock::now() - started_at < Duration::from_secs(70));
    for outcome in [near, far] {
        assert_eq!(outcome.refusal.map(|refusal| refusal.kind), Some(RefusalKind::MemoryUsedUp));
    }
    deadlocked.end_excess();
    assert!(deadlocked.allow_excess(), "an ended stream leaves the excess to another");
}
