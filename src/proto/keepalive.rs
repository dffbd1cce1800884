//! PURE. When to say something on a quiet connection, and when to give up a peer that says nothing: both ends of every
//! connection, for control and for streams, run one of these.
//!
//! Each end speaks when it has been quiet for a while, so that the other one hears it however busy it is in the other
//! direction; and asks before it gives up, so that a machine that was asleep reads what waits for it first.
//!
//! Of two ends that both have nothing to say it is the server that speaks, and the client that answers: a server has many
//! clients, and wakes up once for all whose time has come.

use std::time::{Duration, Instant};

use super::backoff::spread;
use super::limits::{DEAD_AFTER, PROBE_DEADLINE};
use super::websocket::Endpoint;

/// What falls due within this is said at its end: nobody notices so short a delay, and 10,000 idle connections wake the
/// process four times a second, not 500 times.
const TOGETHER: Duration = Duration::from_millis(250);

/// How long a connection may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A peer of which nothing was heard for so long is dead.
    pub dead_after: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { dead_after: DEAD_AFTER }
    }
}

impl Patience {
    /// What is left for the peer's answer to a last question.
    fn deadline(self) -> Duration {
        PROBE_DEADLINE.min(self.dead_after / 4)
    }

    /// Two in the time that a peer waits before it asks, and then some: one may be lost with a connection's last segment.
    fn quiet(self) -> Duration {
        self.dead_after * 5 / 9
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Nothing before this time.
    WaitUntil(Instant),
    /// Send a ping now.
    Ping,
    /// The peer is dead.
    GiveUp,
}

/// The state for one connection.
#[derive(Debug)]
pub struct Heartbeat {
    patience: Patience,
    /// Silence of our own after which we say something: jittered, so that a fleet is never in step.
    quiet: Duration,
    /// What every connection of this process counts [`TOGETHER`] from.
    epoch: Instant,
    /// When the peer was asked whether it is there, and has not been heard since; and how long its answer may take.
    asked: Option<(Instant, Duration)>,
}

impl Heartbeat {
    /// For a connection that was just made.
    pub fn new(patience: Patience, endpoint: Endpoint, epoch: Instant, dice: u64) -> Self {
        let longest = patience.quiet().saturating_sub(TOGETHER);
        // The lower half of the last fifth is the server's, the upper half the client's.
        let half = (patience.quiet() / 5).saturating_sub(TOGETHER) / 2;
        let quiet = match endpoint {
            Endpoint::Server => longest - half - spread(half, dice),
            Endpoint::Client => longest - spread(half, dice),
        };
        Self { patience, quiet, epoch, asked: None }
    }

    /// The peer is to show that it is there, at once: something has changed on the way to it.
    pub fn ask(&mut self, now: Instant) {
        self.ask_within(now, self.patience.deadline());
    }

    /// The same, of a peer that has less time: another way is open.
    pub fn ask_within(&mut self, now: Instant, limit: Duration) {
        self.asked = Some((now, limit.min(self.patience.deadline())));
    }

    /// What to do at this time, when something was last said then, and last heard then.
    pub fn poll(&mut self, now: Instant, said: Instant, heard: Instant) -> Beat {
        self.asked = self.asked.filter(|(asked, _)| heard < *asked);
        if let Some((asked, limit)) = self.asked {
            let until = asked + limit;
            return if now >= until { Beat::GiveUp } else { Beat::WaitUntil(until) };
        }
        let ask_at = heard + (self.patience.dead_after - self.patience.deadline());
        let say_at = together(self.epoch, said + self.quiet);
        if now >= ask_at {
            self.ask(now);
            return Beat::Ping;
        }
        if now >= say_at { Beat::Ping } else { Beat::WaitUntil(ask_at.min(say_at)) }
    }
}

/// The end of the beat that this time falls into.
fn together(epoch: Instant, at: Instant) -> Instant {
    let into = at.saturating_duration_since(epoch).as_nanos() % TOGETHER.as_nanos();
    at + TOGETHER - Duration::from_nanos(u64::try_from(into).unwrap_or_default())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any moment will do as the start of a test's own time")]
mod tests {
    use super::*;

    const DICE: [u64; 4] = [0, 1 << 40, u64::MAX / 3, u64::MAX];
    const ENDPOINTS: [Endpoint; 2] = [Endpoint::Server, Endpoint::Client];

    fn client(now: Instant) -> Heartbeat {
        Heartbeat::new(Patience::default(), Endpoint::Client, now, 0)
    }

    /// When the first ping goes out after something was said this long after the epoch.
    fn first_ping(endpoint: Endpoint, dice: u64, said: Duration) -> Duration {
        let epoch = Instant::now();
        let said = epoch + said;
        match Heartbeat::new(Patience::default(), endpoint, epoch, dice).poll(said, said, said) {
            Beat::WaitUntil(at) => at - epoch,
            Beat::Ping | Beat::GiveUp => panic!("at once"),
        }
    }

    #[test]
    fn each_end_speaks_within_20_to_25_seconds_and_the_server_first() {
        for said in [0, 1, 249, 250, 251, 100_007].map(Duration::from_millis) {
            let pings = |endpoint| DICE.map(|dice| first_ping(endpoint, dice, said) - said);
            let (servers, clients) = (pings(Endpoint::Server), pings(Endpoint::Client));
            assert!(servers.iter().chain(&clients).all(|quiet| (20_000..=25_000).contains(&quiet.as_millis())));
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
        for (dice, endpoint) in DICE.into_iter().flat_map(|dice| ENDPOINTS.map(|endpoint| (dice, endpoint))) {
            let start = Instant::now();
            let mut machine = Heartbeat::new(Patience::default(), endpoint, start, dice);
            let (mut now, mut said) = (start, start);
            let mut pings = 0;
            loop {
                match machine.poll(now, said, start) {
                    Beat::WaitUntil(at) => now = at,
                    Beat::Ping => {
                        said = now;
                        pings += 1;
                    }
                    Beat::GiveUp => break,
                }
            }
            assert_eq!(pings, 2, "one for the silence, one as the last question");
            assert!(now - start <= Duration::from_secs(45), "{:?}", now - start);
        }
    }

    #[test]
    fn a_peer_that_is_heard_is_never_given_up() {
        let mut now = Instant::now();
        let (mut machine, mut said, mut heard) = (client(now), now, now);
        for _ in 0..1000 {
            match machine.poll(now, said, heard) {
                Beat::WaitUntil(at) => now = at,
                Beat::Ping => {
                    said = now;
                    now += Duration::from_secs(4);
                    heard = now;
                }
                Beat::GiveUp => panic!("gave up a live peer"),
            }
        }
    }

    #[test]
    fn who_wakes_up_long_after_the_limit_asks_first() {
        let start = Instant::now();
        let mut machine = client(start);
        let late = start + Duration::from_secs(3600);
        assert_eq!(machine.poll(late, start, start), Beat::Ping);
        assert_eq!(machine.poll(late, late, start), Beat::WaitUntil(late + PROBE_DEADLINE));
        assert!(matches!(machine.poll(late + PROBE_DEADLINE, late, late), Beat::WaitUntil(_)), "it has answered");
    }

    #[test]
    fn an_answer_counts_however_quickly_it_comes() {
        let now = Instant::now();
        let mut machine = client(now);
        machine.ask(now);
        let heard = now + Duration::from_nanos(1);
        assert!(matches!(machine.poll(now + PROBE_DEADLINE, now, heard), Beat::WaitUntil(_)));
    }

    #[test]
    fn a_peer_in_doubt_has_a_few_seconds() {
        let now = Instant::now();
        let mut machine = client(now);
        machine.ask(now);
        assert_eq!(machine.poll(now + PROBE_DEADLINE, now, now - Duration::from_millis(1)), Beat::GiveUp);
    }
}
