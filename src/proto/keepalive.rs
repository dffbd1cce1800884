//! PURE. When to say something on a quiet connection, and when to give up a peer that says nothing: both ends of every
//! connection, for control and for streams, run one of these.
//!
//! Each end speaks when it has been quiet for a while, so that the other one hears it however busy it is in the other
//! direction; and asks before it gives up, so that a machine that was asleep reads what waits for it first.
//!
//! Of two ends that both have nothing to say it is the server that speaks, and the client that answers: a server has many
//! clients, and wakes up once for all whose time has come.

use std::time::{Duration, Instant};

use super::backoff::random_duration;
use super::limits::{DEAD_AFTER, PROBE_TIMEOUT};
use super::websocket::Endpoint;

/// What falls due within this is said at its end: nobody notices so short a delay, and 10,000 idle connections wake the
/// process four times a second, not 500 times.
const COALESCE_INTERVAL: Duration = Duration::from_millis(250);

/// How long a connection may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleTimeout {
    /// A peer of which nothing was heard for so long is dead.
    pub dead_after: Duration,
}

impl Default for IdleTimeout {
    fn default() -> Self {
        Self { dead_after: DEAD_AFTER }
    }
}

impl IdleTimeout {
    /// What is left for the peer's answer to a last question.
    fn probe_timeout(self) -> Duration {
        PROBE_TIMEOUT.min(self.dead_after / 4)
    }

    /// Two in the time that a peer waits before it asks, and then some: one may be lost with a connection's last segment.
    fn ping_interval(self) -> Duration {
        self.dead_after * 5 / 9
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepaliveAction {
    /// Nothing before this time.
    WaitUntil(Instant),
    /// Send a ping now.
    Ping,
    /// The peer is dead.
    GiveUp,
}

/// The state for one connection.
#[derive(Debug)]
pub struct Keepalive {
    idle_timeout: IdleTimeout,
    /// Silence of our own after which we say something: jittered, so that a fleet is never in step.
    ping_interval: Duration,
    /// What every connection of this process counts [`COALESCE_INTERVAL`] from.
    epoch: Instant,
    /// When the peer was asked whether it is there, and has not been heard since; and how long its answer may take.
    probed: Option<(Instant, Duration)>,
}

impl Keepalive {
    /// For a connection that was just made.
    pub fn new(idle_timeout: IdleTimeout, endpoint: Endpoint, epoch: Instant, random: u64) -> Self {
        let longest = idle_timeout.ping_interval().saturating_sub(COALESCE_INTERVAL);
        // The lower half of the last fifth is the server's, the upper half the client's.
        let half = (idle_timeout.ping_interval() / 5).saturating_sub(COALESCE_INTERVAL) / 2;
        let ping_interval = match endpoint {
            Endpoint::Server => longest - half - random_duration(half, random),
            Endpoint::Client => longest - random_duration(half, random),
        };
        Self { idle_timeout, ping_interval, epoch, probed: None }
    }

    /// The peer is to show that it is there, at once: something has changed on the way to it.
    pub fn probe(&mut self, now: Instant) {
        self.probe_within(now, self.idle_timeout.probe_timeout());
    }

    /// The same, of a peer that has less time: another way is open.
    pub fn probe_within(&mut self, now: Instant, limit: Duration) {
        self.probed = Some((now, limit.min(self.idle_timeout.probe_timeout())));
    }

    /// What to do at this time, when something was last said then, and last heard then.
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

/// The end of the beat that this time falls into.
fn round_up(epoch: Instant, at: Instant) -> Instant {
    let into = at.saturating_duration_since(epoch).as_nanos() % COALESCE_INTERVAL.as_nanos();
    at + COALESCE_INTERVAL - Duration::from_nanos(u64::try_from(into).unwrap_or_default())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any moment will do as the start of a test's own time")]
mod tests {
    use super::*;

    const RANDOM: [u64; 4] = [0, 1 << 40, u64::MAX / 3, u64::MAX];
    const ENDPOINTS: [Endpoint; 2] = [Endpoint::Server, Endpoint::Client];

    fn client(now: Instant) -> Keepalive {
        Keepalive::new(IdleTimeout::default(), Endpoint::Client, now, 0)
    }

    /// When the first ping goes out after something was said this long after the epoch.
    fn first_ping(endpoint: Endpoint, random: u64, last_write: Duration) -> Duration {
        let epoch = Instant::now();
        let last_write = epoch + last_write;
        match Keepalive::new(IdleTimeout::default(), endpoint, epoch, random).poll(last_write, last_write, last_write) {
            KeepaliveAction::WaitUntil(at) => at - epoch,
            KeepaliveAction::Ping | KeepaliveAction::GiveUp => panic!("at once"),
        }
    }

    #[test]
    fn each_end_speaks_within_20_to_25_seconds_and_the_server_first() {
        for last_write in [0, 1, 249, 250, 251, 100_007].map(Duration::from_millis) {
            let pings = |endpoint| RANDOM.map(|random| first_ping(endpoint, random, last_write) - last_write);
            let (servers, clients) = (pings(Endpoint::Server), pings(Endpoint::Client));
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
    fn what_falls_due_within_a_moment_is_said_at_once() {
        let at = |millis| first_ping(Endpoint::Server, 0, Duration::from_millis(millis));
        let mut times: Vec<_> = (0..1000).map(at).collect();
        times.dedup();
        assert!(times.len() <= 5, "a second has four beats, and not {}", times.len());
    }

    #[test]
    fn a_dead_peer_is_given_up_within_45_seconds_whatever_the_dice() {
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
            assert_eq!(pings, 2, "one for the silence, one as the last question");
            assert!(now - start <= Duration::from_secs(45), "{:?}", now - start);
        }
    }

    #[test]
    fn a_peer_that_is_heard_is_never_given_up() {
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
    fn who_wakes_up_long_after_the_limit_asks_first() {
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
    fn an_answer_counts_however_quickly_it_comes() {
        let now = Instant::now();
        let mut machine = client(now);
        machine.probe(now);
        let last_read = now + Duration::from_nanos(1);
        assert!(matches!(machine.poll(now + PROBE_TIMEOUT, now, last_read), KeepaliveAction::WaitUntil(_)));
    }

    #[test]
    fn a_peer_in_doubt_has_a_few_seconds() {
        let now = Instant::now();
        let mut machine = client(now);
        machine.probe(now);
        assert_eq!(machine.poll(now + PROBE_TIMEOUT, now, now - Duration::from_millis(1)), KeepaliveAction::GiveUp);
    }
}
