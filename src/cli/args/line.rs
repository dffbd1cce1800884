//! How connections are kept, as typed: the same for all three roles.

use std::time::Duration;

use clap::Args;

use super::units::{age, seconds};
use crate::net::pump::Line;
use crate::proto::keepalive::Patience;
use crate::proto::limits::{DEAD_AFTER_RANGE, LONGEST_RESUME_GRACE, MOST_STANDBYS, STANDBYS_PER_IDENTITY};

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct LineArgs {
    /// Reset a stream's local connections when its connection to the hub breaks, instead of resuming it
    #[arg(long, env = "DEVSTREAM_NO_RESUME")]
    no_resume: bool,
    /// Give up a connection on which nothing was heard for so long; from 4 s to a day
    ///
    /// The other end answers every few seconds less than that, also while it is busy or its application reads nothing.
    #[arg(long, value_name = "SECONDS", default_value = "45", value_parser = dead_after, env = "DEVSTREAM_DEAD_AFTER", hide_short_help = true)]
    dead_after: Duration,
    /// Keep at most so many connections ready for streams, once there are streams, so that they open at once; 0 keeps none
    ///
    /// At the hub this is for each device and each service; a device or a proxy keeps no more than its hub says.
    #[arg(long, value_name = "NUMBER", default_value_t = STANDBYS_PER_IDENTITY, value_parser = standbys, env = "DEVSTREAM_STANDBYS", hide_short_help = true)]
    standbys: usize,
}

impl LineArgs {
    /// For the two ends of streams.
    pub(in crate::cli) fn line(&self) -> Line {
        Line { resume: !self.no_resume, patience: self.patience(), standbys: self.standbys }
    }

    /// For the hub.
    pub(in crate::cli) fn patience(&self) -> Patience {
        Patience { dead_after: self.dead_after }
    }
}

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ResumeArgs {
    #[command(flatten)]
    line: LineArgs,
    /// How long a stream may be interrupted before its local connections are reset, such as 30s, 2m or 8h; at most a day
    #[arg(long, value_name = "AGE", default_value = "2m", value_parser = grace, env = "DEVSTREAM_RESUME_GRACE")]
    resume_grace: Duration,
}

impl ResumeArgs {
    /// How long a stream may be interrupted, if it may be at all.
    pub(in crate::cli) fn grace(&self) -> Option<Duration> {
        Some(self.resume_grace).filter(|grace| !self.line.no_resume && !grace.is_zero())
    }

    /// How long a connection may be silent.
    pub(in crate::cli) fn patience(&self) -> Patience {
        self.line.patience()
    }

    /// How many connections of one identity may stand by.
    pub(in crate::cli) fn standbys(&self) -> usize {
        self.line.standbys
    }
}

fn dead_after(text: &str) -> Result<Duration, String> {
    let given = seconds(text)?;
    let (least, most) = (DEAD_AFTER_RANGE.start(), DEAD_AFTER_RANGE.end());
    let fits = DEAD_AFTER_RANGE.contains(&given.as_secs());
    if fits { Ok(given) } else { Err(format!("it must be from {least} to {most} seconds")) }
}

fn standbys(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number <= MOST_STANDBYS);
    number.ok_or_else(|| format!("it must be a number from 0 to {MOST_STANDBYS}"))
}

fn grace(text: &str) -> Result<Duration, String> {
    let given = age(text)?;
    if given <= LONGEST_RESUME_GRACE { Ok(given) } else { Err("it must be at most 24h".into()) }
}
