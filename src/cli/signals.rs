//! Signals: a first Ctrl-C or SIGTERM, or its equivalent on Windows, drains a role, a second one stops it at once.
//! SIGHUP makes a hub reload its certificate.

use anyhow::Context as _;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
#[cfg(windows)]
use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
};

use crate::net::os::sd_notify;
use crate::net::shutdown::{Reload, Shutdown};

/// The signals to stop. Caught before a role reports that it is ready, since it may be stopped from then on.
#[cfg(unix)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

#[cfg(unix)]
impl Signals {
    /// Starts catching the signals, which then no longer kill the process.
    pub(super) fn catch() -> anyhow::Result<Self> {
        let catch = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self { terminate: catch(SignalKind::terminate())?, interrupt: catch(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> anyhow::Result<()> {
        let signal = tokio::select! {
            signal = self.terminate.recv() => signal,
            signal = self.interrupt.recv() => signal,
        };
        signal.context("signals ended")
    }
}

/// The events to stop: Ctrl-C and Ctrl-Break. When the console is closed or the system shuts down, Windows allows only
/// seconds.
#[cfg(windows)]
pub(super) struct Signals {
    interrupt: CtrlC,
    terminate: CtrlBreak,
    close: CtrlClose,
    shutdown: CtrlShutdown,
}

#[cfg(windows)]
impl Signals {
    /// Starts catching the events, which then no longer kill the process.
    pub(super) fn catch() -> anyhow::Result<Self> {
        let catch = || -> std::io::Result<Self> {
            let (interrupt, terminate) = (ctrl_c()?, ctrl_break()?);
            Ok(Self { interrupt, terminate, close: ctrl_close()?, shutdown: ctrl_shutdown()? })
        };
        catch().context("cannot listen for signals")
    }

    async fn next(&mut self) -> anyhow::Result<()> {
        let signal = tokio::select! {
            signal = self.interrupt.recv() => signal,
            signal = self.terminate.recv() => signal,
            signal = self.close.recv() => signal,
            signal = self.shutdown.recv() => signal,
        };
        signal.context("signals ended")
    }
}

impl Signals {
    /// Runs the work, which ends after a shutdown is requested, and requests one at each signal.
    pub(super) async fn run_with_shutdown<R>(
        mut self,
        shutdown: &Shutdown,
        work: impl Future<Output = R>,
    ) -> anyhow::Result<R> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => return Ok(result),
                signal = self.next() => signal?,
            }
            sd_notify::stopping();
            shutdown.request();
        }
    }
}

/// SIGHUP.
pub(super) struct HangupSignal(#[cfg(unix)] tokio::signal::unix::Signal);

#[cfg(unix)]
impl HangupSignal {
    /// Starts catching SIGHUP, which then no longer kills the process.
    pub(super) fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self(signal(SignalKind::hangup()).context("cannot listen for signals")?))
    }

    /// Runs the work, and requests a reload at each SIGHUP.
    pub(super) async fn run_with_reload<R>(mut self, reload: &Reload, work: impl Future<Output = R>) -> R {
        tokio::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => return result,
                Some(()) = self.0.recv() => reload.request(),
            }
        }
    }
}

#[cfg(not(unix))]
impl HangupSignal {
    /// Does nothing: there is no SIGHUP.
    pub(super) fn listen() -> anyhow::Result<Self> {
        Ok(Self())
    }

    /// Runs the work.
    pub(super) async fn run_with_reload<R>(self, _: &Reload, work: impl Future<Output = R>) -> R {
        work.await
    }
}
