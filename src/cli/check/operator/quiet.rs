//! An application that says nothing, notices that its stream is open, and ends it in good order.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::oneshot::{Receiver, Sender};

/// It is read for the first time when its stream is open.
#[derive(Debug)]
pub(super) struct Quiet {
    opened: Option<Sender<()>>,
    enough: Receiver<()>,
}

impl Quiet {
    /// With whom to tell, and who has heard enough when that is dropped.
    pub(super) fn new(opened: Sender<()>, enough: Receiver<()>) -> Self {
        Self { opened: Some(opened), enough }
    }
}

impl AsyncRead for Quiet {
    /// There is never anything but the end.
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(opened) = self.opened.take() {
            let _ = opened.send(());
        }
        Pin::new(&mut self.enough).poll(context).map(|_| Ok(()))
    }
}
