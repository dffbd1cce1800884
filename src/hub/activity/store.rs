//! The log on disk: the current files, rotation and retention.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use super::bisect::first_time;
use super::budgets::Subject;
use super::files::{Files, RotatedFile, administration_path, unauthenticated_path};
use super::{ADMINISTRATION, Settings, unauthenticated};
use crate::hub::event::Event;
use crate::net::os::clock;
use crate::net::os::private_files::AtPath as _;
use crate::proto::timestamp::Timestamp;

/// The time between attempts to rotate a file; meanwhile it grows.
const ROTATE_RETRY: Duration = Duration::from_secs(60);

/// Where a line goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    /// The log.
    Log,
    /// The log and the one of changes of identities.
    Administration,
    /// The log of unauthenticated peers.
    Unauthenticated,
}

impl Destination {
    /// The destination of an event.
    pub(super) fn of(event: &Event) -> Self {
        match Subject::of(event) {
            Some(Subject::Source(_)) => Self::Unauthenticated,
            _ if event.is_administrative() => Self::Administration,
            _ => Self::Log,
        }
    }
}

/// The log, and two more with a retention of their own: whoever can fill the log must not push out the lines about changes
/// of identities, nor who has no identity any lines but those of others without one.
#[derive(Debug)]
pub(super) struct Stores {
    log: Store,
    administration: Store,
    unauthenticated: Store,
}

impl Stores {
    /// Opens or creates all.
    pub(super) fn open(path: &Path, settings: Settings) -> anyhow::Result<Self> {
        let open = |path: &Path, settings| Store::open(path, settings).at_path("cannot open the activity log", path);
        Ok(Self {
            administration: open(&administration_path(path), ADMINISTRATION)?,
            unauthenticated: open(&unauthenticated_path(path), unauthenticated(settings))?,
            log: open(path, settings)?,
        })
    }

    /// Writes lines, newlines included; only one where it goes to two files.
    pub(super) fn append(&mut self, lines: &str, to: Destination, now: Timestamp) -> Result<(), WriteFailed> {
        match to {
            Destination::Log => {}
            Destination::Administration => {
                if self.administration.is_full_for(lines) {
                    self.administration.sync()?;
                }
                self.administration.append(lines, now).map_err(|failed| failed.error)?;
            }
            Destination::Unauthenticated => return self.unauthenticated.append(lines, now),
        }
        self.log.append(lines, now)
    }

    /// Has the lines about changes of identities survive a loss of power. There are few of them, and what they record was
    /// committed; those about streams are left to the system.
    pub(super) fn sync_administration(&self) -> io::Result<()> {
        self.administration.sync()
    }

    /// See [`Store::maintain`].
    pub(super) fn maintain(&mut self, now: Timestamp) {
        self.log.maintain(now);
        self.administration.maintain(now);
        self.unauthenticated.maintain(now);
    }

    /// See [`Store::reopen`].
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.log.reopen()?;
        self.administration.reopen()?;
        self.unauthenticated.reopen()
    }

    /// Returns the size on disk in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.log.bytes() + self.administration.bytes() + self.unauthenticated.bytes()
    }
}

/// One log on disk.
#[derive(Debug)]
pub(super) struct Store {
    settings: Settings,
    files: Files,
    current: CurrentFile,
    /// The rotated files with their sizes, oldest first.
    rotated: Vec<(RotatedFile, u64)>,
    /// The next attempt to rotate after a failure.
    rotate_retry_at: Option<Timestamp>,
    /// The current file was removed and could not be created again: lines written to it would be lost.
    current_missing: bool,
}

/// A failed write, and the number of its lines that are in the file nevertheless.
#[derive(Debug)]
pub(super) struct WriteFailed {
    pub(super) written: usize,
    pub(super) error: io::Error,
}

impl From<io::Error> for WriteFailed {
    fn from(error: io::Error) -> Self {
        Self { written: 0, error }
    }
}

/// The current file.
#[derive(Debug)]
struct CurrentFile {
    file: File,
    size: u64,
    /// The time of its first line.
    first_line_at: Option<Timestamp>,
    /// The file ends with a partial line: the next line begins with a newline.
    ends_mid_line: bool,
}

impl Store {
    /// Opens or creates the current file.
    pub(super) fn open(path: &Path, settings: Settings) -> io::Result<Self> {
        let files = Files::of(path);
        let current = CurrentFile::open(path)?;
        let size = |rotated: RotatedFile| fs::metadata(files.rotated(rotated)).map_or(0, |file| file.len());
        let rotated = files.rotated_files()?.into_iter().map(|rotated| (rotated, size(rotated))).collect();
        let mut store = Self { settings, files, current, rotated, rotate_retry_at: None, current_missing: false };
        store.maintain(clock::now_utc());
        Ok(store)
    }

    /// Writes lines, newlines included. Rotates first if the file has no room for them.
    pub(super) fn append(&mut self, lines: &str, now: Timestamp) -> Result<(), WriteFailed> {
        if self.current_missing {
            self.reopen()?;
            self.current_missing = false;
        }
        if self.is_full_for(lines) {
            self.rotate(now);
        }
        self.current.append(lines, now)
    }

    fn is_full_for(&self, lines: &str) -> bool {
        self.current.size > 0 && self.current.size + lines.len() as u64 > self.settings.rotate_size
    }

    /// Has the current file survive a loss of power.
    fn sync(&self) -> io::Result<()> {
        self.current.file.sync_data()
    }

    /// Rotates and deletes files by age, and notices that the current file was removed.
    pub(super) fn maintain(&mut self, now: Timestamp) {
        if self.current.first_line_at.is_some_and(|first_line_at| first_line_at.after(self.settings.rotate_age) <= now)
        {
            self.rotate(now);
        }
        self.delete_expired(now);
        self.current_missing = !self.current.is_at(self.files.current()) && self.reopen().is_err();
    }

    /// Opens the current file again after a failure: the disk may have been replaced, or the file removed to free
    /// space.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.current = CurrentFile::open(self.files.current())?;
        Ok(())
    }

    /// Returns the size on disk in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.rotated_bytes() + self.current.size
    }

    fn rotated_bytes(&self) -> u64 {
        self.rotated.iter().map(|(_, size)| size).sum()
    }

    fn rotate(&mut self, now: Timestamp) {
        if self.rotate_retry_at.is_some_and(|from| now < from) {
            return;
        }
        match self.rotate_file(now) {
            Ok(()) => {
                self.rotate_retry_at = None;
                self.delete_expired(now);
            }
            Err(error) => {
                self.rotate_retry_at = Some(now.after(ROTATE_RETRY));
                tracing::warn!(target: "hub", %error, "log rotation failed; continuing in the current file");
            }
        }
    }

    fn rotate_file(&mut self, now: Timestamp) -> io::Result<()> {
        let newest = self.rotated.last().map(|(rotated, _)| rotated.0.after(Duration::from_secs(1)));
        let rotated = RotatedFile(newest.map_or(now, |newest| newest.max(now)));
        let (path, target) = (self.files.current(), self.files.rotated(rotated));
        fs::rename(path, &target)?;
        match CurrentFile::open(path) {
            Ok(next) => {
                let full = std::mem::replace(&mut self.current, next);
                self.rotated.push((rotated, full.size));
                Ok(())
            }
            // Lines still go into the old file, so it keeps its name.
            Err(error) => fs::rename(target, path).and(Err(error)),
        }
    }

    /// Deletes the oldest files while they are too old or take too much. Reserves room for the current file to grow.
    fn delete_expired(&mut self, now: Timestamp) {
        let room = self.settings.keep_size.saturating_sub(self.settings.rotate_size);
        while let Some((oldest, _)) = self.rotated.first().copied() {
            let is_old = oldest.0.after(self.settings.keep_age) < now;
            if !is_old && self.rotated_bytes() <= room {
                break;
            }
            match fs::remove_file(self.files.rotated(oldest)) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    tracing::warn!(target: "hub", %error, "cannot delete an old file of the activity log");
                    break;
                }
                _ => drop(self.rotated.remove(0)),
            }
        }
    }
}

impl CurrentFile {
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).append(true).read(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { size, first_line_at: first_time(&file)?, ends_mid_line: ends_mid_line(&mut file, size)?, file })
    }

    /// Reports whether the path still names this file; true if that cannot be determined.
    fn is_at(&self, path: &Path) -> bool {
        match (fs::metadata(path), self.file.metadata()) {
            (Ok(there), Ok(own)) => is_same(&there, &own),
            (Err(error), _) => error.kind() != ErrorKind::NotFound,
            (Ok(_), Err(_)) => true,
        }
    }

    fn append(&mut self, lines: &str, now: Timestamp) -> Result<(), WriteFailed> {
        let start = if self.ends_mid_line { "\n" } else { "" };
        let written = self.file.write_all(start.as_bytes()).and_then(|()| self.file.write_all(lines.as_bytes()));
        self.ends_mid_line = written.is_err();
        self.first_line_at.get_or_insert(now);
        let before = self.size + start.len() as u64;
        let Err(error) = written else {
            self.size = before + lines.len() as u64;
            return Ok(());
        };
        self.size = self.file.metadata().map_or(self.size, |file| file.len());
        let bytes = usize::try_from(self.size.saturating_sub(before)).unwrap_or_default();
        let written = lines.bytes().take(bytes).filter(|byte| *byte == b'\n').count();
        Err(WriteFailed { written, error })
    }
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Windows: an open file can be neither moved nor deleted.
#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}

/// Reports whether a file ends within a line: its writer was killed, or the disk was full.
fn ends_mid_line(file: &mut File, size: u64) -> io::Result<bool> {
    let mut last = [b'\n'];
    if size > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    Ok(last != [b'\n'])
}
