//! The TLS channel binding (RFC 9266): keying material exported from one TLS session.
//!
//! A proxy that inspects TLS ends one session and starts another, so the material differs at the two ends. The hub
//! names the channel it sees in each 401, and the client compares.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::secret::sha256;

/// The label of the exported keying material, RFC 8446 section 7.5.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-devstream-auth-v1";

/// Keying material known only to the two ends of one TLS session.
pub type Exporter = [u8; 32];

/// The header of a 401 with the [`channel_id`] of the TLS session that the hub sees.
pub const CHANNEL_HEADER: &str = "devstream-channel";

const CHANNEL_LABEL: &[u8] = b"devstream-channel-v1\0";

/// Returns the public name of a TLS session: a hash, so that the keying material that is signed stays secret.
pub fn channel_id(exporter: &Exporter) -> String {
    URL_SAFE_NO_PAD.encode(sha256(&[CHANNEL_LABEL, exporter].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_have_distinct_ids_that_do_not_reveal_the_keying_material() {
        let id = channel_id(&[1; 32]);
        assert_ne!(id, channel_id(&[2; 32]));
        assert_ne!(id, URL_SAFE_NO_PAD.encode([1; 32]));
    }
}
