//! The flags of the activity log, and of `devstream hub logs`.

use std::time::Duration;

use clap::Args;

use super::value_parsers::{device_id, duration, size};
use crate::hub::activity::Settings;
use crate::proto::id::{DeviceId, ServiceName};

/// The heading of these flags in the help.
const HEADING: &str = "Activity log";

#[derive(Debug, Args)]
pub(in crate::cli) struct ActivityArgs {
    /// Rotate the activity log before it grows beyond this size
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = rotate_size, help_heading = HEADING, env = "DEVSTREAM_ACTIVITY_ROTATE_SIZE")]
    activity_rotate_size: u64,
    /// Rotate the file once its first line is this old, whatever its size
    #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = duration, help_heading = HEADING, env = "DEVSTREAM_ACTIVITY_ROTATE_AGE")]
    activity_rotate_age: Duration,
    /// Delete the oldest files, so that all together never exceed this size; at least twice the rotate size
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = size, help_heading = HEADING, env = "DEVSTREAM_ACTIVITY_KEEP_SIZE")]
    activity_keep_size: u64,
    /// Delete files that were rotated longer ago than this
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = duration, help_heading = HEADING, env = "DEVSTREAM_ACTIVITY_KEEP_AGE")]
    activity_keep_age: Duration,
    /// Refuse new streams while the activity log cannot be written; running ones go on
    #[arg(long, help_heading = HEADING, env = "DEVSTREAM_AUDIT_REQUIRED")]
    audit_required: bool,
}

impl ActivityArgs {
    /// Converts the flags to the hub's settings.
    pub(in crate::cli) fn settings(&self) -> anyhow::Result<Settings> {
        let (rotate, keep) = (self.activity_rotate_size, self.activity_keep_size);
        anyhow::ensure!(
            rotate.saturating_mul(2) <= keep,
            "--activity-keep-size ({keep} bytes) must be at least twice --activity-rotate-size ({rotate} bytes): the \
             current file counts too, and every rotated one would be deleted at once; give --activity-keep-size {} or more",
            rotate.saturating_mul(2)
        );
        Ok(Settings {
            rotate_size: rotate,
            rotate_age: self.activity_rotate_age,
            keep_size: keep,
            keep_age: self.activity_keep_age,
            required: self.audit_required,
        })
    }
}

/// Print the activity log: connections, requests for streams, and their results
///
/// Reads all files of the log in order, whether or not a hub runs. In a cluster, the hub asks the others for theirs: lines are in
/// order of time, each after its hub's address. Hubs that do not answer are named.
#[derive(Debug, Args)]
pub(in crate::cli) struct Logs {
    /// Print only entries of this device
    #[arg(long, value_name = "ID", value_parser = device_id)]
    pub(in crate::cli) device: Option<DeviceId>,
    /// Print only entries of this service
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) service: Option<ServiceName>,
    /// Print only entries not older than this, such as 90s, 30m, 12h or 7d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(in crate::cli) since: Option<Duration>,
    /// Go on printing new entries until Ctrl-C; without --since, start with the last 10
    #[arg(short, long)]
    pub(in crate::cli) follow: bool,
    /// Print JSON lines, as they are stored; in a cluster, with the hub's address first
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// Rotated files are named by the second: smaller ones would be rotated faster than their names can differ.
const MIN_ROTATE_SIZE: u64 = 64 * 1024;

fn rotate_size(text: &str) -> Result<u64, String> {
    size(text).and_then(|size| if size < MIN_ROTATE_SIZE { Err("must be at least 64KiB".into()) } else { Ok(size) })
}
