//! The flags of the limits of an agent's or a proxy's streams.

use clap::Args;

use super::value_parsers::{in_mebibytes, positive_count, size};
use crate::net::stream_memory::ClientLimits;
use crate::proto::limits::{MEMORY_BUDGET, MIN_MEMORY_BUDGET, STREAMS_PER_CLIENT};

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ClientLimitArgs {
    /// Maximum streams; a device refuses more, and a proxy leaves further local connections waiting
    #[arg(long, value_name = "N", default_value_t = STREAMS_PER_CLIENT, value_parser = positive_count, env = "DEVSTREAM_MAX_STREAMS", hide_short_help = true)]
    max_streams: usize,
    /// Maximum bytes that all streams hold, received and not delivered or sent and not acknowledged; at least 1MiB
    ///
    /// The fuller it is, the less each stream may hold. It has room for one stream per 64 KiB, beyond which it limits
    /// their number as --max-streams does. A message of up to 64 KiB comes on top where a local connection does not read.
    #[arg(long, value_name = "SIZE", default_value = in_mebibytes(MEMORY_BUDGET), value_parser = memory_budget, env = "DEVSTREAM_MEMORY_BUDGET", hide_short_help = true)]
    memory_budget: u64,
}

impl ClientLimitArgs {
    /// Converts the flags.
    pub(in crate::cli) fn limits(&self) -> ClientLimits {
        ClientLimits { max_streams: self.max_streams, memory_budget: self.memory_budget }
    }
}

fn memory_budget(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    if bytes >= MIN_MEMORY_BUDGET {
        Ok(bytes)
    } else {
        Err(format!("must be at least {}", in_mebibytes(MIN_MEMORY_BUDGET)))
    }
}
