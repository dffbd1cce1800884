//! What travels on a stream: its controls, and what one end knows of the direction that comes to it.

use devstream::proto::limits::STREAM_CONTROL_BYTES;
use devstream::proto::stream::{Inbound, StreamControl};

use super::input::{Input, text};

pub fn check(bytes: &[u8]) {
    if let Some(text) = text(bytes) {
        control(text);
    }
    inbound(Input::new(bytes));
}

fn control(text: &str) {
    let Ok(control) = StreamControl::decode(text) else { return };
    assert!(text.len() <= STREAM_CONTROL_BYTES);
    let written = control.encode();
    assert!(written.len() <= STREAM_CONTROL_BYTES);
    assert_eq!(StreamControl::decode(&written), Ok(control));
}

/// Against a count that cannot overflow. After the first thing that is wrong a stream is over.
fn inbound(mut input: Input<'_>) {
    let mut limit = input.number();
    let (mut inbound, mut received, mut ended) = (Inbound::new(limit), 0_u128, false);
    while !input.is_empty() {
        let done = match input.byte() % 4 {
            0 => {
                let bytes = usize::try_from(input.number()).unwrap_or(usize::MAX);
                received += bytes as u128;
                let fits = !ended && received <= u128::from(limit);
                (inbound.received(bytes), fits)
            }
            1 => {
                let further = input.number();
                inbound.allow(further);
                limit = limit.max(further);
                (Ok(()), true)
            }
            said => {
                let bytes = if said == 2 { input.number() } else { u64::try_from(received).unwrap_or(u64::MAX) };
                let fits = !ended && u128::from(bytes) == received;
                ended |= fits;
                (inbound.end(bytes), fits)
            }
        };
        assert_eq!(done.0.is_ok(), done.1, "{inbound:?} after {received} bytes");
        assert_eq!(inbound.is_over(), ended);
        if !done.1 {
            return;
        }
    }
}
