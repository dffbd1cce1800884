//! Metrics in the OpenMetrics text format: counters are kept up to date, gauges are measured at each scrape.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::event::{ACCEPTED, Event, Operation};

/// The media type of [`Metrics::text`].
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Buckets of the time from a stream's request until the device accepts, in seconds: from loopback to the longest
/// timeout.
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
struct EndToEndLabel {
    end_to_end: String,
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

/// All counters and gauges.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Mutex<Registry>,
    events: Family<EventLabels, Counter>,
    handshakes: Histogram,
    streams_opened: Family<EndToEndLabel, Counter>,
    connections: Counter,
    rejected: Family<ReasonLabel, Counter>,
    failed_tls: Counter,
    accept_errors: Counter,
    /// Bytes of ended streams.
    bytes: Family<DirectionLabel, Counter>,
    /// Bytes of all streams.
    all_bytes: Family<DirectionLabel, Counter>,
    lost: Counter,
    panics: Counter,
    gauges: Vec<(Measure, FloatGauge)>,
    limits: Family<LimitLabel, FloatGauge>,
    /// The congestion control algorithm of the hub's connections at its start, if the system tells.
    pub congestion_control: Option<String>,
}

/// A gauge that is measured at each scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    Start,
    Draining,
    DevicesOnline,
    Devices,
    Services,
    Streams,
    Standbys,
    Unauthenticated,
    Penalised,
    CertificateEnd,
    Memory,
    Descriptors,
    ClusterHubs,
    ClusterIsolated,
}

const MEASURES: [(Measure, &str, &str); 14] = [
    (Measure::Start, "devstream_start_time_seconds", "Start of the hub, Unix time in seconds"),
    (Measure::Draining, "devstream_draining", "1 while the hub drains and refuses new streams"),
    (Measure::DevicesOnline, "devstream_devices_online", "Devices online"),
    (Measure::Devices, "devstream_devices", "Registered devices"),
    (Measure::Services, "devstream_services", "Registered services"),
    (Measure::Streams, "devstream_streams", "Streams, open or opening"),
    (Measure::Standbys, "devstream_standby_connections", "Connections kept open for further streams, in use or idle"),
    (Measure::Unauthenticated, "devstream_unauthenticated_connections", "Connections that are not yet authenticated"),
    (Measure::Penalised, "devstream_penalised_sources", "Sources banned or throttled after repeated failures"),
    (Measure::CertificateEnd, "devstream_certificate_end_seconds", "Expiry of the certificate, Unix time in seconds"),
    (Measure::Memory, "process_resident_memory_bytes", "Resident memory"),
    (Measure::Descriptors, "process_open_fds", "Open file descriptors"),
    (Measure::ClusterHubs, "devstream_cluster_hubs", "Hubs of the cluster that live, this one included"),
    (Measure::ClusterIsolated, "devstream_cluster_isolated", "1 while no NATS server of the cluster is in reach"),
];

impl Metrics {
    /// Registers all metrics, with the limits' values.
    pub(super) fn new(limits: &[(&'static str, f64)], congestion_control: Option<String>) -> Self {
        let metrics = Self {
            registry: Mutex::default(),
            events: Family::default(),
            handshakes: Histogram::new(HANDSHAKE_BUCKETS),
            streams_opened: Family::default(),
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

    /// Sets a limit's value.
    pub(super) fn set_limit(&self, limit: &'static str, value: f64) {
        self.limits.get_or_create(&LimitLabel { limit }).set(value);
    }

    fn register_congestion_control(&self, name: &str) {
        let info = Info::new(vec![("algorithm", name.to_owned())]);
        let mut registry = self.registry.lock();
        registry.register("devstream_congestion_control", "Congestion control algorithm of the connections", info);
    }

    fn register(&self) {
        let mut registry = self.registry.lock();
        let r = &mut *registry;
        r.register("devstream_events", "Events of the activity log, by operation and result", self.events.clone());
        let help = "Time from a stream's request until the device accepts";
        r.register("devstream_handshake_seconds", help, self.handshakes.clone());
        let help = "Streams opened, by whether both ends said that they encrypt them end to end";
        r.register("devstream_streams_opened", help, self.streams_opened.clone());
        r.register("devstream_connections", "Connections accepted", self.connections.clone());
        let help = "Connections closed before TLS, by reason";
        r.register("devstream_connections_rejected", help, self.rejected.clone());
        r.register("devstream_failed_tls", "Failed TLS handshakes", self.failed_tls.clone());
        r.register("devstream_accept_errors", "Failed attempts to accept a connection", self.accept_errors.clone());
        r.register("devstream_stream_bytes", "Bytes carried, by direction", self.all_bytes.clone());
        r.register("devstream_activity_lost", "Lost lines of the activity log", self.lost.clone());
        r.register("devstream_panics", "Tasks that panicked", self.panics.clone());
        r.register("devstream_limit", "Limits of the hub", self.limits.clone());
        for ((_, gauge), (_, name, help)) in self.gauges.iter().zip(MEASURES) {
            r.register(name, help, gauge.clone());
        }
    }

    /// Counts an event of the activity log.
    pub(super) fn event(&self, event: &Event) {
        self.events.get_or_create(&EventLabels { operation: event.operation.word(), result: event.result }).inc();
        if event.operation == Operation::Invoke
            && event.result == ACCEPTED
            && let Some(took) = event.took
        {
            self.handshakes.observe(took.as_secs_f64());
        }
        if let Some(end_to_end) = event.end_to_end {
            let end_to_end = end_to_end.to_string();
            self.streams_opened.get_or_create(&EndToEndLabel { end_to_end }).inc();
        }
        if let Some((to_device, to_service)) = event.bytes {
            self.bytes.get_or_create(&DirectionLabel { to: Recipient::device }).inc_by(to_device);
            self.bytes.get_or_create(&DirectionLabel { to: Recipient::service }).inc_by(to_service);
        }
    }

    /// Counts an accepted connection.
    pub(super) fn connection_accepted(&self) {
        self.connections.inc();
    }

    /// Counts a connection that was closed before TLS.
    pub(super) fn rejected(&self, reason: &'static str) {
        self.rejected.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Counts a failed TLS handshake.
    pub(super) fn tls_failed(&self) {
        self.failed_tls.inc();
    }

    /// Counts an accept error.
    pub(super) fn accept_failed(&self) {
        self.accept_errors.inc();
    }

    /// Returns all metrics as text, with fresh measurements and the bytes of open streams.
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
        let registry = self.registry.lock();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

/// Raises a counter to a value that is kept elsewhere. It never falls, even if a stream is counted between its end and
/// its last event.
fn raise(counter: &Counter, to: u64) {
    counter.inner().fetch_max(to, Ordering::Relaxed);
}
