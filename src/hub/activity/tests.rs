use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::reader::Reader;
use super::store::Store;
use super::*;
use crate::net::os::clock;
use crate::proto::admin::LogFilter;
use crate::proto::timestamp::Timestamp;

const MIB: u64 = 1 << 20;

#[cfg(unix)]
#[test]
fn a_log_whose_file_was_moved_and_replaced_continues_in_the_new_file() {
    let (_home, path) = log_path();
    let mut store = Store::open(&path, Settings::default()).unwrap();
    store.append("first\n", Timestamp(0)).unwrap();
    fs::rename(&path, path.with_extension("kept")).unwrap();
    fs::write(&path, "").unwrap();
    store.maintain(Timestamp(1));
    store.append("second\n", Timestamp(1)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "second\n");
    assert_eq!(fs::read_to_string(path.with_extension("kept")).unwrap(), "first\n");
}

#[test]
fn files_are_rotated_by_size_and_age_and_deleted_by_total_size() {
    let (_home, path) = log_path();
    let settings = Settings { rotate_size: 4000, keep_size: 20_000, ..Settings::default() };
    let mut store = Store::open(&path, settings).unwrap();
    let start = clock::now_utc();
    for number in 0..1000 {
        store.append(&sample(start.after(Duration::from_secs(number)), number), start).unwrap();
        assert!(on_disk(&path) <= settings.keep_size, "{} bytes", on_disk(&path));
        assert_eq!(on_disk(&path), store.bytes());
    }
    let seen = numbers(&path, LogFilter::default());
    assert!(seen.len() > 50 && seen == ((1000 - seen.len() as u64)..1000).collect::<Vec<_>>(), "{seen:?}");

    let files = || fs::read_dir(path.parent().unwrap()).unwrap().count();
    let before = files();
    // Files rotated within one second have names in the future.
    let later = start.after(settings.rotate_age + 1000 * SECOND);
    store.maintain(later);
    store.append(&sample(later, 1000), later).unwrap();
    assert_eq!(numbers(&path, LogFilter::default()).last(), Some(&1000));
    assert!(files() >= before, "rotated by age");
    store.maintain(later.after(settings.keep_age + 2 * SECOND));
    assert_eq!(files(), 2, "rotated files are too old, the current one has just been rotated");
}

#[test]
fn the_order_is_kept_when_the_clock_is_set_back() {
    let (_home, path) = log_path();
    let mut store = Store::open(&path, Settings { rotate_size: 1000, ..Settings::default() }).unwrap();
    let start = clock::now_utc();
    for number in 0..40 {
        store.append(&sample(start, number), start.before(Duration::from_secs(3600 * number))).unwrap();
    }
    assert_eq!(numbers(&path, LogFilter::default()), (0..40).collect::<Vec<_>>());
}

#[test]
fn a_truncated_line_spoils_no_other() {
    let (_home, path) = log_path();
    let now = clock::now_utc();
    let whole = sample(now, 1);
    fs::write(&path, format!("{whole}{}", &whole[..50])).unwrap();
    let mut store = Store::open(&path, Settings::default()).unwrap();
    store.append(&sample(now, 2), now).unwrap();
    assert_eq!(numbers(&path, LogFilter::default()), [1, 2]);
}

#[test]
fn since_reads_a_small_part_of_a_large_log() {
    let (_home, path) = log_path();
    let now = clock::now_utc();
    let start = now.before(Duration::from_secs(100_000));
    let mut times = Vec::new();
    // Two rotated files and the current one, of 64 MiB in all.
    for (name, size) in [(Some(40_000), 24 * MIB), (Some(80_000), 24 * MIB), (None, 16 * MIB)] {
        let file = name.map_or(path.clone(), |offset| {
            let rotated = files::RotatedFile(start.after(Duration::from_secs(offset)));
            files::Files::of(&path).rotated(rotated)
        });
        let mut file = BufWriter::new(File::create(file).unwrap());
        let until = name.unwrap_or(100_000);
        let from = until - if name.is_some() { 40_000 } else { 20_000 };
        let mut written = 0;
        while written < size {
            let at = start.after(Duration::from_secs(from + (until - from) * written / size));
            let line = sample(at, times.len() as u64);
            file.write_all(line.as_bytes()).unwrap();
            written += line.len() as u64;
            times.push(at);
        }
    }
    for (age, least) in [(100, 100), (15_000, 10_000), (50_000, 100_000)] {
        let since = now.before(Duration::from_secs(age));
        let filter = LogFilter { since: Some(since), ..LogFilter::default() };
        let mut reader = Reader::open(&path, filter).unwrap();
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            lines.push(line);
        }
        let size = lines.iter().map(|line| line.json().len() as u64 + 1).sum::<u64>();
        assert!(lines.len() > least && number_of(lines.last().unwrap()) + 1 == times.len() as u64);
        let first = number_of(&lines[0]);
        assert_eq!(first + lines.len() as u64, times.len() as u64, "all from the first on");
        assert!(reader.bytes_read() < size + MIB, "{} bytes read for {size}", reader.bytes_read());
        let first = usize::try_from(first).unwrap();
        assert!(times[first] >= since && times[first - 1] < since, "none too many, none too few");
    }
}

#[test]
fn a_change_of_an_identity_is_read_after_the_log_has_forgotten_it() {
    let (_home, path) = log_path();
    let settings = Settings { rotate_size: 1000, keep_size: 4000, ..Settings::default() };
    let mut stores = Stores::open(&path, settings).unwrap();
    let start = clock::now_utc();
    let at = |number| start.after(Duration::from_secs(number));
    stores.append(&sample(start, 0), Destination::Administration, start).unwrap();
    stores.append(&sample(at(1), 1), Destination::Log, at(1)).unwrap();
    stores.append(&sample(at(2), 2), Destination::Administration, at(2)).unwrap();
    let history = |filter| {
        let mut history = History::open(&path, filter).unwrap();
        std::iter::from_fn(|| history.next_line().unwrap()).map(|line| number_of(&line)).collect::<Vec<_>>()
    };
    assert_eq!(history(LogFilter::default()), [0, 1, 2], "once, while the log has it too");
    for number in 3..100 {
        stores.append(&sample(at(number), number), Destination::Log, at(number)).unwrap();
    }
    let seen = history(LogFilter::default());
    assert!(seen.starts_with(&[0, 2]) && seen.len() < 30 && seen.ends_with(&[98, 99]), "{seen:?}");
    let since = LogFilter { since: Some(at(1)), ..LogFilter::default() };
    assert!(history(since).starts_with(&[2]));
    let (last, _) = History::open_at_end(&path, LogFilter::default(), seen.len() - 1).unwrap();
    assert_eq!(last.iter().map(number_of).collect::<Vec<_>>(), seen[1..]);
    fs::remove_file(files::administration_path(&path)).unwrap();
    assert_eq!(history(LogFilter::default()), seen[2..]);
}

#[test]
fn a_flood_of_failures_without_an_identity_leaves_the_log_alone_and_is_read_in_its_place() {
    let (_home, path) = log_path();
    let settings = Settings { rotate_size: 4000, keep_size: 20_000, ..Settings::default() };
    let (activity, writer) = Activity::open(&path, settings, Arc::new(Metrics::new(&[], None))).unwrap();
    let device = |result| Event { device: Some("pi-42".parse().unwrap()), ..Event::new(Operation::Invoke, result) };
    let failed = Event::new(Operation::Authenticate, RefusalKind::AuthenticationFailed.row().label);
    activity.record(device("first"));
    let many = (0..1500).map(|number| number % 200);
    for number in many.chain(std::iter::repeat_n(200_u32, 1500)) {
        let source = Some((std::net::Ipv4Addr::from_bits(number), 1).into());
        activity.record(Event { source, ..failed.clone() });
    }
    activity.record(device("last"));
    drop(activity);
    writer.finish();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.lines().count() == 2 && text.contains("first") && text.contains("last"), "{text}");
    let mut history = History::open(&path, LogFilter::default()).unwrap();
    let lines: Vec<_> = std::iter::from_fn(|| history.next_line().unwrap()).collect();
    assert!(lines[0].json().contains("first"), "{:?}", lines[0]);
    let refused = lines.iter().filter(|line| line.json().contains("authenticate")).count();
    assert_eq!((refused, lines.len()), (1500 + 1000 + 1, 1500 + 1000 + 1 + 2));
    assert!(lines.iter().is_sorted_by_key(|line| line.time()), "merged in time");
    assert!(lines[lines.len() - 1].json().contains(r#""linesOmitted":499"#), "counted there too");
    for count in [5000, 10] {
        let (last, _) = History::open_at_end(&path, LogFilter::default(), count).unwrap();
        assert_eq!(last, lines[lines.len().saturating_sub(count)..]);
    }
}

#[test]
fn a_flood_of_refusals_is_logged_in_part_and_counted() {
    let (_home, path) = log_path();
    let (activity, writer) = Activity::open(&path, Settings::default(), Arc::new(Metrics::new(&[], None))).unwrap();
    let service = Some("attacker".parse().unwrap());
    for _ in 0..2500 {
        activity.record(Event { service: Option::clone(&service), ..Event::new(Operation::Invoke, "DeviceNotFound") });
    }
    activity.record(Event { service, ..Event::new(Operation::Invoke, ACCEPTED) });
    drop(activity);
    writer.finish();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 1000 + 2);
    assert!(lines[1000].contains("accepted"));
    assert!(lines[1001].contains(r#""linesOmitted":1499,"serviceId":"attacker""#), "{}", lines[1001]);
}

#[test]
fn every_stream_has_its_lines_where_the_log_is_required_and_many_are_counted_elsewhere() {
    for required in [true, false] {
        let (_home, path) = log_path();
        let settings = Settings { required, ..Settings::default() };
        let (activity, writer) = Activity::open(&path, settings, Arc::new(Metrics::new(&[], None))).unwrap();
        for _ in 0..2000 {
            let (service, device) = (Some("laptop".parse().unwrap()), Some("pi-42".parse().unwrap()));
            activity.record(Event { service, device, ..Event::new(Operation::StreamOpened, "opened") });
        }
        drop(activity);
        writer.finish();
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(if required { lines == 2000 } else { (1001..1100).contains(&lines) }, "{lines}");
    }
}

#[test]
fn a_filter_finds_its_lines_and_no_others() {
    let (_home, path) = log_path();
    let mut store = Store::open(&path, Settings { rotate_size: 4000, ..Settings::default() }).unwrap();
    let now = clock::now_utc();
    for number in 0..200 {
        store.append(&sample(now, number), now).unwrap();
    }
    store.append(&sample(now, 200).replace("disconnected", "d3"), now).unwrap();
    let device = LogFilter { device: Some("d3".parse().unwrap()), ..LogFilter::default() };
    assert_eq!(numbers(&path, device.clone()), (0..200).filter(|n| n % 10 == 3).collect::<Vec<_>>());
    let both = LogFilter { service: Some("s3".parse().unwrap()), ..device.clone() };
    assert_eq!(numbers(&path, both), (0..200).filter(|n| n % 10 == 3 && n % 7 == 3).collect::<Vec<_>>());

    let (last, mut reader) = Reader::open_at_end(&path, device, 15, u64::MAX).unwrap();
    let expected: Vec<_> = (0..200).filter(|n| n % 10 == 3).skip(5).collect();
    assert_eq!(last.iter().map(number_of).collect::<Vec<_>>(), expected, "over several files");
    assert_eq!(reader.next_line().unwrap(), None);
}

#[test]
fn following_misses_no_line_while_files_are_rotated() {
    let (_home, path) = log_path();
    let mut store = Store::open(&path, Settings { rotate_size: 4000, ..Settings::default() }).unwrap();
    let now = clock::now_utc();
    store.append(&sample(now, 0), now).unwrap();
    let (last, mut reader) = Reader::open_at_end(&path, LogFilter::default(), 10, u64::MAX).unwrap();
    let mut seen: Vec<_> = last.iter().map(number_of).collect();
    let mut all = Reader::open(&path, LogFilter::default()).unwrap();
    let mut seen_by_other = Vec::new();
    for number in 1..500 {
        store.append(&sample(now, number), now).unwrap();
        // One reader follows every iteration, the other only after several rotations.
        seen.extend(std::iter::from_fn(|| reader.next_line().unwrap()).map(|line| number_of(&line)));
        if number % 100 == 99 {
            seen_by_other.extend(std::iter::from_fn(|| all.next_line().unwrap()).map(|line| number_of(&line)));
        }
    }
    let expected: Vec<_> = (0..500).collect();
    assert_eq!((seen, seen_by_other), (expected.clone(), expected));

    let half = sample(now, 500);
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(&half.as_bytes()[..30]).unwrap();
    assert_eq!(reader.next_line().unwrap(), None);
    file.write_all(&half.as_bytes()[30..]).unwrap();
    assert_eq!(reader.next_line().unwrap().map(|line| number_of(&line)), Some(500), "only when it is whole");
    file.set_len(0).unwrap();
    file.write_all(sample(now, 501).as_bytes()).unwrap();
    assert_eq!(reader.next_line().unwrap().map(|line| number_of(&line)), Some(501), "the file was truncated");
}

const SECOND: Duration = Duration::from_secs(1);

fn log_path() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("activity.jsonl");
    (home, path)
}

/// A line as the hub writes it, with a number that identifies it.
fn sample(at: Timestamp, number: u64) -> String {
    let (time, device, service) = (at.rfc3339(), number % 10, number % 7);
    format!(
        r#"{{"category":"DeviceStreams","durationMs":{number},"operationName":"invoke","properties":{{"deviceId":"d{device}","reason":"disconnected","serviceId":"s{service}","sourceAddress":"192.0.2.1:4711"}},"resultType":"accepted","time":"{time}"}}{}"#,
        "\n"
    )
}

fn number_of(line: &Line) -> u64 {
    serde_json::from_str::<serde_json::Value>(line.json()).unwrap()["durationMs"].as_u64().unwrap()
}

fn numbers(path: &Path, filter: LogFilter) -> Vec<u64> {
    let mut reader = Reader::open(path, filter).unwrap();
    std::iter::from_fn(|| reader.next_line().unwrap()).map(|line| number_of(&line)).collect()
}

fn on_disk(path: &Path) -> u64 {
    fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn a_change_that_is_acknowledged_has_its_line() {
    let (_home, path) = log_path();
    let (activity, _writer) = Activity::open(&path, Settings::default(), Arc::new(Metrics::new(&[], None))).unwrap();
    for number in 0..20 {
        let before = activity.changes();
        assert!(activity.changes_synced(before).await, "there is none");
        activity.record(Event { reason: format!("change {number}"), ..Event::new(Operation::EnrolmentAdded, "added") });
        assert!(activity.changes_synced(before).await);
        let written = fs::read_to_string(files::administration_path(&path)).unwrap();
        assert_eq!(written.lines().count(), number + 1, "{written}");
    }
    assert_eq!(activity.lost(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_does_not_answer_holds_a_change_up_for_seconds_only() {
    let (_home, path) = log_path();
    let (activity, _writer) = Activity::open(&path, Settings::default(), Arc::new(Metrics::new(&[], None))).unwrap();
    let before = activity.changes();
    // A line that the writer never comes to.
    activity.counters.changes.fetch_add(1, Ordering::Relaxed);
    let start = clock::now();
    assert!(!activity.changes_synced(before).await);
    assert_eq!(clock::now() - start, AUDIT_TIMEOUT);
    // Who changes nothing does not wait for it.
    assert!(activity.changes_synced(activity.changes()).await);
}

#[tokio::test]
async fn lines_about_other_things_take_no_place_from_those_about_changes() {
    let (_home, path) = log_path();
    let (activity, _writer) = Activity::open(&path, Settings::default(), Arc::new(Metrics::new(&[], None))).unwrap();
    activity.counters.queued.fetch_add(QUEUE - PLACES_OF_CHANGES, Ordering::Relaxed);
    activity.record(Event::new(Operation::DeviceConnected, "connected"));
    assert_eq!(activity.lost(), 1);
    let before = activity.changes();
    activity.record(Event::new(Operation::IdentityAdded, "added"));
    assert!(activity.changes_synced(before).await);
    assert_eq!(activity.lost(), 1);
}

/// Linux only: `/dev/full`.
#[cfg(target_os = "linux")]
mod full_disk;

mod pages;
