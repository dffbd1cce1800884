//! What a service may reach: devices x stream names x an end x a number of streams. Nothing, unless it says so.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::{DeviceId, StreamName};
use super::timestamp::Timestamp;

/// A pattern for ids and stream names: `*` stands for any characters, `?` for one, anything else for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glob(String);

/// As long as the longest id, so that every id can be named.
const MAX_GLOB_CHARS: usize = 128;

/// Patterns in one scope; each is tried for each request.
const MAX_GLOBS: usize = 256;

/// Why a pattern was not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pattern is 1 to {MAX_GLOB_CHARS} of the characters A-Z a-z 0-9 . _ - and * ?")]
pub struct InvalidGlob;

impl Glob {
    /// The pattern that everything matches.
    pub fn everything() -> Self {
        Self("*".into())
    }

    /// Whether a text matches, in time bounded by the product of the lengths.
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

/// What a service may reach. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scope {
    /// Devices, by id.
    #[serde(default)]
    pub devices: Vec<Glob>,
    /// Stream names on them.
    #[serde(default)]
    pub streams: Vec<Glob>,
    /// From then on, nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Streams at once; beyond the hub's own limits if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_streams: Option<u32>,
}

impl Scope {
    /// Every device, every stream, for ever.
    pub fn everything() -> Self {
        Self { devices: vec![Glob::everything()], streams: vec![Glob::everything()], ..Self::default() }
    }

    /// Whether it takes in this device.
    pub fn covers_device(&self, device: &DeviceId) -> bool {
        self.devices.iter().any(|glob| glob.matches(device.as_str()))
    }

    /// Whether it takes in this stream name.
    pub fn covers_stream(&self, stream: &StreamName) -> bool {
        self.streams.iter().any(|glob| glob.matches(stream.as_str()))
    }

    /// Whether its time is over.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    /// Whether it is of a size that can be looked through for each request.
    pub fn within_limits(&self) -> bool {
        self.devices.len() <= MAX_GLOBS && self.streams.len() <= MAX_GLOBS
    }
}

/// A change of a scope; what is not named stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScopeChange {
    /// Other devices.
    #[serde(default)]
    pub devices: Option<Vec<Glob>>,
    /// Other stream names.
    #[serde(default)]
    pub streams: Option<Vec<Glob>>,
    /// Another end, or none.
    #[serde(default)]
    pub until: Option<Limit<Timestamp>>,
    /// Another number of streams, or any.
    #[serde(default)]
    pub max_streams: Option<Limit<u32>>,
}

/// A limit, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Limit<T> {
    /// Up to here.
    #[serde(rename = "to")]
    At(T),
    /// As much as there is.
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
    /// Changes a scope.
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

    /// By the definition, without a thought for time.
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
        fn a_glob_and_its_plain_definition_agree_on_every_id(glob in "[ab.*?*-]{1,12}", id in "[ab.-]{1,12}") {
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
    fn a_pattern_that_would_take_for_ever_does_not() {
        let glob: Glob = "*a".repeat(60).parse().unwrap();
        assert!(!glob.matches(&"a".repeat(127).replace('a', "ab")));
    }

    #[test]
    fn what_is_no_id_is_no_pattern() {
        for bad in ["", "a b", "pi/*", "ü*", &"x".repeat(129)] {
            assert!(bad.parse::<Glob>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_scope_covers_nothing_unless_it_says_so() {
        let (device, ssh): (DeviceId, StreamName) = ("pi-42".parse().unwrap(), "ssh".parse().unwrap());
        assert!(!Scope::default().covers_device(&device) && !Scope::default().covers_stream(&ssh));
        assert!(Scope::everything().covers_device(&device) && Scope::everything().covers_stream(&ssh));
    }

    #[test]
    fn a_change_leaves_alone_what_it_does_not_name() {
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
