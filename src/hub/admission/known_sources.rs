//! The sources that have authenticated in the last weeks, in a file with the day of each: a restarted hub does not ban a
//! site for the failures of one machine behind its address before the others are back.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::connection_limiter::ConnectionLimiter;
use crate::net::os::clock;
use crate::net::os::private_files::write_private;
use crate::proto::timestamp::Timestamp;

/// The time after which a change is written, and the least time between two writes. A hub that is killed loses this much.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const WRITE_INTERVAL: Duration = Duration::from_secs(10);

/// The limit on sources in the file: a fleet behind one address each, and 250 KiB; the latest.
const MAX_KNOWN_SOURCES: usize = 4096;

/// A day, in seconds.
const DAY: i64 = 24 * 60 * 60;

/// Reads the sources and the time since each has authenticated; none if there is no file, and those that can be read if it
/// is damaged: it only spares bans.
pub(in crate::hub) fn load(path: &Path) -> Vec<(IpAddr, Duration)> {
    let mut text = Vec::new();
    let limit = 64 * MAX_KNOWN_SOURCES as u64;
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut text));
    if let Err(error) = read
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(target: "hub", %error, "cannot read {}", path.display());
    }
    let (text, now) = (String::from_utf8_lossy(&text), clock::now_utc());
    let source = |line: &str| {
        // Earlier versions wrote no day, and kept a source for ten minutes.
        let (source, day) = line.split_once(' ').unwrap_or((line, ""));
        let since = Timestamp::parse(day).map_or(Duration::ZERO, |day| now.since(day));
        Some((source.parse().ok()?, since))
    };
    text.lines().filter_map(source).take(MAX_KNOWN_SOURCES).collect()
}

/// Writes the sources whenever they have changed, and a last time when the hub stops.
pub(in crate::hub) async fn run_writer(limiter: Arc<ConnectionLimiter>, path: PathBuf, stopping: CancellationToken) {
    let (mut written, mut is_failing, mut next_write) = (String::new(), false, clock::now());
    loop {
        let stopped = stopping.run_until_cancelled(sleep(CHECK_INTERVAL)).await.is_none();
        if !stopped && clock::now() < next_write {
            continue;
        }
        let text = lines(&limiter.authenticated_sources(MAX_KNOWN_SOURCES), clock::now_utc());
        if text != written {
            next_write = clock::now() + WRITE_INTERVAL;
            let (sources, path) = (text.clone(), path.clone());
            let result = tokio::task::spawn_blocking(move || write_private(&path, &sources)).await;
            match result.map_err(anyhow::Error::from).flatten() {
                Ok(()) => (written, is_failing) = (text, false),
                Err(error) if is_failing => tracing::debug!(target: "hub", "{error:#}"),
                Err(error) => {
                    is_failing = true;
                    tracing::warn!(target: "hub", "a restart may ban sources that are good now: {error:#}");
                }
            }
        }
        if stopped {
            return;
        }
    }
}

/// Formats a line for each source, in the order of their addresses. A day is exact enough, and the file changes once a day
/// while the same sources are there.
fn lines(sources: &[(IpAddr, Duration)], now: Timestamp) -> String {
    let day = |since| {
        let at = now.before(since).0;
        Timestamp(at - at.rem_euclid(DAY)).rfc3339()
    };
    let mut sources: Vec<_> = sources.iter().map(|(source, since)| (*source, day(*since))).collect();
    sources.sort_unstable();
    sources.iter().fold(String::new(), |mut text, (source, day)| {
        let _ = writeln!(text, "{source} {day}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_a_damaged_file_spoils_no_other_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("known-sources");
        assert_eq!(load(&path), []);
        let week = Duration::from_secs(7 * 24 * 60 * 60);
        let sources = ["2001:db8::", "192.0.2.1"].map(|source| (source.parse().unwrap(), week));
        let text = lines(&sources, clock::now_utc());
        write_private(&path, &text).unwrap();
        let read = load(&path);
        let addresses: Vec<_> = read.iter().map(|(source, _)| source.to_string()).collect();
        assert_eq!(addresses, ["192.0.2.1", "2001:db8::"]);
        assert!(read.iter().all(|(_, since)| (7..=8).contains(&(since.as_secs() / DAY.unsigned_abs()))), "{text}");
        write_private(&path, &text.replace('\n', "\nnonsense\n192.0.2 2026\n")).unwrap();
        assert_eq!(load(&path).len(), 2);
        write_private(&path, "192.0.2.1\n2001:db8::\n192.0.").unwrap();
        assert_eq!(
            load(&path),
            sources.map(|(source, _)| (source, Duration::ZERO)).into_iter().rev().collect::<Vec<_>>()
        );
    }
}
