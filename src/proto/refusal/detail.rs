//! Text of a peer, made safe to print.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ELLIPSIS;
use crate::proto::limits::REASON_CHARS;

/// Text that may come from a peer: at most [`REASON_CHARS`] characters, without any that control a terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Detail(String);

impl Detail {
    pub(super) fn new(text: &str) -> Self {
        Self(text.chars().take(REASON_CHARS).map(sanitize).collect())
    }

    /// Returns the text in quotation marks of its own, which it does not leave, after these words.
    pub(super) fn quoted(&self, words: &str) -> Self {
        let room = REASON_CHARS - words.chars().count() - "\"\"".len();
        let text = self.0.replace('"', "'");
        let cut = text.char_indices().nth(room - 1).filter(|_| text.chars().count() > room);
        let (text, omitted) = cut.map_or((text.as_str(), ""), |(at, _)| (&text[..at], ELLIPSIS));
        Self::new(&format!("{words}\"{text}{omitted}\""))
    }

    /// Reports whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<&str> for Detail {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Detail {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<Detail> for String {
    fn from(detail: Detail) -> Self {
        detail.0
    }
}

/// Replaces a character that would control a terminal.
pub fn sanitize(c: char) -> char {
    if c.is_control() || is_deceptive(c) { char::REPLACEMENT_CHARACTER } else { c }
}

/// Reports whether it is a bidirectional control, a separator of lines or invisible, which could make one line read as
/// another, or as two.
fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}
