//! What people type or paste: join links, hubs, pins, forwards, listeners and patterns.

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
    same_again::<HubAddress>(text);
    same_again::<Pin>(text);
    same_again::<Forward>(text);
    same_again::<Glob>(text);
    same_again::<DeviceId>(text);
    same_again::<ServiceName>(text);
    same_again::<StreamName>(text);
    same_again::<StreamId>(text);
    timestamp(text);
    local(text);
    link(text);
    let mut lines = text.lines();
    if let (Some(glob), Some(words)) = (lines.next(), lines.next()) {
        pattern(glob, words);
    }
}

/// What was read can be shown to a person, and read again.
fn same_again<T: FromStr<Err: Debug + Display> + Display + PartialEq + Debug>(text: &str) {
    let Ok(value) = text.parse::<T>() else { return };
    let written = value.to_string();
    assert!(is_printable(&written), "{written:?}");
    assert_eq!(written.parse::<T>().expect("as it was written"), value);
}

/// Up to the whole second, and within the years that can be written.
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
    // It is pasted on one line of a shell, between single quotes.
    assert!(is_printable(&written) && !written.contains(['\'', ' ']), "{written:?}");
    let again: JoinLink = written.parse().expect("as it was written");
    assert_eq!(again.reveal(), written);
    assert_eq!((&again.hub, again.role, &again.id, again.pin), (&link.hub, link.role, &link.id, link.pin));
}

fn pattern(glob: &str, words: &str) {
    let Ok(parsed) = glob.parse::<Glob>() else { return };
    assert_eq!(parsed.matches(words), plainly(glob.as_bytes(), words.as_bytes()), "{glob} {words}");
}

/// By the definition, column by column.
fn plainly(glob: &[u8], words: &[u8]) -> bool {
    // Which beginnings of the words the pattern so far matches.
    let mut reached = vec![false; words.len() + 1];
    reached[0] = true;
    for symbol in glob {
        let mut next = vec![false; words.len() + 1];
        for at in 0..=words.len() {
            next[at] = match symbol {
                b'*' => reached[at] || (at > 0 && next[at - 1]),
                b'?' => at > 0 && reached[at - 1],
                same => at > 0 && reached[at - 1] && words[at - 1] == *same,
            };
        }
        reached = next;
    }
    reached[words.len()]
}
