//! What a restore brings back although it was changed after the backup, according to the logs that the state directory
//! still has.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use serde::Deserialize;

use super::Restored;
use crate::hub::activity::Reader;
use crate::proto::admin::LogFilter;
use crate::proto::timestamp::Timestamp;

/// The logs with changes of identities.
const LOGS: [&str; 2] = ["activity.jsonl", "administration.jsonl"];

/// A change that the restore undoes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Removed: it is back.
    Removed,
    /// Has got another key: the former one is back.
    NewKey,
    /// Disabled: it is enabled again.
    Disabled,
    /// Its scope has changed: the former one is back.
    Rescoped,
    /// An enrolment key was used: these uses are left once more.
    Used,
    /// Added: it is gone.
    Added,
}

/// A change after the backup, of something that is in the backup or was added since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaterChange {
    /// The identity or enrolment key, such as `device pi-42`.
    pub subject: String,
    /// The change.
    pub change: Change,
    /// The last time of that.
    pub at: Timestamp,
}

/// The fields of a line that tell of a change.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    operation_name: String,
    result_type: String,
    time: String,
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    device_id: Option<String>,
    service_id: Option<String>,
    #[serde(default)]
    reason: String,
}

/// Reads the changes since the backup from the logs of a state directory; `None` if it has no log.
pub(super) fn later_changes(state: &Path, restored: &Restored) -> io::Result<Option<Vec<LaterChange>>> {
    let Some(made) = restored.made else { return Ok(None) };
    let known: BTreeSet<String> = restored.subjects().collect();
    let (mut last, mut removed) = (BTreeMap::new(), BTreeMap::new());
    let mut has_log = false;
    for name in LOGS {
        let filter = LogFilter { since: Some(made), ..LogFilter::default() };
        let mut reader = match Reader::open(&state.join(name), filter) {
            Ok(reader) => reader,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        has_log = true;
        while let Some(line) = reader.next_line()? {
            let Ok(record) = serde_json::from_str::<Record>(line.json()) else { continue };
            // In the same second as the backup, and before it. Both times have the same form.
            if restored.made_exactly.as_ref().is_some_and(|made| record.time < *made) {
                continue;
            }
            for LaterChange { subject, change, at } in change(&record).into_iter().chain(addition(&record)) {
                if known.contains(&subject) != (change == Change::Added) {
                    last.insert((subject, change), at);
                } else if change == Change::Removed {
                    removed.insert(subject, at);
                }
            }
        }
    }
    // What was added and removed again is gone in either case.
    last.retain(|(subject, change), at| *change != Change::Added || removed.get(subject).is_none_or(|gone| gone < at));
    let later = last.into_iter().map(|((subject, change), at)| LaterChange { subject, change, at });
    Ok(has_log.then(|| later.collect()))
}

fn change(record: &Record) -> Option<LaterChange> {
    let Properties { device_id, service_id, reason } = &record.properties;
    let change = match (record.operation_name.as_str(), record.result_type.as_str()) {
        ("identityRemoved" | "enrolmentRemoved", _) => Change::Removed,
        ("identityChanged", "newKey") => Change::NewKey,
        ("identityChanged", "disabled") => Change::Disabled,
        ("identityChanged", "rescoped") => Change::Rescoped,
        ("join", "joined") if reason.starts_with(WITH_ENROLMENT) => Change::Used,
        ("join", "joined") => Change::NewKey,
        _ => return None,
    };
    let subject = match (device_id, service_id) {
        _ if change == Change::Used => reason.trim_start_matches("with ").to_owned(),
        (Some(id), _) => format!("device {id}"),
        (None, Some(name)) => format!("service {name}"),
        (None, None) => reason.clone(),
    };
    Some(LaterChange { subject, change, at: Timestamp::parse(&record.time)? })
}

/// Returns the identity that this line adds, by an administrator or with an enrolment key.
fn addition(record: &Record) -> Option<LaterChange> {
    let Properties { device_id, service_id, .. } = &record.properties;
    if !matches!(
        (record.operation_name.as_str(), record.result_type.as_str()),
        ("identityAdded", _) | ("join", "joined")
    ) {
        return None;
    }
    let of_device = device_id.as_ref().map(|id| format!("device {id}"));
    let subject = of_device.or_else(|| service_id.as_ref().map(|name| format!("service {name}")))?;
    Some(LaterChange { subject, change: Change::Added, at: Timestamp::parse(&record.time)? })
}

/// Begins the reason of a join with an enrolment key.
const WITH_ENROLMENT: &str = "with enrolment key ";
