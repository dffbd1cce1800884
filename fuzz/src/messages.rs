//! Control messages: decoding respects the limits, and encoding round-trips.

use std::fmt;

use devstream::proto::limits::{CLOSE_REASON_BYTES, CONTROL_MESSAGE_BYTES, CONTROL_MESSAGE_DEPTH, REASON_CHARS};
use devstream::proto::message::{Hello, InvalidMessage, StreamResponse, ToDevice, ToHub, decode, encode};
use devstream::proto::refusal::{Detail, Refusal};
use serde::de::{self, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess};
use serde::{Deserialize, Serialize};

use super::input::{is_printable, text};

pub fn check(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    match read::<ToHub>(text) {
        Some(ToHub::Hello(Hello { version, .. })) => short(&version),
        Some(ToHub::StreamResponse(StreamResponse { reason: Some(reason), .. })) => refusal(&reason),
        Some(ToHub::Targets { dead }) => dead.iter().for_each(|dead| {
            short(&dead.target);
            refusal(&dead.reason);
        }),
        Some(ToHub::StreamResponse(StreamResponse { reason: None, .. })) | None => {}
    }
    read::<ToDevice>(text);
}

fn read<M: Serialize + DeserializeOwned>(text: &str) -> Option<M> {
    let decoded = decode::<M>(text);
    let too_long = matches!(decoded, Err(InvalidMessage::TooLong(_)));
    assert_eq!(too_long, text.len() > CONTROL_MESSAGE_BYTES);
    if let (false, Ok(Depth(depth))) = (too_long, serde_json::from_str(text)) {
        assert_eq!(matches!(decoded, Err(InvalidMessage::TooDeep)), depth > CONTROL_MESSAGE_DEPTH, "{depth} deep");
    }
    let message = decoded.ok()?;
    let written = encode(&message);
    // A newer peer may send more fields.
    let more = format!(r#"{{"somethingNew":[0],{}"#, &written[1..]);
    for again in [&written, &more] {
        // Defaults and replaced characters are longer when encoded.
        if again.len() <= CONTROL_MESSAGE_BYTES {
            let reread: M = decode(again).unwrap_or_else(|error| panic!("{error} in what was written: {again}"));
            assert_eq!(encode(&reread), written);
        }
    }
    Some(message)
}

fn short(words: &Detail) {
    assert!(is_printable(words.as_str()) && words.as_str().chars().count() <= REASON_CHARS, "{words:?}");
}

/// Checks that a refusal round-trips through a close frame if it fits.
fn refusal(refusal: &Refusal) {
    short(&refusal.detail);
    let (row, close) = (refusal.kind.row(), refusal.close_reason());
    assert!(close.len() <= CLOSE_REASON_BYTES);
    let Some(read) = Refusal::from_close(row.close, &close) else { return assert_eq!(row.close, 0) };
    assert_eq!(read.kind.row().close, row.close);
    let is_whole = close == refusal.message();
    assert!(!is_whole || read.kind != refusal.kind || read == *refusal, "{refusal:?} became {read:?}");
}

/// The nesting depth of any JSON.
struct Depth(usize);

impl<'de> Deserialize<'de> for Depth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Nesting)
    }
}

struct Nesting;

/// Visits values without nesting.
macro_rules! flat {
    ($($visit:ident $type:ty),*) => {
        $(fn $visit<E>(self, _: $type) -> Result<Depth, E> {
            Ok(Depth(0))
        })*
    };
}

impl<'de> de::Visitor<'de> for Nesting {
    type Value = Depth;

    flat!(visit_bool bool, visit_i64 i64, visit_u64 u64, visit_f64 f64, visit_str &str);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Depth, E> {
        Ok(Depth(0))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Depth, A::Error> {
        let mut deepest = 0;
        while let Some(Depth(depth)) = items.next_element()? {
            deepest = deepest.max(depth);
        }
        Ok(Depth(deepest + 1))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Depth, A::Error> {
        let mut deepest = 0;
        while let Some((IgnoredAny, Depth(depth))) = fields.next_entry()? {
            deepest = deepest.max(depth);
        }
        Ok(Depth(deepest + 1))
    }
}
