//! Ctrl-C and SIGTERM, or what Windows has instead: the first drains, the second ends. SIGHUP has a hub read its certificate
//! again.

use anyhow::Context as _;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
#[cfg(windows)]
use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
};

use crate::net::os::sd_notify;
use crate::net::shutdown::{Reload, Shutdown};

/// Caught from when this is made on, which is before a role says that it runs: whoever hears that may stop it.
#[cfg(unix)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

#[cfg(unix)]
impl Signals {
    /// Signals no longer end the process by themselves.
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

/// Ctrl-C and Ctrl-Break. Once the console is closed, or the system ends, Windows leaves only some seconds.
#[cfg(windows)]
pub(super) struct Signals {
    interrupt: CtrlC,
    terminate: CtrlBreak,
    close: CtrlClose,
    shutdown: CtrlShutdown,
}

#[cfg(windows)]
impl Signals {
    /// They no longer end the process by themselves.
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
    /// Does something that ends when it is asked to, and passes signals on meanwhile.
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

/// SIGHUP, heard from the moment it is listened for.
pub(super) struct HangupSignal(#[cfg(unix)] tokio::signal::unix::Signal);

#[cfg(unix)]
impl HangupSignal {
    /// From now on a hangup does not end this process.
    pub(super) fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self(signal(SignalKind::hangup()).context("cannot listen for signals")?))
    }

    /// Does something, and asks for a reload with each hangup meanwhile.
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
    /// There are none.
    pub(super) fn listen() -> anyhow::Result<Self> {
        Ok(Self())
    }

    /// Does something.
    pub(super) async fn run_with_reload<R>(self, _: &Reload, work: impl Future<Output = R>) -> R {
        work.await
    }
}
