//! The format of one line: writing events and reading them.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hub::event::{ACCEPTED, Event, Operation, Sentence};
use crate::net::os::clock::now_rfc3339;
use crate::proto::id::{DeviceId, Role, ServiceName, StreamId, StreamName};
use crate::proto::timestamp::Timestamp;

/// A line as it is written: the fields in the order of their names.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    category: &'static str,
    duration_ms: Option<u64>,
    operation_name: &'static str,
    properties: RecordProperties,
    result_type: &'static str,
    time: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RecordProperties {
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_to_device: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_to_device_omitted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_to_service: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_to_service_omitted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<DeviceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_to_end: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_by: Option<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines_lost: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines_omitted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_address: Option<SocketAddr>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_id: Option<ServiceName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_address: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_id: Option<StreamId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_name: Option<StreamName>,
}

/// Formats an event as a line with the present time.
#[expect(clippy::expect_used, reason = "text and numbers always serialise")]
pub(super) fn json(event: Event) -> String {
    let omitted_bytes = event.omitted.filter(|_| event.bytes.is_some()).map(|omitted| omitted.bytes);
    let record = Record {
        category: "DeviceStreams",
        duration_ms: event.took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        operation_name: event.operation.word(),
        properties: RecordProperties {
            by: event.by,
            bytes_to_device: event.bytes.map(|(to_device, _)| to_device),
            bytes_to_device_omitted: omitted_bytes.map(|(to_device, _)| to_device),
            bytes_to_service: event.bytes.map(|(_, to_service)| to_service),
            bytes_to_service_omitted: omitted_bytes.map(|(_, to_service)| to_service),
            device_id: event.device,
            end_to_end: event.end_to_end,
            ended_by: event.ended_by,
            lines_lost: event.lost,
            lines_omitted: event.omitted.map(|omitted| omitted.events),
            peer_address: event.peer,
            reason: event.reason,
            service_id: event.service,
            source_address: event.source,
            stream_id: event.stream,
            stream_name: event.name,
        },
        result_type: event.result,
        time: now_rfc3339(),
    };
    serde_json::to_string(&record).expect("plain data serialises") + "\n"
}

/// The fields by which lines are filtered. Parsing them proves that the line is complete.
#[derive(Debug, Deserialize)]
pub(super) struct Head<'a> {
    #[serde(borrow)]
    pub(super) time: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) properties: Properties<'a>,
}

/// The identities of an event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Properties<'a> {
    #[serde(borrow)]
    pub(super) device_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) service_id: Option<Cow<'a, str>>,
}

impl<'a> Head<'a> {
    /// Parses a line; `None` if it is truncated or not one of the log's.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// Returns the time of the event.
    pub(super) fn time(&self) -> Option<Timestamp> {
        Timestamp::parse(&self.time)
    }
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line(pub(super) String);

impl Line {
    /// A line of another hub's log; `None` if it is not one.
    pub fn parse(text: String) -> Option<Self> {
        Some(Self(text)).filter(|line| !line.0.contains('\n') && line.time().is_some())
    }

    /// Returns the line as in the file.
    pub fn json(&self) -> &str {
        &self.0
    }

    /// Returns the text of its time, which sorts as the times do.
    pub fn time(&self) -> Option<Cow<'_, str>> {
        Some(Head::parse(self.0.as_bytes())?.time)
    }

    /// Words the line for a person; `None` if the next line says it too: an accepted request is opened.
    pub fn sentence(&self) -> Option<String> {
        let record: Value = serde_json::from_str(&self.0).unwrap_or_default();
        let Some(operation) = record["operationName"].as_str().and_then(Operation::of_word) else {
            return Some(self.text());
        };
        let result = record["resultType"].as_str().unwrap_or_default();
        if operation == Operation::Invoke && result == ACCEPTED {
            return None;
        }
        let properties = &record["properties"];
        let (text, number) = (|name: &str| properties[name].as_str(), |name: &str| properties[name].as_u64());
        let address = |name: &str| text(name)?.parse().ok();
        let sentence = Sentence {
            operation,
            result,
            reason: text("reason").unwrap_or_default(),
            stream: text("streamId").and_then(|id| id.parse().ok()),
            name: text("streamName"),
            device: text("deviceId"),
            service: text("serviceId"),
            source: address("sourceAddress"),
            peer: address("peerAddress"),
            took: record["durationMs"].as_u64().map(Duration::from_millis),
            bytes: number("bytesToDevice").zip(number("bytesToService")),
            ended_by: text("endedBy").and_then(|role| role.parse().ok()),
            lost: number("linesLost"),
            omitted: number("linesOmitted"),
            by: text("by"),
        };
        let time = record["time"].as_str().and_then(Timestamp::parse).map(Timestamp::rfc3339).unwrap_or_default();
        Some(format!("{time}  {sentence}"))
    }

    /// Formats the line for a program that reads text, with all its fields.
    pub fn text(&self) -> String {
        let record: Value = serde_json::from_str(&self.0).unwrap_or_default();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let mut line = format!(
            "{}  {:<18} {:<22}",
            text(&record["time"]),
            text(&record["operationName"]),
            text(&record["resultType"])
        );
        if let Some(properties) = record["properties"].as_object() {
            // The user last: scripts know the other fields by their place.
            let (by, others): (Vec<_>, Vec<_>) = properties.iter().partition(|(name, _)| *name == "by");
            others.iter().chain(&by).for_each(|(name, value)| line += &format!(" {name}={}", quoted(text(value))));
        }
        line
    }
}

/// Quotes a value that would read as several fields.
fn quoted(value: String) -> String {
    if value.contains([' ', '"', '=']) { format!("{value:?}") } else { value }
}
