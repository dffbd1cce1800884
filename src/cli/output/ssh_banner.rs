//! What a stream for OpenSSH carries if no SSH server is at its end: `ssh` itself names only the end of the connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::logging::UNDER_SSH;
use super::text::error;

/// An SSH server's first line begins with this; other lines may come before it (RFC 4253, section 4.2).
const BANNER: &[u8] = b"SSH-";

/// The bytes in which the banner is looked for; more than any server has in front of it.
const SEARCHED_BYTES: usize = 8 * 1024;

/// The characters of the first line that a message has.
const SHOWN_CHARS: usize = 60;

/// An output that names what it carried, if that ends without an SSH server's banner.
pub(in crate::cli) struct SshBanner<W> {
    inner: W,
    /// The device and the stream.
    at: String,
    /// The stream was opened.
    is_open: Arc<AtomicBool>,
    /// The bytes so far; none once the banner was found, or its absence was named.
    carried: Option<Vec<u8>>,
}

impl<W> SshBanner<W> {
    /// Watches an output, unless the program at its other end is not known to be `ssh`.
    pub(in crate::cli) fn watch(inner: W, is_ssh: bool, at: String, is_open: Arc<AtomicBool>) -> Self {
        Self { inner, at, is_open, carried: is_ssh.then(Vec::new) }
    }

    fn record(&mut self, bytes: &[u8]) {
        let Some(carried) = &mut self.carried else { return };
        let room = SEARCHED_BYTES.saturating_sub(carried.len());
        carried.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if carried.split(|byte| *byte == b'\n').any(|line| line.starts_with(BANNER)) {
            self.carried = None;
        }
    }

    fn report(&mut self) {
        if let Some(carried) = self.carried.take()
            && self.is_open.load(Ordering::Relaxed)
        {
            error(UNDER_SSH, &no_ssh_server(&self.at, &carried));
        }
    }
}

/// Words what is there in place of an SSH server.
fn no_ssh_server(at: &str, carried: &[u8]) -> String {
    let line = carried.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let line: String = String::from_utf8_lossy(line).chars().take(SHOWN_CHARS).collect();
    let what = if carried.is_empty() {
        "closed the connection without an answer".to_owned()
    } else {
        format!("answered {line:?}")
    };
    format!(
        "no SSH server is at {at}: what is there {what}; choose the stream of the device's SSH server with --stream NAME, or \
         reach this one with service-proxy"
    )
}

impl<W: AsyncWrite + Unpin> AsyncWrite for SshBanner<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
        self.record(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Before `ssh` sees the end, and ends this program.
        self.report();
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banner_is_found_behind_other_lines_and_across_writes() {
        let found = |writes: &[&str]| {
            let mut watched = SshBanner::watch((), true, "pi/ssh".into(), Arc::default());
            writes.iter().for_each(|text| watched.record(text.as_bytes()));
            watched.carried.is_none()
        };
        assert!(found(&["SSH-2.0-OpenSSH_9.2\r\n"]) && found(&["S", "SH-2.0"]) && found(&["hello\r\n", "SSH-2.0"]));
        assert!(!found(&["HTTP/1.1 400 Bad Request\r\n"]) && !found(&["xSSH-2.0"]) && !found(&[]));
    }

    #[test]
    fn the_first_line_in_place_of_a_banner_is_quoted_and_short() {
        let said = no_ssh_server("pi/web", format!("HTTP/1.1 400 \x1b{}\r\nx", "y".repeat(100)).as_bytes());
        assert!(said.contains("is there answered \"HTTP/1.1 400 \\u{1b}yyy") && !said.contains('\x1b'), "{said}");
        assert!(said.len() < 260 && no_ssh_server("pi/web", b"").contains("without an answer"), "{said}");
    }
}
