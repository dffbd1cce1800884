//! Refusals, from the one table of them, with their details: what a person, a program and a peer are told.

mod detail;
mod hubs_words;
mod identity;
mod table;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::detail::{Detail, sanitize};
pub use self::identity::REMOVED;
pub use self::table::{RefusalKind, Row, TABLE};
use super::id::{Principal, Role, UNNAMED_SERVICE};
use super::limits::CLOSE_REASON_BYTES;

/// A refusal with its details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The row of the table.
    pub kind: RefusalKind,
    /// Details beyond the row: a time, names, an error.
    #[serde(default, skip_serializing_if = "Detail::is_empty")]
    pub detail: Detail,
    /// The detail is the whole message.
    #[serde(skip)]
    is_local: bool,
    /// The hub gave it, and words its details.
    #[serde(skip)]
    is_hubs: bool,
    /// The advice in place of the table's, which knows less of the cause; empty where the details say what to do.
    #[serde(skip)]
    advice: Option<Cow<'static, str>>,
}

impl Refusal {
    /// Creates a refusal with details.
    pub fn new(kind: RefusalKind, detail: impl AsRef<str>) -> Self {
        Self { kind, detail: Detail::new(detail.as_ref()), is_local: false, is_hubs: false, advice: None }
    }

    /// Creates one for an error of this machine's own files or settings, which says itself what to do: no row words it.
    pub fn local(error: impl AsRef<str>) -> Self {
        Self { is_local: true, advice: Some("".into()), ..Self::new(RefusalKind::Other, error) }
    }

    /// Creates one whose whole message this is, with what to do.
    pub fn worded(kind: RefusalKind, message: impl AsRef<str>) -> Self {
        Self { kind, ..Self::local(message) }
    }

    /// Creates one for a machine without an identity in this role, with the commands that give it this one. `profile` is
    /// one that does not enrol with the hub of the same user.
    pub fn not_joined(Principal { role, id }: &Principal, detail: &str, profile: Option<&str>) -> Self {
        let scope = if *role == Role::Service { " --device ID" } else { "" };
        let or_else = match profile {
            Some(profile) => format!(" with --profile {profile}"),
            None => "; or start a hub here with `devstream hub`".to_owned(),
        };
        let id = if id.as_str() == UNNAMED_SERVICE { "NAME" } else { id.as_str() };
        let add = format!("devstream hub {role} add {id}{scope}");
        let advice = format!("on the hub's machine run `{add}`, and here the command that it prints{or_else}");
        Self::new(RefusalKind::NotJoined, detail).advised(advice)
    }

    /// Reports whether it is an error of this machine's own files or settings.
    pub fn is_local(&self) -> bool {
        self.is_local
    }

    /// Replaces the table's advice; empty where the details say what to do.
    #[must_use]
    pub fn advised(self, advice: impl Into<Cow<'static, str>>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    /// Returns the advice in place of the table's.
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }

    /// The exit code of the commands for it, which is stable: a program that ends with it says the same to scripts.
    pub fn exit_code(&self) -> u8 {
        self.kind.row().exit
    }

    /// Returns the reason for a WebSocket close frame, within [`CLOSE_REASON_BYTES`]: of long details the end is kept,
    /// where the cause is.
    pub fn close_reason(&self) -> String {
        let is_azures = self.kind == RefusalKind::PeerGone && self.detail.is_empty();
        let whole = if is_azures { AZURE_PEER_GONE.to_owned() } else { self.message() };
        let over = whole.len().saturating_sub(CLOSE_REASON_BYTES);
        if over == 0 {
            return whole;
        }
        let (sentence, detail) = (self.kind.row().sentence, self.detail.as_str());
        let rest = detail.char_indices().map(|(at, _)| at).find(|at| *at >= over + ELLIPSIS.len());
        format!("{sentence} ({ELLIPSIS}{})", rest.map_or("", |at| &detail[at..]))
    }

    /// Returns the message with the details, without the hint.
    pub fn message(&self) -> String {
        if self.is_local {
            return self.detail.as_str().to_owned();
        }
        let sentence = self.kind.row().sentence;
        if self.detail.is_empty() { sentence.into() } else { format!("{sentence} ({})", self.detail) }
    }

    /// Returns the message with what to do about it, in terms of the commands. `Display` leaves that out, for programs.
    pub fn with_hint(&self) -> String {
        // A device that gives its reason has no more in its log.
        let has_reason = self.kind == RefusalKind::RejectedByDevice && !self.detail.is_empty();
        let hint = if self.names_next_step() || has_reason { "" } else { self.kind.row().hint };
        let named = self.advice_for_named();
        match self.advice().or(named.as_deref()).unwrap_or(hint) {
            "" => self.message(),
            advice => format!("{}; {advice}", self.message()),
        }
    }

    /// Reports whether the detail says what brings the device online, in place of the table's hint: it is disabled or has not
    /// joined, and nothing runs there that could be waited for.
    pub fn names_next_step(&self) -> bool {
        self.next_step().is_some()
    }

    /// Returns what the detail says so.
    pub fn next_step(&self) -> Option<&str> {
        let (_, next) = self.detail.as_str().split_once(": ")?;
        (self.kind == RefusalKind::DeviceOffline && next.contains("`devstream ")).then_some(next)
    }

    /// Returns the refusal for a close code and reason, if the code is in the table.
    pub fn from_close(code: u16, reason: &str) -> Option<Self> {
        let row = TABLE.iter().find(|row| row.close == code && code != 0)?;
        let sentence = if reason == AZURE_PEER_GONE { AZURE_PEER_GONE } else { row.sentence };
        let detail = reason.strip_prefix(sentence).unwrap_or(reason).trim();
        let detail = detail.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).unwrap_or(detail);
        Some(Self::new(row.kind, detail))
    }
}

/// The reason with which Azure IoT Hub closes a leg whose other one is gone.
const AZURE_PEER_GONE: &str = "WS disconnected";

/// The replacement for omitted text.
const ELLIPSIS: &str = "…";

impl From<RefusalKind> for Refusal {
    fn from(kind: RefusalKind) -> Self {
        Self { kind, detail: Detail::default(), is_local: false, is_hubs: false, advice: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::limits::REASON_CHARS;

    #[test]
    fn no_peer_says_of_a_key_what_only_this_end_can_know() {
        let own = TABLE.iter().filter(|row| row.kind.is_of_session());
        for row in own.clone() {
            let word = serde_json::to_string(&row.kind).unwrap();
            assert_eq!(serde_json::from_str::<RefusalKind>(&word).unwrap(), RefusalKind::Other, "{word}");
            assert_eq!((row.status, row.close), (0, 0), "{word}");
        }
        assert_eq!(own.count(), 4);
    }

    #[test]
    fn an_error_of_the_library_names_no_flag_or_command() {
        for row in TABLE {
            let refusal = Refusal::from(row.kind);
            let shown = refusal.to_string();
            assert!(!shown.contains("--") && !shown.contains("devstream ") && !shown.contains(row.hint), "{shown}");
            assert!(refusal.with_hint().ends_with(row.hint));
        }
    }

    #[test]
    fn a_device_that_gives_its_reason_has_no_more_in_its_log() {
        let rejected = |reason| Refusal::new(RefusalKind::RejectedByDevice, reason).with_hint();
        assert_eq!(rejected("only from 8 to 18 h"), "the device rejected the stream (only from 8 to 18 h)");
        assert!(rejected("").ends_with("; see the device's log"));
    }

    #[test]
    fn a_refusal_round_trips_through_a_close_frame() {
        for row in TABLE.iter().filter(|row| row.close != 0 && row.kind != RefusalKind::Other) {
            let refusal = Refusal::new(row.kind, "since noon");
            let read = Refusal::from_close(row.close, &refusal.close_reason()).unwrap();
            assert_eq!(read, refusal);
            assert!(refusal.close_reason().len() <= CLOSE_REASON_BYTES);
        }
        assert_eq!(Refusal::from_close(1000, ""), None);
    }

    #[test]
    fn a_machine_that_has_not_joined_is_told_the_command_of_its_own_role() {
        let principal = |role| Principal { role, id: "pi-42".parse().unwrap() };
        let [device, service] =
            [Role::Device, Role::Service].map(|role| Refusal::not_joined(&principal(role), "", None).with_hint());
        assert!(device.contains("`devstream hub device add pi-42`") && !device.contains("service"), "{device}");
        assert!(service.contains("`devstream hub service add pi-42 --device ID`"), "{service}");
        let unnamed = Principal { role: Role::Service, id: UNNAMED_SERVICE.to_owned().try_into().unwrap() };
        let unnamed = Refusal::not_joined(&unnamed, "", None).with_hint();
        assert!(unnamed.contains("`devstream hub service add NAME --device ID`"), "{unnamed}");
        let named = Refusal::not_joined(&principal(Role::Device), "profile lab", Some("lab")).with_hint();
        assert!(named.contains("(profile lab);") && named.ends_with("with --profile lab"), "{named}");
    }

    #[test]
    fn an_error_of_the_machines_own_files_is_the_whole_message() {
        let refusal = Refusal::local("key: permissions 0644 are too open; run: chmod 600 key");
        for text in [refusal.to_string(), refusal.with_hint()] {
            assert_eq!(text, "key: permissions 0644 are too open; run: chmod 600 key");
        }
        assert_eq!(refusal.exit_code(), 1);
    }

    #[test]
    fn text_of_a_peer_cannot_control_a_terminal() {
        let evil = Refusal::new(RefusalKind::RejectedByDevice, format!("\x1b[2Jgone\r\n{}\u{202e}", "x".repeat(1000)));
        let text = evil.to_string();
        assert!(!text.contains(['\x1b', '\r', '\n', '\u{202e}']));
        assert!(evil.detail.as_str().chars().count() <= REASON_CHARS);
        for hidden in "\u{61c}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{2066}\u{feff}".chars()
        {
            assert_eq!(sanitize(hidden), char::REPLACEMENT_CHARACTER, "{:x}", u32::from(hidden));
        }
        let read: Refusal = serde_json::from_str(r#"{"kind":"rejectedByDevice","detail":"a\u001bb"}"#).unwrap();
        assert!(!read.detail.as_str().contains('\x1b'));
    }

    #[test]
    fn a_kind_from_a_newer_peer_is_still_a_refusal() {
        let read: Refusal = serde_json::from_str(r#"{"kind":"quantumFlux"}"#).unwrap();
        assert_eq!(read.kind, RefusalKind::Other);
    }

    #[test]
    fn a_long_reason_keeps_its_cause_within_a_close_frame() {
        let cause = "Too many open files (os error 24)";
        for length in 0..100 {
            let refusal = Refusal::new(RefusalKind::RejectedByDevice, format!("{}: {cause}", "ä".repeat(length)));
            let reason = refusal.close_reason();
            assert!(reason.len() <= CLOSE_REASON_BYTES, "{reason}");
            let read = Refusal::from_close(RefusalKind::RejectedByDevice.row().close, &reason).unwrap();
            assert!(read.detail.as_str().ends_with(cause), "{read}");
        }
    }
}
