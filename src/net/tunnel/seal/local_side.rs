//! The local side of a stream, sealed or not.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::{SealedReader, SealedWriter, SessionView, seal};
use crate::net::e2e::config::SessionEnd;
use crate::net::tunnel::pump::{Counters, Outcome, PumpContext, Rejoin, StreamEvent, Tunnel, pump};
use crate::net::tunnel::stream::StreamOwner;
use crate::net::websocket::{Transport, WebSocket};

/// A local side with its session.
pub struct Sealed<R, W> {
    /// What the application writes, encrypted.
    pub reader: SealedReader<R>,
    /// What the application reads, to be decrypted.
    pub writer: SealedWriter<W>,
    /// The session.
    pub session: SessionView,
}

/// A local side of a stream.
pub enum LocalSide<R, W> {
    /// The hub can read what it carries.
    Plain((R, W)),
    /// It cannot.
    Sealed(Box<Sealed<R, W>>),
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> LocalSide<R, W> {
    /// Seals a local side if there is a session. The counters are of the application's bytes; `early_wait` is the time for the
    /// first ones, which go out with the session's first message.
    pub fn new(local: (R, W), session: Option<SessionEnd>, counters: &Arc<Counters>, early_wait: Duration) -> Self {
        match session {
            Some(end) => Self::Sealed(Box::new(seal(local, end, counters.clone(), early_wait))),
            None => Self::Plain(local),
        }
    }

    /// The session, if there is one.
    pub fn session(&self) -> Option<SessionView> {
        match self {
            Self::Plain(_) => None,
            Self::Sealed(sealed) => Some(sealed.session.clone()),
        }
    }

    /// Carries an open stream, as [`pump`] does. Each kind has an allocation of its own: a stream would else have the room
    /// for both, 5 KiB each.
    pub async fn pump<T: Transport, J: Rejoin<T>>(
        self,
        tunnel: Tunnel<T>,
        context: PumpContext<'_, J>,
    ) -> (Outcome, Option<WebSocket<T>>) {
        match self {
            Self::Plain(local) => Box::pin(pump(local, tunnel, context)).await,
            Self::Sealed(sealed) => {
                let (local, session) = sealed.begin();
                let on_opened = || (context.on_event)(StreamEvent::SessionOpened);
                // The application's bytes are counted where they pass.
                let context = PumpContext { counters: &Counters::default(), ..context };
                let (outcome, socket) = session.drive(Box::pin(pump(local, tunnel, context)), on_opened).await;
                (session.outcome(outcome), socket)
            }
        }
    }

    /// Carries an open stream of a program.
    pub async fn drive<T: Transport, J: Rejoin<T>>(
        self,
        owner: StreamOwner,
        tunnel: Tunnel<T>,
        context: PumpContext<'_, J>,
    ) -> (Outcome, Option<WebSocket<T>>) {
        match self {
            Self::Plain(local) => {
                Box::pin(owner.drive(local, ready(Ok(None)), |outcome| outcome, tunnel, context)).await
            }
            Self::Sealed(sealed) => {
                let (local, session) = sealed.begin();
                let context = PumpContext { counters: &Counters::default(), ..context };
                let verification = async { session.opened().await.map(|facts| Some(facts.key)) };
                let work = owner.drive(local, verification, |outcome| session.outcome(outcome), tunnel, context);
                session.drive(Box::pin(work), || {}).await
            }
        }
    }
}

impl<R, W> Sealed<R, W> {
    /// Returns the local side, of which nothing was read.
    pub fn into_local(self) -> (R, W) {
        (self.reader.local, self.writer.local)
    }

    /// The stream is open.
    fn begin(self) -> ((SealedReader<R>, SealedWriter<W>), SessionView) {
        self.session.start_deadline();
        ((self.reader, self.writer), self.session)
    }
}
