//! PURE. Keepalive of an idle connection, for control connections and streams alike: both ends run one.
//!
//! Each end sends after a time without sending, so that the other reads something however busy the opposite direction
//! is; and probes before it gives up, so that a machine that was suspended reads its backlog first.
//!
//! Of two idle ends the server pings and the client answers: a server has many clients, and wakes up once for all that
//! are due.

use std::time::{Duration, Instant};

use super::backoff::jittered;
use super::limits::{DEAD_AFTER, PROBE_TIMEOUT};
use super::websocket::WebSocketRole;

/// Pings due within this interval are sent together at its end: the delay is unnoticeable, and 10,000 idle connections
/// wake the process 4 times a second instead of 500.
const COALESCE_INTERVAL: Duration = Duration::from_millis(250);

/// The longest silence of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleTimeout {
    /// Time without a read after which the peer is dead.
    pub dead_after: Duration,
}

impl Default for IdleTimeout {
    fn default() -> Self {
        Self { dead_after: DEAD_AFTER }
    }
}

impl IdleTimeout {
    /// Time that a probed peer has to answer.
    fn probe_timeout(self) -> Duration {
        PROBE_TIMEOUT.min(self.dead_after / 4)
    }

    /// Time without a write after which a ping is due: two fit in the time before the peer probes, since one may be
    /// lost with a connection's last segment.
    fn ping_interval(self) -> Duration {
        self.dead_after * 5 / 9
    }
}

/// The action that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepaliveAction {
    /// Nothing before this time.
    WaitUntil(Instant),
    /// Send a ping.
    Ping,
    /// Close: the peer is dead.
    GiveUp,
}

/// The keepalive state of one connection.
#[derive(Debug)]
pub struct Keepalive {
    idle_timeout: IdleTimeout,
    /// Time without a write after which a ping is due, with jitter: a fleet must not ping in step.
    ping_interval: Duration,
    /// The origin of [`COALESCE_INTERVAL`] for all connections of the process.
    epoch: Instant,
    /// Time of the unanswered probe, and its timeout.
    probed: Option<(Instant, Duration)>,
}

impl Keepalive {
    /// The keepalive of a new connection.
    pub fn new(idle_timeout: IdleTimeout, endpoint: WebSocketRole, epoch: Instant, random: u64) -> Self {
        let longest = idle_timeout.ping_interval().saturating_sub(COALESCE_INTERVAL);
        // The lower half of the last fifth is the server's, the upper half the client's.
        let half = (idle_timeout.ping_interval() / 5).saturating_sub(COALESCE_INTERVAL) / 2;
        let ping_interval = match endpoint {
            WebSocketRole::Server => longest - half - jittered(half, random),
            WebSocketRole::Client => longest - jittered(half, random),
        };
        Self { idle_timeout, ping_interval, epoch, probed: None }
    }

    /// Starts a probe: the path to the peer has changed, and it must answer at once.
    pub fn probe(&mut self, now: Instant) {
        self.probe_within(now, self.idle_timeout.probe_timeout());
    }

    /// Starts a probe with a shorter timeout, where another connection could be used instead.
    pub fn probe_within(&mut self, now: Instant, limit: Duration) {
        self.probed = Some((now, limit.min(self.idle_timeout.probe_timeout())));
    }

    /// Returns the action that is due, given the times of the last write and the last read.
    pub fn poll(&mut self, now: Instant, last_write: Instant, last_read: Instant) -> KeepaliveAction {
        self.probed = self.probed.filter(|(probed, _)| last_read < *probed);
        if let Some((probed, limit)) = self.probed {
            let until = probed + limit;
            return if now >= until { KeepaliveAction::GiveUp } else { KeepaliveAction::WaitUntil(until) };
        }
        let probe_at = last_read + (self.idle_timeout.dead_after - self.idle_timeout.probe_timeout());
        let ping_at = round_up(self.epoch, last_write + self.ping_interval);
        if now >= probe_at {
            self.probe(now);
            return KeepaliveAction::Ping;
        }
        if now >= ping_at { KeepaliveAction::Ping } else { KeepaliveAction::WaitUntil(probe_at.min(ping_at)) }
    }
}

/// Rounds up to the end of the coalescing interval.
fn round_up(epoch: Instant, at: Instant) -> Instant {
    let into = at.saturating_duration_since(epoch).as_nanos() % COALESCE_INTERVAL.as_nanos();
    at + COALESCE_INTERVAL - Duration::from_nanos(u64::try_from(into).unwrap_or_default())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's virtual time")]
mod tests {
    use super::*;

    const RANDOM: [u64; 4] = [0, 1 << 40, u64::MAX / 3, u64::MAX];
    const ENDPOINTS: [WebSocketRole; 2] = [WebSocketRole::Server, WebSocketRole::Client];

    fn client(now: Instant) -> Keepalive {
        Keepalive::new(IdleTimeout::default(), WebSocketRole::Client, now, 0)
    }

    /// Returns the time of the first ping after a write at this time after the epoch.
    fn first_ping(endpoint: WebSocketRole, random: u64, last_write: Duration) -> Duration {
        let epoch = Instant::now();
        let last_write = epoch + last_write;
        match Keepalive::new(IdleTimeout::default(), endpoint, epoch, random).poll(last_write, last_write, last_write) {
            KeepaliveAction::WaitUntil(at) => at - epoch,
            KeepaliveAction::Ping | KeepaliveAction::GiveUp => panic!("at once"),
        }
    }

    #[test]
    fn each_end_pings_within_20_to_25_seconds_and_the_server_first() {
        for last_write in [0, 1, 249, 250, 251, 100_007].map(Duration::from_millis) {
            let pings = |endpoint| RANDOM.map(|random| first_ping(endpoint, random, last_write) - last_write);
            let (servers, clients) = (pings(WebSocketRole::Server), pings(WebSocketRole::Client));
            assert!(
                servers
                    .iter()
                    .chain(&clients)
                    .all(|ping_interval| (20_000..=25_000).contains(&ping_interval.as_millis()))
            );
            assert!(servers.iter().max() <= clients.iter().min(), "{servers:?} {clients:?}");
        }
    }

    #[test]
    fn pings_that_are_due_within_one_interval_coalesce() {
        let at = |millis| first_ping(WebSocketRole::Server, 0, Duration::from_millis(millis));
        let mut times: Vec<_> = (0..1000).map(at).collect();
        times.dedup();
        assert!(times.len() <= 5, "a second has four intervals, not {}", times.len());
    }

    #[test]
    fn a_dead_peer_is_given_up_within_45_seconds_for_any_jitter() {
        for (random, endpoint) in RANDOM.into_iter().flat_map(|random| ENDPOINTS.map(|endpoint| (random, endpoint))) {
            let start = Instant::now();
            let mut machine = Keepalive::new(IdleTimeout::default(), endpoint, start, random);
            let (mut now, mut last_write) = (start, start);
            let mut pings = 0;
            loop {
                match machine.poll(now, last_write, start) {
                    KeepaliveAction::WaitUntil(at) => now = at,
                    KeepaliveAction::Ping => {
                        last_write = now;
                        pings += 1;
                    }
                    KeepaliveAction::GiveUp => break,
                }
            }
            assert_eq!(pings, 2, "a keepalive and a probe");
            assert!(now - start <= Duration::from_secs(45), "{:?}", now - start);
        }
    }

    #[test]
    fn a_peer_that_answers_is_never_given_up() {
        let mut now = Instant::now();
        let (mut machine, mut last_write, mut last_read) = (client(now), now, now);
        for _ in 0..1000 {
            match machine.poll(now, last_write, last_read) {
                KeepaliveAction::WaitUntil(at) => now = at,
                KeepaliveAction::Ping => {
                    last_write = now;
                    now += Duration::from_secs(4);
                    last_read = now;
                }
                KeepaliveAction::GiveUp => panic!("gave up a live peer"),
            }
        }
    }

    #[test]
    fn a_suspended_machine_probes_before_it_gives_up() {
        let start = Instant::now();
        let mut machine = client(start);
        let late = start + Duration::from_secs(3600);
        assert_eq!(machine.poll(late, start, start), KeepaliveAction::Ping);
        assert_eq!(machine.poll(late, late, start), KeepaliveAction::WaitUntil(late + PROBE_TIMEOUT));
        assert!(
            matches!(machine.poll(late + PROBE_TIMEOUT, late, late), KeepaliveAction::WaitUntil(_)),
            "it has answered"
        );
    }

    #[test]
    fn an_answer_within_the_clock_resolution_counts() {
        let now = Instant::now();
        let mut machine = client(now);
        machine.probe(now);
        let last_read = now + Duration::from_nanos(1);
        assert!(matches!(machine.poll(now + PROBE_TIMEOUT, now, last_read), KeepaliveAction::WaitUntil(_)));
    }

    #[test]
    fn a_probed_peer_has_the_probe_timeout_to_answer() {
        let now = Instant::now();
        let mut machine = client(now);
        machine.probe(now);
        assert_eq!(machine.poll(now + PROBE_TIMEOUT, now, now - Duration::from_millis(1)), KeepaliveAction::GiveUp);
    }
}
