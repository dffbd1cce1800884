//! The library's connector: opens streams to any device, as the proxy does for its local connections.

use std::sync::Arc;
use std::time::Duration;

use super::config::ProxyConfig;
use super::devices::list_devices;
use super::drain_streams;
use super::opener::Opener;
use super::stream;
use crate::net::client::StoredAt;
use crate::net::identity::Identity;
use crate::net::shutdown::Shutdown;
use crate::net::tasks::Tasks;
use crate::net::tunnel::pump::TransportOptions;
use crate::net::tunnel::seal::SessionView;
use crate::net::tunnel::stream::Stream;
use crate::proto::admin::DeviceStatus;
use crate::proto::id::{DeviceId, Role, StreamName};
use crate::proto::limits::{RESPONSE_TIMEOUT, STREAM_BUFFER_BYTES};
use crate::proto::refusal::{Refusal, RefusalKind};

/// Opens streams to devices. Clones share their connections to the hub, which stand by between streams.
///
/// Dropping the last clone leaves open streams running; [`close`](Self::close) waits for them, then closes them.
#[derive(Clone)]
pub struct Connector {
    inner: Arc<Inner>,
    connect_timeout: Duration,
    plain: bool,
}

/// State that lives as long as the connector or one of its streams.
struct Inner {
    opener: Opener,
    streams: Tasks,
    watch: Tasks,
}

impl Connector {
    /// Creates a connector; it connects on first use. Fails if the identity is a device's.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub fn new(identity: &Identity) -> Result<Self, Refusal> {
        let config = ProxyConfig {
            client_factory: identity.client_factory_for(Role::Service)?,
            identity_stored_at: StoredAt::default(),
            // Replaced for each stream.
            device: identity.principal().id.clone().into(),
            locals: Vec::new(),
            connect_timeout: Duration::ZERO,
            response_timeout: RESPONSE_TIMEOUT,
            plain: false,
            transport: TransportOptions::default(),
            drain: Duration::ZERO,
            observer: Arc::new(|_| {}),
        };
        let (network, monitor_task) = config.client_factory.runtime().monitor_network();
        let watch = Tasks::default();
        watch.spawn(monitor_task);
        let opener = Opener::new(Arc::new(config), network);
        let inner = Arc::new(Inner { opener, streams: Tasks::default(), watch });
        Ok(Self { inner, connect_timeout: Duration::ZERO, plain: false })
    }

    /// Returns a connector whose streams wait this long for an offline device; at most 60 seconds.
    #[must_use]
    pub fn with_connect_timeout(&self, timeout: Duration) -> Self {
        Self { connect_timeout: timeout, ..self.clone() }
    }

    /// Returns a connector whose streams are not encrypted end to end, if so asked: for devices whose agent is none of
    /// devstream's. The hub can read and change what they carry.
    #[must_use]
    pub fn with_plain(&self, plain: bool) -> Self {
        Self { plain, ..self.clone() }
    }

    /// Opens a stream, to the device's first forward or handler without a name. Returns once the device has accepted
    /// it.
    pub async fn open(&self, device: &DeviceId, name: Option<&StreamName>) -> Result<Stream, Refusal> {
        self.open_with_data(device, name, &[]).await
    }

    /// Opens a stream and writes these bytes first, up to 64 KiB. On a standby, up to 16 KiB of them travel with the
    /// request, so that the target's answer takes one round trip. They may have reached the device even if the stream
    /// is refused.
    pub async fn open_with_data(
        &self,
        device: &DeviceId,
        name: Option<&StreamName>,
        first: &[u8],
    ) -> Result<Stream, Refusal> {
        Ok(self.open_with_session(device, name, first).await?.0)
    }

    /// Opens a stream as [`open_with_data`](Self::open_with_data) does, and returns its end-to-end session too: `None` if it is
    /// plain.
    pub async fn open_with_session(
        &self,
        device: &DeviceId,
        name: Option<&StreamName>,
        first: &[u8],
    ) -> Result<(Stream, Option<SessionView>), Refusal> {
        // The stream's local buffer holds this much. Beyond it, the write would wait for the peer, which may itself
        // wait for its answer to be read; the caller cannot read before this returns.
        if first.len() > STREAM_BUFFER_BYTES {
            let reason = format!("{} bytes of first data exceed the limit of {STREAM_BUFFER_BYTES}", first.len());
            return Err(Refusal::new(RefusalKind::BadRequest, reason));
        }
        let opener = self.inner.opener.to(device.clone(), self.connect_timeout, self.plain);
        if opener.stream_shutdown.is_requested() {
            return Err(Refusal::new(RefusalKind::LocalShutdown, "the connector is closed"));
        }
        let (stream, session, work) = stream::open(opener, name, first).await?;
        let inner = self.inner.clone();
        self.inner.streams.spawn(async move {
            work.await;
            drop(inner);
        });
        Ok((stream, session))
    }

    /// Lists the devices that this service may reach, with the names that each offers it now.
    pub async fn devices(&self) -> Result<Vec<DeviceStatus>, Refusal> {
        list_devices(&self.inner.opener.client(None).await?.0).await
    }

    /// Waits for running streams for at most this time, then closes them with a message to their devices.
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
