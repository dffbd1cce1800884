//! The places at which a stream may be resumed: hubs' streaming endpoints, in the order in which an end tries them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::proto::join::HubAddress;
use crate::proto::limits::{RESUME_PLACE_BYTES, RESUME_PLACES};
use crate::proto::refusal::{Refusal, RefusalKind};

const SCHEME: &str = "wss://";

/// An ordered list of hubs' streaming endpoints, at most [`RESUME_PLACES`]. It is alike for both ends of a stream, so that
/// they meet; where it is empty, an end returns to where it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct ResumePlaces(Box<[HubAddress]>);

/// The error for a list that no hub sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlaces {
    /// There are too many places.
    #[error("more than {RESUME_PLACES} places to resume at")]
    TooMany,
    /// A place is too long; the first is number 1.
    #[error("a place to resume at (number {0}) of more than {RESUME_PLACE_BYTES} bytes")]
    TooLong(usize),
    /// A place is no base URL; the first is number 1.
    #[error("a place to resume at (number {0}) that is not wss://HOST[:PORT]")]
    NotAUrl(usize),
}

impl From<InvalidPlaces> for Refusal {
    fn from(error: InvalidPlaces) -> Self {
        Self::new(RefusalKind::BadRequest, format!("the hub sent {error}"))
    }
}

impl ResumePlaces {
    /// Parses base URLs, `wss://HOST[:PORT]`.
    pub fn parse<'a>(urls: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidPlaces> {
        let mut places = Vec::new();
        for (number, url) in (1..).zip(urls) {
            if number > RESUME_PLACES {
                return Err(InvalidPlaces::TooMany);
            }
            if url.len() > RESUME_PLACE_BYTES {
                return Err(InvalidPlaces::TooLong(number));
            }
            let address = url.strip_prefix(SCHEME).and_then(|authority| authority.parse().ok());
            places.push(address.ok_or(InvalidPlaces::NotAUrl(number))?);
        }
        Ok(Self(places.into()))
    }

    /// Reports whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns those to try before the address that an end would use without the list, which is the last resort: the ones that
    /// the end may dial.
    pub fn before<'a>(
        &'a self,
        last: &HubAddress,
        may_dial: impl Fn(&HubAddress) -> bool,
    ) -> impl Iterator<Item = &'a HubAddress> {
        let mut allowed: Vec<_> = self.0.iter().filter(|place| may_dial(place)).collect();
        if allowed.last().is_some_and(|place| *place == last) {
            allowed.pop();
        }
        allowed.into_iter()
    }

    fn urls(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|place| format!("{SCHEME}{place}"))
    }
}

/// Parses the value of a header: base URLs, separated by commas.
impl FromStr for ResumePlaces {
    type Err = InvalidPlaces;
    fn from_str(text: &str) -> Result<Self, InvalidPlaces> {
        Self::parse(text.split(',').map(str::trim))
    }
}

/// Formats the value of a header.
impl fmt::Display for ResumePlaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.urls().collect::<Vec<_>>().join(", "))
    }
}

impl TryFrom<Vec<String>> for ResumePlaces {
    type Error = InvalidPlaces;
    fn try_from(urls: Vec<String>) -> Result<Self, InvalidPlaces> {
        Self::parse(urls.iter().map(String::as_str))
    }
}

impl From<ResumePlaces> for Vec<String> {
    fn from(places: ResumePlaces) -> Self {
        places.urls().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(places: &str, last: &str, allowed: &[&str]) -> Vec<String> {
        let (places, last): (ResumePlaces, HubAddress) = (places.parse().unwrap(), last.parse().unwrap());
        let may_dial = |place: &HubAddress| allowed.contains(&place.host.as_str());
        places.before(&last, may_dial).map(|place| place.host.clone()).collect()
    }

    #[test]
    fn a_list_round_trips_in_its_order() {
        let text = "wss://h2.test, wss://h1.test:8443, wss://[::1]:444";
        let places: ResumePlaces = text.replace(", ", ",").parse().unwrap();
        assert_eq!(places.to_string(), text);
        let json = r#"["wss://h2.test","wss://h1.test:8443","wss://[::1]:444"]"#;
        assert_eq!(serde_json::to_string(&places).unwrap(), json);
        assert_eq!(serde_json::from_str::<ResumePlaces>(json).unwrap(), places);
    }

    #[test]
    fn a_list_that_no_hub_sends_is_refused_by_name() {
        let host = "a".repeat(250);
        let longest = format!("wss://{host}:443");
        assert!(longest.len() < RESUME_PLACE_BYTES && longest.parse::<ResumePlaces>().is_ok());
        let too_long = format!("wss://{}", "a".repeat(256));
        for (text, error) in [
            (["wss://a"; 5].join(","), InvalidPlaces::TooMany),
            (format!("wss://a,{too_long}"), InvalidPlaces::TooLong(2)),
            (String::new(), InvalidPlaces::NotAUrl(1)),
            ("wss://a,".into(), InvalidPlaces::NotAUrl(2)),
            ("https://a".into(), InvalidPlaces::NotAUrl(1)),
            ("a".into(), InvalidPlaces::NotAUrl(1)),
            ("wss://a/".into(), InvalidPlaces::NotAUrl(1)),
            ("wss://a/standby".into(), InvalidPlaces::NotAUrl(1)),
            ("wss://user@a".into(), InvalidPlaces::NotAUrl(1)),
            ("wss://a:0".into(), InvalidPlaces::NotAUrl(1)),
            ("wss://a:99999".into(), InvalidPlaces::NotAUrl(1)),
            ("wss://a b".into(), InvalidPlaces::NotAUrl(1)),
        ] {
            assert_eq!(text.parse::<ResumePlaces>(), Err(error), "{text}");
        }
        let refusal = Refusal::from(InvalidPlaces::NotAUrl(2));
        assert!(
            refusal.message().contains("the hub sent a place to resume at (number 2) that is not wss://HOST[:PORT]"),
            "{refusal:?}"
        );
    }

    #[test]
    fn places_are_tried_in_order_but_for_those_that_may_not_be_dialled() {
        let all = &["h1", "h2", "hub"];
        assert_eq!(tried("wss://h2,wss://h1,wss://hub", "elsewhere", all), ["h2", "h1", "hub"]);
        assert_eq!(tried("wss://h2,wss://10.0.0.7,wss://h1", "h2", all), ["h2", "h1"], "it is not the last");
        assert_eq!(tried("wss://h2,wss://hub", "hub", all), ["h2"], "the last resort is not tried twice");
        assert_eq!(tried("wss://hub,wss://10.0.0.7", "hub", all), [""; 0]);
    }
}
