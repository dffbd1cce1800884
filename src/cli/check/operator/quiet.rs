//! An application that says nothing, and notices that its stream is open.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::oneshot::Sender;

/// It is read for the first time when its stream is open.
#[derive(Debug)]
pub(super) struct Quiet(Option<Sender<()>>);

impl Quiet {
    /// With whom to tell.
    pub(super) fn new(opened: Sender<()>) -> Self {
        Self(Some(opened))
    }
}

impl AsyncRead for Quiet {
    /// There is never anything, and nobody to wake for it.
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(opened) = self.0.take() {
            let _ = opened.send(());
        }
        Poll::Pending
    }
}
