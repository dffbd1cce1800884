//! What can be typed about the activity log, and the units it is typed in.

use std::time::Duration;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::value_parsers::{age, size};
use crate::cli::complete::hub;
use crate::hub::activity::Settings;
use crate::proto::id::{DeviceId, ServiceName};

/// Where the help lists these.
const HEADING: &str = "Activity log";

#[derive(Debug, Args)]
pub(in crate::cli) struct ActivityArgs {
    /// Put the activity log's file aside, and begin a new one, before it grows beyond this
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = rotate_size, help_heading = HEADING, env = "DEVSTREAM_ACTIVITY_ROTATE_SIZE")]
    activity_rotate_size: u64,
    /// Put the file aside as well once its first line is this old
    #[arg(long, value_name = "AGE", default_value = "1d", value_parser = age, help_heading = HEADING, env = "DEVSTREAM_ACTIVITY_ROTATE_AGE")]
    activity_rotate_age: Duration,
    /// Delete the oldest files, so that all of them never take more than this; at least twice the rotate size
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = size, help_heading = HEADING, env = "DEVSTREAM_ACTIVITY_KEEP_SIZE")]
    activity_keep_size: u64,
    /// Delete files that were put aside longer ago than this
    #[arg(long, value_name = "AGE", default_value = "90d", value_parser = age, help_heading = HEADING, env = "DEVSTREAM_ACTIVITY_KEEP_AGE")]
    activity_keep_age: Duration,
    /// Let no new stream through while the activity log cannot be written; running ones go on
    #[arg(long, help_heading = HEADING, env = "DEVSTREAM_AUDIT_REQUIRED")]
    audit_required: bool,
}

impl ActivityArgs {
    /// As the hub has them.
    pub(in crate::cli) fn settings(&self) -> anyhow::Result<Settings> {
        let (rotate, keep) = (self.activity_rotate_size, self.activity_keep_size);
        anyhow::ensure!(
            rotate.saturating_mul(2) <= keep,
            "--activity-keep-size ({keep} bytes) must be at least twice --activity-rotate-size ({rotate} bytes): the \
             file that is written to counts too, and every other would be deleted as soon as it is put aside; give \
             --activity-keep-size {} or more",
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

/// Print the activity log: who connected, who asked for what, what came of it
///
/// Reads all files of the log in order, whether a hub runs or not.
#[derive(Debug, Args)]
pub(in crate::cli) struct Logs {
    /// Only lines of this device
    #[arg(long, value_name = "ID", add = ArgValueCandidates::new(hub::devices))]
    pub(in crate::cli) device: Option<DeviceId>,
    /// Only lines of this service
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(hub::services))]
    pub(in crate::cli) service: Option<ServiceName>,
    /// Only lines of the last while, such as 90s, 30m, 12h or 7d
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(in crate::cli) since: Option<Duration>,
    /// Print new lines too as they come, until Ctrl-C; without --since, begin with the last 10
    #[arg(short, long)]
    pub(in crate::cli) follow: bool,
    /// As the JSON lines they are
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// Files are named by the second: smaller ones would come faster than their names can tell.
const MIN_ROTATE_SIZE: u64 = 64 * 1024;

fn rotate_size(text: &str) -> Result<u64, String> {
    size(text).and_then(|size| if size < MIN_ROTATE_SIZE { Err("at least 64KiB".into()) } else { Ok(size) })
}
