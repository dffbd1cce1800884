//! The device's end: it waits at the hub, connects targets, and carries streams. It dials out only, for ever.

mod access_policy;
pub mod config;
mod control;
mod device;
mod standby;
mod stream;
pub mod target;
mod targets;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::config::AgentConfig;
use self::control::End;
pub use self::device::Device;
use self::standby::Standbys;
pub use self::targets::{Incoming, Offers};
use crate::net::network_monitor::NetworkMonitor;
use crate::net::shutdown::Shutdown;
use crate::net::tasks::Tasks;
use crate::net::{clock, random, sd_notify};
use crate::proto::backoff::{Backoff, random_duration};
use crate::proto::limits::{BACKOFF_BASE, BACKOFF_CAP, DISPLACED_WAIT, STREAMS_PER_DEVICE};
use crate::proto::message::StreamRequest;
use crate::proto::refusal::{Refusal, RefusalKind};

/// What the person at the device may want to see.
#[derive(Debug, Clone)]
pub enum Event {
    /// The hub has welcomed it.
    Online,
    /// It is not there, for this reason, and tries again by itself.
    Offline(String),
    /// A stream was asked for: its number, counted from the start, and what it is called by whom.
    Asked(u64, String),
    /// It is over, or was refused.
    Over(u64),
}

/// Runs until asked to stop. No failure of the network or the hub ends it, but for a refused key that only a start anew
/// renews.
pub async fn run(config: AgentConfig, shutdown: Shutdown) -> Result<(), Refusal> {
    let (tasks, watch) = (Tasks::default(), Tasks::default());
    let (vigil, watching) = NetworkMonitor::new();
    watch.spawn(watching);
    let run = random::dice();
    let life = Life {
        standbys: Arc::new(Standbys::new(config.line, run)),
        config: Arc::new(config),
        vigil,
        run,
        goodbye: CancellationToken::new(),
        streams: tasks.clone(),
        asked: Arc::default(),
        handlers: Tasks::default(),
    };
    let handlers = life.handlers.clone();
    let config = life.config.clone();
    let done = stay_connected(&life, &shutdown.drain).await;
    life.standbys.end().await;
    let running = tasks.count();
    if running > 0 {
        let seconds = config.drain.as_secs();
        tracing::info!(target: "device-agent", "{running} streams may go on for {seconds} s; stop again to end them now");
        tokio::select! {
            _ = timeout(config.drain, tasks.ended()) => {}
            () = shutdown.now.cancelled() => {}
        }
    }
    // The other ends are told, and do not wait for this one to come back. Cutting a stream resets its target.
    life.goodbye.cancel();
    tasks.end(GOODBYE).await;
    // What they held is over; they have a moment to tidy up.
    handlers.end(GOODBYE).await;
    watch.end(Duration::ZERO).await;
    done
}

/// What one run of an agent's connections share.
#[derive(Clone)]
struct Life {
    config: Arc<AgentConfig>,
    vigil: NetworkMonitor,
    /// Which run this is.
    run: u64,
    /// Streams end, and say so.
    goodbye: CancellationToken,
    standbys: Arc<Standbys>,
    /// The tasks of streams.
    streams: Tasks,
    /// How many were asked for.
    asked: Arc<AtomicU64>,
    /// Those of a program's handlers, which may outlive their streams.
    handlers: Tasks,
}

impl Life {
    /// Whether there are as many streams as one device may have.
    fn is_full(&self) -> bool {
        self.streams.count().max(self.handlers.count()) >= STREAMS_PER_DEVICE
    }

    /// A stream was asked for. That it is over is told when what this gives is dropped, however that comes.
    fn asked(&self, request: &StreamRequest) -> Over {
        let StreamRequest { stream_name, service, source, .. } = request;
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        (self.config.observer)(Event::Asked(number, format!("{stream_name} for {service} at {source}")));
        Over(self.config.clone(), number)
    }
}

/// Says so when it is dropped.
struct Over(Arc<AgentConfig>, u64);

impl Drop for Over {
    fn drop(&mut self) {
        (self.0.observer)(Event::Over(self.1));
    }
}

async fn stay_connected(life: &Life, stop: &CancellationToken) -> Result<(), Refusal> {
    let (config, mut vigil) = (&life.config, life.vigil.clone());
    let mut backoff = Backoff::default();
    while !stop.is_cancelled() {
        let Some(end) = control::session(life, &mut backoff, stop).await else { break };
        let pause = pause(&end, &mut backoff);
        let next = Next::after(&end, config.renewed_by_restart);
        let waiting = format!("{}: {end}; {next} in {:.1} s", config.device, pause.as_secs_f64());
        tracing::warn!(target: "device-agent", "{waiting}");
        sd_notify::status(&waiting);
        (config.observer)(Event::Offline(end.to_string()));
        tokio::select! {
            () = sleep(pause) => next.done()?,
            // A refusal stays one wherever this machine is.
            () = vigil.changed(), if end.is_of_the_network() => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(())
}

/// Streams that are told that this process ends need a moment for that.
const GOODBYE: Duration = Duration::from_secs(1);

/// What to do after a pause.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Connect again.
    Retry,
    /// End, to be started anew with the key that is there then.
    End(Refusal),
}

impl Next {
    fn after(end: &End, renewed_by_restart: bool) -> Self {
        match end {
            End::Refused(refusal)
                if renewed_by_restart
                    && matches!(refusal.kind, RefusalKind::KeyReplaced | RefusalKind::AuthenticationFailed) =>
            {
                Self::End(refusal.clone())
            }
            End::Refused(_) | End::Lost(_) | End::Displaced { .. } => Self::Retry,
        }
    }

    fn done(self) -> Result<(), Refusal> {
        match self {
            Self::Retry => Ok(()),
            Self::End(refusal) => Err(refusal),
        }
    }
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retry => "trying again",
            Self::End(_) => "ending, to be started anew with the key that the service manager then hands over,",
        })
    }
}

/// How long to leave the hub alone. Two agents with one id must not take turns, and a key that is refused will
/// still be refused a second later.
fn pause(end: &End, backoff: &mut Backoff) -> Duration {
    let next = backoff.next_delay(clock::now(), random::dice());
    match end {
        End::Displaced { .. } => DISPLACED_WAIT + random_duration(DISPLACED_WAIT, random::dice()),
        End::Refused(refusal) if matches!(refusal.kind, RefusalKind::AuthenticationFailed | RefusalKind::Disabled) => {
            BACKOFF_CAP / 2 + random_duration(BACKOFF_CAP / 2, random::dice())
        }
        // `devstream join` may be about to write the new key down: the old one, shown again, is refused for longer.
        End::Refused(Refusal { kind: RefusalKind::KeyReplaced, .. }) => BACKOFF_BASE + next,
        End::Refused(_) | End::Lost(_) => next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_refused_key_only_a_restart_renews_ends_and_nobody_else_does() {
        for (kind, ends) in [
            (RefusalKind::KeyReplaced, true),
            (RefusalKind::AuthenticationFailed, true),
            (RefusalKind::Disabled, false),
            (RefusalKind::HubUnreachable, false),
        ] {
            let end = End::Refused(kind.into());
            let wanted = if ends { Next::End(kind.into()) } else { Next::Retry };
            assert_eq!(Next::after(&end, true), wanted);
            assert_eq!(Next::after(&end, false), Next::Retry, "its key is read anew for each connection");
        }
        assert_eq!(Next::after(&End::Displaced { by: ([192, 0, 2, 1], 1).into() }, true), Next::Retry);
    }

    #[test]
    fn whose_key_was_replaced_gives_the_new_one_time_to_be_written_and_is_soon_back() {
        for _ in 0..100 {
            let pause = pause(&End::Refused(RefusalKind::KeyReplaced.into()), &mut Backoff::default());
            assert!((BACKOFF_BASE..=BACKOFF_BASE * 2).contains(&pause), "{pause:?}");
        }
        assert!(pause(&End::Refused(RefusalKind::Disabled.into()), &mut Backoff::default()) >= BACKOFF_CAP / 2);
    }
}
