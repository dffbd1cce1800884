//! Standard output as one direction of a stream, which can be closed while the process goes on.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, Stdin, Stdout};

/// Standard output whose shutdown is an end of file for its reader: `ssh` waits for that before it closes its own
/// direction.
#[derive(Debug)]
pub(in crate::cli) struct Output(Stdout, FirstError);

/// Standard input as the other direction.
#[derive(Debug)]
pub(in crate::cli) struct Input(Stdin, FirstError);

/// The first error of either, but for a pipe that its reader has closed. To the stream it is a reset.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct FirstError(Arc<OnceLock<String>>);

impl FirstError {
    /// Returns the error, if there was one.
    pub(in crate::cli) fn get(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    fn record<T>(&self, doing: &str, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &polled
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            let _ = self.0.set(format!("{doing}: {error}"));
        }
        polled
    }
}

/// Opens both directions.
pub(in crate::cli) fn open() -> (Input, Output, FirstError) {
    let errors = FirstError::default();
    (Input(tokio::io::stdin(), errors.clone()), Output(tokio::io::stdout(), errors.clone()), errors)
}

impl AsyncRead for Input {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.0).poll_read(cx, buffer);
        self.1.record("cannot read standard input", read)
    }
}

const CANNOT_WRITE: &str = "cannot write to standard output";

impl AsyncWrite for Output {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.0).poll_write(cx, bytes);
        self.1.record(CANNOT_WRITE, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.0).poll_flush(cx);
        self.1.record(CANNOT_WRITE, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
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
