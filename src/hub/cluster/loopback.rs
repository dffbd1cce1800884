//! A link in memory between the hubs of one test: each can be cut off, and messages can be lost, late and overtake one another.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use super::link::{Cluster, LinkError, Received, ReplyPath};
use super::messages::Subject;
use crate::net::tasks::Tasks;
use crate::proto::admin::EngineServer;

/// The messages that wait for a hub.
const QUEUE: usize = 1024;

/// What connects the hubs.
#[derive(Clone, Default)]
pub(in crate::hub) struct Switch(Arc<Mutex<Inner>>);

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) enum Fate {
    /// It arrives after this time.
    Arrives(Duration),
    /// It is lost, and nobody notices.
    Lost,
    /// The engine does not know of the listener.
    NobodyThere,
}

/// Decides on each message from one hub to another on a subject; `None` for a reply.
type Fates = Box<dyn FnMut(usize, usize, Option<Subject>) -> Fate + Send>;

#[derive(Default)]
struct Inner {
    fates: Option<Fates>,
    /// The messages on their route.
    late: Tasks,
    listeners: Vec<(usize, Subject, mpsc::Sender<Received>)>,
    /// One for each hub: `true` while it is in reach.
    connected: Vec<watch::Sender<bool>>,
    /// The messages on these subjects, counted down, that are lost.
    lost: Vec<(Subject, usize)>,
    /// The number of messages on each subject.
    carried: Vec<Subject>,
}

/// One hub's link.
pub(in crate::hub) struct Loopback {
    switch: Switch,
    own: usize,
}

impl Switch {
    /// Returns a link for one more hub.
    pub(in crate::hub) fn link(&self) -> Loopback {
        let mut inner = self.0.lock();
        inner.connected.push(watch::Sender::new(true));
        Loopback { switch: self.clone(), own: inner.connected.len() - 1 }
    }

    /// Cuts a hub off, or connects it again.
    pub(in crate::hub) fn set_connected(&self, hub: usize, connected: bool) {
        self.0.lock().connected[hub].send_replace(connected);
    }

    /// A hub is gone: nobody listens in its name.
    pub(in crate::hub) fn kill(&self, hub: usize) {
        self.0.lock().listeners.retain(|(of, ..)| *of != hub);
    }

    /// Loses the next messages on a subject.
    pub(in crate::hub) fn lose(&self, subject: Subject, count: usize) {
        self.0.lock().lost.push((subject, count));
    }

    /// Returns the number of messages on a subject so far.
    pub(in crate::hub) fn carried(&self, subject: Subject) -> usize {
        self.0.lock().carried.iter().filter(|carried| **carried == subject).count()
    }

    /// Has this decide on every message.
    pub(in crate::hub) fn set_fates(&self, fates: impl FnMut(usize, usize, Option<Subject>) -> Fate + Send + 'static) {
        self.0.lock().fates = Some(Box::new(fates));
    }

    /// Returns a link for a hub that was killed and starts again.
    pub(in crate::hub) fn link_again(&self, own: usize) -> Loopback {
        self.set_connected(own, true);
        Loopback { switch: self.clone(), own }
    }

    fn listeners(&self, from: usize, subject: Subject) -> Result<Vec<Route>, LinkError> {
        let mut inner = self.0.lock();
        if !inner.is_connected(from) {
            return Err(LinkError::Unreachable("cut off".into()));
        }
        let reached = inner
            .listeners
            .iter()
            .filter(|(hub, on, to)| *on == subject && inner.is_connected(*hub) && !to.is_closed());
        let reached: Vec<_> = reached.map(|(hub, _, to)| (*hub, to.clone())).collect();
        inner.carried.push(subject);
        if let Some((_, count)) = inner.lost.iter_mut().find(|(on, count)| *on == subject && *count > 0) {
            *count -= 1;
            return Ok(Vec::new());
        }
        let mut routes = Vec::new();
        for (hub, to) in reached {
            let fate = inner.fate(from, hub, Some(subject));
            if fate != Fate::NobodyThere {
                routes.push(Route { hub, to, fate });
            }
        }
        Ok(routes)
    }

    fn reply_path(&self, from: usize, to: usize, send: impl FnOnce(Bytes) + Send + 'static) -> ReplyPath {
        let switch = self.clone();
        ReplyPath::new(move |reply| {
            async move {
                let mut inner = switch.0.lock();
                let fate = match inner.is_connected(from) && inner.is_connected(to) {
                    true => inner.fate(from, to, None),
                    false => Fate::Lost,
                };
                inner.carry(fate, move || send(reply));
            }
            .boxed()
        })
    }

    fn deliver(&self, route: Route, received: Received) {
        self.0.lock().carry(route.fate, move || drop(route.to.try_send(received)));
    }
}

/// The route of a message to a listener.
struct Route {
    hub: usize,
    to: mpsc::Sender<Received>,
    fate: Fate,
}

impl Inner {
    fn is_connected(&self, hub: usize) -> bool {
        *self.connected[hub].borrow()
    }

    fn fate(&mut self, from: usize, to: usize, subject: Option<Subject>) -> Fate {
        self.fates.as_mut().map_or(Fate::Arrives(Duration::ZERO), |fates| fates(from, to, subject))
    }

    fn carry(&self, fate: Fate, arrive: impl FnOnce() + Send + 'static) {
        match fate {
            Fate::Arrives(Duration::ZERO) => arrive(),
            Fate::Arrives(delay) => self.late.spawn(async move {
                sleep(delay).await;
                arrive();
            }),
            Fate::Lost | Fate::NobodyThere => {}
        }
    }
}

impl Cluster for Loopback {
    fn tell(&self, subject: Subject, message: Bytes) -> BoxFuture<'_, Result<(), LinkError>> {
        async move {
            for route in self.switch.listeners(self.own, subject)? {
                self.switch.deliver(route, Received { message: message.clone(), reply: None });
            }
            Ok(())
        }
        .boxed()
    }

    fn ask(&self, subject: Subject, message: Bytes, within: Duration) -> BoxFuture<'_, Result<Bytes, LinkError>> {
        async move {
            let routes = self.switch.listeners(self.own, subject)?;
            let Some(route) = routes.into_iter().next() else { return Err(LinkError::NobodyListens) };
            let (sender, receiver) = oneshot::channel();
            let reply = self.switch.reply_path(route.hub, self.own, move |reply| drop(sender.send(reply)));
            self.switch.deliver(route, Received { message, reply: Some(reply) });
            let reply = async {
                match receiver.await {
                    Ok(reply) => reply,
                    Err(_) => std::future::pending().await,
                }
            };
            timeout(within, reply).await.map_err(|_| LinkError::TimedOut(within))
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
            for route in self.switch.listeners(self.own, subject)? {
                let sender = sender.clone();
                let reply = self.switch.reply_path(route.hub, self.own, move |reply| drop(sender.try_send(reply)));
                self.switch.deliver(route, Received { message: message.clone(), reply: Some(reply) });
            }
            let mut gathered = Vec::new();
            let all = async {
                while gathered.len() < replies
                    && let Some(reply) = receiver.recv().await
                {
                    gathered.push(reply);
                }
            };
            let _ = timeout(within, all).await;
            drop(sender);
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
