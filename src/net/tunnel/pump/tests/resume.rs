//! Two pumps whose WebSockets are cut repeatedly, at any byte.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::io::copy_bidirectional;
use tokio::sync::Notify;

use super::*;
use crate::proto::limits::STREAM_RESERVE;
use crate::proto::resume::{ResumePlaces, ResumeToken};

/// The hub at which both ends rejoin: the first one waits for the second, and each pair of connections is cut after a
/// number of bytes.
#[derive(Default)]
struct TestHub {
    waiting: Mutex<Option<(WebSocketRole, WebSocket<DuplexStream>)>>,
    cuts: Mutex<VecDeque<u64>>,
    refuse: Mutex<Option<RefusalKind>>,
    /// One end has ended cleanly; the other gets that result when it rejoins.
    ended_cleanly: AtomicBool,
    notified: AtomicUsize,
    rejoined: Notify,
}

/// Rejoins one end of the stream.
struct RejoinPath {
    hub: Arc<TestHub>,
    role: WebSocketRole,
}

impl Rejoin<DuplexStream> for RejoinPath {
    async fn rejoin(&self, resume_credential: &ResumeCredential) -> Result<Tunnel<DuplexStream>, Refusal> {
        if let Some(kind) = *self.hub.refuse.lock() {
            return Err(kind.into());
        }
        if self.hub.ended_cleanly.load(Ordering::Relaxed) {
            self.hub.notified.fetch_add(1, Ordering::Relaxed);
            return Err(RefusalKind::AlreadyEnded.into());
        }
        let other = self.hub.waiting.lock().take();
        let socket = match other {
            Some((role, socket)) if role != self.role => socket,
            // An end that rejoins again displaces its earlier attempt.
            _ => {
                let cut = self.hub.cuts.lock().pop_front();
                let (near, far) = pair(cut, self.role);
                *self.hub.waiting.lock() = Some((self.role, far));
                self.hub.rejoined.notify_one();
                near
            }
        };
        Ok(Tunnel::new(socket, Some(StreamProtocol::Resumable), Some(resume_credential.clone())))
    }
}

fn resume_credential() -> ResumeCredential {
    ResumeCredential {
        token: ResumeToken::parse("token").unwrap(),
        grace: Duration::from_secs(120),
        places: ResumePlaces::default(),
    }
}

/// Creates both ends of a WebSocket that is cut after so many bytes, in both directions together.
fn pair(cut: Option<u64>, near: WebSocketRole) -> (WebSocket<DuplexStream>, WebSocket<DuplexStream>) {
    let (left, middle_left) = duplex(PIPE);
    let (right, middle_right) = duplex(PIPE);
    #[expect(clippy::disallowed_methods, reason = "it ends with its pipes, before the test does")]
    tokio::spawn(wire(middle_left, middle_right, cut));
    let far = if near == WebSocketRole::Client { WebSocketRole::Server } else { WebSocketRole::Client };
    (socket(left, near), socket(right, far))
}

/// Copies bytes in small reads, so that a cut falls anywhere.
async fn wire(mut left: DuplexStream, mut right: DuplexStream, cut: Option<u64>) {
    let Some(mut rest) = cut else {
        let _ = copy_bidirectional(&mut left, &mut right).await;
        return;
    };
    let (mut up, mut down) = ([0; 300], [0; 300]);
    while rest > 0 {
        let (count, bytes, to) = tokio::select! {
            read = left.read(&mut up) => (read.unwrap_or(0), &up, &mut right),
            read = right.read(&mut down) => (read.unwrap_or(0), &down, &mut left),
        };
        let count = count.min(usize::try_from(rest).unwrap());
        if count == 0 || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
        rest -= count as u64;
    }
}

/// Creates two pumps that rejoin at this hub, and the applications' ends.
fn two(hub: &Arc<TestHub>) -> [(DuplexStream, impl Future<Output = Outcome>); 2] {
    let cut = hub.cuts.lock().pop_front();
    let (near, far) = pair(cut, WebSocketRole::Client);
    let side = |socket, role| {
        let tunnel = Tunnel::new(socket, Some(StreamProtocol::Resumable), Some(resume_credential()));
        resumable(tunnel, RejoinPath { hub: hub.clone(), role })
    };
    [side(near, WebSocketRole::Client), side(far, WebSocketRole::Server)]
}

#[tokio::test(start_paused = true)]
async fn no_byte_is_lost_or_repeated_wherever_the_websocket_is_cut() {
    for seed in 0..200_u64 {
        let hub = Arc::new(TestHub::default());
        let mut rng_state = seed;
        for _ in 0..12 {
            rng_state = rng_state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Often within the first messages, sometimes after many.
            let cut = if rng_state >> 60 == 0 { 600_000 } else { (rng_state >> 33) % 9000 };
            hub.cuts.lock().push_back(cut);
        }
        let [(a, left), (b, right)] = two(&hub);
        let (up, down) = (pattern(300_000 + usize::try_from(seed).unwrap(), 1), pattern(70_000, 2));
        let all = async { tokio::join!(left, right, exchange(a, up.clone()), exchange(b, down.clone())) };
        let (left, right, at_a, at_b) =
            timeout(LONG, all).await.unwrap_or_else(|_| panic!("seed {seed} makes no progress"));
        assert!(at_a == down && at_b == up, "seed {seed}: wrong bytes arrived");
        assert_eq!((left.ending, right.ending), (Ending::Clean, Ending::Clean), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_may_hold_no_more_resumes_before_its_application_reads() {
    let hub = Arc::new(TestHub::default());
    let (runtime, _others) = memory::used_up();
    let settings = Settings { runtime, ..Settings::default() };
    // With a part of what the pipes hold while the near end does not read.
    let (near, far) = pair(Some(STREAM_RESERVE + 2 * PIPE as u64), WebSocketRole::Client);
    let tunnel = |socket| Tunnel::new(socket, Some(StreamProtocol::Resumable), Some(resume_credential()));
    let path = |role| RejoinPath { hub: hub.clone(), role };
    let (at_near, local) = duplex(PIPE);
    let near = pump(split(local), tunnel(near), settings.context(path(WebSocketRole::Client)));
    let (at_far, far) = resumable(tunnel(far), path(WebSocketRole::Server));
    let bytes = pattern(200_000, 1);
    let application = async {
        let (mut reader, mut writer) = split(at_near);
        sleep(Duration::from_secs(1)).await;
        // So that the loss is noticed.
        writer.write_all(b"!").await.unwrap();
        sleep(2 * resume_credential().grace).await;
        let mut all = vec![0; bytes.len()];
        reader.read_exact(&mut all).await.map(|_| all == bytes).unwrap_or_default()
    };
    let all = async { tokio::join!(near, far, application, exchange(at_far, bytes.clone())) };
    let ((near, _), far, arrived, answer) = timeout(LONG, all).await.unwrap();
    assert!(arrived, "{near:?}");
    assert!(timeout(LONG, hub.rejoined.notified()).await.is_ok(), "it was not cut");
    assert_eq!((near.ending, far.ending, answer), (Ending::Clean, Ending::Clean, b"!".to_vec()));
}

/// The hub keeps the result: an end that lost its connection with the peer's last control messages cannot know it.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_cut_at_any_byte_of_its_end_has_ended_cleanly_for_both() {
    let mut notified = 0;
    for cut in 0..600 {
        let hub = Arc::new(TestHub::default());
        hub.cuts.lock().push_back(cut);
        let [(a, left), (b, right)] = two(&hub);
        let noted = async |outcome: Outcome| {
            assert_eq!(outcome.ending, Ending::Clean, "cut after {cut} bytes: {:?}", outcome.refusal);
            hub.ended_cleanly.store(true, Ordering::Relaxed);
            // An end that rejoined before gets the result as well.
            let waiting = hub.waiting.lock().take();
            if let Some((_, waiting)) = waiting {
                hub.notified.fetch_add(1, Ordering::Relaxed);
                waiting.refuse(&RefusalKind::AlreadyEnded.into()).await;
            }
        };
        let ends = async { tokio::join!(async { noted(left.await).await }, async { noted(right.await).await }) };
        let all = async { tokio::join!(ends, exchange(a, vec![1; 10]), exchange(b, vec![2; 10])) };
        let (_, at_a, at_b) =
            timeout(LONG, all).await.unwrap_or_else(|_| panic!("cut after {cut} bytes the stream makes no progress"));
        assert_eq!((at_a, at_b), (vec![2; 10], vec![1; 10]));
        notified += hub.notified.load(Ordering::Relaxed);
    }
    assert!(notified > 0, "no end asked the hub for the result");
}

#[tokio::test(start_paused = true)]
async fn an_end_whose_first_websocket_was_lost_begins_with_a_rejoin() {
    let hub = Arc::new(TestHub::default());
    let (near, far) = pair(Some(0), WebSocketRole::Client);
    drop(far);
    let tunnels = [
        Tunnel::new(near, Some(StreamProtocol::Resumable), Some(resume_credential())),
        Tunnel::lost(resume_credential()),
    ];
    let roles = [WebSocketRole::Client, WebSocketRole::Server];
    let mut sides =
        tunnels.into_iter().zip(roles).map(|(tunnel, role)| resumable(tunnel, RejoinPath { hub: hub.clone(), role }));
    let ((a, left), (b, right)) = (sides.next().unwrap(), sides.next().unwrap());
    let all = async { tokio::join!(left, right, exchange(a, vec![1; 10]), exchange(b, vec![2; 10])) };
    let (left, right, at_a, at_b) = timeout(LONG, all).await.unwrap();
    assert_eq!((at_a, at_b), (vec![2; 10], vec![1; 10]));
    assert_eq!((left.ending, right.ending), (Ending::Clean, Ending::Clean));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_resumed_in_time_is_reset_with_the_reason() {
    let hub = Arc::new(TestHub::default());
    hub.cuts.lock().push_back(2000);
    *hub.refuse.lock() = Some(RefusalKind::HubUnreachable);
    let [(a, left), (b, right)] = two(&hub);
    let start = clock::now();
    let (left, right, _, ()) = tokio::join!(left, right, flood(a), ignore(b));
    assert_eq!((left.ending, right.ending), (Ending::Broken, Ending::Broken));
    assert_eq!(left.refusal.unwrap().kind, RefusalKind::NotResumed);
    let took = clock::now() - start;
    assert!((Duration::from_secs(119)..Duration::from_secs(140)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_a_hub_without_the_stream_ends_it_at_once() {
    let hub = Arc::new(TestHub::default());
    hub.cuts.lock().push_back(2000);
    *hub.refuse.lock() = Some(RefusalKind::AuthenticationFailed);
    let [(a, left), (b, right)] = two(&hub);
    let start = clock::now();
    let (left, _, _, ()) = tokio::join!(left, right, flood(a), ignore(b));
    assert_eq!(left.refusal.unwrap().kind, RefusalKind::NotResumed);
    assert!(clock::now() - start < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_resume_without_an_interruption_breaks_the_stream() {
    let (near, mut far) = sockets();
    let tunnel = Tunnel::new(near, Some(StreamProtocol::Resumable), Some(resume_credential()));
    let (_application, pump) = resumable(tunnel, NoRejoin);
    far.writer.text(StreamControl::Resume { received: 0 }.encode()).await.unwrap();
    assert_eq!(timeout(LONG, pump).await.unwrap().ending, Ending::Broken, "nothing was interrupted");
}

#[tokio::test(start_paused = true)]
async fn a_websocket_that_swallows_everything_is_given_up_and_the_stream_rejoins() {
    let hub = Arc::new(TestHub::default());
    let (near, silent) = duplex(PIPE);
    let tunnel = |socket| Tunnel::new(socket, Some(StreamProtocol::Resumable), Some(resume_credential()));
    let rejoin = RejoinPath { hub: hub.clone(), role: WebSocketRole::Client };
    let (_application, pump) = resumable(tunnel(socket(near, WebSocketRole::Client)), rejoin);
    let start = clock::now();
    let rejoined = async {
        hub.rejoined.notified().await;
        clock::now() - start
    };
    let took = tokio::select! { took = rejoined => took, _ = pump => panic!("the stream ended") };
    assert!((Duration::from_secs(40)..Duration::from_secs(47)).contains(&took), "{took:?}");
    drop(silent);
}

/// Writes until the stream is over.
async fn flood(mut application: DuplexStream) {
    while application.write_all(&[7; 100]).await.is_ok() {}
}

/// Writes nothing, and reads until the stream is over.
async fn ignore(mut application: DuplexStream) {
    let mut all = Vec::new();
    let _ = application.read_to_end(&mut all).await;
}
