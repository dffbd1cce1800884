//! PURE. The names of end-to-end encryption: what a session is bound to, and what a leaf certificate says of its owner.
//!
//! Inside each stream the service and the device speak TLS 1.3 with each other, which the hub carries. The protocol that
//! they agree on (ALPN, RFC 7301) contains the names of both and of the stream, so that a hub that brings the wrong two
//! together, or the right two for another stream, gets no session; nor does a ticket of one serve another.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::id::{DeviceId, Principal, Role, ServiceName, StreamName};
use super::secret::sha256;

/// The header by which a service announces end-to-end encryption, and by which the hub passes the device's answer on.
pub const END_TO_END_HEADER: &str = "devstream-end-to-end";

/// The value of [`END_TO_END_HEADER`].
pub const END_TO_END: &str = "v1";

/// Length of the age of a device's memory of tickets, in bytes.
pub const MEMORY_AGE_BYTES: usize = 4;

/// The unit of such an age, which is rounded down.
pub const MEMORY_AGE_UNIT: Duration = Duration::from_millis(1);

const ALPN_PREFIX: &str = "devstream-e2e-v1/";
const ALPN_LABEL: &[u8] = b"devstream-e2e-v1\0";
const URI_PREFIX: &str = "devstream:";

/// The two ends of a stream, and its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StreamBinding {
    /// The device that accepts the stream.
    pub device: DeviceId,
    /// The service that opens it.
    pub service: ServiceName,
    /// The stream's name; `None` is the device's first forward.
    pub stream: Option<StreamName>,
}

impl StreamBinding {
    /// Names a stream. The device's id is taken without regard to case, as the hub takes it: ssh writes host names in lower
    /// case.
    pub fn new(device: &DeviceId, service: ServiceName, stream: Option<StreamName>) -> Self {
        Self { device: device.lower_case(), service, stream }
    }

    /// The identity of the device.
    pub fn device_principal(&self) -> Principal {
        Principal { role: Role::Device, id: self.device.clone().into() }
    }

    /// The identity of the service.
    pub fn service_principal(&self) -> Principal {
        Principal { role: Role::Service, id: self.service.clone().into() }
    }

    /// Returns the ALPN protocol: a label, and the hash of the three names, each preceded by its length.
    pub fn alpn(&self) -> Vec<u8> {
        let names = [self.device.as_str(), self.service.as_str(), self.stream.as_ref().map_or("", StreamName::as_str)];
        let mut hashed = ALPN_LABEL.to_vec();
        for name in names {
            hashed.extend_from_slice(&(name.len() as u64).to_be_bytes());
            hashed.extend_from_slice(name.as_bytes());
        }
        [ALPN_PREFIX.as_bytes(), URL_SAFE_NO_PAD.encode(sha256(&hashed)).as_bytes()].concat()
    }
}

/// Encodes the time for which a device has remembered the tickets that it took, most significant byte first; what does not fit
/// is said as the longest time that does.
pub fn encode_memory_age(age: Duration) -> [u8; MEMORY_AGE_BYTES] {
    u32::try_from(age.as_millis()).unwrap_or(u32::MAX).to_be_bytes()
}

/// Decodes such a time.
pub fn decode_memory_age(bytes: [u8; MEMORY_AGE_BYTES]) -> Duration {
    Duration::from_millis(u32::from_be_bytes(bytes).into())
}

/// Returns the URI in the leaf of this identity, such as `devstream:device:pi-42`.
pub fn identity_uri(Principal { role, id }: &Principal) -> String {
    match role {
        Role::Device => format!("{URI_PREFIX}{role}:{}", id.as_str().to_ascii_lowercase()),
        Role::Service => format!("{URI_PREFIX}{role}:{id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_said_in_whole_milliseconds_and_never_as_more_than_it_is() {
        for (micros, bytes) in [(0, [0; 4]), (999, [0; 4]), (1_000_999, [0, 0, 3, 0xe8]), (u64::MAX, [0xff; 4])] {
            let age = Duration::from_micros(micros);
            assert_eq!(encode_memory_age(age), bytes);
            assert!(decode_memory_age(bytes) <= age);
        }
    }
}
