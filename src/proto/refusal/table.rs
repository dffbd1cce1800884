//! The table of refusals: for each kind its machine word, HTTP status, close code, exit code, message and hint.

use serde::{Deserialize, Serialize};

/// A row of the table.
#[derive(Debug)]
pub struct Row {
    /// The kind of refusal.
    pub kind: RefusalKind,
    /// The machine word in logs and metrics.
    pub label: &'static str,
    /// HTTP status. A device's own refusal is a success, as with Azure IoT Hub.
    pub status: u16,
    /// Azure IoT Hub's error code and name, for its SDKs.
    pub azure: (u32, &'static str),
    /// WebSocket close code; 4000 and up are for private use, RFC 6455 section 7.4.2.
    pub close: u16,
    /// Exit code of a command that it ends.
    pub exit: u8,
    /// The message: the cause.
    pub sentence: &'static str,
    /// The advice: what to do about it.
    pub hint: &'static str,
}

macro_rules! table {
    ($($(#[$attribute:meta])* $kind:ident $label:literal $status:literal $code:literal $name:literal
       $close:literal $exit:literal $sentence:literal $hint:literal;)*) => {
        /// The kind of a refusal.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub enum RefusalKind {
            $(#[doc = $sentence] $(#[$attribute])* $kind,)*
        }

        /// The table, in the order of [`RefusalKind`].
        pub const TABLE: &[Row] = &[$(Row {
            kind: RefusalKind::$kind, label: $label, status: $status, azure: ($code, $name), close: $close, exit: $exit,
            sentence: $sentence, hint: $hint,
        }),*];
    };
}

// kind, label, HTTP status, Azure's code and name, close code, exit code, sentence, hint
table! {
    UnknownDevice "unknown-device" 404 404001 "DeviceNotFound" 4404 10
        "no such device, or access to it is not permitted"
        "`devstream devices` lists the devices you may reach; the hub's operator can grant access to more";
    DeviceOffline "device-offline" 404 404103 "DeviceNotOnline" 4410 11
        "the device is offline"
        "check that its agent is running; --connect-timeout SECONDS waits for it";
    NotPermitted "not-permitted" 403 403004 "NotPermitted" 4403 12
        "not permitted"
        "ask the operator of the hub or the device for access";
    RejectedByDevice "rejected-by-device" 200 0 "" 4420 13
        "the device rejected the stream"
        "see the device's log";
    StreamNotOffered "stream-not-offered" 404 404104 "StreamNotOffered" 4405 14
        "the device does not offer this stream name"
        "choose a name that it offers with --local PORT=NAME or --stream NAME";
    TargetRefused "target-refused" 200 0 "" 4421 15
        "the target refused the connection"
        "check that the service on the device is running and listening on this port";
    TargetUnreachable "target-unreachable" 200 0 "" 4422 16
        "the device cannot reach the target"
        "check the host in the agent's --forward";
    TargetTimedOut "target-timed-out" 200 0 "" 4423 17
        "the device's connection to the target timed out"
        "check for a firewall on or behind the device that drops the connection";
    DeviceBusy "device-busy" 200 0 "" 4424 55
        "the device has reached a limit of its own"
        "try again shortly, or close some streams; the device's operator can raise the limit";
    HandshakeTimedOut "handshake-timed-out" 504 504101 "GatewayTimeout" 4408 18
        "the stream was not established in time"
        "the device is connected but does not respond; it may be overloaded or suspended";
    HubBusy "hub-busy" 429 429001 "ThrottlingException" 4429 19
        "the hub has reached a limit"
        "try again shortly, or close some streams";
    StreamLimitReached "stream-limit-reached" 429 429002 "ThrottlingException" 4434 47
        "this service has as many streams as it may have"
        "close some of them; the hub's operator can allow more: devstream hub service set NAME --max-streams N";
    MemoryUsedUp "memory-used-up" 0 0 "" 4435 48
        "one end of the stream has no memory left for it"
        "other streams use up the --memory-budget of the agent or of the proxy; close some, or allow more";
    NotRead "not-read" 0 0 "" 4447 56
        "the stream held memory that the hub was short of"
        "have the applications at its ends read on, or use fewer streams at once; then connect again";
    HubIsolated "hub-isolated" 503 503004 "ServiceUnavailable" 4505 57
        "the device is not connected to this hub, which cannot ask the others"
        "try again shortly; where it lasts, the hubs have lost their NATS servers: devstream hub cluster status";
    Draining "draining" 503 503001 "ServiceUnavailable" 4503 20
        "the hub is shutting down or restarting"
        "try again shortly";
    AuthenticationFailed "authentication-failed" 401 401002 "IotHubUnauthorizedAccess" 4401 21
        "the hub rejected this identity's key"
        "the identity may have been removed or re-enrolled on another machine; get a new join link (on the hub: devstream hub \
         device|service add ID, or rotate ID) and run `devstream join`";
    IdTaken "id-taken" 409 409003 "DeviceAlreadyExists" 4436 49
        "this id belongs to another machine"
        "choose another one with --id; if this machine is to take that id over, its operator gives it a join link of its own: \
         devstream hub device add ID, or devstream hub device rotate ID";
    LinkSpent "link-spent" 410 410003 "Gone" 4445 52
        "this join link is no longer valid"
        "the hub's operator makes a new one: devstream hub device rotate ID, devstream hub service rotate NAME, or \
         devstream hub enroll add";
    IdNotCovered "id-not-covered" 403 403012 "NotPermitted" 4446 53
        "this enrolment key is not for this id"
        "choose an id that it is for with --id, or ask the hub's operator for another key: devstream hub enroll add";
    Disabled "disabled" 403 403009 "IdentityDisabled" 4430 31
        "this identity is disabled on the hub"
        "the hub's operator can enable it again: devstream hub device enable ID, or devstream hub service enable NAME";
    AccessEnded "access-ended" 403 403010 "AccessEnded" 4431 32
        "this service's access has expired"
        "the hub's operator can extend it: devstream hub service set NAME --for 8h";
    KeyReplaced "key-replaced" 401 401003 "KeyReplaced" 4432 33
        "this key has been replaced by a newer one"
        "the newer key is on the machine that joined last";
    StreamKilled "stream-killed" 403 403011 "StreamKilled" 4433 34
        "the hub's operator ended this stream"
        "ask the operator before you connect again";
    CertificateNotTrusted "certificate-not-trusted" 0 0 "" 0 22
        "the hub's certificate is not trusted"
        "check that this is the hub you joined, and that no proxy inspects TLS; if the hub was reinstalled, get a \
         new join link";
    WrongHubName "wrong-hub-name" 0 0 "" 0 54
        "this is your hub, but it does not know this name"
        "use a name that it has, or add this one to the hub's command, beside its other flags: --hostname NAME";
    ClockOrInspection "clock-or-inspection" 0 0 "" 0 23
        "the hub's certificate has expired or is not yet valid"
        "check this machine's clock, and whether a proxy inspects TLS";
    TlsInspected "tls-inspected" 0 0 "" 0 36
        "a proxy inspects TLS, so the hub cannot authenticate this client"
        "ask the network's operator to exempt the hub's name, or allow inspection on the hub and here with \
         --allow-tls-inspection";
    StreamingEndpointChanged "streaming-endpoint-changed" 0 0 "" 0 50
        "the hub named a streaming endpoint that it did not have when this machine joined"
        "ask the hub's operator: if the endpoint has moved, join again; if not, the hub may have been taken over";
    IncompatibleVersion "incompatible-version" 426 400027 "ProtocolVersion" 4426 24
        "the two ends have incompatible versions"
        "update the older end";
    UpgradeRemoved "upgrade-removed" 426 400028 "UpgradeRequired" 4444 51
        "a proxy in front of the hub removes Upgrade from requests, so that no WebSocket can be opened"
        "have that proxy pass WebSockets on (nginx: proxy_set_header Upgrade and Connection), or pass TLS through to the hub";
    HubUnreachable "hub-unreachable" 0 0 "" 0 25
        "the hub cannot be reached"
        "check the address, the network and any firewall; --via URL goes through a proxy; if the hub has moved: devstream \
         profiles set --hub HOST:PORT";
    ConnectionRejected "connection-rejected" 0 0 "" 0 46
        "the hub closed the connection before TLS was established"
        "it rejects an address for a while after too many connections at once or repeated failures; otherwise check that \
         the address and port are those of a hub";
    NotJoined "not-joined" 0 0 "" 0 30
        "this machine has not joined a hub, and you run no hub on it"
        "on the hub's machine run `devstream hub device add ID`, for an operator `devstream hub service add NAME --device \
         ID`, and here the command that it prints; or start a hub here with `devstream hub`";
    Displaced "displaced" 409 409002 "LinkCreationConflict" 4409 26
        "another agent with the same id has connected"
        "if it runs on another machine, give each its own id; else stop one of the two";
    PeerGone "peer-gone" 0 0 "" 1011 27
        "the other end has disconnected"
        "it has ended, or lost its connection to the hub; connect again";
    BadRequest "bad-request" 400 400004 "ArgumentInvalid" 4400 28
        "malformed request"
        "check that both ends run the same version";
    HubFailed "hub-failed" 500 500001 "ServerError" 4500 29
        "internal error in the hub"
        "see the hub's log";
    AuditFailed "audit-failed" 503 503002 "ServiceUnavailable" 4504 35
        "new streams are refused: the activity log cannot be written"
        "check the hub's disk space, and see its log";
    ChangesRefused "changes-refused" 503 503005 "ServiceUnavailable" 4506 58
        "nothing can be changed at this hub: it does not reach what the hubs share"
        "try again shortly: a join code stays good; the hub's log has the cause";
    Interrupted "interrupted" 503 503003 "ServiceUnavailable" 4440 37
        "the stream is interrupted"
        "both ends resume it automatically";
    NotResumed "not-resumed" 410 410001 "Gone" 4441 38
        "the stream was interrupted and could not be resumed"
        "connect again; the hub's operator can allow longer interruptions: devstream hub --resume-grace 1h";
    #[serde(rename = "openingBroke")]
    LostWhileOpening "opening-broke" 503 503003 "ServiceUnavailable" 4442 39
        "a connection was lost while the stream was being opened"
        "connect again";
    #[serde(rename = "streamOver")]
    AlreadyEnded "stream-over" 410 410002 "Gone" 4443 41
        "the stream has already ended"
        "connect again for a new stream";
    #[serde(rename = "endedHere")]
    LocalShutdown "ended-here" 0 0 "" 0 40
        "stream closed: this program was told to end"
        "start it again if that was not intended";
    #[serde(skip_deserializing)]
    AnotherPeerKey "another-peer-key" 0 0 "" 0 42
        "the other end shows another end-to-end key than is known"
        "ask there: devstream identity";
    #[serde(skip_deserializing)]
    NotInFleet "not-in-fleet" 0 0 "" 0 43
        "the other end's key is not signed by your fleet"
        "where the fleet key is: devstream fleet sign";
    #[serde(skip_deserializing)]
    EndToEndNotBegun "end-to-end-not-begun" 0 0 "" 0 44
        "the other end did not begin end-to-end encryption"
        "update devstream there";
    #[serde(skip_deserializing)]
    StreamAltered "stream-altered" 0 0 "" 0 45
        "the stream was altered or cut off on the way"
        "connect again; if it happens again, the hub or a proxy changes what it carries";
    #[serde(other)]
    Other "refused" 500 500001 "ServerError" 4500 1
        "refused"
        "the hub may be newer than this program; update this program";
}

impl RefusalKind {
    /// Returns the row of this kind.
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Reports whether it says why an end-to-end session failed: this end alone knows.
    pub fn is_of_session(self) -> bool {
        matches!(self, Self::AnotherPeerKey | Self::NotInFleet | Self::EndToEndNotBegun | Self::StreamAltered)
    }

    /// Reports whether the device does not reach the target.
    pub fn is_of_target(self) -> bool {
        matches!(self, Self::TargetRefused | Self::TargetUnreachable | Self::TargetTimedOut)
    }

    /// Reports whether the hub or the device has no capacity for the moment: the same request may succeed shortly.
    pub fn is_busy(self) -> bool {
        matches!(self, Self::HubBusy | Self::DeviceBusy | Self::ConnectionRejected)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn labels_and_exit_codes_are_unique() {
        let labels: HashSet<_> = TABLE.iter().map(|row| row.label).collect();
        let exits: HashSet<_> = TABLE.iter().map(|row| row.exit).collect();
        assert_eq!((labels.len(), exits.len()), (TABLE.len(), TABLE.len()));
        for row in TABLE {
            assert_eq!(row.kind.row().label, row.label);
            assert!(!row.hint.is_empty() && !row.sentence.ends_with('.'));
        }
    }
}
