//! What carries messages between hubs: NATS, or memory in tests. A hub that is alone has none.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::sync::watch;

use super::messages::Subject;
use crate::proto::admin::EngineServer;

/// The reason why something was not said, or has no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// No hub listens on the subject.
    #[error("no hub listens there")]
    NobodyListens,
    /// No reply has come in time.
    #[error("no reply within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The engine cannot be reached.
    #[error("{0}")]
    Unreachable(String),
}

/// The engine that connects the hubs of a cluster.
pub trait Cluster: Send + Sync + 'static {
    /// Says something to every hub that listens on the subject.
    fn tell(&self, subject: Subject, message: Bytes) -> BoxFuture<'_, Result<(), LinkError>>;

    /// Asks the hub that listens on the subject, and returns its reply.
    fn ask(&self, subject: Subject, message: Bytes, within: Duration) -> BoxFuture<'_, Result<Bytes, LinkError>>;

    /// Asks every hub that listens on the subject, and returns the replies once there are as many as that, or the time is over.
    fn gather(
        &self,
        subject: Subject,
        message: Bytes,
        replies: usize,
        within: Duration,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, LinkError>>;

    /// Listens on a subject. What this hub says there itself is heard as well. The stream outlasts interruptions of the engine.
    fn listen(&self, subject: Subject) -> BoxFuture<'_, Result<BoxStream<'static, Received>, LinkError>>;

    /// Describes the engine's servers that reply in time.
    fn servers(&self, within: Duration) -> BoxFuture<'_, Vec<EngineServer>>;

    /// Reports whether the engine is in reach, from now on.
    fn is_connected(&self) -> watch::Receiver<bool>;
}

/// Something heard.
#[derive(Debug)]
pub struct Received {
    /// The message.
    pub message: Bytes,
    /// The way back to who asked.
    pub reply: Option<ReplyPath>,
}

/// The way back to who asked.
pub struct ReplyPath(Box<dyn FnOnce(Bytes) -> BoxFuture<'static, ()> + Send>);

impl ReplyPath {
    /// Creates one that a reply is sent with.
    pub fn new(send: impl FnOnce(Bytes) -> BoxFuture<'static, ()> + Send + 'static) -> Self {
        Self(Box::new(send))
    }

    /// Sends the reply. It may be lost.
    pub async fn send(self, reply: Bytes) {
        (self.0)(reply).await;
    }
}

impl fmt::Debug for ReplyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[reply]")
    }
}
