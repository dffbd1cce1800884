//! Paths, headers and subprotocols of the hub's HTTP surface, built and parsed in one place.

use std::fmt;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::forward::parse_host;
use super::id::{DeviceId, Role, StreamId, StreamName};

/// Subprotocol of a device's control connection.
pub const CONTROL_PROTOCOL: &str = "devstream.control.v1";
/// A service names the [`super::stream::StreamProtocol`]s it speaks in this request header; the answer's header says which
/// one was agreed.
pub const STREAM_PROTOCOL_HEADER: &str = "devstream-stream-protocol";
/// How long to wait for an offline device to come online, in seconds.
pub const CONNECT_TIMEOUT_HEADER: &str = "iothub-streaming-connect-timeout-in-seconds";
/// How long to wait for an online device's answer, in seconds.
pub const RESPONSE_TIMEOUT_HEADER: &str = "iothub-streaming-response-timeout-in-seconds";
/// A service may choose the stream's id, so that a request repeated over another connection is known for the same.
pub const STREAM_ID_HEADER: &str = "devstream-stream-id";
/// `True` or `False`, capitalised as the original's clients compare it.
pub const ACCEPTED_HEADER: &str = "iothub-streaming-is-accepted";
/// Where to bring the stream's WebSocket.
pub const STREAM_URL_HEADER: &str = "iothub-streaming-url";
/// What lets it in.
pub const STREAM_TOKEN_HEADER: &str = "iothub-streaming-auth-token";
/// The name of an error, for the original's clients.
pub const ERROR_HEADER: &str = "iothub-errorcode";

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// A device brings its control connection.
    Control(DeviceId),
    /// A service asks for a stream; without a name, for the device's first.
    Open(DeviceId, Option<StreamName>),
    /// One side brings its WebSocket.
    Bridge(Bridge),
    /// One end brings a connection that stands by for streams.
    Standby,
    /// A service asks which devices it may reach.
    Devices,
    /// A machine joins with a one-time code.
    Join,
    /// Is the process alive?
    Health,
    /// Does the hub take new streams?
    Ready,
}

impl Route {
    /// The route of a request, if there is one. The query is ignored: the original's clients send `api-version`.
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
            ("GET", ["healthz"]) => Some(Self::Health),
            ("GET", ["readyz"]) => Some(Self::Ready),
            _ => None,
        }
    }

    /// The method of a request for it.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Open(..) | Self::Join => "POST",
            Self::Control(_) | Self::Bridge(_) | Self::Standby | Self::Devices | Self::Health | Self::Ready => "GET",
        }
    }
}

/// As a path. Every part is of characters that need no escaping.
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
            Self::Health => f.write_str("/healthz"),
            Self::Ready => f.write_str("/readyz"),
        }
    }
}

/// One side's place at the streaming endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// The hub's name; it only makes the URL readable.
    pub hub: String,
    /// The device the stream goes to.
    pub device: DeviceId,
    /// Which stream.
    pub stream: StreamId,
    /// Which of its sides.
    pub role: Role,
}

/// A timeout header's value: decimal seconds, fractions allowed; more than `limit` is `limit`. Anything else is `None`.
pub fn parse_timeout(text: &str, limit: Duration) -> Option<Duration> {
    let number: f64 = text.trim().parse().ok()?;
    let duration = Duration::try_from_secs_f64(number).ok()?;
    Some(duration.min(limit))
}

/// Whether a list header such as `Sec-WebSocket-Protocol` names this one.
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
        for route in [
            Route::Control(device.clone()),
            Route::Open(device.clone(), None),
            Route::Open(device, Some("ssh".parse().unwrap())),
            Route::Bridge(bridge),
            Route::Standby,
            Route::Devices,
            Route::Join,
            Route::Health,
            Route::Ready,
        ] {
            assert_eq!(Route::parse(route.method(), &route.to_string()), Some(route));
        }
    }

    #[test]
    fn the_originals_spellings_are_understood() {
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
