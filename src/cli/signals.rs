//! Ctrl-C and SIGTERM: the first drains, the second ends. SIGHUP has a hub read its certificate again.

use anyhow::Context as _;

use crate::net::shutdown::{Reload, Shutdown};

/// Passes signals on for ever.
#[cfg(unix)]
pub(super) async fn pass_on(shutdown: &Shutdown) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        shutdown.ask();
    }
}

/// Passes Ctrl-C on for ever.
#[cfg(not(unix))]
pub(super) async fn pass_on(shutdown: &Shutdown) -> std::io::Result<()> {
    loop {
        tokio::signal::ctrl_c().await?;
        shutdown.ask();
    }
}

/// Does something that ends when it is asked to, and passes signals on meanwhile.
pub(super) async fn while_passing_on<R>(shutdown: &Shutdown, work: impl Future<Output = R>) -> anyhow::Result<R> {
    tokio::select! {
        result = work => Ok(result),
        failed = pass_on(shutdown) => match failed {
            Ok(()) => anyhow::bail!("signals ended"),
            Err(error) => Err(anyhow::Error::new(error).context("cannot listen for signals")),
        },
    }
}

/// SIGHUP, heard from the moment it is listened for.
pub(super) struct Hangups(#[cfg(unix)] tokio::signal::unix::Signal);

#[cfg(unix)]
impl Hangups {
    /// From now on a hangup does not end this process.
    pub(super) fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self(signal(SignalKind::hangup()).context("cannot listen for signals")?))
    }

    /// Does something, and asks for a reload with each hangup meanwhile.
    pub(super) async fn while_passing_on<R>(mut self, reload: &Reload, work: impl Future<Output = R>) -> R {
        tokio::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => return result,
                Some(()) = self.0.recv() => reload.ask(),
            }
        }
    }
}

#[cfg(not(unix))]
impl Hangups {
    /// There are none.
    pub(super) fn listen() -> anyhow::Result<Self> {
        Ok(Self())
    }

    /// Does something.
    pub(super) async fn while_passing_on<R>(self, _: &Reload, work: impl Future<Output = R>) -> R {
        work.await
    }
}
