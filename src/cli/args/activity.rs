//! What can be typed about the activity log, and the units it is typed in.

use std::time::Duration;

use clap::Args;

use crate::hub::activity::Settings;
use crate::proto::id::{DeviceId, ServiceName};

/// Where the help lists these.
const HEADING: &str = "Activity log";

#[derive(Debug, Args)]
pub(in crate::cli) struct ActivityArgs {
    /// Put the activity log's file aside, and begin a new one, before it grows beyond this
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = rotate_size, help_heading = HEADING, env = "DEVSTREAM_ACTIVITY_ROTATE_SIZE")]
    activity_rotate_size: u64,
    /// The same when the file's first line is this old
    #[arg(long, value_name = "AGE", default_value = "1d", value_parser = age, help_heading = HEADING, env = "DEVSTREAM_ACTIVITY_ROTATE_AGE")]
    activity_rotate_age: Duration,
    /// Delete the oldest files, so that all of them never take more than this
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
            rotate <= keep,
            "--activity-keep-size ({keep} bytes) must be at least --activity-rotate-size ({rotate} bytes): the file \
             that is written to counts too"
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
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) device: Option<DeviceId>,
    /// Only lines of this service
    #[arg(long, value_name = "NAME")]
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

/// A number and a unit of time.
fn age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not an age such as 90s, 30m, 12h or 7d");
    let (number, unit) = split(text);
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    number.and_then(|number| number.checked_mul(factor)).map(Duration::from_secs).ok_or_else(wrong)
}

/// Files are named by the second: smaller ones would come faster than their names can tell.
const SMALLEST_FILE: u64 = 64 * 1024;

fn rotate_size(text: &str) -> Result<u64, String> {
    size(text).and_then(|size| if size < SMALLEST_FILE { Err("at least 64KiB".into()) } else { Ok(size) })
}

/// A number of bytes, with or without a binary unit.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is not a size such as 500K, 64MiB, 1G or a number of bytes");
    let (number, unit) = split(text);
    let shift = match unit {
        "" | "B" => 0,
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        "T" | "TiB" => 40,
        _ => return Err(wrong()),
    };
    number.and_then(|number| number.checked_mul(1 << shift)).ok_or_else(wrong)
}

/// The number that a text begins with, and the rest.
fn split(text: &str) -> (Option<u64>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (text[..end].parse().ok(), &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_what_people_write() {
        for (text, bytes) in
            [("0", 0), ("4096", 4096), ("500K", 500 << 10), ("64MiB", 64 << 20), ("1G", 1 << 30), ("2TiB", 2 << 40)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "1.5G", "64 MiB", "64MB", "64mib", "99999999T"] {
            assert!(size(text).is_err(), "{text}");
        }
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("12h", 43_200), ("7d", 604_800)] {
            assert_eq!(age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "7", "d", "1w", "-1d", "1.5h", "9999999999999999999d", "7é"] {
            assert!(age(text).is_err(), "{text}");
        }
        assert!(rotate_size("1K").is_err() && rotate_size("64K").is_ok());
    }
}
