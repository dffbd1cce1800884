//! Every reason to say no, once: status, close code, log word, exit code, sentence and what to do next.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::limits::{CLOSE_REASON_BYTES, REASON_CHARS};

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// Which refusal.
    pub kind: RefusalKind,
    /// Its word in logs and metrics.
    pub label: &'static str,
    /// HTTP status. A device's own no is a success, as it was with the original.
    pub status: u16,
    /// The original's error code and name, for its SDKs.
    pub azure: (u32, &'static str),
    /// WebSocket close code (RFC 6455 section 7.4.2: 4000 and up are ours).
    pub close: u16,
    /// Exit code of a command that ends because of it.
    pub exit: u8,
    /// What is said to the person.
    pub sentence: &'static str,
    /// What they can do about it.
    pub hint: &'static str,
}

macro_rules! table {
    ($($(#[$attribute:meta])* $kind:ident $label:literal $status:literal $code:literal $name:literal
       $close:literal $exit:literal $sentence:literal $hint:literal;)*) => {
        /// What kind of no.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub enum RefusalKind {
            $(#[doc = $sentence] $(#[$attribute])* $kind,)*
        }

        /// Every refusal there is, in the order of [`RefusalKind`].
        pub const TABLE: &[Row] = &[$(Row {
            kind: RefusalKind::$kind, label: $label, status: $status, azure: ($code, $name), close: $close, exit: $exit,
            sentence: $sentence, hint: $hint,
        }),*];
    };
}

// kind, word, HTTP status, original's code and name, close code, exit code, sentence, hint
table! {
    UnknownDevice "unknown-device" 404 404001 "DeviceNotFound" 4404 10
        "no such device, or you may not reach it"
        "`devstream devices` lists those you may reach; whoever runs the hub can let you reach more";
    DeviceOffline "device-offline" 404 404103 "DeviceNotOnline" 4410 11
        "the device is offline"
        "is its agent running? --connect-timeout SECONDS waits for it";
    NotPermitted "not-permitted" 403 403004 "NotPermitted" 4403 12
        "not permitted"
        "ask whoever runs the hub or the device";
    RejectedByDevice "rejected-by-device" 200 0 "" 4420 13
        "the device rejected the stream"
        "the device's log says more";
    StreamNotOffered "stream-not-offered" 404 404104 "StreamNotOffered" 4405 14
        "the device does not offer this stream name"
        "name one that it offers with --local PORT=NAME or --stream NAME";
    TargetRefused "target-refused" 200 0 "" 4421 15
        "the target port on the device refused the connection"
        "is the service running on the device?";
    TargetUnreachable "target-unreachable" 200 0 "" 4422 16
        "the target cannot be reached from the device"
        "check the host in the agent's --forward";
    TargetTimedOut "target-timed-out" 200 0 "" 4423 17
        "the target did not answer the device in time"
        "is a firewall dropping the connection on or behind the device?";
    HandshakeTimedOut "handshake-timed-out" 504 504101 "GatewayTimeout" 4408 18
        "the stream was not established in time"
        "the device is connected but does not answer; is it overloaded or suspended?";
    HubBusy "hub-busy" 429 429001 "ThrottlingException" 4429 19
        "the hub is at its limit"
        "try again shortly, or end some streams";
    Draining "draining" 503 503001 "ServiceUnavailable" 4503 20
        "the hub is shutting down or restarting"
        "try again shortly";
    AuthenticationFailed "authentication-failed" 401 401002 "IotHubUnauthorizedAccess" 4401 21
        "the hub does not accept this identity's key"
        "it may have been removed or joined anew elsewhere; get a new join link and run `devstream join`";
    Disabled "disabled" 403 403009 "IdentityDisabled" 4430 31
        "this identity is disabled at the hub"
        "whoever runs the hub disabled it, and can enable it again";
    AccessEnded "access-ended" 403 403010 "AccessEnded" 4431 32
        "the time for which this service was let in is over"
        "whoever runs the hub can extend it: devstream hub service set NAME --for 8h";
    KeyReplaced "key-replaced" 401 401003 "KeyReplaced" 4432 33
        "this key was replaced by a newer one"
        "the machine that joined last has the newer key";
    StreamKilled "stream-killed" 403 403011 "StreamKilled" 4433 34
        "whoever runs the hub ended this stream"
        "ask them why before you connect again";
    CertificateNotTrusted "certificate-not-trusted" 0 0 "" 0 22
        "the hub's certificate is not trusted"
        "is this the hub you joined, or does a proxy on the way inspect TLS? if the hub was set up anew, get a new join link";
    ClockOrInspection "clock-or-inspection" 0 0 "" 0 23
        "the hub's certificate is not valid at this time"
        "check this machine's clock, and whether a proxy inspects TLS";
    TlsInspected "tls-inspected" 0 0 "" 0 36
        "a proxy on the way inspects TLS, so the hub cannot know who is calling"
        "ask whoever runs the network to except the hub's name, or allow it on the hub and here with --allow-tls-inspection";
    IncompatibleVersion "incompatible-version" 426 400027 "ProtocolVersion" 4426 24
        "the two ends speak different versions"
        "update the older one";
    HubUnreachable "hub-unreachable" 0 0 "" 0 25
        "the hub cannot be reached"
        "check the address, the network and any firewall";
    NotJoined "not-joined" 0 0 "" 0 30
        "this machine has not joined a hub, and no hub of yours runs on it"
        "paste the line that `devstream hub device add ID` or `devstream hub service add NAME --device ID` prints, or start one with `devstream hub`";
    Displaced "displaced" 409 409002 "LinkCreationConflict" 4409 26
        "another agent with the same id took over"
        "two machines use one id: give each its own";
    PeerGone "peer-gone" 0 0 "" 1011 27
        "WS disconnected"
        "the other side's connection to the hub broke; connect again";
    BadRequest "bad-request" 400 400004 "ArgumentInvalid" 4400 28
        "the hub does not understand the request"
        "are both ends of the same version?";
    HubFailed "hub-failed" 500 500001 "ServerError" 4500 29
        "the hub failed to do this"
        "the hub's log says why";
    AuditFailed "audit-failed" 503 503002 "ServiceUnavailable" 4504 35
        "the hub cannot write its activity log, without which it lets no stream through"
        "its disk may be full; the hub's own messages say more";
    Interrupted "interrupted" 503 503003 "ServiceUnavailable" 4440 37
        "the stream is interrupted"
        "both ends come back to it by themselves";
    NotResumed "not-resumed" 410 410001 "Gone" 4441 38
        "the stream was interrupted and could not be resumed"
        "connect again; whoever runs the hub can allow longer interruptions: devstream hub --resume-grace 1h";
    #[serde(rename = "openingBroke")]
    LostWhileOpening "opening-broke" 503 503003 "ServiceUnavailable" 4442 39
        "a connection broke while the stream was being opened"
        "connect again";
    #[serde(rename = "streamOver")]
    AlreadyEnded "stream-over" 410 410002 "Gone" 4443 41
        "the stream has come to its end"
        "there is nothing to go on with; connect again for another";
    #[serde(rename = "endedHere")]
    LocalShutdown "ended-here" 0 0 "" 0 40
        "this program was told to end, and the stream with it"
        "start it again if that was not meant";
    #[serde(other)]
    Other "refused" 500 500001 "ServerError" 4500 1
        "refused"
        "the hub may be newer than this program";
}

impl RefusalKind {
    /// The refusal's row.
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }
}

/// A refusal with its particulars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which row.
    pub kind: RefusalKind,
    /// What is known beyond the row: since when, which names, which error.
    #[serde(default, skip_serializing_if = "Detail::is_empty")]
    pub detail: Detail,
}

impl Refusal {
    /// A refusal with particulars.
    pub fn new(kind: RefusalKind, detail: impl AsRef<str>) -> Self {
        Self { kind, detail: Detail::new(detail.as_ref()) }
    }

    /// The text for a WebSocket close frame, cut to what fits: of long particulars the end is kept, where the cause stands.
    pub fn close_reason(&self) -> String {
        let over = self.message().len().saturating_sub(CLOSE_REASON_BYTES);
        if over == 0 {
            return self.message();
        }
        let (sentence, detail) = (self.kind.row().sentence, self.detail.as_str());
        let rest = detail.char_indices().map(|(at, _)| at).find(|at| *at >= over + ELLIPSIS.len());
        format!("{sentence} ({ELLIPSIS}{})", rest.map_or("", |at| &detail[at..]))
    }

    /// The sentence with its particulars, without the hint.
    pub fn message(&self) -> String {
        let sentence = self.kind.row().sentence;
        if self.detail.is_empty() { sentence.into() } else { format!("{sentence} ({})", self.detail.0) }
    }

    /// The refusal that a close code stands for, if it is one of the table's.
    pub fn from_close(code: u16, reason: &str) -> Option<Self> {
        let row = TABLE.iter().find(|row| row.close == code && code != 0)?;
        let particulars = reason.strip_prefix(row.sentence).unwrap_or(reason).trim();
        let particulars =
            particulars.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).unwrap_or(particulars);
        Some(Self::new(row.kind, particulars))
    }
}

/// In place of what was cut.
const ELLIPSIS: &str = "…";

impl From<RefusalKind> for Refusal {
    fn from(kind: RefusalKind) -> Self {
        Self { kind, detail: Detail::default() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message(), self.kind.row().hint)
    }
}

impl std::error::Error for Refusal {}

/// Words that may come from a peer: at most [`REASON_CHARS`] characters, none of which a terminal would act on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Detail(String);

impl Detail {
    fn new(text: &str) -> Self {
        Self(text.chars().take(REASON_CHARS).map(sanitize).collect())
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<&str> for Detail {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Detail {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<Detail> for String {
    fn from(detail: Detail) -> Self {
        detail.0
    }
}

/// The same character, unless a terminal would act on it.
pub fn sanitize(c: char) -> char {
    if c.is_control() || is_bidirectional(c) { char::REPLACEMENT_CHARACTER } else { c }
}

/// Unicode's direction overrides, which could make one line read as another.
fn is_bidirectional(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn words_and_exit_codes_are_each_used_once() {
        let labels: HashSet<_> = TABLE.iter().map(|row| row.label).collect();
        let exits: HashSet<_> = TABLE.iter().map(|row| row.exit).collect();
        assert_eq!((labels.len(), exits.len()), (TABLE.len(), TABLE.len()));
        for row in TABLE {
            assert_eq!(row.kind.row().label, row.label);
            assert!(!row.hint.is_empty() && !row.sentence.ends_with('.'));
        }
    }

    #[test]
    fn a_refusal_survives_a_close_frame() {
        for row in TABLE.iter().filter(|row| row.close != 0 && row.kind != RefusalKind::Other) {
            let refusal = Refusal::new(row.kind, "since noon");
            let read = Refusal::from_close(row.close, &refusal.close_reason()).unwrap();
            assert_eq!(read, refusal);
            assert!(refusal.close_reason().len() <= CLOSE_REASON_BYTES);
        }
        assert_eq!(Refusal::from_close(1000, ""), None);
    }

    #[test]
    fn a_peers_words_cannot_move_the_cursor() {
        let evil = Refusal::new(RefusalKind::RejectedByDevice, format!("\x1b[2Jgone\r\n{}\u{202e}", "x".repeat(1000)));
        let text = evil.to_string();
        assert!(!text.contains(['\x1b', '\r', '\n', '\u{202e}']));
        assert!(evil.detail.as_str().chars().count() <= REASON_CHARS);
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
            let heard = Refusal::from_close(RefusalKind::RejectedByDevice.row().close, &reason).unwrap();
            assert!(heard.detail.as_str().ends_with(cause), "{heard}");
        }
    }
}
