//! Paths, headers and subprotocols of the hub's HTTP interface, formatted and parsed in one place.

use std::fmt;
use std::str::FromStr as _;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::forward::parse_host;
use super::id::{DeviceId, Principal, PrincipalId, Role, StreamId, StreamName};

/// Subprotocol of a device's control connection.
pub const CONTROL_PROTOCOL: &str = "devstream.control.v1";
/// The header for [`super::stream::StreamProtocol`]s: those of the service in its request, the agreed one in the
/// response.
pub const STREAM_PROTOCOL_HEADER: &str = "devstream-stream-protocol";
/// The request header with the time to wait for an offline device to connect, in seconds.
pub const CONNECT_TIMEOUT_HEADER: &str = "iothub-streaming-connect-timeout-in-seconds";
/// The request header with the time to wait for the response of a connected device, in seconds.
pub const RESPONSE_TIMEOUT_HEADER: &str = "iothub-streaming-response-timeout-in-seconds";
/// The request header with a stream id chosen by the service, by which a request that is repeated on another connection
/// is recognised.
pub const STREAM_ID_HEADER: &str = "devstream-stream-id";
/// The request header of a device that was displaced, with `1`: it is refused while another connection of its id is there.
pub const IF_OFFLINE_HEADER: &str = "devstream-if-offline";
/// The response header with `True` or `False`, capitalised as Azure IoT Hub's clients compare it.
pub const ACCEPTED_HEADER: &str = "iothub-streaming-is-accepted";
/// The response header with the URL of the stream's WebSocket.
pub const STREAM_URL_HEADER: &str = "iothub-streaming-url";
/// The response header with the stream token, which that WebSocket presents.
pub const STREAM_TOKEN_HEADER: &str = "iothub-streaming-auth-token";
/// The response header with the limit of streams that the service may be opening at the same time.
pub const OPENING_LIMIT_HEADER: &str = "devstream-openings";
/// The response header of a join with the host and port to which streams connect: a separate endpoint of the hub, else the
/// hub's own.
pub const STREAMING_ENDPOINT_HEADER: &str = "devstream-streaming-endpoint";
/// The response header with the name of an error, for Azure IoT Hub's clients.
pub const ERROR_HEADER: &str = "iothub-errorcode";

/// The purpose of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// The control connection of a device.
    Control(DeviceId),
    /// A stream request of a service; without a name, for the device's first forward.
    Open(DeviceId, Option<StreamName>),
    /// The WebSocket of one leg of a stream.
    Bridge(Bridge),
    /// A standby connection.
    Standby,
    /// The list of devices that a service may reach.
    Devices,
    /// A machine that joins with a one-time code.
    Join,
    /// What the hub keeps beside the keys of an identity: proofs and certificates of a fleet.
    Certificates(Principal),
    /// A certificate of a fleet for a key of an identity.
    StoreCertificate(Principal),
    /// A hub that joins a cluster with an invitation.
    ClusterJoin,
    /// The liveness check.
    Health,
    /// The readiness check: the hub accepts new streams.
    Ready,
}

impl Route {
    /// Parses the route of a request. The query is ignored: Azure IoT Hub's clients send `api-version`.
    pub fn parse(method: &str, path: &str) -> Option<Self> {
        let path = path.split('?').next().unwrap_or(path);
        let mut segments = Vec::new();
        for segment in path.strip_prefix('/')?.split('/') {
            segments.push(percent_decode_str(segment).decode_utf8().ok()?);
        }
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        match (method, segments.as_slice()) {
            ("GET", ["devices", id, "control"]) => Some(Self::Control(id.parse().ok()?)),
            ("POST", ["twins", id, "streams"]) => Some(Self::Open(id.parse().ok()?, None)),
            ("POST", ["twins", id, "streams", name]) => Some(Self::Open(id.parse().ok()?, Some(name.parse().ok()?))),
            ("GET", ["bridges", "ih", hub, "d", device, "sid", stream, "r", role]) => Some(Self::Bridge(Bridge {
                hub: parse_host(hub).ok().filter(|hub| !hub.contains("..")).map(str::to_owned)?,
                device: device.parse().ok()?,
                stream: stream.parse().ok()?,
                role: role.parse().ok()?,
            })),
            ("GET", ["standby"]) => Some(Self::Standby),
            ("GET", ["devices"]) => Some(Self::Devices),
            ("POST", ["join"]) => Some(Self::Join),
            ("POST", ["cluster", "join"]) => Some(Self::ClusterJoin),
            ("GET", [owners, id, "certificate"]) => owner(owners, id).map(Self::Certificates),
            ("PUT", [owners, id, "certificate"]) => owner(owners, id).map(Self::StoreCertificate),
            ("GET", ["healthz"]) => Some(Self::Health),
            ("GET", ["readyz"]) => Some(Self::Ready),
            _ => None,
        }
    }

    /// Returns the method of a request for this route.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Open(..) | Self::Join | Self::ClusterJoin => "POST",
            Self::StoreCertificate(_) => "PUT",
            Self::Control(_)
            | Self::Bridge(_)
            | Self::Standby
            | Self::Devices
            | Self::Certificates(_)
            | Self::Health
            | Self::Ready => "GET",
        }
    }
}

/// Formats the path. No part needs escaping.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control(device) => write!(f, "/devices/{device}/control"),
            Self::Open(device, None) => write!(f, "/twins/{device}/streams"),
            Self::Open(device, Some(stream)) => write!(f, "/twins/{device}/streams/{stream}"),
            Self::Bridge(Bridge { hub, device, stream, role }) => {
                write!(f, "/bridges/ih/{hub}/d/{device}/sid/{stream}/r/{role}")
            }
            Self::Standby => f.write_str("/standby"),
            Self::Devices => f.write_str("/devices"),
            Self::Join => f.write_str("/join"),
            Self::ClusterJoin => f.write_str("/cluster/join"),
            Self::Certificates(Principal { role, id }) | Self::StoreCertificate(Principal { role, id }) => {
                write!(f, "/{role}s/{id}/certificate")
            }
            Self::Health => f.write_str("/healthz"),
            Self::Ready => f.write_str("/readyz"),
        }
    }
}

/// The identity of a path: `devices` or `services`, and an id.
fn owner(owners: &str, id: &str) -> Option<Principal> {
    let role = match owners {
        "devices" => Role::Device,
        "services" => Role::Service,
        _ => return None,
    };
    Some(Principal { role, id: PrincipalId::from_str(id).ok()? })
}

/// The streaming endpoint of one leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// The hub's name, which only makes the URL readable.
    pub hub: String,
    /// The device of the stream.
    pub device: DeviceId,
    /// The stream.
    pub stream: StreamId,
    /// The role of the leg.
    pub role: Role,
}

/// Parses a timeout header: decimal seconds, fractions allowed, capped at `limit`.
pub fn parse_timeout(text: &str, limit: Duration) -> Option<Duration> {
    let number: f64 = text.trim().parse().ok()?;
    let duration = Duration::try_from_secs_f64(number).ok()?;
    Some(duration.min(limit))
}

/// Reports whether a list header such as `Sec-WebSocket-Protocol` contains this item.
pub fn list_contains(header: &str, wanted: &str) -> bool {
    header.split(',').any(|item| item.trim() == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_round_trip() {
        let bridge = Bridge {
            hub: "hub.example.com".into(),
            device: "pi-42".parse().unwrap(),
            stream: StreamId::from_bytes([1; 16]),
            role: Role::Service,
        };
        let device: DeviceId = "pi-42".parse().unwrap();
        let owner = Principal { role: Role::Device, id: device.clone().into() };
        for route in [
            Route::Control(device.clone()),
            Route::Open(device.clone(), None),
            Route::Open(device, Some("ssh".parse().unwrap())),
            Route::Bridge(bridge),
            Route::Standby,
            Route::Devices,
            Route::Join,
            Route::ClusterJoin,
            Route::Certificates(owner.clone()),
            Route::StoreCertificate(Principal { role: Role::Service, ..owner }),
            Route::Health,
            Route::Ready,
        ] {
            assert_eq!(Route::parse(route.method(), &route.to_string()), Some(route));
        }
    }

    #[test]
    fn azure_iot_hubs_spellings_are_accepted() {
        let open = Some(Route::Open("pi-42".parse().unwrap(), Some("TestStream".parse().unwrap())));
        for path in ["/twins/pi-42/streams/TestStream?api-version=2020-09-30", "/twins/pi%2D42/streams/TestStream"] {
            assert_eq!(Route::parse("POST", path), open);
        }
        assert_eq!(Route::parse("GET", "/twins/pi-42/streams/TestStream"), None);
        assert_eq!(Route::parse("POST", "/twins/pi%2F42/streams/TestStream"), None);
    }

    #[test]
    fn timeouts_are_decimal_seconds_within_the_limit() {
        let limit = Duration::from_secs(60);
        assert_eq!(parse_timeout("30", limit), Some(Duration::from_secs(30)));
        assert_eq!(parse_timeout(" 0.5 ", limit), Some(Duration::from_millis(500)));
        assert_eq!(parse_timeout("1e9", limit), Some(limit));
        for bad in ["", "-1", "nan", "inf", "1s", "1e999"] {
            assert_eq!(parse_timeout(bad, limit), None, "{bad}");
        }
    }
}
