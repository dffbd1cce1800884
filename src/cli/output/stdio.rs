//! Standard output as one direction of a stream, which can be closed while the process goes on.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncWrite, Stdout};

/// Standard output whose shutdown is an end of file for its reader: `ssh` waits for that before it closes its own
/// direction.
#[derive(Debug)]
pub(in crate::cli) struct Output(Stdout);

impl Output {
    pub(in crate::cli) fn new() -> Self {
        Self(tokio::io::stdout())
    }
}

impl AsyncWrite for Output {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.0).poll_flush(cx))?;
        Poll::Ready(close_stdout())
    }
}

/// Replaces the descriptor by the null device, which closes the pipe.
#[cfg(unix)]
fn close_stdout() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    Ok(rustix::stdio::dup2_stdout(null)?)
}

#[cfg(not(unix))]
fn close_stdout() -> io::Result<()> {
    Ok(())
}

/// Reports whether the reader has closed its end, without a write.
#[cfg(unix)]
pub(in crate::cli) fn is_closed() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let stdout = io::stdout();
    let mut poll_fds = [PollFd::new(&stdout, PollFlags::empty())];
    poll(&mut poll_fds, Some(&now)).is_ok() && poll_fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

#[cfg(not(unix))]
pub(in crate::cli) fn is_closed() -> bool {
    false
}
