//! The scope of a service: devices, stream names, an expiry and a limit of concurrent streams. Empty by default.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::{DeviceId, StreamName};
use super::timestamp::Timestamp;

/// A pattern for ids and stream names: `*` matches any characters, `?` one, any other character itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glob(String);

/// Length limit of a pattern, in characters: that of an id, so that every id can be named.
const MAX_GLOB_CHARS: usize = 128;

/// Limit of patterns in one scope: each is tried for each request.
const MAX_GLOBS: usize = 256;

/// The error for text that is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pattern must be 1 to {MAX_GLOB_CHARS} of the characters A-Z a-z 0-9 . _ - and * ?")]
pub struct InvalidGlob;

impl Glob {
    /// The pattern that matches everything.
    pub fn everything() -> Self {
        Self("*".into())
    }

    /// Matches a text, in time bounded by the product of the lengths.
    pub fn matches(&self, text: &str) -> bool {
        matches(self.0.as_bytes(), text.as_bytes())
    }
}

impl FromStr for Glob {
    type Err = InvalidGlob;
    fn from_str(text: &str) -> Result<Self, InvalidGlob> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '*' | '?');
        let fits = (1..=MAX_GLOB_CHARS).contains(&text.len()) && text.chars().all(allowed);
        if fits { Ok(Self(text.into())) } else { Err(InvalidGlob) }
    }
}

impl TryFrom<String> for Glob {
    type Error = InvalidGlob;
    fn try_from(text: String) -> Result<Self, InvalidGlob> {
        text.parse()
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> Self {
        glob.0
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The scope of a service. The default allows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scope {
    /// Device ids.
    #[serde(default)]
    pub devices: Vec<Glob>,
    /// Stream names on those devices.
    #[serde(default)]
    pub streams: Vec<Glob>,
    /// Expiry of the access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Limit of concurrent streams; the hub's own limits apply as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_streams: Option<u32>,
}

impl Scope {
    /// The scope of every device and every stream name, without expiry.
    pub fn everything() -> Self {
        Self { devices: vec![Glob::everything()], streams: vec![Glob::everything()], ..Self::default() }
    }

    /// Reports whether it has no limits in which devices and names it covers.
    pub fn covers_everything(&self) -> bool {
        [&self.devices, &self.streams].iter().all(|globs| globs.contains(&Glob::everything()))
    }

    /// Reports whether the device is in scope.
    pub fn covers_device(&self, device: &DeviceId) -> bool {
        self.devices.iter().any(|glob| glob.matches(device.as_str()))
    }

    /// Reports whether the stream name is in scope.
    pub fn covers_stream(&self, stream: &StreamName) -> bool {
        self.streams.iter().any(|glob| glob.matches(stream.as_str()))
    }

    /// Words the stream names in scope.
    pub fn streams_in_words(&self) -> String {
        if self.streams.is_empty() {
            return "none".into();
        }
        self.streams.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    /// Reports whether the access has expired.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    /// Reports whether the scope is small enough to match for each request.
    pub fn within_limits(&self) -> bool {
        self.devices.len() <= MAX_GLOBS && self.streams.len() <= MAX_GLOBS
    }
}

/// A change of a scope; absent fields stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScopeChange {
    /// New device patterns.
    #[serde(default)]
    pub devices: Option<Vec<Glob>>,
    /// New stream name patterns.
    #[serde(default)]
    pub streams: Option<Vec<Glob>>,
    /// A new expiry, or none.
    #[serde(default)]
    pub until: Option<Limit<Timestamp>>,
    /// A new limit of concurrent streams, or none.
    #[serde(default)]
    pub max_streams: Option<Limit<u32>>,
}

/// A limit, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Limit<T> {
    /// Limited to this value.
    #[serde(rename = "to")]
    At(T),
    /// No limit.
    #[serde(rename = "without")]
    Unlimited,
}

impl<T> From<Limit<T>> for Option<T> {
    fn from(limit: Limit<T>) -> Self {
        match limit {
            Limit::At(value) => Some(value),
            Limit::Unlimited => None,
        }
    }
}

impl ScopeChange {
    /// Applies the change to a scope.
    pub fn apply(self, scope: &mut Scope) {
        let Self { devices, streams, until, max_streams } = self;
        scope.devices = devices.unwrap_or_else(|| std::mem::take(&mut scope.devices));
        scope.streams = streams.unwrap_or_else(|| std::mem::take(&mut scope.streams));
        scope.until = until.map_or(scope.until, Option::from);
        scope.max_streams = max_streams.map_or(scope.max_streams, Option::from);
    }
}

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
    use proptest::prelude::*;

    use super::*;

    /// Matches by the definition, in exponential time.
    fn naive_matches(glob: &[u8], text: &[u8]) -> bool {
        match (glob.split_first(), text.split_first()) {
            (None, _) => text.is_empty(),
            (Some((b'*', rest)), _) => (0..=text.len()).any(|taken| naive_matches(rest, &text[taken..])),
            (Some((b'?', rest)), Some((_, left))) => naive_matches(rest, left),
            (Some((wanted, rest)), Some((found, left))) => wanted == found && naive_matches(rest, left),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn a_glob_and_its_naive_definition_agree_on_every_id(glob in "[ab.*?*-]{1,12}", id in "[ab.-]{1,12}") {
            let parsed: Glob = glob.parse().unwrap();
            prop_assert_eq!(parsed.matches(&id), naive_matches(glob.as_bytes(), id.as_bytes()));
        }

        #[test]
        fn every_id_is_a_glob_that_matches_itself_alone(id in "[A-Za-z0-9._-]{1,128}", other in "[A-Za-z0-9._-]{1,128}") {
            let glob: Glob = id.parse().unwrap();
            prop_assert!(glob.matches(&id));
            prop_assert_eq!(glob.matches(&other), id == other);
        }
    }

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
            ("pi-42", "PI-42", false),
        ] {
            assert_eq!(glob.parse::<Glob>().unwrap().matches(text), expected, "{glob} {text}");
        }
    }

    #[test]
    fn matching_takes_no_exponential_time() {
        let glob: Glob = "*a".repeat(60).parse().unwrap();
        assert!(!glob.matches(&"a".repeat(127).replace('a', "ab")));
    }

    #[test]
    fn text_that_no_id_matches_is_no_pattern() {
        for bad in ["", "a b", "pi/*", "ü*", &"x".repeat(129)] {
            assert!(bad.parse::<Glob>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_empty_scope_covers_nothing() {
        let (device, ssh): (DeviceId, StreamName) = ("pi-42".parse().unwrap(), "ssh".parse().unwrap());
        assert!(!Scope::default().covers_device(&device) && !Scope::default().covers_stream(&ssh));
        assert!(Scope::everything().covers_device(&device) && Scope::everything().covers_stream(&ssh));
    }

    #[test]
    fn a_change_keeps_the_fields_that_it_omits() {
        let mut scope = Scope { max_streams: Some(3), ..Scope::everything() };
        let change = ScopeChange { until: Some(Limit::At(Timestamp(7))), ..ScopeChange::default() };
        change.apply(&mut scope);
        assert_eq!(scope, Scope { until: Some(Timestamp(7)), max_streams: Some(3), ..Scope::everything() });
        let change =
            ScopeChange { max_streams: Some(Limit::Unlimited), streams: Some(Vec::new()), ..Default::default() };
        change.apply(&mut scope);
        assert_eq!((scope.max_streams, scope.streams.len(), scope.until), (None, 0, Some(Timestamp(7))));
        assert!(scope.has_expired(Timestamp(7)) && !scope.has_expired(Timestamp(6)));
    }
}
