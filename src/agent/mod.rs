//! The device's end: it waits at the hub, connects targets, and carries streams. It dials out only, for ever.

pub mod config;
mod consent;
mod control;
mod stream;
mod target;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::config::AgentConfig;
use self::control::End;
use crate::net::shutdown::Shutdown;
use crate::net::tasks::Tasks;
use crate::net::{clock, notify, random};
use crate::proto::backoff::{Backoff, spread};
use crate::proto::limits::{BACKOFF_BASE, BACKOFF_CAP, DISPLACED_WAIT};
use crate::proto::refusal::{Kind, Refusal};

/// Runs until asked to stop. No failure of the network or the hub ends it.
pub async fn run(config: AgentConfig, shutdown: Shutdown) {
    let (config, tasks) = (Arc::new(config), Tasks::default());
    stay_connected(&config, &tasks, &shutdown.drain).await;
    let running = tasks.count();
    if running > 0 {
        let seconds = config.drain.as_secs();
        tracing::info!(target: "device-agent", "{running} streams may go on for {seconds} s; stop again to end them now");
        tokio::select! {
            _ = timeout(config.drain, tasks.ended()) => {}
            () = shutdown.now.cancelled() => {}
        }
    }
    // Cutting a stream resets its target.
    tasks.end(Duration::ZERO).await;
}

async fn stay_connected(config: &Arc<AgentConfig>, tasks: &Tasks, stop: &CancellationToken) {
    let mut backoff = Backoff::default();
    while !stop.is_cancelled() {
        let Some(end) = control::session(config, tasks, &mut backoff, stop).await else { return };
        let pause = pause(&end, &mut backoff);
        let seconds = pause.as_secs_f64();
        let waiting = format!("{}: {end}; trying again in {seconds:.1} s", config.device);
        tracing::warn!(target: "device-agent", "{waiting}");
        notify::status(&waiting);
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// How long to leave the hub alone. Two agents with one id must not take turns, and a key that is refused will
/// still be refused a second later.
fn pause(end: &End, backoff: &mut Backoff) -> Duration {
    let next = backoff.next_pause(clock::now(), random::dice());
    match end {
        End::Displaced { .. } => DISPLACED_WAIT + spread(DISPLACED_WAIT, random::dice()),
        End::Refused(refusal) if matches!(refusal.kind, Kind::AuthenticationFailed | Kind::Disabled) => {
            BACKOFF_CAP / 2 + spread(BACKOFF_CAP / 2, random::dice())
        }
        // `devstream join` may be about to write the new key down: the old one, shown again, is refused for longer.
        End::Refused(Refusal { kind: Kind::KeyReplaced, .. }) => BACKOFF_BASE + next,
        End::Refused(_) | End::Lost(_) => next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_key_was_replaced_gives_the_new_one_time_to_be_written_and_is_soon_back() {
        for _ in 0..100 {
            let pause = pause(&End::Refused(Kind::KeyReplaced.into()), &mut Backoff::default());
            assert!((BACKOFF_BASE..=BACKOFF_BASE * 2).contains(&pause), "{pause:?}");
        }
        assert!(pause(&End::Refused(Kind::Disabled.into()), &mut Backoff::default()) >= BACKOFF_CAP / 2);
    }
}
