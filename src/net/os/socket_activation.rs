//! Socket activation (sd_listen_fds(3)): listening sockets that the service manager opened and keeps open. While this
//! process restarts, connections queue in them.

use std::env;
use std::io;
use std::net::TcpListener;

use anyhow::{Context as _, bail};
use listenfd::ListenFd;

/// The inherited sockets, each with its name.
#[derive(Debug, Default)]
pub struct InheritedSockets(Vec<(String, TcpListener)>);

impl InheritedSockets {
    /// Takes the sockets, and removes their variables from the environment so that no child uses them. Must be called
    /// once, before other threads exist: changing the environment is not thread-safe.
    pub fn from_env() -> anyhow::Result<Self> {
        // Without a matching process id they are meant for another process, such as the parent.
        if env::var("LISTEN_PID").ok().is_none_or(|id| id != std::process::id().to_string()) {
            return Ok(Self::default());
        }
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for (index, name) in (0..passed.len()).zip(names.split(':').chain(std::iter::repeat(""))) {
            let socket = adopt(&mut passed, index);
            sockets.push((name.to_owned(), socket.with_context(|| format!("inherited socket {index} '{name}'"))?));
        }
        Ok(Self(sockets))
    }

    /// Splits into the sockets of one name, and all others, in their order.
    pub fn split(self, name: &str) -> (Vec<TcpListener>, Vec<TcpListener>) {
        let (named, others): (Vec<_>, Vec<_>) = self.0.into_iter().partition(|(own, _)| own == name);
        let sockets = |list: Vec<(String, TcpListener)>| list.into_iter().map(|(_, socket)| socket).collect();
        (sockets(named), sockets(others))
    }
}

/// Checks that an inherited descriptor is a listening TCP socket.
fn adopt(passed: &mut ListenFd, index: usize) -> anyhow::Result<TcpListener> {
    let Some(socket) = passed.take_tcp_listener(index)? else { bail!("not open") };
    if !is_listening(&socket)? {
        bail!("not a listening socket");
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn is_listening(socket: &TcpListener) -> io::Result<bool> {
    socket2::SockRef::from(socket).is_listener()
}

#[cfg(not(target_os = "linux"))]
fn is_listening(_: &TcpListener) -> io::Result<bool> {
    Ok(true)
}
