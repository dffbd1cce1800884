//! What the service manager is told over the socket in `$NOTIFY_SOCKET` (sd_notify(3)): ready, alive, stopping.

use std::convert::Infallible;
use std::env;
use std::ffi::OsStr;
use std::io;
#[cfg(unix)]
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

/// It serves from now on.
pub fn ready(status: &str) {
    notify(&format!("READY=1\nSTATUS={}", one_line(status)));
}

/// What it is doing, for a person who asks the service manager.
pub fn status(status: &str) {
    notify(&format!("STATUS={}", one_line(status)));
}

/// It has begun to end.
pub fn stopping() {
    notify("STOPPING=1");
}

/// Does the work, and tells the watchdog so from the same task: work that blocks its task is no longer alive.
pub async fn with_watchdog<R>(work: impl Future<Output = R>) -> R {
    tokio::select! {
        result = work => result,
        never = watchdog(|| std::future::ready(true)) => match never {},
    }
}

/// For as long as the answer is yes, and comes in time, tells the watchdog, twice in the time that it allows.
pub async fn watchdog<F: Future<Output = bool>>(is_alive: impl Fn() -> F) -> Infallible {
    match period(|name| env::var(name).ok()) {
        Some(period) => ping_periodically(period, is_alive, || notify("WATCHDOG=1")).await,
        None => std::future::pending().await,
    }
}

async fn ping_periodically<F: Future<Output = bool>>(
    period: Duration,
    is_alive: impl Fn() -> F,
    notify: impl Fn(),
) -> Infallible {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if timeout(period, is_alive()).await == Ok(true) {
            notify();
        } else {
            tracing::warn!("something does not answer; the service manager's watchdog is not told that all is well");
        }
    }
}

/// Half of what the watchdog allows, if there is one and it is meant for this process.
fn period(variable: impl Fn(&str) -> Option<String>) -> Option<Duration> {
    if variable("WATCHDOG_PID").is_some_and(|id| id != std::process::id().to_string()) {
        return None;
    }
    let microseconds: u64 = variable("WATCHDOG_USEC")?.parse().ok()?;
    Some(Duration::from_micros(microseconds / 2)).filter(|period| !period.is_zero())
}

fn notify(state: &str) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&socket, state) {
        tracing::debug!(%error, "could not tell the service manager");
    }
}

#[cfg(not(unix))]
fn send(_: &OsStr, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Never waits: a service manager that does not read would otherwise hold up the service.
#[cfg(unix)]
fn send(to: &OsStr, state: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address(to)?).map(drop)
}

#[cfg(target_os = "linux")]
fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    match socket.as_encoded_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(socket),
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    SocketAddr::from_pathname(socket)
}

/// A line break would begin another message.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, ready};

    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;

    use super::*;

    #[test]
    fn the_watchdog_is_this_process_and_asks_for_twice_what_it_allows() {
        let own = std::process::id().to_string();
        for (pid, usec, wanted) in [
            (Some(own.as_str()), Some("3000000"), Some(1500)),
            (None, Some("3000000"), Some(1500)),
            (Some("1"), Some("3000000"), None),
            (Some(own.as_str()), None, None),
            (None, Some("0"), None),
            (None, Some("1"), None),
            (None, Some("soon"), None),
        ] {
            let variable = |name: &str| if name == "WATCHDOG_PID" { pid } else { usec }.map(str::to_owned);
            assert_eq!(period(variable), wanted.map(Duration::from_millis), "{pid:?} {usec:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_told_only_of_what_answers() {
        let second = Duration::from_secs(1);
        let pings = Cell::new(0);
        let run = async |is_alive: &dyn Fn() -> BoxFuture<'static, bool>| {
            let _ = timeout(second * 21 / 2, ping_periodically(second, is_alive, || pings.set(pings.get() + 1))).await;
            pings.replace(0)
        };
        assert_eq!(run(&|| ready(true).boxed()).await, 11, "at once, and then every second");
        assert_eq!(run(&|| ready(false).boxed()).await, 0);
        assert_eq!(run(&|| pending().boxed()).await, 0);
    }

    #[test]
    fn a_status_is_one_line() {
        assert_eq!(one_line("lost\nREADY=1"), "lost READY=1");
    }
}
