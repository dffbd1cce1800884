//! What a hub is limited to, as typed.

use std::time::Duration;

use clap::Args;
use ipnet::IpNet;

use super::value_parsers::{positive_count, positive_seconds, seconds, size};
use crate::hub::admission::connection_limiter::ConnectionLimits;
use crate::hub::admission::penalty::PenaltyPolicy;
use crate::hub::broker::StreamLimits;
use crate::hub::config::Limits;
use crate::net::transport::http_server;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub(in crate::cli) struct LimitArgs {
    /// Memory at whose brink new streams are refused, then new connections, such as 512MiB [default: what the control
    /// group or `ulimit -v` allows]
    #[arg(long, value_name = "SIZE", value_parser = size, env = "DEVSTREAM_MEMORY_BUDGET", hide_short_help = true)]
    memory_budget: Option<u64>,
    /// From a connection until its TLS is done
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = positive_seconds, env = "DEVSTREAM_TLS_TIMEOUT", hide_short_help = true)]
    tls_timeout: Duration,
    /// Until a request's head is there, and how long a connection may idle between two
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = positive_seconds, env = "DEVSTREAM_HEAD_TIMEOUT", hide_short_help = true)]
    head_timeout: Duration,
    /// Until a connection has proved who it is
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = positive_seconds, env = "DEVSTREAM_AUTH_TIMEOUT", hide_short_help = true)]
    auth_timeout: Duration,
    /// A request's line and headers
    #[arg(long, value_name = "SIZE", default_value = "16KiB", value_parser = head_size, env = "DEVSTREAM_MAX_HEAD", hide_short_help = true)]
    max_head: u64,
    /// A request's header fields
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = positive_count, env = "DEVSTREAM_MAX_HEAD_FIELDS", hide_short_help = true)]
    max_head_fields: usize,
    /// Connections that have not proved who they are; from half of them on, some are turned away at random
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = positive_count, env = "DEVSTREAM_MAX_UNAUTHENTICATED", hide_short_help = true)]
    max_unauthenticated: usize,
    /// Connections from one IPv4 address or IPv6 /64 that have not proved who they are
    #[arg(
        long,
        value_name = "N",
        default_value_t = 64,
        value_parser = positive_count,
        env = "DEVSTREAM_MAX_UNAUTHENTICATED_PER_SOURCE",
        hide_short_help = true
    )]
    max_unauthenticated_per_source: usize,
    /// Handshakes under way
    #[arg(long, value_name = "N", default_value_t = StreamLimits::PENDING.total, value_parser = positive_count, env = "DEVSTREAM_MAX_PENDING", hide_short_help = true)]
    max_pending: usize,
    /// Handshakes under way to one device
    #[arg(long, value_name = "N", default_value_t = StreamLimits::PENDING.per_device, value_parser = positive_count, env = "DEVSTREAM_MAX_PENDING_PER_DEVICE", hide_short_help = true)]
    max_pending_per_device: usize,
    /// Handshakes under way for one service
    #[arg(long, value_name = "N", default_value_t = StreamLimits::PENDING.per_service, value_parser = positive_count, env = "DEVSTREAM_MAX_PENDING_PER_SERVICE", hide_short_help = true)]
    max_pending_per_service: usize,
    /// Streams
    #[arg(long, value_name = "N", default_value_t = StreamLimits::STREAMS.total, value_parser = positive_count, env = "DEVSTREAM_MAX_STREAMS", hide_short_help = true)]
    max_streams: usize,
    /// Streams to one device
    #[arg(long, value_name = "N", default_value_t = StreamLimits::STREAMS.per_device, value_parser = positive_count, env = "DEVSTREAM_MAX_STREAMS_PER_DEVICE", hide_short_help = true)]
    max_streams_per_device: usize,
    /// Streams for one service
    #[arg(long, value_name = "N", default_value_t = StreamLimits::STREAMS.per_service, value_parser = positive_count, env = "DEVSTREAM_MAX_STREAMS_PER_SERVICE", hide_short_help = true)]
    max_streams_per_service: usize,
    /// Wrong proofs count 5 s, loitering 10 s, nonsense 1 s against their source; from this sum on it is kept away
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = seconds, env = "DEVSTREAM_PENALTY_THRESHOLD", hide_short_help = true)]
    penalty_threshold: Duration,
    /// A source is kept away no longer than this; one that holds good connections is slowed instead
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = seconds, env = "DEVSTREAM_PENALTY_MAX", hide_short_help = true)]
    penalty_max: Duration,
    /// A network that is never penalised, such as 10.0.0.0/8 (repeatable)
    #[arg(
        long,
        value_name = "NETWORK",
        env = "DEVSTREAM_PENALTY_EXEMPT",
        value_delimiter = ',',
        hide_short_help = true
    )]
    penalty_exempt: Vec<IpNet>,
}

impl LimitArgs {
    /// For unauthenticated connections and the machine.
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

    /// For handshakes.
    pub(in crate::cli) fn pending(&self) -> StreamLimits {
        StreamLimits {
            per_device: self.max_pending_per_device,
            per_service: self.max_pending_per_service,
            total: self.max_pending,
        }
    }

    /// For streams.
    pub(in crate::cli) fn streams(&self) -> StreamLimits {
        StreamLimits {
            per_device: self.max_streams_per_device,
            per_service: self.max_streams_per_service,
            total: self.max_streams,
        }
    }
}

/// The HTTP library needs some room, and anything beyond a megabyte is no head.
fn head_size(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    if (8 * 1024..=1024 * 1024).contains(&bytes) { Ok(bytes) } else { Err("it must be from 8KiB to 1MiB".into()) }
}
