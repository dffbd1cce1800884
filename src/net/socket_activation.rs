//! Listening sockets that the service manager opened and keeps open (sd_listen_fds(3)): while this process restarts,
//! connections wait in them.

use std::env;
use std::io;
use std::net::TcpListener;

use anyhow::{Context as _, bail};
use listenfd::ListenFd;

/// Sockets that were handed to this process, each with its name.
#[derive(Debug, Default)]
pub struct InheritedSockets(Vec<(String, TcpListener)>);

impl InheritedSockets {
    /// Takes them out of the environment, so that no child takes them for its own. To be called once, while there is
    /// no other thread: changing the environment is not safe beside others.
    pub fn from_env() -> anyhow::Result<Self> {
        // Without the process id they could be meant for a parent.
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

    /// Those of one name, and all others, in their order.
    pub fn split(self, name: &str) -> (Vec<TcpListener>, Vec<TcpListener>) {
        let (named, others): (Vec<_>, Vec<_>) = self.0.into_iter().partition(|(own, _)| own == name);
        let sockets = |list: Vec<(String, TcpListener)>| list.into_iter().map(|(_, socket)| socket).collect();
        (sockets(named), sockets(others))
    }
}

fn adopt(passed: &mut ListenFd, index: usize) -> anyhow::Result<TcpListener> {
    let Some(socket) = passed.take_tcp_listener(index)? else { bail!("it is not there") };
    if !is_listening(&socket)? {
        bail!("it is a TCP socket that does not listen");
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
