//! What a monitoring system reads: OpenMetrics text, counted where things happen and measured when it asks.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::broker::{ACCEPTED, Event, Operation};

/// The media type of [`Metrics::text`].
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// From a request for a stream until the device's yes, in seconds: from loopback to the longest that is waited for.
const HANDSHAKE_BUCKETS: [f64; 10] = [0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    operation: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectionLabel {
    to: Recipient,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the labels' values")]
enum Recipient {
    device,
    service,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabel {
    limit: &'static str,
}

type FloatGauge = Gauge<f64, AtomicU64>;

/// Everything that is counted or measured.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Mutex<Registry>,
    events: Family<EventLabels, Counter>,
    handshakes: Histogram,
    connections: Counter,
    rejected: Family<ReasonLabel, Counter>,
    failed_tls: Counter,
    accept_errors: Counter,
    /// Of streams that have ended.
    bytes: Family<DirectionLabel, Counter>,
    /// Also of those that have not.
    all_bytes: Family<DirectionLabel, Counter>,
    lost: Counter,
    panics: Counter,
    gauges: Vec<(Measure, FloatGauge)>,
    limits: Family<LimitLabel, FloatGauge>,
    /// Of the hub's connections, if the system tells. It stays what it was at the start.
    pub congestion_control: Option<String>,
}

/// What is measured when somebody asks, and how it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    Start,
    Draining,
    DevicesOnline,
    Devices,
    Services,
    Streams,
    Unauthenticated,
    Penalised,
    CertificateEnd,
    Memory,
    Descriptors,
}

const MEASURES: [(Measure, &str, &str); 11] = [
    (Measure::Start, "devstream_start_time_seconds", "When the hub was started, in seconds since 1970"),
    (Measure::Draining, "devstream_draining", "1 while the hub takes no new streams because it is about to end"),
    (Measure::DevicesOnline, "devstream_devices_online", "Devices that are connected"),
    (Measure::Devices, "devstream_devices", "Devices that are known"),
    (Measure::Services, "devstream_services", "Services that are known"),
    (Measure::Streams, "devstream_streams", "Streams that are open or being made"),
    (Measure::Unauthenticated, "devstream_unauthenticated_connections", "Connections that are not yet authenticated"),
    (Measure::Penalised, "devstream_penalised_sources", "Sources kept away or slowed because of wrong proofs"),
    (Measure::CertificateEnd, "devstream_certificate_end_seconds", "When the certificate ends, in seconds since 1970"),
    (Measure::Memory, "process_resident_memory_bytes", "Resident memory"),
    (Measure::Descriptors, "process_open_fds", "Open file descriptors"),
];

impl Metrics {
    /// All at nothing, with the limits as they are.
    pub(super) fn new(limits: &[(&'static str, f64)], congestion_control: Option<String>) -> Self {
        let metrics = Self {
            registry: Mutex::default(),
            events: Family::default(),
            handshakes: Histogram::new(HANDSHAKE_BUCKETS),
            connections: Counter::default(),
            rejected: Family::default(),
            failed_tls: Counter::default(),
            accept_errors: Counter::default(),
            bytes: Family::default(),
            all_bytes: Family::default(),
            lost: Counter::default(),
            panics: Counter::default(),
            gauges: MEASURES.iter().map(|(measure, ..)| (*measure, FloatGauge::default())).collect(),
            limits: Family::default(),
            congestion_control,
        };
        metrics.register();
        if let Some(name) = &metrics.congestion_control {
            metrics.register_congestion_control(name);
        }
        limits.iter().for_each(|(limit, value)| metrics.set_limit(limit, *value));
        metrics
    }

    /// The hub is limited to so much of something.
    pub(super) fn set_limit(&self, limit: &'static str, value: f64) {
        self.limits.get_or_create(&LimitLabel { limit }).set(value);
    }

    fn register_congestion_control(&self, name: &str) {
        let info = Info::new(vec![("algorithm", name.to_owned())]);
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register("devstream_congestion_control", "How the connections react to a congested network", info);
    }

    fn register(&self) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let r = &mut *registry;
        r.register("devstream_events", "Lines for the activity log, by operation and result", self.events.clone());
        let help = "From a request for a stream until the device's yes";
        r.register("devstream_handshake_seconds", help, self.handshakes.clone());
        r.register("devstream_connections", "Connections accepted", self.connections.clone());
        let help = "Connections ended before TLS, by reason";
        r.register("devstream_connections_rejected", help, self.rejected.clone());
        r.register("devstream_failed_tls", "Connections whose TLS handshake failed", self.failed_tls.clone());
        r.register("devstream_accept_errors", "Failures to accept a connection", self.accept_errors.clone());
        r.register("devstream_stream_bytes", "Bytes carried, by direction", self.all_bytes.clone());
        r.register("devstream_activity_lost", "Lines that the activity log lost", self.lost.clone());
        r.register("devstream_panics", "Tasks that ended with a panic", self.panics.clone());
        r.register("devstream_limit", "What the hub is limited to", self.limits.clone());
        for ((_, gauge), (_, name, help)) in self.gauges.iter().zip(MEASURES) {
            r.register(name, help, gauge.clone());
        }
    }

    /// Something happened that the activity log tells.
    pub(super) fn event(&self, event: &Event) {
        self.events.get_or_create(&EventLabels { operation: event.operation.word(), result: event.result }).inc();
        if event.operation == Operation::Invoke
            && event.result == ACCEPTED
            && let Some(took) = event.took
        {
            self.handshakes.observe(took.as_secs_f64());
        }
        if let Some((to_device, to_service)) = event.bytes {
            self.bytes.get_or_create(&DirectionLabel { to: Recipient::device }).inc_by(to_device);
            self.bytes.get_or_create(&DirectionLabel { to: Recipient::service }).inc_by(to_service);
        }
    }

    /// A connection was accepted.
    pub(super) fn connection_accepted(&self) {
        self.connections.inc();
    }

    /// A connection was ended before TLS.
    pub(super) fn rejected(&self, reason: &'static str) {
        self.rejected.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A TLS handshake failed.
    pub(super) fn tls_failed(&self) {
        self.failed_tls.inc();
    }

    /// A connection could not be accepted.
    pub(super) fn accept_failed(&self) {
        self.accept_errors.inc();
    }

    /// Everything as text, with what was measured just now, and the bytes of the streams that are open.
    pub(super) fn text(&self, measured: &[(Measure, f64)], open: (u64, u64), lost: u64, panics: u64) -> String {
        for (measure, value) in measured {
            let gauge = self.gauges.iter().find(|(known, _)| known == measure);
            gauge.map(|(_, gauge)| gauge.set(*value));
        }
        for (to, open) in [(Recipient::device, open.0), (Recipient::service, open.1)] {
            let ended = self.bytes.get_or_create(&DirectionLabel { to }).get();
            raise(&self.all_bytes.get_or_create(&DirectionLabel { to }), ended + open);
        }
        raise(&self.lost, lost);
        raise(&self.panics, panics);
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // A string takes whatever is written.
        let _ = encode(&mut text, &registry);
        text
    }
}

/// A counter that is kept elsewhere. It never falls, also when a stream is counted between its end and its last line.
fn raise(counter: &Counter, to: u64) {
    counter.inner().fetch_max(to, Ordering::Relaxed);
}
