//! The names of the log's files: `activity.jsonl`, and `activity-20261122T011033Z.jsonl` for each rotated file.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use crate::proto::timestamp::Timestamp;

/// A rotated file. Its time is later than every line in it and than the time of every older file, so that the names
/// sort like the lines whatever the clock did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RotatedFile(pub(super) Timestamp);

/// Returns the path of the lines about changes of identities, beside the log at `path`.
pub(super) fn administration_path(path: &Path) -> PathBuf {
    path.with_file_name(format!("administration{SUFFIX}"))
}

/// Returns the path of the lines about unauthenticated peers, beside the log at `path`.
pub(super) fn unauthenticated_path(path: &Path) -> PathBuf {
    path.with_file_name(format!("unauthenticated{SUFFIX}"))
}

/// The paths of one log.
#[derive(Debug, Clone)]
pub(super) struct Files {
    current: PathBuf,
}

/// The extension of every file.
const SUFFIX: &str = ".jsonl";

impl Files {
    /// The files of the log at this path.
    pub(super) fn of(current: &Path) -> Self {
        Self { current: current.into() }
    }

    /// Returns the path of the current file.
    pub(super) fn current(&self) -> &Path {
        &self.current
    }

    /// Returns the path of a rotated file.
    pub(super) fn rotated(&self, rotated: RotatedFile) -> PathBuf {
        let compact = rotated.0.rfc3339().replace(['-', ':'], "");
        self.current.with_file_name(format!("{}{compact}{SUFFIX}", self.prefix()))
    }

    /// Returns all rotated files, oldest first.
    pub(super) fn rotated_files(&self) -> io::Result<Vec<RotatedFile>> {
        let directory = self.current.parent().filter(|path| !path.as_os_str().is_empty());
        let prefix = self.prefix();
        let entries = fs::read_dir(directory.unwrap_or(Path::new(".")))?;
        let mut found: Vec<_> = entries.filter_map(|entry| timestamp(&entry.ok()?, &prefix).map(RotatedFile)).collect();
        found.sort_unstable();
        Ok(found)
    }

    /// Returns the rotated files after this one, oldest first; all if `None`.
    pub(super) fn rotated_after(&self, after: Option<RotatedFile>) -> io::Result<Vec<RotatedFile>> {
        let mut found = self.rotated_files()?;
        found.retain(|rotated| Some(*rotated) > after);
        Ok(found)
    }

    fn prefix(&self) -> String {
        format!("{}-", self.current.file_stem().unwrap_or_default().to_string_lossy())
    }
}

/// Parses the time in a rotated file's name; `None` for other files.
fn timestamp(entry: &DirEntry, prefix: &str) -> Option<Timestamp> {
    let name = entry.file_name().into_string().ok()?;
    let compact = name.strip_prefix(prefix)?.strip_suffix(SUFFIX)?;
    let part = |range: std::ops::Range<usize>| compact.get(range);
    let (date, time) = ((part(0..4)?, part(4..6)?, part(6..8)?), (part(9..11)?, part(11..13)?, part(13..15)?));
    let timestamp = Timestamp::parse(&format!("{}-{}-{}T{}:{}:{}Z", date.0, date.1, date.2, time.0, time.1, time.2))?;
    // Only in the canonical form.
    (timestamp.rfc3339().replace(['-', ':'], "") == compact).then_some(timestamp)
}
