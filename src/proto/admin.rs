//! What is said on the hub's private admin socket: one JSON line asks, one answers.

use serde::{Deserialize, Serialize};

use super::id::{Principal, Role, StreamName};
use super::join::{HubAddress, Pin};
use super::key::PublicKey;

/// Asked by the hub's own user.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum AdminRequest {
    /// What is this hub?
    Show,
    /// Make an identity, or a new join code for one that has not joined.
    Add {
        /// Which.
        principal: Principal,
        /// What a service may reach.
        #[serde(default)]
        scope: Scope,
    },
    /// Every identity of one kind.
    List {
        /// Which kind.
        role: Role,
    },
    /// One identity.
    ShowIdentity {
        /// Which.
        principal: Principal,
    },
    /// Forget an identity; its connections end.
    Remove {
        /// Which.
        principal: Principal,
    },
    /// A role run by the hub's own user enrols itself.
    Enrol {
        /// As whom.
        principal: Principal,
        /// With which key.
        key: PublicKey,
    },
}

/// The hub's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum AdminAnswer {
    /// To [`AdminRequest::Show`] and [`AdminRequest::Enrol`].
    Hub(HubInfo),
    /// To [`AdminRequest::Add`].
    Added {
        /// The join link, code included.
        link: String,
        /// How long its code holds.
        seconds: u64,
    },
    /// To [`AdminRequest::List`] and [`AdminRequest::ShowIdentity`].
    Identities {
        /// In order of their ids.
        identities: Vec<Identity>,
    },
    /// It is done.
    Done,
    /// It is not done.
    Failed {
        /// Why, and what to do.
        reason: String,
    },
}

/// A hub as its user sees it; `az iot hub devicestream show` gave the `streamingEndpoints`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HubInfo {
    /// What other machines call it.
    pub hostname: String,
    /// Where streams go.
    pub streaming_endpoints: Vec<String>,
    /// Of its certificate authority.
    pub pin: Pin,
    /// Where it listens, as reached from this machine.
    pub local: HubAddress,
    /// Its version.
    pub version: String,
}

/// An identity as `list` and `show` give it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Which.
    #[serde(flatten)]
    pub principal: Principal,
    /// Whether it has a key.
    pub joined: bool,
    /// Fingerprints of its keys.
    pub keys: Vec<String>,
    /// When it was added, RFC 3339.
    pub created: String,
    /// When it was last connected, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<String>,
    /// A device's presence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub online: Option<Presence>,
    /// A service's scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
}

/// A connected device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    /// RFC 3339.
    pub since: String,
    /// Where it connected from.
    pub address: String,
    /// Its agent's version.
    pub version: String,
    /// What it offers.
    pub forwards: Vec<StreamName>,
}

/// What a service may reach. An empty list means all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scope {
    /// Device id patterns: `*` for any characters, `?` for one.
    #[serde(default)]
    pub devices: Vec<String>,
    /// Stream names.
    #[serde(default)]
    pub streams: Vec<StreamName>,
}

impl Scope {
    /// Whether it takes in this device.
    pub fn covers_device(&self, device: &str) -> bool {
        self.devices.is_empty() || self.devices.iter().any(|glob| matches(glob.as_bytes(), device.as_bytes()))
    }

    /// Whether it takes in this stream name.
    pub fn covers_stream(&self, stream: &StreamName) -> bool {
        self.streams.is_empty() || self.streams.contains(stream)
    }
}

/// Glob match, in time bounded by the product of the lengths.
fn matches(glob: &[u8], text: &[u8]) -> bool {
    let (mut g, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match glob.get(g) {
            Some(b'*') => {
                star = Some((g, t));
                g += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => {
                g += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    g = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_a_shell_would() {
        for (glob, text, expected) in [
            ("*", "anything", true),
            ("pi-*", "pi-42", true),
            ("pi-*", "xpi-42", false),
            ("pi-?", "pi-42", false),
            ("pi-??", "pi-42", true),
            ("*-a-*", "plant-a-7", true),
            ("*-a-*", "plant-b-7", false),
            ("pi-42", "pi-42", true),
            ("pi-42", "pi-421", false),
            ("", "x", false),
        ] {
            assert_eq!(matches(glob.as_bytes(), text.as_bytes()), expected, "{glob} {text}");
        }
    }
}
