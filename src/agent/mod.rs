//! The device's role: offers targets through the hub, over connections that the agent dials itself.
//!
//! In: stream requests, on the control connection or on a standby (`control`, `standby`). Each is checked against the
//! access policy and connected to its target (`stream`, `connect`, `targets`).
//! Out: the response, then the stream's bytes between target and hub; the hub's own connection is kept up with a
//! backoff, until shutdown.

mod access_policy;
pub mod config;
pub mod connect;
mod control;
mod device;
pub mod recent_requests;
mod responses;
mod standby;
mod stream;
mod target_watch;
mod targets;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::config::AgentConfig;
use self::control::SessionEnd;
pub use self::device::Device;
use self::recent_requests::{Attempt, RecentRequests, RequestPath};
use self::target_watch::TargetWatch;
pub use self::targets::{Incoming, Targets};
use crate::net::client::standby::StandbyPool;
use crate::net::log_throttle::LogThrottle;
use crate::net::os::clock;
use crate::net::os::network_monitor::NetworkMonitor;
use crate::net::os::random;
use crate::net::os::sd_notify;
use crate::net::shutdown::{Shutdown, StreamStop};
use crate::net::tasks::Tasks;
use crate::proto::backoff::{ReconnectBackoff, jittered};
use crate::proto::forward::Forward;
use crate::proto::id::DeviceId;
use crate::proto::limits::{BACKOFF_BASE, BACKOFF_CAP, DISPLACED_BACKOFF};
use crate::proto::message::StreamRequest;
use crate::proto::refusal::{Refusal, RefusalKind};

/// An event for the agent's user interface.
#[derive(Debug, Clone)]
pub enum Event {
    /// The hub has accepted the control connection.
    Online,
    /// The connection is down for this reason; the agent retries.
    Offline(String),
    /// A stream was requested: its number, counted from the start, and its name and service.
    StreamRequested(u64, String),
    /// The stream has ended, or was refused.
    StreamClosed(u64),
    /// A forward's target did not answer at the start, for this reason.
    TargetDead(Forward, Refusal),
    /// The target of such a forward answers now.
    TargetAnswers(Forward),
}

/// Runs until shutdown. Failures of the network or the hub are retried; the error is a refused key that only a restart
/// renews.
pub async fn run(config: AgentConfig, shutdown: Shutdown) -> Result<(), Refusal> {
    let (tasks, watch) = (Tasks::default(), Tasks::default());
    let (network, monitor_task) = config.client_factory.runtime().monitor_network();
    watch.spawn(monitor_task);
    let run = random::u64();
    let context = AgentContext {
        standby_pool: Arc::new(StandbyPool::new(config.transport, Some(run))),
        standbys: Tasks::default(),
        recent_requests: Arc::default(),
        busy_log: Arc::default(),
        certificate_log: Arc::new(LogThrottle::with_interval(Duration::MAX)),
        was_online: Arc::default(),
        device: Arc::new(Mutex::new(config.device.clone())),
        config: Arc::new(config),
        target_watch: Arc::default(),
        network,
        run,
        stream_shutdown: StreamStop::default(),
        streams: tasks.clone(),
        stream_count: Arc::default(),
        handlers: Tasks::default(),
    };
    for forward in context.config.targets.forwards() {
        watch.spawn(context.target_watch.clone().watch(forward.clone(), context.config.observer.clone()));
    }
    let handlers = context.handlers.clone();
    let config = context.config.clone();
    let done = stay_connected(&context, &shutdown.drain).await;
    context.standbys.clone().shutdown(Duration::ZERO).await;
    let running = tasks.count();
    if running > 0 {
        tracing::info!(target: "device-agent", "ending: {}", shutdown.describe_drain(running, config.drain));
        tokio::select! {
            ended = timeout(config.drain, tasks.wait()) => {
                if ended.is_err() { context.stream_shutdown.request_after(config.drain) }
            }
            () = shutdown.now.cancelled() => {}
        }
    }
    // Peers receive a close instead of waiting for this end to resume. An aborted stream resets its target.
    context.stream_shutdown.request();
    tasks.shutdown(CLOSE_GRACE).await;
    // Their streams have ended; they may clean up.
    handlers.shutdown(CLOSE_GRACE).await;
    watch.shutdown(Duration::ZERO).await;
    done
}

/// State shared by the connections of one run of an agent.
#[derive(Clone)]
struct AgentContext {
    config: Arc<AgentConfig>,
    /// The id of the last client: the machine may join, or join again, while the agent runs.
    device: Arc<Mutex<DeviceId>>,
    target_watch: Arc<TargetWatch>,
    network: NetworkMonitor,
    /// Random identifier of this run: the hub ends standbys and resumable streams of another one.
    run: u64,
    /// Closes every stream with a message to its peer.
    stream_shutdown: StreamStop,
    standby_pool: Arc<StandbyPool>,
    /// Tasks of connections on standby.
    standbys: Tasks,
    recent_requests: Arc<Mutex<RecentRequests>>,
    /// Throttles the log of streams refused at the agent's limit: their services try again.
    busy_log: Arc<LogThrottle>,
    /// A certificate from the hub that is not for this device is logged once: the hub may send any number.
    certificate_log: Arc<LogThrottle>,
    /// The hub has accepted the control connection since the last failure.
    was_online: Arc<AtomicBool>,
    /// Tasks of streams.
    streams: Tasks,
    /// Streams requested since the start.
    stream_count: Arc<AtomicU64>,
    /// Tasks of a program's handlers, which may outlive their streams.
    handlers: Tasks,
}

impl AgentContext {
    fn device(&self) -> DeviceId {
        self.device.lock().clone()
    }

    /// Begins to serve a request, unless the agent is at its limit, or bytes would reach the target a second time.
    fn begin_attempt(&self, request: &StreamRequest, path: RequestPath) -> Result<Attempt, Refusal> {
        let attempt = self.recent_requests.lock().begin(request.request_id, path);
        let lost = || Refusal::new(RefusalKind::LostWhileOpening, "the device has its first bytes already");
        let attempt = attempt.ok_or_else(lost)?;
        let limits = self.config.client_factory.runtime().limits();
        let is_at_limit = self.streams.count().max(self.handlers.count()) >= limits.streams();
        if is_at_limit && !attempt.replaces_running {
            return Err(limits.refusal());
        }
        Ok(attempt)
    }

    /// Counts and reports a requested stream; dropping the guard reports its end.
    fn begin_stream(&self, request: &StreamRequest) -> StreamGuard {
        let StreamRequest { stream_name, service, source, .. } = request;
        let number = self.stream_count.fetch_add(1, Ordering::Relaxed);
        (self.config.observer)(Event::StreamRequested(number, format!("{stream_name} for {service} at {source}")));
        StreamGuard(self.config.clone(), number)
    }
}

/// Reports the stream's end when dropped.
struct StreamGuard(Arc<AgentConfig>, u64);

impl Drop for StreamGuard {
    fn drop(&mut self) {
        (self.0.observer)(Event::StreamClosed(self.1));
    }
}

async fn stay_connected(context: &AgentContext, stop: &CancellationToken) -> Result<(), Refusal> {
    let (config, mut network) = (&context.config, context.network.clone());
    let mut backoff = ReconnectBackoff::default();
    let (mut retry_log, mut if_offline) = (RetryLog::default(), false);
    while !stop.is_cancelled() {
        let mut stored_at = config.identity_stored_at.read();
        let Some(end) = control::session(context, &mut backoff, (stop, if_offline), stored_at).await else { break };
        let retry_delay = retry_delay(&end, &mut backoff);
        let action = RetryAction::for_end(&end, config.exit_when_key_refused);
        let was_online = context.was_online.swap(false, Ordering::Relaxed);
        if was_online && !end.is_replaced_key() {
            // What was stored meanwhile has nothing to do with this end, whose delay spreads the agents of a hub.
            stored_at = config.identity_stored_at.read();
        }
        // An agent that was displaced takes the device over only once the other one has left it.
        let yields = matches!(end, SessionEnd::Displaced { yields: true, .. });
        if_offline = yields || (if_offline && !was_online);
        // After a join on this machine its new key is stored; if it is another's, the next attempt says so.
        let is_expected = was_online && end.is_replaced_key() && action == RetryAction::Retry;
        let is_refused = matches!(end, SessionEnd::Refused(_));
        let reason = if is_expected && is_refused { REPLACED_HERE.to_owned() } else { end.describe(context).await };
        // The next attempt is one of many, and the first ones are a fraction of a second apart.
        let seconds = retry_delay.as_secs_f64().ceil().max(1.0);
        let or_now = if retry_delay >= LONG_WAIT { ", or at once if this agent is restarted" } else { "" };
        let until = if yields { ", and again until the other agent has left" } else { "" };
        let waiting = format!("{}: {reason}; {action} in {seconds} s{until}{or_now}", context.device());
        let should_log = retry_log.should_log(&reason, was_online);
        if should_log && is_expected {
            tracing::info!(target: "device-agent", "{}: {reason}", context.device());
        } else if should_log {
            tracing::warn!(target: "device-agent", "{waiting}");
        } else {
            tracing::debug!(target: "device-agent", "{waiting}");
        }
        sd_notify::status(&waiting);
        (config.observer)(Event::Offline(reason));
        tokio::select! {
            () = sleep(retry_delay) => action.into_result()?,
            _ = config.identity_stored_at.changed(stored_at) => backoff = ReconnectBackoff::default(),
            // A refusal does not depend on the network.
            () = network.changed(), if end.is_network_failure() => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(())
}

/// A wait that a person who has removed its cause does not sit out.
const LONG_WAIT: Duration = Duration::from_secs(10);

/// What is said of a key that was replaced while it was in use.
const REPLACED_HERE: &str =
    "this key has been replaced by a newer one; connecting again with the key that is stored here";

/// The words of an agent whose machine trusts another fleet, or none any more.
const ANOTHER_FLEET: &str = "this machine trusts another fleet than before; connecting again";

/// The shortest time between two messages with the same reason: a person who comes back later still finds one.
const REPEAT_AFTER: Duration = Duration::from_secs(300);

/// The log of the reasons for which the agent is offline: each once, and rarely again while it lasts.
#[derive(Default)]
struct RetryLog(Option<(String, LogThrottle)>);

impl RetryLog {
    /// Reports whether a reason is to be logged. After a connection every one is.
    fn should_log(&mut self, reason: &str, was_online: bool) -> bool {
        let same = self.0.take().filter(|(logged, _)| !was_online && logged == reason);
        let (_, throttle) =
            self.0.insert(same.unwrap_or_else(|| (reason.to_owned(), LogThrottle::with_interval(REPEAT_AFTER))));
        throttle.should_log()
    }
}

/// Time for streams to send their close, and for handlers to clean up.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// The action after a failed or lost connection, once its delay has passed.
#[derive(Debug, PartialEq, Eq)]
enum RetryAction {
    /// Connect again.
    Retry,
    /// Exit: the service manager restarts the agent, which loads the new key.
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
            SessionEnd::Refused(_)
            | SessionEnd::Lost(_)
            | SessionEnd::Displaced { .. }
            | SessionEnd::ChangedHere(_) => Self::Retry,
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
            Self::Exit(_) => "a restart loads the new key; exiting",
        })
    }
}

/// The delay before the next attempt. Two agents with one id must not displace each other in turns, and a refused key
/// is still refused a second later.
fn retry_delay(end: &SessionEnd, backoff: &mut ReconnectBackoff) -> Duration {
    if let SessionEnd::Refused(Refusal { kind: RefusalKind::ConnectionRejected, .. }) = end {
        return backoff.delay_after_rejection(clock::now(), random::u64());
    }
    if matches!(end, SessionEnd::ChangedHere(_)) {
        return Duration::ZERO;
    }
    let next = backoff.next_delay(clock::now(), random::u64());
    match end {
        SessionEnd::ChangedHere(_) | SessionEnd::Displaced { yields: true, .. } => next,
        SessionEnd::Displaced { yields: false, .. } => DISPLACED_BACKOFF + jittered(DISPLACED_BACKOFF, random::u64()),
        SessionEnd::Refused(refusal)
            if matches!(refusal.kind, RefusalKind::AuthenticationFailed | RefusalKind::Disabled) =>
        {
            BACKOFF_CAP / 2 + jittered(BACKOFF_CAP / 2, random::u64())
        }
        // `devstream join` may be about to write the new key: another attempt with the old one is throttled for longer.
        SessionEnd::Refused(Refusal { kind: RefusalKind::KeyReplaced, .. }) => BACKOFF_BASE + next,
        SessionEnd::Refused(_) | SessionEnd::Lost(_) => next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_exits_only_for_a_refused_key_that_a_restart_renews() {
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
            RetryAction::for_end(&SessionEnd::Displaced { from: "from 192.0.2.1:1".into(), yields: true }, true),
            RetryAction::Retry
        );
    }

    #[test]
    fn a_reason_is_logged_once_until_it_changes_or_the_agent_was_online() {
        let mut log = RetryLog::default();
        let reasons = [("a", false), ("a", false), ("b", false), ("b", false), ("a", false), ("a", true)];
        let logged = reasons.map(|(reason, was_online)| log.should_log(reason, was_online));
        assert_eq!(logged, [true, false, true, false, true, true]);
    }

    #[test]
    fn an_agent_tries_a_hub_that_rejects_it_again_and_again_soon() {
        let mut backoff = ReconnectBackoff::default();
        let rejected = SessionEnd::Refused(RefusalKind::ConnectionRejected.into());
        for _ in 0..20 {
            let retry_delay = retry_delay(&rejected, &mut backoff);
            assert!((BACKOFF_BASE..=BACKOFF_BASE * 2).contains(&retry_delay), "{retry_delay:?}");
        }
    }

    #[test]
    fn a_replaced_key_is_retried_after_seconds_and_a_disabled_identity_after_minutes() {
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
