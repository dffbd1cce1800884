//! Signals: a first Ctrl-C or SIGTERM, or its equivalent on Windows, drains a role, a second one stops it at once.
//! SIGHUP makes a hub reload its certificate. What was ignored at the start stays ignored.

use anyhow::Context as _;
#[cfg(unix)]
use rustix::process::{Signal as UnixSignal, getpid, kill_process};
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
#[cfg(windows)]
use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
};

use super::output::logging;
use super::output::stream_monitor::Table;
use crate::net::os::orphans::Orphans;
use crate::net::os::sd_notify;
use crate::net::shutdown::{Reload, Shutdown};

/// The signals to stop. Caught before a role reports that it is ready, since it may be stopped from then on.
#[cfg(unix)]
pub(super) struct Signals {
    terminate: Caught,
    interrupt: Caught,
    /// From the first one on, only errors are logged.
    mutes_log: bool,
}

#[cfg(unix)]
impl Signals {
    /// Starts catching the signals, which then no longer kill the process.
    pub(super) fn catch() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: Caught::unless_ignored(SignalKind::terminate())?,
            interrupt: Caught::unless_ignored(SignalKind::interrupt())?,
            mutes_log: false,
        })
    }

    /// Returns the next signal's name.
    async fn next(&mut self) -> anyhow::Result<&'static str> {
        let (signal, name) = tokio::select! {
            signal = self.terminate.recv() => (signal, "SIGTERM"),
            signal = self.interrupt.recv() => (signal, CTRL_C),
        };
        signal.map(|()| name).context("signals ended")
    }
}

/// A signal with a handler, or none if it was ignored at the start: a shell without job control starts a command with
/// `&` so (POSIX, 2.12), which a Ctrl-C for the command in front of it must not reach, and so does nohup.
#[cfg(unix)]
struct Caught(Option<Signal>);

#[cfg(unix)]
impl Caught {
    fn unless_ignored(kind: SignalKind) -> anyhow::Result<Self> {
        let caught = (!is_ignored(kind)).then(|| signal(kind)).transpose();
        caught.map(Self).context("cannot listen for signals")
    }

    async fn recv(&mut self) -> Option<()> {
        match &mut self.0 {
            Some(signal) => signal.recv().await,
            None => std::future::pending().await,
        }
    }
}

/// Reports whether the process ignores the signal. Where there is no `/proc` (not on Linux), none counts as ignored:
/// only unsafe code could ask.
#[cfg(unix)]
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_signals(&status).is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}

/// Returns the mask in `/proc/PID/status` (proc_pid_status(5)), whose lowest bit is signal 1.
#[cfg(unix)]
fn ignored_signals(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// The events to stop: Ctrl-C and Ctrl-Break. When the console is closed or the system shuts down, Windows allows only
/// seconds.
#[cfg(windows)]
pub(super) struct Signals {
    interrupt: CtrlC,
    terminate: CtrlBreak,
    close: CtrlClose,
    shutdown: CtrlShutdown,
    /// From the first one on, only errors are logged.
    mutes_log: bool,
}

#[cfg(windows)]
impl Signals {
    /// Starts catching the events, which then no longer kill the process.
    pub(super) fn catch() -> anyhow::Result<Self> {
        let catch = || -> std::io::Result<Self> {
            let (interrupt, terminate) = (ctrl_c()?, ctrl_break()?);
            Ok(Self { interrupt, terminate, close: ctrl_close()?, shutdown: ctrl_shutdown()?, mutes_log: false })
        };
        catch().context("cannot listen for signals")
    }

    /// Returns the next event's name.
    async fn next(&mut self) -> anyhow::Result<&'static str> {
        let (signal, name) = tokio::select! {
            signal = self.interrupt.recv() => (signal, CTRL_C),
            signal = self.terminate.recv() => (signal, "Ctrl-Break"),
            signal = self.close.recv() => (signal, "the closed console"),
            signal = self.shutdown.recv() => (signal, "the system's shutdown"),
        };
        signal.map(|()| name).context("signals ended")
    }
}

/// What a person calls the interrupt signal.
const CTRL_C: &str = "Ctrl-C";

impl Signals {
    /// Logs only errors from the first signal on: several roles in one process would tell of each other's end.
    pub(super) fn muting_log(self) -> Self {
        Self { mutes_log: true, ..self }
    }

    /// Runs the work, which ends after a shutdown is requested, and requests one at each signal. As PID 1, reaps orphans
    /// meanwhile.
    pub(super) async fn run_with_shutdown<R>(
        mut self,
        shutdown: &Shutdown,
        work: impl Future<Output = R>,
    ) -> anyhow::Result<R> {
        tokio::pin!(work);
        let mut orphans = Orphans::listen().context("cannot listen for signals")?;
        loop {
            tokio::select! {
                result = &mut work => return Ok(result),
                signal = self.next() => {
                    let signal = signal?;
                    sd_notify::stopping();
                    if self.mutes_log {
                        logging::mute();
                    }
                    shutdown.request_by(signal);
                }
                () = orphans.reap() => {}
            }
        }
    }
}

/// SIGTSTP, as of Ctrl-Z, and SIGCONT.
pub(super) struct StopSignals {
    #[cfg(unix)]
    stop: Caught,
    #[cfg(unix)]
    resume: Caught,
}

#[cfg(unix)]
impl StopSignals {
    /// Starts catching SIGTSTP, which then no longer stops the process by itself.
    pub(super) fn catch() -> anyhow::Result<Self> {
        Ok(Self {
            stop: Caught::unless_ignored(SignalKind::from_raw(UnixSignal::TSTP.as_raw()))?,
            resume: Caught::unless_ignored(SignalKind::from_raw(UnixSignal::CONT.as_raw()))?,
        })
    }

    /// Runs the work of a role with a table, which leaves the terminal before the process stops.
    pub(super) async fn run_with_table<R>(mut self, table: &Table, work: impl Future<Output = R>) -> R {
        tokio::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => return result,
                Some(()) = self.stop.recv() => {
                    table.suspend();
                    // Only a signal that the caller may not send fails.
                    let _ = kill_process(getpid(), UnixSignal::STOP);
                }
                Some(()) = self.resume.recv() => table.resume(),
            }
        }
    }
}

#[cfg(not(unix))]
impl StopSignals {
    /// Does nothing: there is no SIGTSTP.
    pub(super) fn catch() -> anyhow::Result<Self> {
        Ok(Self {})
    }

    /// Runs the work.
    pub(super) async fn run_with_table<R>(self, _: &Table, work: impl Future<Output = R>) -> R {
        work.await
    }
}

/// SIGHUP.
pub(super) struct HangupSignal(#[cfg(unix)] Caught);

#[cfg(unix)]
impl HangupSignal {
    /// Starts catching SIGHUP, which then no longer kills the process.
    pub(super) fn listen() -> anyhow::Result<Self> {
        Caught::unless_ignored(SignalKind::hangup()).map(Self)
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_bit_of_the_mask_of_ignored_signals_is_signal_1() {
        assert_eq!(
            ignored_signals("Name:\tdevstream\nSigBlk:\t0000000000000004\nSigIgn:\t0000000000001006\n"),
            Some(0x1006)
        );
        assert_eq!(ignored_signals("Name:\tdevstream\n"), None);
        assert_eq!(SignalKind::hangup().as_raw_value(), 1);
    }
}
