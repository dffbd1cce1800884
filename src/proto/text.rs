//! PURE. Text that a person wrote with whatever program: UTF-8, with a byte order mark or without, or UTF-16 with one, as
//! Windows' editors and shells write. And numbers as a person reads them.

use std::fmt::Display;

/// Decodes text; `None` if it is none of these.
pub fn decode(bytes: &[u8]) -> Option<String> {
    match bytes {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8(rest.into()).ok(),
        _ => String::from_utf8(bytes.into()).ok(),
    }
}

/// Formats a number of things: `1 stream`, `2 streams`, `0 identities`, `3 days`.
pub fn count(number: impl Display, noun: &str) -> String {
    let number = number.to_string();
    match noun.strip_suffix('y') {
        _ if number == "1" => format!("1 {noun}"),
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{number} {stem}ies"),
        Some(_) | None => format!("{number} {noun}s"),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let (pairs, rest) = bytes.as_chunks();
    let units: Vec<u16> = pairs.iter().copied().map(unit).collect();
    String::from_utf16(&units).ok().filter(|_| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_singular_and_any_other_number_is_plural() {
        let counted = [0, 1, 2, 11].map(|number| [count(number, "stream"), count(number, "identity")].join(", "));
        assert_eq!(
            counted,
            ["0 streams, 0 identities", "1 stream, 1 identity", "2 streams, 2 identities", "11 streams, 11 identities"]
        );
    }

    #[test]
    fn a_y_after_a_vowel_stays_in_the_plural() {
        let counted = ["day", "key", "identity", "entry"].map(|noun| count(2, noun));
        assert_eq!(counted, ["2 days", "2 keys", "2 identities", "2 entries"]);
    }

    #[test]
    fn text_is_the_same_in_every_encoding_that_editors_write() {
        const TEXT: &str = "devstream://h\u{fc}b/pi\n";
        let utf16 = |unit: fn(u16) -> [u8; 2]| TEXT.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
        for bytes in [
            TEXT.as_bytes().to_vec(),
            [&[0xEF, 0xBB, 0xBF], TEXT.as_bytes()].concat(),
            [&[0xFF, 0xFE], utf16(u16::to_le_bytes).as_slice()].concat(),
            [&[0xFE, 0xFF], utf16(u16::to_be_bytes).as_slice()].concat(),
        ] {
            assert_eq!(decode(&bytes).as_deref(), Some(TEXT), "{bytes:?}");
        }
        for bytes in [&[0xFF, 0xFE, b'a'][..], &[0xFF, 0xFE, 0, 0xD8], b"\xFF"] {
            assert_eq!(decode(bytes), None, "{bytes:?}");
        }
    }
}
