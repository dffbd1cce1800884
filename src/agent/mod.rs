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
use self::control::SessionEnd;
pub use self::device::Device;
use self::standby::Standbys;
pub use self::targets::{Incoming, Targets};
use crate::net::os::clock;
use crate::net::os::network_monitor::NetworkMonitor;
use crate::net::os::random;
use crate::net::os::sd_notify;
use crate::net::shutdown::Shutdown;
use crate::net::tasks::Tasks;
use crate::proto::backoff::{ReconnectBackoff, jittered};
use crate::proto::limits::{BACKOFF_BASE, BACKOFF_CAP, DISPLACED_BACKOFF, STREAMS_PER_DEVICE};
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
    StreamRequested(u64, String),
    /// It is over, or was refused.
    StreamClosed(u64),
}

/// Runs until asked to stop. No failure of the network or the hub ends it, but for a refused key that only a start anew
/// renews.
pub async fn run(config: AgentConfig, shutdown: Shutdown) -> Result<(), Refusal> {
    let (tasks, watch) = (Tasks::default(), Tasks::default());
    let (network, monitor_task) = config.client_factory.runtime().monitor_network();
    watch.spawn(monitor_task);
    let run = random::u64();
    let context = AgentContext {
        standbys: Arc::new(Standbys::new(config.transport, run)),
        config: Arc::new(config),
        network,
        run,
        stream_shutdown: CancellationToken::new(),
        streams: tasks.clone(),
        stream_count: Arc::default(),
        handlers: Tasks::default(),
    };
    let handlers = context.handlers.clone();
    let config = context.config.clone();
    let done = stay_connected(&context, &shutdown.drain).await;
    context.standbys.end().await;
    let running = tasks.count();
    if running > 0 {
        let seconds = config.drain.as_secs();
        tracing::info!(target: "device-agent", "{running} streams may go on for {seconds} s; stop again to end them now");
        tokio::select! {
            _ = timeout(config.drain, tasks.wait()) => {}
            () = shutdown.now.cancelled() => {}
        }
    }
    // The other ends are told, and do not wait for this one to come back. Cutting a stream resets its target.
    context.stream_shutdown.cancel();
    tasks.shutdown(CLOSE_GRACE).await;
    // What they held is over; they have a moment to tidy up.
    handlers.shutdown(CLOSE_GRACE).await;
    watch.shutdown(Duration::ZERO).await;
    done
}

/// What one run of an agent's connections share.
#[derive(Clone)]
struct AgentContext {
    config: Arc<AgentConfig>,
    network: NetworkMonitor,
    /// Which run this is.
    run: u64,
    /// Streams end, and say so.
    stream_shutdown: CancellationToken,
    standbys: Arc<Standbys>,
    /// The tasks of streams.
    streams: Tasks,
    /// How many were asked for.
    stream_count: Arc<AtomicU64>,
    /// Those of a program's handlers, which may outlive their streams.
    handlers: Tasks,
}

impl AgentContext {
    /// Whether there are as many streams as one device may have.
    fn is_full(&self) -> bool {
        self.streams.count().max(self.handlers.count()) >= STREAMS_PER_DEVICE
    }

    /// A stream was asked for. That it is over is told when what this gives is dropped, however that comes.
    fn begin_stream(&self, request: &StreamRequest) -> StreamGuard {
        let StreamRequest { stream_name, service, source, .. } = request;
        let number = self.stream_count.fetch_add(1, Ordering::Relaxed);
        (self.config.observer)(Event::StreamRequested(number, format!("{stream_name} for {service} at {source}")));
        StreamGuard(self.config.clone(), number)
    }
}

/// Says so when it is dropped.
struct StreamGuard(Arc<AgentConfig>, u64);

impl Drop for StreamGuard {
    fn drop(&mut self) {
        (self.0.observer)(Event::StreamClosed(self.1));
    }
}

async fn stay_connected(context: &AgentContext, stop: &CancellationToken) -> Result<(), Refusal> {
    let (config, mut network) = (&context.config, context.network.clone());
    let mut backoff = ReconnectBackoff::default();
    while !stop.is_cancelled() {
        let Some(end) = control::session(context, &mut backoff, stop).await else { break };
        let retry_delay = retry_delay(&end, &mut backoff);
        let action = RetryAction::for_end(&end, config.exit_when_key_refused);
        let waiting = format!("{}: {end}; {action} in {:.1} s", config.device, retry_delay.as_secs_f64());
        tracing::warn!(target: "device-agent", "{waiting}");
        sd_notify::status(&waiting);
        (config.observer)(Event::Offline(end.to_string()));
        tokio::select! {
            () = sleep(retry_delay) => action.into_result()?,
            // A refusal stays one wherever this machine is.
            () = network.changed(), if end.is_network_failure() => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(())
}

/// Streams that are told that this process ends need a moment for that.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// What to do after a pause.
#[derive(Debug, PartialEq, Eq)]
enum RetryAction {
    /// Connect again.
    Retry,
    /// End, to be started anew with the key that is there then.
    Exit(Refusal),
}

impl RetryAction {
    fn for_end(end: &SessionEnd, exit_when_key_refused: bool) -> Self {
        match end {
            SessionEnd::Refused(refusal)
                if exit_when_key_refused
                    && matches!(refusal.kind, RefusalKind::KeyReplaced | RefusalKind::AuthenticationFailed) =>
            {
                Self::Exit(refusal.clone())
            }
            SessionEnd::Refused(_) | SessionEnd::Lost(_) | SessionEnd::Displaced { .. } => Self::Retry,
        }
    }

    fn into_result(self) -> Result<(), Refusal> {
        match self {
            Self::Retry => Ok(()),
            Self::Exit(refusal) => Err(refusal),
        }
    }
}

impl fmt::Display for RetryAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retry => "trying again",
            Self::Exit(_) => "ending, to be started anew with the key that the service manager then hands over,",
        })
    }
}

/// How long to leave the hub alone. Two agents with one id must not take turns, and a key that is refused will
/// still be refused a second later.
fn retry_delay(end: &SessionEnd, backoff: &mut ReconnectBackoff) -> Duration {
    let next = backoff.next_delay(clock::now(), random::u64());
    match end {
        SessionEnd::Displaced { .. } => DISPLACED_BACKOFF + jittered(DISPLACED_BACKOFF, random::u64()),
        SessionEnd::Refused(refusal)
            if matches!(refusal.kind, RefusalKind::AuthenticationFailed | RefusalKind::Disabled) =>
        {
            BACKOFF_CAP / 2 + jittered(BACKOFF_CAP / 2, random::u64())
        }
        // `devstream join` may be about to write the new key down: the old one, shown again, is refused for longer.
        SessionEnd::Refused(Refusal { kind: RefusalKind::KeyReplaced, .. }) => BACKOFF_BASE + next,
        SessionEnd::Refused(_) | SessionEnd::Lost(_) => next,
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
            let end = SessionEnd::Refused(kind.into());
            let wanted = if ends { RetryAction::Exit(kind.into()) } else { RetryAction::Retry };
            assert_eq!(RetryAction::for_end(&end, true), wanted);
            assert_eq!(
                RetryAction::for_end(&end, false),
                RetryAction::Retry,
                "its key is read anew for each connection"
            );
        }
        assert_eq!(
            RetryAction::for_end(&SessionEnd::Displaced { by: ([192, 0, 2, 1], 1).into() }, true),
            RetryAction::Retry
        );
    }

    #[test]
    fn whose_key_was_replaced_gives_the_new_one_time_to_be_written_and_is_soon_back() {
        for _ in 0..100 {
            let retry_delay =
                retry_delay(&SessionEnd::Refused(RefusalKind::KeyReplaced.into()), &mut ReconnectBackoff::default());
            assert!((BACKOFF_BASE..=BACKOFF_BASE * 2).contains(&retry_delay), "{retry_delay:?}");
        }
        assert!(
            retry_delay(&SessionEnd::Refused(RefusalKind::Disabled.into()), &mut ReconnectBackoff::default())
                >= BACKOFF_CAP / 2
        );
    }
}
