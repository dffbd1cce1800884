//! Ctrl-C and SIGTERM: the first drains, the second ends.

use crate::net::notify;
use crate::net::shutdown::Shutdown;

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
        notify::stopping();
        shutdown.ask();
    }
}

/// Passes Ctrl-C on for ever.
#[cfg(not(unix))]
pub(super) async fn pass_on(shutdown: &Shutdown) -> std::io::Result<()> {
    loop {
        tokio::signal::ctrl_c().await?;
        notify::stopping();
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
