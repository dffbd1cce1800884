//! Pages, read while files are rotated and deleted.

use serde_json::Value;

use super::super::pages::{PAGE, PageLimits, page_within};
use super::*;
use crate::proto::admin::{FilePosition, LogPage, LogPosition, LogRequest};

/// A log that grows, with lines of all three kinds.
struct Growing {
    path: PathBuf,
    _home: TempDir,
    stores: Stores,
    start: Timestamp,
    written: u64,
}

impl Growing {
    /// One that has forgotten its first lines, but for changes of identities.
    fn new() -> Self {
        let (home, path) = log_path();
        let stores = |keep_size| {
            let settings = Settings { rotate_size: 1000, keep_size, ..Settings::default() };
            Stores::open(&path, settings).unwrap()
        };
        let start = clock::now_utc();
        let mut log = Self { stores: stores(8000), path: path.clone(), _home: home, start, written: 0 };
        log.write(200);
        log.stores = stores(MIB);
        log
    }

    fn write(&mut self, count: u64) {
        for number in self.written..self.written + count {
            let to = match number {
                _ if number % 7 == 0 => Destination::Administration,
                _ if number % 5 == 0 => Destination::Unauthenticated,
                _ => Destination::Log,
            };
            let at = self.start.after(Duration::from_secs(number));
            self.stores.append(&sample(at, number), to, at).unwrap();
        }
        self.written += count;
    }

    /// The numbers of all lines, read at once.
    fn all(&self, filter: &LogFilter) -> Vec<u64> {
        let mut history = History::open(&self.path, filter.clone()).unwrap();
        std::iter::from_fn(|| history.next_line().unwrap()).map(|line| number_of(&line)).collect()
    }

    fn page(&self, filter: &LogFilter, from: Option<LogPosition>, limits: PageLimits) -> LogPage {
        page_within(&self.path, LogRequest { filter: filter.clone(), from, last: None }, limits).unwrap()
    }

    /// The numbers of the lines from a position on, in pages; after each, `between` happens.
    fn pages(
        &mut self,
        filter: &LogFilter,
        limits: PageLimits,
        mut from: Option<LogPosition>,
        mut between: impl FnMut(&mut Self),
    ) -> Vec<u64> {
        let mut seen = Vec::new();
        for _ in 0..10_000 {
            let page = self.page(filter, from, limits);
            seen.extend(numbers_of(&page));
            // As other hubs get it.
            from = serde_json::from_str(&serde_json::to_string(&page.next).unwrap()).unwrap();
            between(self);
            if !page.more {
                return seen;
            }
        }
        panic!("no end after {seen:?}");
    }
}

fn numbers_of(page: &LogPage) -> Vec<u64> {
    let number = |line: &String| serde_json::from_str::<Value>(line).unwrap()["durationMs"].as_u64().unwrap();
    page.lines.iter().map(number).collect()
}

fn filters(start: Timestamp) -> [LogFilter; 4] {
    let since = |number| Some(start.after(Duration::from_secs(number)));
    [
        LogFilter::default(),
        LogFilter { device: Some("d3".parse().unwrap()), ..LogFilter::default() },
        LogFilter { service: Some("s0".parse().unwrap()), since: since(100), ..LogFilter::default() },
        LogFilter { device: Some("d4".parse().unwrap()), since: since(190), ..LogFilter::default() },
    ]
}

#[test]
fn pages_of_every_size_have_the_lines_of_one_read_while_files_are_rotated() {
    for text in [1, 500, MIB as usize] {
        for scanned in [1, MIB] {
            let mut log = Growing::new();
            for filter in filters(log.start) {
                let seen = log.pages(&filter, PageLimits { text, scanned }, None, |_| {});
                assert_eq!(seen, log.all(&filter), "{text} {scanned} {filter:?}");
                let mut rounds = 0;
                let seen = log.pages(&filter, PageLimits { text, scanned }, None, |log| {
                    rounds += 1;
                    log.write(if rounds < 20 { 3 } else { 0 });
                });
                let all = log.all(&filter);
                // What was written after the last page is not in it.
                assert!(all.starts_with(&seen) && (rounds < 20 || all == seen), "{text} {scanned} {filter:?} {seen:?}");
            }
            let all = log.all(&LogFilter::default());
            assert!(all.starts_with(&[0, 5, 7]) && all.len() > 80, "{all:?}");
        }
    }
}

#[test]
fn the_last_lines_are_a_page_and_the_next_one_has_those_after_them() {
    let mut log = Growing::new();
    for (filter, count) in filters(log.start).into_iter().zip([10, 3, 10, 1000]) {
        let before = log.all(&filter);
        let request = LogRequest { filter: filter.clone(), from: None, last: Some(count) };
        let page = page_within(&log.path, request.clone(), PAGE).unwrap();
        assert_eq!(numbers_of(&page), before[before.len().saturating_sub(count.min(100))..], "{filter:?}");
        let few = page_within(&log.path, request, PageLimits { text: 700, ..PAGE }).unwrap();
        assert_eq!(few.lines, page.lines[page.lines.len().saturating_sub(few.lines.len())..]);
        assert!((1..=3).contains(&few.lines.len()), "those that have room, the latest");
        for next in [page.next, few.next] {
            let known = log.all(&filter).len();
            log.write(30);
            let seen = log.pages(&filter, PAGE, Some(next), |_| {});
            assert!(seen.ends_with(&log.all(&filter)[known..]) && log.all(&filter)[before.len()..] == seen);
        }
    }
}

#[test]
fn a_filter_that_matches_nothing_has_pages_that_end_soon() {
    let (_home, path) = log_path();
    let now = clock::now_utc();
    let mut file = BufWriter::new(File::create(&path).unwrap());
    for number in 0..50_000 {
        file.write_all(sample(now, number).as_bytes()).unwrap();
    }
    file.flush().unwrap();
    let filter = LogFilter { device: Some("nobody".parse().unwrap()), ..LogFilter::default() };
    let limits = PageLimits { scanned: MIB, ..PAGE };
    let (mut from, mut pages) = (None, 0);
    loop {
        let last = from.as_ref().map_or(0, |position: &LogPosition| position.log.offset);
        let page = page_within(&path, LogRequest { filter: filter.clone(), from, last: None }, limits).unwrap();
        assert!(page.lines.is_empty());
        if !page.more {
            break;
        }
        let read = page.next.log.offset - last;
        assert!((MIB / 2..2 * MIB).contains(&read), "{read} bytes");
        (from, pages) = (Some(page.next), pages + 1);
    }
    assert!(pages > 8, "{pages}");
}

#[test]
fn the_last_lines_of_another_hub_are_those_near_the_end() {
    let (_home, path) = log_path();
    let now = clock::now_utc();
    let others: String = (1..5000).map(|number| sample(now, number)).collect();
    let first = sample(now, 0).replace("d0", "the-first");
    fs::write(&path, first + &others).unwrap();
    let filter = LogFilter { device: Some("the-first".parse().unwrap()), ..LogFilter::default() };
    for (scanned, found) in [(PAGE.scanned, 1), (MIB / 2, 0)] {
        let request = LogRequest { filter: filter.clone(), from: None, last: Some(10) };
        let page = page_within(&path, request, PageLimits { scanned, ..PAGE }).unwrap();
        assert_eq!((page.lines.len(), page.more), (found, false));
        assert_eq!(page.next.log.offset, fs::metadata(&path).unwrap().len());
    }
}

#[test]
fn a_page_goes_on_after_a_file_that_was_deleted() {
    let log = Growing::new();
    let filter = LogFilter::default();
    let rotated = files::Files::of(&log.path).rotated_files().unwrap();
    let all = log.all(&filter);
    let (mut from, mut seen, mut deleted) = (None, Vec::new(), Vec::new());
    // Up to the last line of each rotated file; then it goes.
    for rotated in rotated {
        let name = files::Files::of(&log.path).rotated(rotated);
        let last = fs::read_to_string(&name).unwrap().lines().last().map(|line| number_of(&Line(line.into()))).unwrap();
        while seen.last().is_none_or(|seen| *seen + 1 < last) {
            let page = log.page(&filter, from, PageLimits { text: 1, ..PAGE });
            seen.extend(numbers_of(&page));
            from = Some(page.next);
        }
        fs::remove_file(name).unwrap();
        deleted.push(last);
    }
    let rest = log.page(&filter, from, PAGE);
    seen.extend(numbers_of(&rest));
    assert!(deleted.len() > 3 && !deleted.iter().any(|last| seen.contains(last)), "{deleted:?} {seen:?}");
    assert_eq!(seen, all.into_iter().filter(|number| !deleted.contains(number)).collect::<Vec<_>>());
    fs::remove_file(&log.path).unwrap();
    let page = page_within(&log.path, LogRequest { from: Some(rest.next), ..LogRequest::default() }, PAGE);
    assert_eq!(page.unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn a_line_that_is_not_whole_yet_is_in_the_next_page_and_one_that_is_too_long_in_none() {
    let (_home, path) = log_path();
    let now = clock::now_utc();
    let half = sample(now, 2);
    fs::write(&path, format!("{}{}", sample(now, 1), &half[..30])).unwrap();
    let page = |from| page_within(&path, LogRequest { from, ..LogRequest::default() }, PAGE).unwrap();
    let first = page(None);
    assert_eq!(numbers_of(&first), [1]);
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(&half.as_bytes()[30..]).unwrap();
    file.write_all(&[b'x'; 70_000]).unwrap();
    let second = page(Some(first.next));
    assert_eq!(numbers_of(&second), [2]);
    assert_eq!(second.next.log.offset, file.metadata().unwrap().len(), "it is not read again");
    file.write_all(format!("\n{}", sample(now, 3)).as_bytes()).unwrap();
    assert_eq!(numbers_of(&page(Some(second.next))), [3]);
}

#[test]
fn a_position_that_no_hub_has_made_is_no_harm() {
    let log = Growing::new();
    for offset in [1, 500, 1 << 40, i64::MAX as u64, u64::MAX] {
        for after in [None, Some(Timestamp(i64::MIN)), Some(log.start), Some(Timestamp(i64::MAX))] {
            let first = |first| FilePosition { after, offset, first };
            for position in
                [first(None), first(Some(String::new())), log.page(&LogFilter::default(), None, PAGE).next.log]
            {
                let [earlier, unauthenticated] = [(); 2].map(|()| Some(FilePosition { offset, ..position.clone() }));
                let from = Some(LogPosition { earlier, log: FilePosition { offset, ..position }, unauthenticated });
                let _ = page_within(&log.path, LogRequest { from, ..LogRequest::default() }, PAGE);
            }
        }
    }
}
