//! Disks that take nothing, and one that syncs nothing.

use std::time::Instant;

use super::*;

/// Waits for another thread, which acts at once or after its delay.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_full_disk_loses_lines_which_are_counted_and_writing_resumes() {
    let (_home, path) = log_path();
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let required = Settings { required: true, ..Settings::default() };
    let (activity, writer) = Activity::open(&path, required, no_metrics()).unwrap();
    let audit = activity.audit_checkpoint().unwrap();
    let event = || Event::new(Operation::DeviceConnected, "connected");
    activity.record(event());
    assert!(activity.verify_audit(&audit).await.is_err(), "the first lost line is refused");
    for _ in 0..9 {
        activity.record(event());
    }
    wait(|| activity.lost() == 10);
    assert!(!activity.can_record() && activity.audit_checkpoint().is_err());

    fs::remove_file(&path).unwrap();
    wait(|| activity.can_record());
    let audit = activity.audit_checkpoint().unwrap();
    activity.record(event());
    activity.verify_audit(&audit).await.unwrap();
    wait(|| activity.written() == 2);
    assert_eq!((activity.lost(), activity.bytes()), (10, fs::metadata(&path).unwrap().len()));
    drop(activity);
    writer.finish();
    let mut lines = Reader::open(&path, LogFilter::default()).unwrap();
    let lines: Vec<_> = std::iter::from_fn(|| lines.next_line().unwrap()).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].json().contains(r#""operationName":"activityLost","properties":{"linesLost":10}"#), "{lines:?}");
}

/// The kernel takes what is written to this device, and syncs it nowhere.
#[tokio::test]
async fn a_line_about_a_change_that_cannot_be_synced_counts_as_lost_and_one_about_a_stream_needs_no_sync() {
    let (_home, path) = log_path();
    for log in [&path, &files::administration_path(&path)] {
        std::os::unix::fs::symlink("/dev/null", log).unwrap();
    }
    let (activity, _writer) = Activity::open(&path, Settings::default(), no_metrics()).unwrap();
    activity.record(Event::new(Operation::DeviceConnected, "connected"));
    wait(|| activity.written() == 1);
    assert_eq!(activity.lost(), 0);
    let before = activity.changes();
    activity.record(Event::new(Operation::IdentityAdded, "added"));
    assert!(!activity.changes_synced(before).await);
    assert_eq!(activity.lost(), 1);
}

#[test]
fn a_full_file_of_changes_is_synced_before_the_next_one_begins() {
    let (_home, path) = log_path();
    std::os::unix::fs::symlink("/dev/null", files::administration_path(&path)).unwrap();
    let mut stores = Stores::open(&path, Settings::default()).unwrap();
    let full = "x".repeat(usize::try_from(ADMINISTRATION.rotate_size).unwrap());
    stores.append(&full, Destination::Administration, Timestamp(0)).unwrap();
    assert!(stores.append("next\n", Destination::Administration, Timestamp(0)).is_err());
}

#[tokio::test]
async fn a_log_that_is_not_required_never_refuses() {
    let (_home, path) = log_path();
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let (activity, _writer) = Activity::open(&path, Settings::default(), no_metrics()).unwrap();
    let audit = activity.audit_checkpoint().unwrap();
    activity.record(Event::new(Operation::DeviceConnected, "connected"));
    wait(|| !activity.can_record());
    assert!(activity.audit_checkpoint().is_ok() && activity.verify_audit(&audit).await.is_ok());
}

fn wait(until: impl Fn() -> bool) {
    let deadline: Instant = clock::now() + PATIENCE;
    while !until() {
        assert!(clock::now() < deadline, "in vain");
        std::thread::yield_now();
    }
}

fn no_metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new(&[], None))
}
