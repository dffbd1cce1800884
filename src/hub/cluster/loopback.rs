//! A link in memory between the hubs of one test: each can be cut off, and messages can be lost.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::link::{Cluster, LinkError, Received, ReplyPath};
use super::messages::Subject;
use crate::proto::admin::EngineServer;

/// The messages that wait for a hub.
const QUEUE: usize = 1024;

/// What connects the hubs.
#[derive(Clone, Default)]
pub(super) struct Switch(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    listeners: Vec<(usize, Subject, mpsc::Sender<Received>)>,
    /// One for each hub: `true` while it is in reach.
    connected: Vec<watch::Sender<bool>>,
    /// The messages on these subjects, counted down, that are lost.
    lost: Vec<(Subject, usize)>,
    /// The number of messages on each subject.
    carried: Vec<Subject>,
}

/// One hub's link.
pub(super) struct Loopback {
    switch: Switch,
    own: usize,
}

impl Switch {
    /// Returns a link for one more hub.
    pub(super) fn link(&self) -> Loopback {
        let mut inner = self.0.lock();
        inner.connected.push(watch::Sender::new(true));
        Loopback { switch: self.clone(), own: inner.connected.len() - 1 }
    }

    /// Cuts a hub off, or connects it again.
    pub(super) fn set_connected(&self, hub: usize, connected: bool) {
        self.0.lock().connected[hub].send_replace(connected);
    }

    /// A hub is gone: nobody listens in its name.
    pub(super) fn kill(&self, hub: usize) {
        self.0.lock().listeners.retain(|(of, ..)| *of != hub);
    }

    /// Loses the next messages on a subject.
    pub(super) fn lose(&self, subject: Subject, count: usize) {
        self.0.lock().lost.push((subject, count));
    }

    /// Returns the number of messages on a subject so far.
    pub(super) fn carried(&self, subject: Subject) -> usize {
        self.0.lock().carried.iter().filter(|carried| **carried == subject).count()
    }

    fn listeners(&self, from: usize, subject: Subject) -> Result<Vec<mpsc::Sender<Received>>, LinkError> {
        let mut inner = self.0.lock();
        let is_connected = |hub: usize| *inner.connected[hub].borrow();
        if !is_connected(from) {
            return Err(LinkError::Unreachable("cut off".into()));
        }
        let reached =
            inner.listeners.iter().filter(|(hub, on, to)| *on == subject && is_connected(*hub) && !to.is_closed());
        let reached = reached.map(|(.., to)| to.clone()).collect();
        inner.carried.push(subject);
        match inner.lost.iter_mut().find(|(on, count)| *on == subject && *count > 0) {
            Some((_, count)) => {
                *count -= 1;
                Ok(Vec::new())
            }
            None => Ok(reached),
        }
    }
}

impl Cluster for Loopback {
    fn tell(&self, subject: Subject, message: Bytes) -> BoxFuture<'_, Result<(), LinkError>> {
        async move {
            for to in self.switch.listeners(self.own, subject)? {
                let _ = to.try_send(Received { message: message.clone(), reply: None });
            }
            Ok(())
        }
        .boxed()
    }

    fn ask(&self, subject: Subject, message: Bytes, within: Duration) -> BoxFuture<'_, Result<Bytes, LinkError>> {
        async move {
            let listeners = self.switch.listeners(self.own, subject)?;
            let Some(to) = listeners.first() else { return Err(LinkError::NobodyListens) };
            let (sender, receiver) = oneshot::channel();
            let reply = ReplyPath::new(move |reply| async move { drop(sender.send(reply)) }.boxed());
            let _ = to.try_send(Received { message, reply: Some(reply) });
            timeout(within, receiver).await.ok().and_then(Result::ok).ok_or(LinkError::TimedOut(within))
        }
        .boxed()
    }

    fn gather(
        &self,
        subject: Subject,
        message: Bytes,
        replies: usize,
        within: Duration,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, LinkError>> {
        async move {
            let (sender, mut receiver) = mpsc::channel(QUEUE);
            for to in self.switch.listeners(self.own, subject)? {
                let sender = sender.clone();
                let reply = ReplyPath::new(move |reply| async move { drop(sender.send(reply).await) }.boxed());
                let _ = to.try_send(Received { message: message.clone(), reply: Some(reply) });
            }
            drop(sender);
            let mut gathered = Vec::new();
            let all = async {
                while gathered.len() < replies
                    && let Some(reply) = receiver.recv().await
                {
                    gathered.push(reply);
                }
            };
            let _ = timeout(within, all).await;
            Ok(gathered)
        }
        .boxed()
    }

    fn listen(&self, subject: Subject) -> BoxFuture<'_, Result<BoxStream<'static, Received>, LinkError>> {
        async move {
            let (sender, receiver) = mpsc::channel(QUEUE);
            self.switch.0.lock().listeners.push((self.own, subject, sender));
            Ok(stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) }).boxed())
        }
        .boxed()
    }

    fn servers(&self, _: Duration) -> BoxFuture<'_, Vec<EngineServer>> {
        std::future::ready(Vec::new()).boxed()
    }

    fn is_connected(&self) -> watch::Receiver<bool> {
        self.switch.0.lock().connected[self.own].subscribe()
    }
}
