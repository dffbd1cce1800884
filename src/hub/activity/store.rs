//! The file that is written to, those that were put aside, and what is kept of them.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use super::Settings;
use super::bisect::first_time;
use super::files::{Aside, Files};
use crate::net::clock;
use crate::proto::timestamp::Timestamp;

/// A file that could not be put aside grows on until the next attempt.
const ROTATE_AGAIN: Duration = Duration::from_secs(60);

/// The log on disk.
#[derive(Debug)]
pub(super) struct Store {
    settings: Settings,
    files: Files,
    current: Current,
    /// Oldest first, with their sizes.
    aside: Vec<(Aside, u64)>,
    /// No attempt to put the file aside before this.
    rotate_from: Option<Timestamp>,
    /// Somebody took the current file away, and there was no other to be had: its lines would be nobody's.
    taken_away: bool,
}

/// The file that is written to.
#[derive(Debug)]
struct Current {
    file: File,
    size: u64,
    /// When its first line was written.
    born: Option<Timestamp>,
    /// Part of a line is at its end: the next one starts afresh.
    torn: bool,
}

impl Store {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path, settings: Settings) -> io::Result<Self> {
        let files = Files::of(path);
        let current = Current::open(path)?;
        let size = |aside: Aside| fs::metadata(files.aside(aside)).map_or(0, |file| file.len());
        let aside = files.all_aside()?.into_iter().map(|aside| (aside, size(aside))).collect();
        let mut store = Self { settings, files, current, aside, rotate_from: None, taken_away: false };
        store.tidy(clock::now_utc());
        Ok(store)
    }

    /// Writes one line, newline included, to a file with room for it.
    pub(super) fn append(&mut self, line: &str, now: Timestamp) -> io::Result<()> {
        if self.taken_away {
            self.reopen()?;
            self.taken_away = false;
        }
        if self.current.size > 0 && self.current.size + line.len() as u64 > self.settings.rotate_size {
            self.rotate(now);
        }
        self.current.append(line, now)
    }

    /// What time brings about: the file is old, others are too old. Also notices that somebody took the file away.
    pub(super) fn tidy(&mut self, now: Timestamp) {
        if self.current.born.is_some_and(|born| born.after(self.settings.rotate_age) <= now) {
            self.rotate(now);
        }
        self.forget_oldest(now);
        self.taken_away = !self.current.is_at(self.files.current()) && self.reopen().is_err();
    }

    /// After a failure: the disk may be another one, or somebody made room by taking the file away.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.current = Current::open(self.files.current())?;
        Ok(())
    }

    /// What it takes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.aside_bytes() + self.current.size
    }

    fn aside_bytes(&self) -> u64 {
        self.aside.iter().map(|(_, size)| size).sum()
    }

    fn rotate(&mut self, now: Timestamp) {
        if self.rotate_from.is_some_and(|from| now < from) {
            return;
        }
        match self.put_aside(now) {
            Ok(()) => {
                self.rotate_from = None;
                self.forget_oldest(now);
            }
            Err(error) => {
                self.rotate_from = Some(now.after(ROTATE_AGAIN));
                tracing::warn!(target: "hub", %error, "the activity log's file cannot be put aside, and grows on");
            }
        }
    }

    fn put_aside(&mut self, now: Timestamp) -> io::Result<()> {
        let newest = self.aside.last().map(|(aside, _)| aside.0.after(Duration::from_secs(1)));
        let aside = Aside(newest.map_or(now, |newest| newest.max(now)));
        let (path, place) = (self.files.current(), self.files.aside(aside));
        fs::rename(path, &place)?;
        match Current::open(path) {
            Ok(next) => {
                let full = std::mem::replace(&mut self.current, next);
                self.aside.push((aside, full.size));
                Ok(())
            }
            // Lines go on into the old file, so it keeps its name.
            Err(error) => fs::rename(place, path).and(Err(error)),
        }
    }

    /// Deletes the oldest files while there are too many, or they are too old. The current one may still grow.
    fn forget_oldest(&mut self, now: Timestamp) {
        let room = self.settings.keep_size.saturating_sub(self.settings.rotate_size);
        while let Some((oldest, _)) = self.aside.first().copied() {
            let is_old = oldest.0.after(self.settings.keep_age) < now;
            if !is_old && self.aside_bytes() <= room {
                break;
            }
            match fs::remove_file(self.files.aside(oldest)) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    tracing::warn!(target: "hub", %error, "an old file of the activity log cannot be deleted");
                    break;
                }
                _ => drop(self.aside.remove(0)),
            }
        }
    }
}

impl Current {
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).append(true).read(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { size, born: first_time(&file)?, torn: is_torn(&mut file, size)?, file })
    }

    /// Whether it is still the file of that name. Where that cannot be told, there is no other to be had either.
    fn is_at(&self, path: &Path) -> bool {
        match (fs::metadata(path), self.file.metadata()) {
            (Ok(there), Ok(own)) => is_same(&there, &own),
            (Err(error), _) => error.kind() != ErrorKind::NotFound,
            (Ok(_), Err(_)) => true,
        }
    }

    fn append(&mut self, line: &str, now: Timestamp) -> io::Result<()> {
        let start = if self.torn { "\n" } else { "" };
        let written = self.file.write_all(start.as_bytes()).and_then(|()| self.file.write_all(line.as_bytes()));
        match &written {
            Ok(()) => self.size += (start.len() + line.len()) as u64,
            Err(_) => self.size = self.file.metadata().map_or(self.size, |file| file.len()),
        }
        self.torn = written.is_err();
        self.born.get_or_insert(now);
        written
    }
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// A file that is open can be neither moved nor deleted there.
#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}

/// Whether a file ends within a line: whoever wrote it was killed, or the disk was full.
fn is_torn(file: &mut File, size: u64) -> io::Result<bool> {
    let mut last = [b'\n'];
    if size > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    Ok(last != [b'\n'])
}
