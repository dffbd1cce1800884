//! Admission: limits on connections and streams before anything is known about the peer.
//!
//! In: the address of each accepted connection, reasons for penalties, requests for stream capacity. Out: a
//! `ConnectionPermit` or a rejection, counted by reason. `unauthenticated` limits unauthenticated connections,
//! `penalty` bans or slows sources after repeated failures, `known_sources` remembers good ones over a restart,
//! `refusal_budget` slows identities that are refused again and again, `lists` those that list devices again and again,
//! `pressure` watches file descriptors and memory, `relief` chooses the streams that are ended where memory is short, `challenge` holds outstanding authentication challenges.

mod challenge;
pub mod connection_limiter;
pub(super) mod known_sources;
pub(super) mod lists;
pub mod penalty;
mod pressure;
mod refusal_budget;
pub(super) mod relief;
mod unauthenticated;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;

use self::challenge::PendingChallenges;
use self::connection_limiter::{ConnectionLimiter, Rejection, UnauthenticatedPermit};
use self::lists::Lists;
use self::penalty::{PenaltyReason, SourceStatus};
pub(super) use self::pressure::ConnectionSlot;
use self::pressure::{Exhausted, Pressure};
use self::refusal_budget::RefusalBudgets;
use self::unauthenticated::SILENT_GRACE;
use super::activity::Activity;
use super::event::{Event, Operation};
use super::metrics::Metrics;
use crate::net::log_throttle::LogThrottle;
use crate::net::os::usage::MemoryUse;

/// Limit of connections of load balancers whose header has not come. They send it at once: only one that does not, or somebody
/// else at its address, ever meets this.
const AWAITED_HEADERS: usize = 512;

/// The hub's limiters, and where they report what they reject.
pub(super) struct Admission {
    pub(super) limiter: Arc<ConnectionLimiter>,
    pub(super) pressure: Arc<Pressure>,
    /// Present if clients may authenticate through a proxy that inspects TLS.
    pub(super) challenges: Option<PendingChallenges>,
    pub(super) refusals: RefusalBudgets,
    pub(super) lists: Lists,
    /// Places for connections of load balancers that have not named their client.
    pub(super) awaited_headers: Semaphore,
    activity: Activity,
    metrics: Arc<Metrics>,
    overload_log: LogThrottle,
}

/// The resources of one connection, released on drop.
pub(super) struct ConnectionPermit {
    pub(super) unauthenticated: UnauthenticatedPermit,
    pub(super) slot: ConnectionSlot,
}

impl Admission {
    /// Creates the limiters. Counts the file descriptors that are open by now.
    pub(super) fn new(
        limiter: ConnectionLimiter,
        memory_budget: Option<u64>,
        allow_tls_inspection: bool,
        activity: Activity,
        metrics: Arc<Metrics>,
    ) -> Self {
        let pressure = Arc::new(Pressure::new(memory_budget));
        metrics.set_limit("connections", pressure.max_connections() as f64);
        if let Some(MemoryUse { limit: budget, .. }) = pressure.memory() {
            metrics.set_limit("memory_bytes", budget as f64);
        }
        let limiter = Arc::new(limiter);
        let challenges = allow_tls_inspection.then(PendingChallenges::default);
        let (refusals, lists) = (RefusalBudgets::default(), Lists::default());
        let (awaited_headers, overload_log) = (Semaphore::new(AWAITED_HEADERS), LogThrottle::default());
        Self { limiter, pressure, challenges, refusals, lists, awaited_headers, activity, metrics, overload_log }
    }

    /// Takes what the machine needs for an accepted connection, or counts and logs the rejection.
    pub(super) fn take_slot(&self, address: SocketAddr) -> Option<ConnectionSlot> {
        self.metrics.connection_accepted();
        let taken = self.pressure.acquire().map_err(|exhausted| match exhausted {
            Exhausted::Descriptors => "descriptors",
            Exhausted::Memory => "memory",
        });
        taken.map_err(|reason| self.reject(reason, address)).ok()
    }

    /// Admits a client as unauthenticated, or counts and logs the rejection.
    pub(super) fn admit(&self, address: SocketAddr) -> Option<UnauthenticatedPermit> {
        let admitted = self.limiter.admit(address.ip()).map_err(|rejection| match rejection {
            Rejection::GlobalLimit => "unauthenticated",
            Rejection::SourceLimit => "unauthenticated-per-source",
        });
        admitted.map_err(|reason| self.reject(reason, address)).ok()
    }

    /// Reports whether a connection may go on whose ClientHello is complete, or counts the rejection. That its source is
    /// banned or throttled has been logged.
    pub(super) fn admit_hello(&self, permit: &UnauthenticatedPermit) -> bool {
        let is_admitted = permit.admit_hello();
        if !is_admitted {
            self.metrics.rejected("penalty");
        }
        is_admitted
    }

    /// Counts a connection that is rejected for this reason, and logs the first of many.
    pub(super) fn reject(&self, reason: &'static str, address: SocketAddr) {
        self.metrics.rejected(reason);
        if self.overload_log.should_log() {
            let warning = self.pressure.warning().map(|warning| format!("; {warning}")).unwrap_or_default();
            tracing::warn!(target: "hub", "rejecting connections (latest {address}), limit reached: {reason}{warning}");
        }
    }

    /// Counts a connection that gave way to another one, and penalises it if it had had its time: its source would be
    /// penalised more at the end of that.
    pub(super) fn evicted(&self, address: SocketAddr, accepted_at: Instant) {
        self.reject("evicted", address);
        if accepted_at.elapsed() >= SILENT_GRACE {
            self.record_penalty(address, PenaltyReason::ProtocolError);
        }
    }

    /// Penalises a source. Logs the moment at which its penalties take effect.
    pub(super) fn record_penalty(&self, address: SocketAddr, reason: PenaltyReason) {
        if self.limiter.record_penalty(address.ip(), reason) {
            let result = match self.limiter.status(address.ip()) {
                SourceStatus::Throttled => "slowed",
                SourceStatus::Banned | SourceStatus::Allowed => "banned",
            };
            let event = Event::new(Operation::SourcePenalised, result);
            self.activity.record(Event { source: Some(address), ..event });
        }
    }

    /// Counts and logs an accept error: usually, the process is out of file descriptors.
    pub(super) fn accept_failed(&self, error: &io::Error) {
        self.metrics.accept_failed();
        if self.overload_log.should_log() {
            tracing::error!(target: "hub", %error, "cannot accept connections; raise the limit of open files");
        }
    }
}
