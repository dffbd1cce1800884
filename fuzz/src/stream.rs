//! Control messages of a stream: encoding and decoding. `resume` checks their effects.

use devstream::proto::limits::STREAM_CONTROL_BYTES;
use devstream::proto::stream::StreamControl;

use super::input::text;

pub fn check(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(control) = StreamControl::decode(text) else { return };
    assert!(text.len() <= STREAM_CONTROL_BYTES);
    let written = control.encode();
    assert!(written.len() <= STREAM_CONTROL_BYTES);
    assert_eq!(StreamControl::decode(&written), Ok(control));
}
