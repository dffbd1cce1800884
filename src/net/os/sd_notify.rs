//! Notifications to the service manager over the socket in `$NOTIFY_SOCKET` (sd_notify(3)): ready, status, stopping,
//! and the watchdog's keep-alive pings.
//!
//! Sending blocks while the service manager does not read, as when process 1 is frozen, which is when people need their
//! shell. So one thread sends, and its queue drops messages when it is full: the role never waits for the manager.

use std::convert::Infallible;
use std::env;
use std::io;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

/// The messages that wait for a slow service manager; later ones are dropped.
const QUEUED_MESSAGES: usize = 16;

/// The wait for the last message, which the process must not exit before.
const STOPPING_TIMEOUT: Duration = Duration::from_millis(100);

/// Reports that the role is ready, and its status.
pub fn ready(status: &str) {
    send(&format!("READY=1\nSTATUS={}", one_line(status)));
}

/// Reports the role's status, which the service manager shows to its users.
pub fn status(status: &str) {
    send(&format!("STATUS={}", one_line(status)));
}

/// Reports that the role is shutting down.
pub fn stopping() {
    if let Some(sent) = send("STOPPING=1") {
        let _ = sent.recv_timeout(STOPPING_TIMEOUT);
    }
}

/// Runs `work`, and pings the watchdog from the same task: work that blocks its task stops the pings.
pub async fn with_watchdog<R>(work: impl Future<Output = R>) -> R {
    tokio::select! {
        result = work => result,
        never = watchdog(|| std::future::ready(true)) => match never {},
    }
}

/// Pings the watchdog twice in the time that it allows, as long as `is_alive` returns true in time; pends forever if
/// there is no watchdog for this process.
pub async fn watchdog<F: Future<Output = bool>>(is_alive: impl Fn() -> F) -> Infallible {
    match watchdog_timeout().map(|timeout| timeout / 2).filter(|period| !period.is_zero()) {
        Some(period) => ping_periodically(period, is_alive, || drop(send("WATCHDOG=1"))).await,
        None => std::future::pending().await,
    }
}

async fn ping_periodically<F: Future<Output = bool>>(
    period: Duration,
    is_alive: impl Fn() -> F,
    ping: impl Fn(),
) -> Infallible {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if timeout(period, is_alive()).await == Ok(true) {
            ping();
        } else {
            tracing::warn!("health check timed out; watchdog not pinged");
        }
    }
}

/// The time within which the service manager's watchdog expects a ping from this process.
#[cfg(unix)]
fn watchdog_timeout() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

#[cfg(not(unix))]
fn watchdog_timeout() -> Option<Duration> {
    None
}

/// A message, and a sender that is dropped once the message was sent.
type Message = (String, SyncSender<Infallible>);

/// Queues a message. The receiver is disconnected once the message was sent; `None` if there is no service manager or
/// the queue is full.
fn send(message: &str) -> Option<Receiver<Infallible>> {
    static QUEUE: OnceLock<Option<SyncSender<Message>>> = OnceLock::new();
    let queue = QUEUE.get_or_init(start_sender).as_ref()?;
    let (on_sent, sent) = sync_channel(1);
    match queue.try_send((message.to_owned(), on_sent)) {
        Ok(()) => Some(sent),
        Err(error) => {
            tracing::debug!(%error, "dropped a notification of the service manager");
            None
        }
    }
}

/// Starts the thread that sends, if there is a service manager.
fn start_sender() -> Option<SyncSender<Message>> {
    env::var_os("NOTIFY_SOCKET")?;
    let (queue, messages) = sync_channel::<Message>(QUEUED_MESSAGES);
    let sender = move || {
        for (message, _on_sent) in messages {
            if let Err(error) = notify(&message) {
                tracing::debug!(%error, "could not notify the service manager");
            }
        }
    };
    match thread::Builder::new().name("sd-notify".into()).spawn(sender) {
        Ok(_detached) => Some(queue),
        Err(error) => {
            tracing::warn!(%error, "could not start the thread that notifies the service manager");
            None
        }
    }
}

/// Sends one message; blocks while the service manager does not read.
#[cfg(unix)]
fn notify(message: &str) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if let Some(name) = env::var_os("NOTIFY_SOCKET").as_deref().and_then(abstract_name) {
        return notify_abstract(name, message);
    }
    sd_notify::notify(&[sd_notify::NotifyState::Custom(message)])
}

#[cfg(not(unix))]
fn notify(_: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The name of an abstract socket (unix(7)), which sd_notify(3) writes with a leading `@`.
#[cfg(target_os = "linux")]
fn abstract_name(socket: &std::ffi::OsStr) -> Option<&[u8]> {
    std::os::unix::ffi::OsStrExt::as_bytes(socket).strip_prefix(b"@")
}

/// Sends to an abstract socket: sd-notify 0.5 takes its name for a path.
#[cfg(target_os = "linux")]
fn notify_abstract(name: &[u8], message: &str) -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &SocketAddr::from_abstract_name(name)?).map(drop)
}

/// Joins lines: a line break would begin another assignment.
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

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_pinged_only_while_the_health_check_succeeds() {
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
