//! The join link, which a person pastes once per machine, and the request that redeems its code.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::forward::{HostPort, InvalidForward, parse_host, parse_host_port};
use super::id::{PrincipalId, Role};
use super::invitation::{FRAGMENT, InvalidInvitation, Invitation};
use super::key::PublicKey;
use super::secret::JoinCode;

/// The hub's default port: HTTPS, which firewalls let out.
pub const DEFAULT_PORT: u16 = 443;

/// The address of a hub: `HOST[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HubAddress {
    /// Host name or address, IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl FromStr for HubAddress {
    type Err = InvalidForward;

    fn from_str(text: &str) -> Result<Self, InvalidForward> {
        Self::parse(text, DEFAULT_PORT)
    }
}

impl HubAddress {
    /// Parses an address, with `default_port` where the text has none.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, InvalidForward> {
        if let Some((_, rest)) = text.split_once("://") {
            let meant = rest.split('/').next().unwrap_or_default();
            let is_meant = Self::parse(meant, default_port).is_ok();
            let error = InvalidForward::Url;
            let swapped = || InvalidForward::Swapped { error: Box::new(error.clone()), meant: meant.to_owned() };
            return Err(if is_meant { swapped() } else { error });
        }
        let has_port = text.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        if !has_port {
            return Ok(Self { host: parse_host(text)?.into(), port: default_port });
        }
        match parse_host_port(text)? {
            (Some(host), port @ 1..) => Ok(Self { host: host.into(), port }),
            _ => Err(InvalidForward::Port(text.into())),
        }
    }
}

/// Formats it as in a URL or a `Host` header: without the port if that is the default.
impl fmt::Display for HubAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let full = HostPort(&self.host, self.port).to_string();
        let default_port = format!(":{DEFAULT_PORT}");
        f.write_str(full.strip_suffix(&default_port).unwrap_or(&full))
    }
}

impl TryFrom<String> for HubAddress {
    type Error = InvalidForward;
    fn try_from(text: String) -> Result<Self, InvalidForward> {
        text.parse()
    }
}

impl From<HubAddress> for String {
    fn from(address: HubAddress) -> Self {
        address.to_string()
    }
}

/// SHA-256 of the public key (SubjectPublicKeyInfo, RFC 7469 section 2.4) of the hub's certificate authority.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pin([u8; 32]);

const PIN_PREFIX: &str = "sha256:";

impl Pin {
    /// Creates a pin from the hash.
    pub fn from_bytes(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

/// The error for text other than `sha256:` and 32 bytes of unpadded base64url; truncated pins are rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid pin; expected sha256:…")]
pub struct InvalidPin;

impl FromStr for Pin {
    type Err = InvalidPin;
    fn from_str(text: &str) -> Result<Self, InvalidPin> {
        let encoded = text.strip_prefix(PIN_PREFIX).ok_or(InvalidPin)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| InvalidPin)?;
        bytes.as_slice().try_into().map(Self).map_err(|_| InvalidPin)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PIN_PREFIX}{}", URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Pin {
    type Error = InvalidPin;
    fn try_from(text: String) -> Result<Self, InvalidPin> {
        text.parse()
    }
}

impl From<Pin> for String {
    fn from(pin: Pin) -> Self {
        pin.to_string()
    }
}

/// `devstream://HOST[:PORT]/ID?role=ROLE&pin=PIN&code=CODE`. A link without an ID is an enrolment key, and each machine
/// chooses its own id.
#[derive(Debug, Clone)]
pub struct JoinLink {
    /// Address of the hub.
    pub hub: HubAddress,
    /// Role of the machine.
    pub role: Role,
    /// Id of the machine; none for an enrolment key.
    pub id: Option<PrincipalId>,
    /// Pin of the hub's certificate authority; without one, the public certificate authorities are trusted.
    pub pin: Option<Pin>,
    /// The code that joining redeems.
    pub code: JoinCode,
}

const SCHEME: &str = "devstream://";

/// The error for text that is not a join link, with its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid join link: {0}; expected 'devstream://HOST/ID?role=…&pin=…&code=…'")]
pub struct InvalidLink(&'static str);

impl FromStr for JoinLink {
    type Err = InvalidLink;

    fn from_str(text: &str) -> Result<Self, InvalidLink> {
        if text.contains(FRAGMENT) {
            return Err(InvalidLink(
                "it has an invitation to a fleet after its #, which is for the machine that joins",
            ));
        }
        let rest = text.trim().strip_prefix(SCHEME).ok_or(InvalidLink("it does not start with devstream://"))?;
        let (target, query) = rest.split_once('?').ok_or(InvalidLink("it ends before the code"))?;
        let (authority, id) = target.split_once('/').ok_or(InvalidLink("the id is missing"))?;
        let (mut role, mut pin, mut code) = (Role::Device, None, None);
        for field in query.split('&') {
            let (name, value) = field.split_once('=').ok_or(InvalidLink("a field has no value"))?;
            let value = percent_decode_str(value).decode_utf8().map_err(|_| InvalidLink("a field is not UTF-8"))?;
            match name {
                "role" => role = value.parse().map_err(|_| InvalidLink("unknown role"))?,
                "pin" => pin = Some(value.parse().map_err(|_| InvalidLink("invalid pin"))?),
                "code" => {
                    code = Some(
                        JoinCode::parse(&value)
                            .map_err(|_| InvalidLink("its code is cut off or altered: copy the whole line"))?,
                    )
                }
                _ => return Err(InvalidLink("unknown field, which may need a newer version")),
            }
        }
        Ok(Self {
            hub: authority.parse().map_err(|_| InvalidLink("invalid hub address"))?,
            role,
            id: match id {
                "" => None,
                id => Some(id.to_owned().try_into().map_err(|_| InvalidLink("invalid id"))?),
            },
            pin,
            code: code.ok_or(InvalidLink(match query.contains('&') {
                true => "the code is missing",
                false => "the shell cut it at the first &, so keep the quotes around it",
            }))?,
        })
    }
}

/// The error for text that is not a join link, with or without an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInvitedLink {
    /// The link is none.
    #[error(transparent)]
    Link(#[from] InvalidLink),
    /// What follows its `#` is no invitation.
    #[error(transparent)]
    Invitation(#[from] InvalidInvitation),
}

impl JoinLink {
    /// Parses a link that may have an invitation to a fleet after its `#`.
    pub fn parse_invited(text: &str) -> Result<(Self, Option<Invitation>), InvalidInvitedLink> {
        let Some((link, invitation)) = text.trim().split_once(FRAGMENT) else { return Ok((text.parse()?, None)) };
        Ok((link.parse()?, Some(invitation.parse()?)))
    }

    /// Formats the whole link, code included, for the person who requested it.
    pub fn reveal(&self) -> String {
        let Self { hub, role, id, pin, code } = self;
        let id = id.as_ref().map_or("", PrincipalId::as_str);
        let pin = pin.map(|pin| format!("pin={pin}&")).unwrap_or_default();
        format!("{SCHEME}{hub}/{id}?role={role}&{pin}code={}", code.reveal())
    }
}

/// The body of `POST /join`. The request is signed with the new key, which proves possession of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The code of the link.
    pub code: JoinCode,
    /// Public half of the key generated on the joining machine.
    pub key: PublicKey,
    /// What proves to the maker of an invitation that this is the key of the machine where its link was pasted. The hub keeps it,
    /// and does not read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::fleet::FleetKeys;
    use crate::proto::secret::Secret;

    fn link() -> JoinLink {
        JoinLink {
            hub: "hub.example.com:8443".parse().unwrap(),
            role: Role::Service,
            id: Some("alice".to_owned().try_into().unwrap()),
            pin: Some(Pin::from_bytes([8; 32])),
            code: JoinCode::new([9; 16]),
        }
    }

    #[test]
    fn a_link_round_trips() {
        let text = format!("  {}\n", link().reveal());
        let read: JoinLink = text.parse().unwrap();
        assert_eq!(read.hub, link().hub);
        assert_eq!((read.role, read.id.clone()), (link().role, link().id));
        assert_eq!(read.pin, link().pin);
        assert!(read.code.hash() == link().code.hash());
        assert!(!format!("{read:?}").contains(&link().code.reveal()));
    }

    #[test]
    fn a_link_without_an_id_is_an_enrolment_key() {
        let link = JoinLink { role: Role::Device, id: None, ..link() };
        assert!(link.reveal().starts_with("devstream://hub.example.com:8443/?role=device&"));
        assert_eq!(link.reveal().parse::<JoinLink>().unwrap().id, None);
    }

    #[test]
    fn an_invitation_follows_the_link_and_is_no_part_of_it() {
        let key = PublicKey::from_bytes([7; 32]);
        let invitation = Invitation { keys: FleetKeys::new(key, key), secret: Secret::new([3; 32]) };
        let text = format!("{}#{}", link().reveal(), invitation.reveal());
        let (read, invited) = JoinLink::parse_invited(&format!(" {text}\n")).unwrap();
        assert_eq!((read.reveal(), invited.unwrap().reveal()), (link().reveal(), invitation.reveal()));
        let (read, none) = JoinLink::parse_invited(&link().reveal()).unwrap();
        assert!(read.reveal() == link().reveal() && none.is_none());
        let alone = text.parse::<JoinLink>().unwrap_err().to_string();
        assert!(alone.contains("after its #") && !alone.contains(&invitation.secret.reveal()), "{alone}");
        for damaged in [&text[..text.len() - 1], &format!("{text}#"), &format!("{}#", link().reveal())] {
            assert!(matches!(JoinLink::parse_invited(damaged), Err(InvalidInvitedLink::Invitation(_))), "{damaged}");
        }
    }

    #[test]
    fn the_error_for_a_damaged_link_never_contains_the_code() {
        let good = link().reveal();
        for cut in 0..good.len() {
            if let Err(error) = good[..cut].parse::<JoinLink>() {
                assert!(!error.to_string().contains(&link().code.reveal()[..4]));
            }
        }
        let cut = good.split('&').next().unwrap().parse::<JoinLink>().unwrap_err().to_string();
        assert!(cut.contains("keep the quotes"), "{cut}");
        assert!(good.replace("devstream:", "https:").parse::<JoinLink>().is_err());
        assert!(good.replace("sha256:C", "sha256:").parse::<JoinLink>().is_err());
        assert!(good[..good.len() - 1].parse::<JoinLink>().is_err());
    }

    #[test]
    fn addresses_omit_port_443_only() {
        for (text, shown) in [
            ("hub.example.com", "hub.example.com"),
            ("hub.example.com:443", "hub.example.com"),
            ("hub.example.com:8443", "hub.example.com:8443"),
            ("[::1]:8443", "[::1]:8443"),
            ("[::1]", "[::1]"),
            ("10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(text.parse::<HubAddress>().unwrap().to_string(), shown);
        }
        for (url, meant) in [("http://foo", Some("foo")), ("https://foo:8443/x", Some("foo:8443")), ("http://", None)] {
            let said = url.parse::<HubAddress>().unwrap_err().to_string();
            assert!(said.starts_with("a hub is given as HOST[:PORT], not as a URL"), "{said}");
            assert_eq!(
                said.split_once("; did you mean ").map(|(_, meant)| meant.trim_end_matches('?')),
                meant,
                "{said}"
            );
        }
        for bad in ["", ":443", "a b", "hub:", "hub:0", "hub:x", "::1", "https://hub"] {
            assert!(bad.parse::<HubAddress>().is_err(), "{bad}");
        }
    }
}
