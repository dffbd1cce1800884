//! A service as a program has it: streams to any device, opened as a proxy opens them for its local connections.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use super::config::ProxyConfig;
use super::drain_streams;
use super::stream::{self, Opener};
use crate::net::identity::Identity;
use crate::net::shutdown::Shutdown;
use crate::net::tasks::Tasks;
use crate::net::tunnel::pump::TransportOptions;
use crate::net::tunnel::stream::{Stream, refusal_of};
use crate::proto::id::{DeviceId, Role, StreamName};
use crate::proto::limits::{RESPONSE_TIMEOUT, STREAM_BUFFER_BYTES};
use crate::proto::refusal::{Refusal, RefusalKind};

/// Opens streams to devices. Clones share their connections to the hub, which stand by between streams.
///
/// Streams go on when the last clone is dropped; [`close`](Self::close) waits for them, and has the devices told.
#[derive(Clone)]
pub struct Connector {
    inner: Arc<Inner>,
    connect_timeout: Duration,
}

/// Lives as long as the connector or one of its streams.
struct Inner {
    opener: Opener,
    streams: Tasks,
    watch: Tasks,
}

impl Connector {
    /// One that has no connection yet. A device's identity is none for a service.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub fn new(identity: &Identity) -> Result<Self, Refusal> {
        let config = ProxyConfig {
            client_factory: identity.client_factory_for(Role::Service)?,
            // Every stream says its own.
            device: identity.principal().id.clone().into(),
            locals: Vec::new(),
            connect_timeout: Duration::ZERO,
            response_timeout: RESPONSE_TIMEOUT,
            transport: TransportOptions::default(),
            drain: Duration::ZERO,
            observer: Arc::new(|_| {}),
        };
        let (network, monitor_task) = config.client_factory.runtime().monitor_network();
        let watch = Tasks::default();
        watch.spawn(monitor_task);
        let opener = Opener::new(Arc::new(config), network);
        let inner = Arc::new(Inner { opener, streams: Tasks::default(), watch });
        Ok(Self { inner, connect_timeout: Duration::ZERO })
    }

    /// The same, but its streams wait so long for a device that is offline; at most 60 seconds.
    #[must_use]
    pub fn with_connect_timeout(&self, timeout: Duration) -> Self {
        Self { inner: self.inner.clone(), connect_timeout: timeout }
    }

    /// Opens a stream, to the device's first forward or handler if no name is given. The device has accepted it then.
    pub async fn open(&self, device: &DeviceId, name: Option<&StreamName>) -> Result<Stream, Refusal> {
        self.open_with_data(device, name, &[]).await
    }

    /// The same, and says this first, up to 64 KiB. Where a connection stands by, up to 16 KiB of it travel along with the
    /// request, so that the answer to them is one round trip away. A refusal is then no proof that they did not reach the device.
    pub async fn open_with_data(
        &self,
        device: &DeviceId,
        name: Option<&StreamName>,
        mut first: &[u8],
    ) -> Result<Stream, Refusal> {
        // Nobody can read yet what the other end answers, and it may read no more before that: this much waits here.
        if first.len() > STREAM_BUFFER_BYTES {
            let reason = format!("{} bytes are more than can be said first: {STREAM_BUFFER_BYTES}", first.len());
            return Err(Refusal::new(RefusalKind::BadRequest, reason));
        }
        let opener = self.inner.opener.to(device.clone(), self.connect_timeout);
        if opener.stream_shutdown.is_cancelled() {
            return Err(Refusal::new(RefusalKind::LocalShutdown, "this connector is closed"));
        }
        let (mut stream, work) = stream::open(opener, name, &mut first).await?;
        let inner = self.inner.clone();
        self.inner.streams.spawn(async move {
            work.await;
            drop(inner);
        });
        let broke = |error| refusal_of(&error).cloned().unwrap_or_else(|| RefusalKind::PeerGone.into());
        stream.write_all(first).await.map_err(broke)?;
        Ok(stream)
    }

    /// Lets running streams end within this time, then ends them; the devices are told.
    pub async fn close(self, drain: Duration) {
        let Inner { opener, streams, watch } = &*self.inner;
        drain_streams(opener, streams.clone(), drain, &Shutdown::default()).await;
        watch.clone().shutdown(Duration::ZERO).await;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.opener.standbys.abort();
        self.watch.abort();
    }
}
