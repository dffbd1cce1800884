//! The flags of the hub's limits.

use std::time::Duration;

use clap::Args;
use ipnet::IpNet;

use super::value_parsers::{in_kibibytes, in_seconds, network, positive_count, positive_seconds, seconds, size};
use crate::hub::admission::connection_limiter::ConnectionLimits;
use crate::hub::admission::penalty::{PENALTY_MAX, PENALTY_THRESHOLD, PenaltyPolicy};
use crate::hub::broker::StreamLimits;
use crate::hub::config::Limits;
use crate::net::transport::http_server;
use crate::proto::limits::{
    AUTH_TIMEOUT, REQUEST_HEAD_BYTES, REQUEST_HEAD_TIMEOUT, REQUEST_HEADERS, TLS_HANDSHAKE_TIMEOUT,
    UNAUTHENTICATED_CONNECTIONS, UNAUTHENTICATED_CONNECTIONS_PER_SOURCE,
};

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub(in crate::cli) struct LimitArgs {
    /// Memory budget, such as 512MiB; near it new streams, then connections, are refused [default: the limit of the
    /// control group or `ulimit -v`]
    #[arg(long, value_name = "SIZE", value_parser = size, env = "DEVSTREAM_MEMORY_BUDGET", hide_short_help = true)]
    memory_budget: Option<u64>,
    /// Limit the time from accepting a connection until TLS is established
    #[arg(long, value_name = "SECONDS", default_value = in_seconds(TLS_HANDSHAKE_TIMEOUT), value_parser = positive_seconds, env = "DEVSTREAM_TLS_TIMEOUT", hide_short_help = true)]
    tls_timeout: Duration,
    /// Limit the time to receive a request's head, and the idle time between two requests
    #[arg(long, value_name = "SECONDS", default_value = in_seconds(REQUEST_HEAD_TIMEOUT), value_parser = positive_seconds, env = "DEVSTREAM_HEAD_TIMEOUT", hide_short_help = true)]
    head_timeout: Duration,
    /// Limit the time from TLS until a connection is authenticated
    #[arg(long, value_name = "SECONDS", default_value = in_seconds(AUTH_TIMEOUT), value_parser = positive_seconds, env = "DEVSTREAM_AUTH_TIMEOUT", hide_short_help = true)]
    auth_timeout: Duration,
    /// Limit the size of a request's line and headers
    #[arg(long, value_name = "SIZE", default_value = in_kibibytes(REQUEST_HEAD_BYTES), value_parser = head_size, env = "DEVSTREAM_MAX_HEAD", hide_short_help = true)]
    max_head: u64,
    /// Limit the number of a request's header fields
    #[arg(long, value_name = "N", default_value_t = REQUEST_HEADERS, value_parser = positive_count, env = "DEVSTREAM_MAX_HEAD_FIELDS", hide_short_help = true)]
    max_head_fields: usize,
    /// Maximum unauthenticated connections; a quarter is for addresses with good keys, and one for the others
    #[arg(long, value_name = "N", default_value_t = UNAUTHENTICATED_CONNECTIONS, value_parser = positive_count, env = "DEVSTREAM_MAX_UNAUTHENTICATED", hide_short_help = true)]
    max_unauthenticated: usize,
    /// Maximum unauthenticated connections from one IPv4 address or IPv6 /64
    #[arg(
        long,
        value_name = "N",
        default_value_t = UNAUTHENTICATED_CONNECTIONS_PER_SOURCE,
        value_parser = positive_count,
        env = "DEVSTREAM_MAX_UNAUTHENTICATED_PER_SOURCE",
        hide_short_help = true
    )]
    max_unauthenticated_per_source: usize,
    /// Maximum streams being opened
    #[arg(long, value_name = "N", default_value_t = StreamLimits::PENDING.total, value_parser = positive_count, env = "DEVSTREAM_MAX_PENDING", hide_short_help = true)]
    max_pending: usize,
    /// Maximum streams being opened to one device; one service may have half of them
    #[arg(long, value_name = "N", default_value_t = StreamLimits::PENDING.per_device, value_parser = positive_count, env = "DEVSTREAM_MAX_PENDING_PER_DEVICE", hide_short_help = true)]
    max_pending_per_device: usize,
    /// Maximum streams being opened for one service
    #[arg(long, value_name = "N", default_value_t = StreamLimits::PENDING.per_service, value_parser = positive_count, env = "DEVSTREAM_MAX_PENDING_PER_SERVICE", hide_short_help = true)]
    max_pending_per_service: usize,
    /// Maximum streams
    #[arg(long, value_name = "N", default_value_t = StreamLimits::STREAMS.total, value_parser = positive_count, env = "DEVSTREAM_MAX_STREAMS", hide_short_help = true)]
    max_streams: usize,
    /// Maximum streams to one device; one service may have as many of them as are left
    #[arg(long, value_name = "N", default_value_t = StreamLimits::STREAMS.per_device, value_parser = positive_count, env = "DEVSTREAM_MAX_STREAMS_PER_DEVICE", hide_short_help = true)]
    max_streams_per_device: usize,
    /// Maximum streams for one service
    #[arg(long, value_name = "N", default_value_t = StreamLimits::STREAMS.per_service, value_parser = positive_count, env = "DEVSTREAM_MAX_STREAMS_PER_SERVICE", hide_short_help = true)]
    max_streams_per_service: usize,
    /// Ban a source once its penalties reach this (failed authentication 5 s, timeout 10 s, malformed input 1 s)
    #[arg(long, value_name = "SECONDS", default_value = in_seconds(PENALTY_THRESHOLD), value_parser = seconds, env = "DEVSTREAM_PENALTY_THRESHOLD", hide_short_help = true)]
    penalty_threshold: Duration,
    /// Ban a source for at most this long; one with authenticated connections is throttled instead
    #[arg(long, value_name = "SECONDS", default_value = in_seconds(PENALTY_MAX), value_parser = seconds, env = "DEVSTREAM_PENALTY_MAX", hide_short_help = true)]
    penalty_max: Duration,
    /// Never penalise this network, such as 10.0.0.0/8 (repeatable)
    #[arg(
        long,
        value_name = "NETWORK",
        env = "DEVSTREAM_PENALTY_EXEMPT",
        value_delimiter = ',',
        value_parser = network,
        hide_short_help = true
    )]
    penalty_exempt: Vec<IpNet>,
}

impl LimitArgs {
    /// Converts the limits on unauthenticated connections and on memory.
    pub(in crate::cli) fn limits(&self) -> Limits {
        Limits {
            tls_timeout: self.tls_timeout,
            auth_timeout: self.auth_timeout,
            http: http_server::Limits {
                head_timeout: self.head_timeout,
                head_bytes: usize::try_from(self.max_head).unwrap_or(usize::MAX),
                headers: self.max_head_fields,
            },
            unauthenticated: ConnectionLimits {
                total: self.max_unauthenticated,
                per_source: self.max_unauthenticated_per_source,
            },
            penalties: PenaltyPolicy {
                threshold: self.penalty_threshold,
                max: self.penalty_max,
                exempt: self.penalty_exempt.clone(),
            },
            memory: self.memory_budget,
        }
    }

    /// Converts the limits on streams being opened.
    pub(in crate::cli) fn pending(&self) -> StreamLimits {
        StreamLimits {
            per_device: self.max_pending_per_device,
            per_service: self.max_pending_per_service,
            total: self.max_pending,
        }
    }

    /// Converts the limits on streams.
    pub(in crate::cli) fn streams(&self) -> StreamLimits {
        StreamLimits {
            per_device: self.max_streams_per_device,
            per_service: self.max_streams_per_service,
            total: self.max_streams,
        }
    }
}

/// Parses the limit on a head: the HTTP library needs a buffer of 8 KiB, and none needs more than a megabyte.
fn head_size(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    if (8 * 1024..=1024 * 1024).contains(&bytes) { Ok(bytes) } else { Err("must be from 8KiB to 1MiB".into()) }
}
