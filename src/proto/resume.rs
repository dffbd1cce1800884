//! Resume tokens: a ticket signed by the hub, with which an end rejoins its stream. The hub keeps no state for it.

mod places;

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

pub use self::places::{InvalidPlaces, ResumePlaces};
use super::id::{DeviceId, HubId, Principal, Role, ServiceName, StreamId, StreamName};
use super::limits::{MAX_RESUME_GRACE, RESUME_TOKEN_BYTES};
use super::secret::Secret;

/// The scheme of an `Authorization` header with a resume token.
pub const SCHEME: &str = "Resume";

/// The header of a leg's upgrade response with its resume token.
pub const RESUME_TOKEN_HEADER: &str = "devstream-resume-token";

/// The header of a leg's upgrade response with the longest interruption, in seconds.
pub const RESUME_GRACE_HEADER: &str = "devstream-resume-grace";

/// The header of a leg's upgrade response with the places at which the stream may be resumed.
pub const RESUME_PLACES_HEADER: &str = "devstream-resume-places";

/// Everything that a hub must know of a stream to join its ends again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResumeTicket {
    /// The stream.
    pub stream: StreamId,
    /// The forward.
    pub name: StreamName,
    /// The device.
    pub device: DeviceId,
    /// The run of the agent that holds the device's end: a restarted agent cannot resume it.
    pub agent: u64,
    /// The number of the request that the device's end was opened for: one for an earlier request cannot resume it.
    #[serde(default)]
    pub request: u32,
    /// The service.
    pub service: ServiceName,
    /// The role of the ticket's owner.
    pub role: Role,
    /// The hub that issued it.
    #[serde(flatten)]
    pub hub: HubRun,
}

/// One start of a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubRun {
    /// The hub. A ticket of an earlier version has none, and such a version ignores it.
    #[serde(rename = "hubId", default, skip_serializing_if = "Option::is_none")]
    pub id: Option<HubId>,
    /// A random number for each start.
    #[serde(rename = "hub")]
    pub run: u64,
}

impl ResumeTicket {
    /// Returns the identity of the ticket's owner.
    pub fn principal(&self) -> Principal {
        let id = match self.role {
            Role::Device => self.device.clone().into(),
            Role::Service => self.service.clone().into(),
        };
        Principal { role: self.role, id }
    }
}

/// A signed ticket, as an end keeps it. It is useless without the key of its owner, but confidential nevertheless.
#[derive(Clone, PartialEq, Eq)]
pub struct ResumeToken(String);

impl ResumeToken {
    /// Validates the length and characters of a token from a hub.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() <= RESUME_TOKEN_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.into()))
    }

    /// Returns the text, for the header that carries it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[token]")
    }
}

/// A resume token, with the time in which and the places at which it can be used.
#[derive(Debug, Clone)]
pub struct ResumeCredential {
    /// The token to present.
    pub token: ResumeToken,
    /// The longest interruption.
    pub grace: Duration,
    /// The places to try first.
    pub places: ResumePlaces,
}

impl ResumeCredential {
    /// Parses the headers of token and grace period.
    pub fn parse(token: &str, grace: &str, places: ResumePlaces) -> Option<Self> {
        let grace = Duration::from_secs(grace.parse().ok()?).min(MAX_RESUME_GRACE);
        Some(Self { token: ResumeToken::parse(token)?, grace, places })
    }
}

/// A resume credential in a message, as in the response headers of an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResumeGrant {
    resume_token: String,
    resume_grace: u64,
    /// Base URLs. They are checked last: an error here would hide the whole grant, which is optional in its message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    resume_places: Vec<String>,
}

impl From<&ResumeCredential> for ResumeGrant {
    fn from(resume_credential: &ResumeCredential) -> Self {
        let ResumeCredential { token, grace, places } = resume_credential;
        Self {
            resume_token: token.reveal().into(),
            resume_grace: grace.as_secs(),
            resume_places: places.clone().into(),
        }
    }
}

impl ResumeGrant {
    /// Returns the credential for resuming, if there is a grant whose token and grace period are well-formed.
    pub fn credential(grant: Option<&Self>) -> Result<Option<ResumeCredential>, InvalidPlaces> {
        let Some(Self { resume_token, resume_grace, resume_places }) = grant else { return Ok(None) };
        let places = ResumePlaces::parse(resume_places.iter().map(String::as_str))?;
        Ok(ResumeCredential::parse(resume_token, &resume_grace.to_string(), places))
    }
}

/// The hub's signing key for tickets; it is kept across restarts and never shared.
pub struct ResumeKey(hmac::Key);

impl ResumeKey {
    /// Derives the key from the hub's secret.
    pub fn new(secret: &Secret<32>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.bytes()))
    }

    /// Signs a ticket.
    #[expect(clippy::expect_used, reason = "ids, names and numbers always serialise")]
    pub fn sign(&self, ticket: &ResumeTicket) -> ResumeToken {
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(ticket).expect("plain data serialises"));
        let tag = hmac::sign(&self.0, body.as_bytes());
        ResumeToken(format!("{body}.{}", URL_SAFE_NO_PAD.encode(tag)))
    }

    /// Verifies the signature, in constant time and before anything is parsed, and returns the ticket.
    pub fn verify(&self, token: &ResumeToken) -> Option<ResumeTicket> {
        let (body, tag) = token.0.split_once('.')?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        hmac::verify(&self.0, body.as_bytes(), &tag).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()
    }
}

impl fmt::Debug for ResumeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> ResumeTicket {
        ResumeTicket {
            stream: StreamId::from_bytes([7; 16]),
            name: "ssh".parse().unwrap(),
            device: "d".repeat(128).parse().unwrap(),
            agent: u64::MAX,
            request: u32::MAX,
            service: "s".repeat(128).parse().unwrap(),
            role: Role::Device,
            hub: HubRun { id: Some(HubId::from_bytes([9; 16])), run: u64::MAX },
        }
    }

    fn sign(body: &str) -> ResumeToken {
        let body = URL_SAFE_NO_PAD.encode(body);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
        let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&key, body.as_bytes()));
        ResumeToken::parse(&format!("{body}.{tag}")).unwrap()
    }

    #[test]
    fn a_ticket_round_trips_and_fits_its_header() {
        let key = ResumeKey::new(&Secret::new([1; 32]));
        let token = key.sign(&ticket());
        assert_eq!(key.verify(&ResumeToken::parse(token.reveal()).unwrap()), Some(ticket()));
    }

    #[test]
    fn versions_before_and_after_hubs_had_an_id_take_each_others_tickets() {
        let body = serde_json::to_string(&ticket()).unwrap();
        let (max, id) = (u64::MAX, "09".repeat(16));
        assert!(body.contains(&format!(r#""hubId":"{id}","hub":{max}"#)), "an earlier version reads the run: {body}");
        let earlier = body.replace(&format!(r#""hubId":"{id}","#), "");
        let expected = ResumeTicket { hub: HubRun { id: None, run: max }, ..ticket() };
        assert_eq!(ResumeKey::new(&Secret::new([1; 32])).verify(&sign(&earlier)), Some(expected));
    }

    #[test]
    fn a_forged_ticket_is_rejected() {
        let key = ResumeKey::new(&Secret::new([1; 32]));
        let token = key.sign(&ticket());
        assert_eq!(ResumeKey::new(&Secret::new([2; 32])).verify(&token), None);
        for index in 0..token.0.len() {
            let mut bytes = token.0.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            let touched = ResumeToken(String::from_utf8(bytes).unwrap());
            assert_eq!(key.verify(&touched).filter(|_| touched != token), None, "{index}");
        }
        assert_eq!(key.verify(&ResumeToken::parse("x.y").unwrap()), None);
    }

    #[test]
    fn no_debug_output_shows_a_token_or_the_key() {
        let key = ResumeKey::new(&Secret::new([1; 32]));
        let token = key.sign(&ticket());
        assert_eq!(format!("{key:?} {token:?}"), "[key] [token]");
    }
}
