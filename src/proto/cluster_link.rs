//! The link with which one more hub joins a cluster: `devstream-cluster://HOST[:PORT]?pin=PIN&code=CODE`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::join::{HubAddress, Pin};
use super::secret::Secret;

const SCHEME: &str = "devstream-cluster://";

/// A link for one hub.
#[derive(Debug, Clone)]
pub struct ClusterLink {
    /// The hub that made it.
    pub hub: HubAddress,
    /// The pin of the cluster's certificate authority.
    pub pin: Pin,
    /// What unseals the cluster's secrets. The hub that made the link has its hash alone.
    pub code: Secret<32>,
}

/// The error for text that is no such link, with its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid link: {0}; expected the line that `devstream hub cluster invite` printed")]
pub struct InvalidClusterLink(&'static str);

impl ClusterLink {
    /// Returns the link as text, code included.
    pub fn reveal(&self) -> String {
        format!("{SCHEME}{}?pin={}&code={}", self.hub, self.pin, self.code.reveal())
    }
}

impl FromStr for ClusterLink {
    type Err = InvalidClusterLink;

    fn from_str(text: &str) -> Result<Self, InvalidClusterLink> {
        let rest = text.trim().strip_prefix(SCHEME);
        let rest = rest.ok_or(InvalidClusterLink("it does not start with devstream-cluster://"))?;
        let (hub, fields) = rest.split_once('?').ok_or(InvalidClusterLink("it ends before the code"))?;
        let field = |name: &str| fields.split('&').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        let pin =
            field("pin").and_then(|pin| pin.parse().ok()).ok_or(InvalidClusterLink("its pin is missing or wrong"))?;
        let code = field("code").and_then(|code| Secret::parse(code).ok());
        Ok(Self {
            hub: hub.parse().map_err(|_| InvalidClusterLink("invalid hub address"))?,
            pin,
            code: code.ok_or(InvalidClusterLink("its code is cut off or altered: copy the whole line"))?,
        })
    }
}

/// The request of a hub that joins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClusterJoinRequest {
    /// The hash of the link's code, in base64url.
    pub invitation: Secret<32>,
}

/// The reply to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterJoinResponse {
    /// The cluster's secrets, sealed with the link's code, in base64url.
    pub sealed: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_round_trips_and_a_broken_one_says_how() {
        let pin = Pin::from_bytes([1; 32]);
        let link = ClusterLink { hub: "h1.hub.test:8443".parse().unwrap(), pin, code: Secret::new([2; 32]) };
        let text = link.reveal();
        let parsed: ClusterLink = format!(" {text}\n").parse().unwrap();
        assert_eq!((parsed.hub, parsed.pin, parsed.code.bytes()), (link.hub.clone(), link.pin, link.code.bytes()));
        assert!(!format!("{link:?}").contains(&link.code.reveal()));
        for (broken, cause) in [
            (text[..text.len() - 1].to_owned(), "cut off"),
            (text.replace("pin=", "pun="), "pin"),
            (text.replace("devstream-cluster", "devstream"), "does not start"),
            ("devstream-cluster://h1".into(), "before the code"),
        ] {
            let error = broken.parse::<ClusterLink>().unwrap_err().to_string();
            assert!(error.contains(cause), "{error}");
        }
    }
}
