//! The sources that have authenticated lately, in a file: a restarted hub does not ban a site for the failures of one
//! machine behind its address before the others are back.

use std::collections::BTreeSet;
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

/// The time after which a change is written, and the least time between two writes. A hub that is killed loses this much.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const WRITE_INTERVAL: Duration = Duration::from_secs(10);

/// The limit on sources in the file: a fleet behind one address each, and 200 KiB.
const MAX_KNOWN_SOURCES: usize = 4096;

/// Reads the sources; none if there is no file, and those that can be read if it is damaged: it only spares bans.
pub(in crate::hub) fn load(path: &Path) -> Vec<IpAddr> {
    let mut text = Vec::new();
    let limit = 64 * MAX_KNOWN_SOURCES as u64;
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut text));
    if let Err(error) = read
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(target: "hub", %error, "cannot read {}", path.display());
    }
    String::from_utf8_lossy(&text).lines().filter_map(|line| line.parse().ok()).take(MAX_KNOWN_SOURCES).collect()
}

/// Writes the sources whenever they have changed, and a last time when the hub stops.
pub(in crate::hub) async fn run_writer(limiter: Arc<ConnectionLimiter>, path: PathBuf, stopping: CancellationToken) {
    let (mut written, mut is_failing, mut next_write) = (BTreeSet::new(), false, clock::now());
    loop {
        let stopped = stopping.run_until_cancelled(sleep(CHECK_INTERVAL)).await.is_none();
        if !stopped && clock::now() < next_write {
            continue;
        }
        let sources = limiter.authenticated_sources(MAX_KNOWN_SOURCES);
        if sources != written {
            next_write = clock::now() + WRITE_INTERVAL;
            let (text, path) = (lines(&sources), path.clone());
            let result = tokio::task::spawn_blocking(move || write_private(&path, &text)).await;
            match result.map_err(anyhow::Error::from).flatten() {
                Ok(()) => (written, is_failing) = (sources, false),
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

fn lines(sources: &BTreeSet<IpAddr>) -> String {
    sources.iter().map(|source| format!("{source}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_a_damaged_file_spoils_no_other_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("known-sources");
        assert_eq!(load(&path), Vec::<IpAddr>::new());
        let sources = ["192.0.2.1", "2001:db8::"].map(|source| source.parse().unwrap());
        write_private(&path, &lines(&sources.into())).unwrap();
        assert_eq!(load(&path), sources);
        write_private(&path, "192.0.2.1\nnonsense\n2001:db8::\n192.0.").unwrap();
        assert_eq!(load(&path), sources);
    }
}
