//! The file of a fleet's invitations: what is read is written again as the same, whatever has ended meanwhile.

use devstream::proto::invitations::Invitations;
use devstream::proto::timestamp::Timestamp;

use super::input::text;

/// Within the times that the kept inputs have: some of their invitations have ended by then.
const NOW: Timestamp = Timestamp(1_796_000_000);

pub fn check(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(mut invitations) = Invitations::parse(text) else { return };
    let written = invitations.reveal();
    assert_eq!(written.lines().count(), text.lines().count(), "a line was lost or added");
    assert_eq!(Invitations::parse(&written).unwrap().reveal(), written);
    invitations.end(NOW);
    assert_eq!(Invitations::parse(&invitations.reveal()).unwrap().reveal(), invitations.reveal());
}
