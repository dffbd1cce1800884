//! The hub's streams: the broker that matches their legs, the standby connections, and the signals to drain and stop.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

use super::broker_handle::BrokerHandle;
use super::hellos::AwaitedHellos;
use super::identity_counts::IdentityCounts;
use super::standby_limit::StandbyLimit;
use crate::net::os::clock;
use crate::net::tls::Socket;
use crate::proto::id::ConnectionId;
use crate::proto::resume::ResumeKey;

/// The state that control connections, requests and legs share.
pub(super) struct Streams {
    pub(super) broker: BrokerHandle<Socket>,
    pub(super) standbys: IdentityCounts,
    pub(super) standby_limit: StandbyLimit,
    /// The authenticated connections that neither stand by nor carry a stream.
    pub(super) requests: IdentityCounts,
    /// The control connections that have not sent a hello.
    pub(super) hellos: AwaitedHellos,
    /// Signs resume tickets.
    pub(super) resume_key: ResumeKey,
    /// Cancelled when the hub takes no more new streams.
    pub(super) draining: CancellationToken,
    /// Cancelled when control connections and listeners must end.
    pub(super) stopping: CancellationToken,
    next_connection: AtomicU64,
}

impl Streams {
    /// The state of a hub without streams.
    pub(super) fn new(broker: BrokerHandle<Socket>, resume_key: ResumeKey) -> Self {
        Self {
            broker,
            standbys: IdentityCounts::default(),
            standby_limit: StandbyLimit::default(),
            requests: IdentityCounts::default(),
            hellos: AwaitedHellos::default(),
            resume_key,
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
            next_connection: AtomicU64::new(0),
        }
    }

    /// Allocates a connection id. A standby connection takes a new one for each stream.
    pub(super) fn allocate_connection_id(&self) -> ConnectionId {
        ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed))
    }

    /// Has idle standby connections close to free memory. Reports whether it is being freed by that.
    pub(super) fn close_idle_standbys(&self) -> bool {
        self.standby_limit.lower(self.standbys.most(), clock::now())
    }

    /// Reports whether the hub refuses new streams because it is about to stop.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }
}
