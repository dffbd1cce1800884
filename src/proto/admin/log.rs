//! An activity log in pages, as the hubs of a cluster read one another's.

use serde::{Deserialize, Serialize};

use crate::proto::id::{DeviceId, ServiceName};
use crate::proto::message::is_false;
use crate::proto::timestamp::Timestamp;

/// The lines to read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFilter {
    /// Only lines of this device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// Only lines of this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// Only lines from this time on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// A request for a page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRequest {
    /// The lines to read.
    #[serde(default)]
    pub filter: LogFilter,
    /// Where the page begins; with neither this nor `last`, at the first line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<LogPosition>,
    /// The last lines, at most so many, instead of those from a position on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<usize>,
}

/// Some lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPage {
    /// The lines, as they are stored, in order.
    pub lines: Vec<String>,
    /// Where the next page begins.
    pub next: LogPosition,
    /// `false` at the end of the log, as it is now. There may be more after a page without lines.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
}

/// A place in a log: one in each of its series of files. It stays good while files are rotated and deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPosition {
    /// In the changes of identities before the log's first line; `None` if they are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<FilePosition>,
    /// In the log itself.
    pub log: FilePosition,
    /// In the lines about unauthenticated peers; `None` if there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unauthenticated: Option<FilePosition>,
}

/// A place in a series of files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePosition {
    /// The name of the rotated file before the one that is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Timestamp>,
    /// The offset of the next line, in bytes.
    pub offset: u64,
    /// The time of the file's first line, as it is written: another file has another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
}
