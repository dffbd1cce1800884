//! Text that people type or paste: join links, hub addresses, pins, forwards, listeners and patterns.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use devstream::proto::forward::{Forward, HostPort, LocalForward};
use devstream::proto::id::{DeviceId, ServiceName, StreamId, StreamName};
use devstream::proto::join::{HubAddress, JoinLink, Pin};
use devstream::proto::scope::Glob;
use devstream::proto::timestamp::Timestamp;

use super::input::{is_printable, text};

pub fn check(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    round_trip::<HubAddress>(text);
    round_trip::<Pin>(text);
    round_trip::<Forward>(text);
    round_trip::<Glob>(text);
    round_trip::<DeviceId>(text);
    round_trip::<ServiceName>(text);
    round_trip::<StreamName>(text);
    round_trip::<StreamId>(text);
    timestamp(text);
    local(text);
    link(text);
    let mut lines = text.lines();
    if let (Some(glob), Some(text)) = (lines.next(), lines.next()) {
        pattern(glob, text);
    }
}

/// Checks that a parsed value is printable, and parses again to the same.
fn round_trip<T: FromStr<Err: Debug + Display> + Display + PartialEq + Debug>(text: &str) {
    let Ok(value) = text.parse::<T>() else { return };
    let written = value.to_string();
    assert!(is_printable(&written), "{written:?}");
    assert_eq!(written.parse::<T>().expect("as it was written"), value);
}

/// Checks a timestamp, to the whole second and within the years of RFC 3339.
fn timestamp(text: &str) {
    let Some(timestamp) = Timestamp::parse(text) else { return };
    let written = timestamp.rfc3339();
    assert!(is_printable(&written));
    assert_eq!(Timestamp::parse(&written), Some(timestamp), "{written:?}");
}

fn local(text: &str) {
    let Ok(local) = text.parse::<LocalForward>() else { return };
    let stream = local.stream.as_ref().map(|name| format!("={name}")).unwrap_or_default();
    let written = format!("{}{stream}", HostPort(&local.bind, local.port));
    assert!(is_printable(&written), "{written:?}");
    assert_eq!(written.parse(), Ok(local));
}

fn link(text: &str) {
    let Ok(link) = text.parse::<JoinLink>() else { return };
    let written = link.reveal();
    // A link is pasted into a shell between single quotes.
    assert!(is_printable(&written) && !written.contains(['\'', ' ']), "{written:?}");
    let again: JoinLink = written.parse().expect("as it was written");
    assert_eq!(again.reveal(), written);
    assert_eq!((&again.hub, again.role, &again.id, again.pin), (&link.hub, link.role, &link.id, link.pin));
}

fn pattern(glob: &str, text: &str) {
    let Ok(parsed) = glob.parse::<Glob>() else { return };
    assert_eq!(parsed.matches(text), naive_match(glob.as_bytes(), text.as_bytes()), "{glob} {text}");
}

/// Matches by the definition, column by column.
fn naive_match(glob: &[u8], text: &[u8]) -> bool {
    // The prefixes of the text that the pattern so far matches.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for symbol in glob {
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            next[at] = match symbol {
                b'*' => reached[at] || (at > 0 && next[at - 1]),
                b'?' => at > 0 && reached[at - 1],
                same => at > 0 && reached[at - 1] && text[at - 1] == *same,
            };
        }
        reached = next;
    }
    reached[text.len()]
}
