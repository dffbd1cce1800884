//! Two pumps whose WebSockets are cut again and again, at any byte.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::sync::Notify;

use super::*;
use crate::proto::resume::ResumeToken;

/// Where both ends come back to: the first one waits for the second, and each pair of connections carries a number of
/// bytes before it is cut.
#[derive(Default)]
struct Meeting {
    waiting: Mutex<Option<(Endpoint, WebSocket<DuplexStream>)>>,
    cuts: Mutex<VecDeque<u64>>,
    refuse: Mutex<Option<RefusalKind>>,
    /// One end knows that all is well: who comes back is told.
    ended_well: AtomicBool,
    told: AtomicUsize,
    met: Notify,
}

/// One end's way there.
struct Way {
    meeting: Arc<Meeting>,
    role: Endpoint,
}

impl Rejoin<DuplexStream> for Way {
    async fn rejoin(&self, resume_credential: &ResumeCredential) -> Result<Tunnel<DuplexStream>, Refusal> {
        if let Some(kind) = *self.meeting.refuse.lock().unwrap() {
            return Err(kind.into());
        }
        if self.meeting.ended_well.load(Ordering::Relaxed) {
            self.meeting.told.fetch_add(1, Ordering::Relaxed);
            return Err(RefusalKind::AlreadyEnded.into());
        }
        let other = self.meeting.waiting.lock().unwrap().take();
        let socket = match other {
            Some((role, socket)) if role != self.role => socket,
            // An end that comes again takes the place of its former self.
            _ => {
                let cut = self.meeting.cuts.lock().unwrap().pop_front();
                let (near, far) = pair(cut, self.role);
                *self.meeting.waiting.lock().unwrap() = Some((self.role, far));
                self.meeting.met.notify_one();
                near
            }
        };
        Ok(Tunnel::new(socket, Some(StreamProtocol::Resumable), Some(resume_credential.clone())))
    }
}

fn resume_credential() -> ResumeCredential {
    ResumeCredential { token: ResumeToken::parse("token").unwrap(), grace: Duration::from_secs(120) }
}

/// A WebSocket from end to end that is cut after so many bytes, both directions counted together.
fn pair(cut: Option<u64>, near: Endpoint) -> (WebSocket<DuplexStream>, WebSocket<DuplexStream>) {
    let (left, middle_left) = duplex(PIPE);
    let (right, middle_right) = duplex(PIPE);
    #[expect(clippy::disallowed_methods, reason = "it ends with its pipes, before the test does")]
    tokio::spawn(wire(middle_left, middle_right, cut));
    let far = if near == Endpoint::Client { Endpoint::Server } else { Endpoint::Client };
    (socket(left, near), socket(right, far))
}

/// Carries bytes one by one read, so that a cut falls anywhere.
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

fn two(meeting: &Arc<Meeting>) -> [(DuplexStream, impl Future<Output = Outcome>); 2] {
    let cut = meeting.cuts.lock().unwrap().pop_front();
    let (near, far) = pair(cut, Endpoint::Client);
    let side = |socket, role| {
        let tunnel = Tunnel::new(socket, Some(StreamProtocol::Resumable), Some(resume_credential()));
        resumable(tunnel, Way { meeting: meeting.clone(), role })
    };
    [side(near, Endpoint::Client), side(far, Endpoint::Server)]
}

#[tokio::test(start_paused = true)]
async fn no_byte_is_lost_or_repeated_wherever_the_tunnel_is_cut() {
    for seed in 0..200_u64 {
        let meeting = Arc::new(Meeting::default());
        let mut dice = seed;
        for _ in 0..12 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Often in the greeting itself, sometimes after many messages.
            let cut = if dice >> 60 == 0 { 600_000 } else { (dice >> 33) % 9000 };
            meeting.cuts.lock().unwrap().push_back(cut);
        }
        let [(a, left), (b, right)] = two(&meeting);
        let (up, down) = (pattern(300_000 + usize::try_from(seed).unwrap(), 1), pattern(70_000, 2));
        let all = async { tokio::join!(left, right, exchange(a, up.clone()), exchange(b, down.clone())) };
        let (left, right, at_a, at_b) = timeout(LONG, all).await.unwrap_or_else(|_| panic!("seed {seed} stands still"));
        assert!(at_a == down && at_b == up, "seed {seed}: other bytes arrived");
        assert_eq!((left.ending, right.ending), (Ending::Clean, Ending::Clean), "seed {seed}");
    }
}

/// The hub remembers it: the end that lost its connection with the other's last words cannot know by itself.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_cut_at_any_byte_of_its_goodbye_has_ended_well_for_both() {
    let mut told = 0;
    for cut in 0..600 {
        let meeting = Arc::new(Meeting::default());
        meeting.cuts.lock().unwrap().push_back(cut);
        let [(a, left), (b, right)] = two(&meeting);
        let noted = async |outcome: Outcome| {
            assert_eq!(outcome.ending, Ending::Clean, "cut after {cut} bytes: {:?}", outcome.refusal);
            meeting.ended_well.store(true, Ordering::Relaxed);
            // Whoever came back before that, and waits, is told as well.
            let waiting = meeting.waiting.lock().unwrap().take();
            if let Some((_, waiting)) = waiting {
                meeting.told.fetch_add(1, Ordering::Relaxed);
                waiting.refuse(&RefusalKind::AlreadyEnded.into()).await;
            }
        };
        let ends = async { tokio::join!(async { noted(left.await).await }, async { noted(right.await).await }) };
        let all = async { tokio::join!(ends, exchange(a, vec![1; 10]), exchange(b, vec![2; 10])) };
        let (_, at_a, at_b) =
            timeout(LONG, all).await.unwrap_or_else(|_| panic!("cut after {cut} bytes it stands still"));
        assert_eq!((at_a, at_b), (vec![2; 10], vec![1; 10]));
        told += meeting.told.load(Ordering::Relaxed);
    }
    assert!(told > 0, "nobody had to be told");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_come_back_in_time_is_reset_with_the_reason() {
    let meeting = Arc::new(Meeting::default());
    meeting.cuts.lock().unwrap().push_back(2000);
    *meeting.refuse.lock().unwrap() = Some(RefusalKind::HubUnreachable);
    let [(a, left), (b, right)] = two(&meeting);
    let start = clock::now();
    let (left, right, _, ()) = tokio::join!(left, right, flood(a), ignore(b));
    assert_eq!((left.ending, right.ending), (Ending::Broken, Ending::Broken));
    assert_eq!(left.refusal.unwrap().kind, RefusalKind::NotResumed);
    let took = clock::now() - start;
    assert!((Duration::from_secs(119)..Duration::from_secs(140)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_no_longer_knows_the_stream_is_believed_at_once() {
    let meeting = Arc::new(Meeting::default());
    meeting.cuts.lock().unwrap().push_back(2000);
    *meeting.refuse.lock().unwrap() = Some(RefusalKind::AuthenticationFailed);
    let [(a, left), (b, right)] = two(&meeting);
    let start = clock::now();
    let (left, _, _, ()) = tokio::join!(left, right, flood(a), ignore(b));
    assert_eq!(left.refusal.unwrap().kind, RefusalKind::NotResumed);
    assert!(clock::now() - start < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_resumes_at_an_impossible_place_ends_the_stream() {
    let (near, mut far) = sockets();
    let tunnel = Tunnel::new(near, Some(StreamProtocol::Resumable), Some(resume_credential()));
    let (_application, pump) = resumable(tunnel, NoWay);
    far.writer.text(StreamControl::Resume { received: 0 }.encode()).await.unwrap();
    assert_eq!(timeout(LONG, pump).await.unwrap().ending, Ending::Broken, "nothing was interrupted");
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_swallows_everything_is_left_for_another() {
    let meeting = Arc::new(Meeting::default());
    let (near, silent) = duplex(PIPE);
    let tunnel = |socket| Tunnel::new(socket, Some(StreamProtocol::Resumable), Some(resume_credential()));
    let way = Way { meeting: meeting.clone(), role: Endpoint::Client };
    let (_application, pump) = resumable(tunnel(socket(near, Endpoint::Client)), way);
    let start = clock::now();
    let came_back = async {
        meeting.met.notified().await;
        clock::now() - start
    };
    let took = tokio::select! { took = came_back => took, _ = pump => panic!("the stream ended") };
    assert!((Duration::from_secs(40)..Duration::from_secs(47)).contains(&took), "{took:?}");
    drop(silent);
}

/// Writes until nobody takes it any more.
async fn flood(mut application: DuplexStream) {
    while application.write_all(&[7; 100]).await.is_ok() {}
}

/// Reads nothing, but is there until the other side is not.
async fn ignore(mut application: DuplexStream) {
    let mut all = Vec::new();
    let _ = application.read_to_end(&mut all).await;
}
