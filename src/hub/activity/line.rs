//! The format of one line: writing events and reading them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::hub::event::Event;
use crate::net::os::clock::now_rfc3339;
use crate::proto::timestamp::Timestamp;

/// Formats an event as a line with the present time.
pub(super) fn json(event: Event) -> String {
    let mut properties = Map::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            properties.insert(name.into(), value.into());
        }
    };
    put("streamId", event.stream.map(|id| id.to_string()));
    put("streamName", event.name.map(|name| name.to_string()));
    put("deviceId", event.device.map(|id| id.to_string()));
    put("serviceId", event.service.map(|name| name.to_string()));
    put("sourceAddress", event.source.map(|address| address.to_string()));
    put("peerAddress", event.peer.map(|address| address.to_string()));
    put("reason", Some(event.reason));
    put("endedBy", event.ended_by.map(|role| role.to_string()));
    if let Some((to_device, to_service)) = event.bytes {
        properties.insert("bytesToDevice".into(), to_device.into());
        properties.insert("bytesToService".into(), to_service.into());
    }
    if let Some(lost) = event.lost {
        properties.insert("linesLost".into(), lost.into());
    }
    let record = json!({
        "time": now_rfc3339(),
        "category": "DeviceStreams",
        "operationName": event.operation.word(),
        "resultType": event.result,
        "durationMs": event.took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        "properties": properties,
    });
    format!("{record}\n")
}

/// The fields by which lines are filtered. Parsing them proves that the line is complete.
#[derive(Debug, Deserialize)]
pub(super) struct Head<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
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
    /// Returns the line as in the file.
    pub fn json(&self) -> &str {
        &self.0
    }

    /// Formats the line for a person.
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
            properties.iter().for_each(|(name, value)| line += &format!(" {name}={}", text(value)));
        }
        line
    }
}
