//! Shares of services, and the streams that give way.

use super::*;

#[test]
fn a_reader_that_trickles_falls_behind_and_one_that_reads_slowly_does_not() {
    let start = crate::net::os::clock::now();
    let behind_after = |seconds: u64, taken: &dyn Fn(u64) -> u64| {
        let at = |second| start + Duration::from_secs(second);
        let looked =
            (1..=seconds).fold(Progress::new(0, start), |reader, second| reader.look(taken(second), at(second)));
        assert_eq!(looked.watched(at(seconds)), Duration::from_secs(seconds));
        looked.behind(at(seconds)).as_secs()
    };
    assert_eq!(behind_after(12, &|_| 0), 12, "nothing");
    assert_eq!(behind_after(60, &|second| second), 59, "a byte a second");
    assert_eq!(behind_after(20, &|second| second / 8 * 16 * 1024), 16, "a message every 8 s");
    assert_eq!(behind_after(60, &|second| second * MINIMUM_RATE), 0, "the minimum");
    assert_eq!(behind_after(29, &|second| second / 10 * 1024 * 1024), 9, "much of it after pauses");
    let late = start + Duration::from_secs(3600);
    let looked = Progress::new(0, start).look(0, late);
    for unknown in [Progress::new(0, start), looked] {
        assert_eq!((unknown.behind(late), unknown.watched(late)), (Duration::ZERO, Duration::ZERO), "{unknown:?}");
    }
}

/// The bytes that a stream of these tests holds, all in all.
const EACH: u64 = 2 * STREAM_BYTES;
const ROOM: Room = Room { bytes: 10 * EACH, used: 0, connections: 0 };

/// Streams of [`EACH`], numbered from `first`; the later ones are behind by more, and all were watched for long enough.
fn streams(service: &str, first: u8, count: u8, stalled: u64) -> Vec<Holding> {
    let held = |number| HeldBytes {
        bytes: EACH - STREAM_BYTES,
        end: Role::Device,
        awaited: Awaited::Reading,
        behind: Duration::from_secs(stalled + u64::from(number)),
        watched: Duration::from_secs(60),
    };
    let holding = |number| Holding {
        stream: StreamId::from_bytes([number; 16]),
        service: service.parse().unwrap(),
        legs: 2,
        is_resumable: false,
        held: Some(held(number)),
    };
    (first..first + count).map(holding).collect()
}

/// The same streams, which nobody has watched.
fn unwatched(streams: &[Holding], is_resumable: bool) -> Vec<Holding> {
    let unwatched = |holding: &Holding| {
        let held = holding.held.map(|held| HeldBytes { behind: Duration::ZERO, watched: Duration::ZERO, ..held });
        Holding { held, is_resumable, ..holding.clone() }
    };
    streams.iter().map(unwatched).collect()
}

fn chosen(streams: &[Vec<Holding>], services: usize, excess: u64) -> Vec<u8> {
    chosen_in(streams, services, Shortage { room: ROOM, excess, is_critical: false })
}

fn chosen_in(streams: &[Vec<Holding>], services: usize, shortage: Shortage) -> Vec<u8> {
    let holdings = Holdings::new(streams.concat(), services, shortage.room);
    let chosen = holdings.choose(shortage);
    chosen.iter().map(|holding| holding.stream.to_string()[..2].to_owned()).map(|text| hex(&text)).collect()
}

fn hex(text: &str) -> u8 {
    u8::from_str_radix(text, 16).unwrap()
}

#[test]
fn the_streams_that_stalled_first_of_the_service_that_holds_most_give_way() {
    let (alice, carol) = (streams("alice", 0, 8, 20), streams("carol", 50, 4, 60));
    assert_eq!(chosen(&[alice.clone(), carol.clone()], 3, EACH * 3 / 2), [7, 6], "no more than needed");
    assert_eq!(chosen(&[carol, alice], 3, EACH), [7]);
}

#[test]
fn a_service_is_left_its_share() {
    let alice = streams("alice", 0, 8, 20);
    assert_eq!(chosen(std::slice::from_ref(&alice), 2, u64::MAX), [7, 6, 5], "down to half of the room");
    assert_eq!(chosen(std::slice::from_ref(&alice), 1, u64::MAX).len(), 0, "nobody else asks");
    let many = [alice, streams("carol", 50, 3, 60)];
    assert_eq!(chosen(&many, 3, u64::MAX), [7, 6, 5, 4, 3], "carol is within a third");
    let holdings = Holdings::new(many.concat(), 3, ROOM);
    let exceeds = |service: &str| holdings.exceeds_share(&service.parse().unwrap());
    assert_eq!(["alice", "carol", "bob"].map(exceeds), [true, false, false]);
}

#[test]
fn what_streams_take_beside_what_is_known_counts_up_to_a_multiple() {
    let exceeds = |count, used| {
        let holdings = Holdings::new(streams("alice", 0, count, 20), 2, Room { used, ..ROOM });
        holdings.exceeds_share(&"alice".parse().unwrap())
    };
    assert_eq!([4 * EACH, 5 * EACH, 6 * EACH].map(|used| exceeds(3, used)), [false, false, true]);
    assert!(!exceeds(1, ROOM.bytes), "one stream does not take all of that");
    let shortage = Shortage { room: Room { used: 8 * EACH, ..ROOM }, excess: 2 * EACH, is_critical: false };
    assert_eq!(chosen_in(&[streams("alice", 0, 4, 20)], 2, shortage).len(), 1, "each takes twice what is known");
}

/// Connections without a request, standby connections and the like are not hers.
#[test]
fn a_service_within_its_share_loses_no_stream_for_memory_that_other_connections_hold() {
    let alice = streams("alice", 0, 3, 20);
    let exceeds = |connections| {
        // Little more than her streams; the rest is theirs.
        let used = 3 * EACH + 5 * STREAM_BYTES;
        let holdings = Holdings::new(alice.clone(), 2, Room { used, connections, ..ROOM });
        holdings.exceeds_share(&"alice".parse().unwrap())
    };
    assert_eq!([0, 3 * 2, 3 * 2 + 10, 1000].map(exceeds), [true, true, false, false]);
    let critical = |connections| Shortage {
        room: Room { used: ROOM.bytes, connections, ..ROOM },
        excess: 2 * EACH,
        is_critical: true,
    };
    assert_eq!(chosen_in(std::slice::from_ref(&alice), 2, critical(6)).len(), 1, "all of it is hers");
    assert_eq!(chosen_in(std::slice::from_ref(&alice), 2, critical(6 + 20)).len(), 0);
    let many = streams("alice", 0, 6, 20);
    assert_eq!(chosen_in(&[many], 2, critical(1000)), [5], "what is known to be hers counts all the same");
}

#[test]
fn a_leg_that_waits_counts_for_its_service_with_what_it_may_hold() {
    let service = "alice".parse().unwrap();
    let leg = |number, (is_resumable, is_late)| {
        let stream = StreamId::from_bytes([number; 16]);
        Holding::waiting(WaitingLeg { stream, service: &service, end: Role::Service, is_resumable, is_late })
    };
    let at_most = ROOM.bytes / 2 / (STREAM_BYTES + WAITING_LEG_BYTES);
    let legs = |count, kind| (0..count).map(|number| leg(number, kind)).collect::<Vec<_>>();
    let (young, late, returned) = ((false, false), (false, true), (true, false));
    let many = u8::try_from(at_most).unwrap() + 1;
    assert!(!Holdings::new(legs(many - 1, young), 2, ROOM).exceeds_share(&service));
    assert!(Holdings::new(legs(many, young), 2, ROOM).exceeds_share(&service));
    let shortage = |is_critical| Shortage { room: ROOM, excess: 1, is_critical };
    let gives_way = |kind, is_critical| chosen_in(&[legs(many, kind)], 2, shortage(is_critical)).len() == 1;
    assert_eq!([returned, late, young].map(|kind| gives_way(kind, false)), [true, true, false]);
    assert!(gives_way(young, true));
    let refusals = [returned, late].map(|kind| leg(0, kind).refusal().kind);
    assert_eq!(refusals, [RefusalKind::Interrupted, RefusalKind::NotRead]);
}

#[test]
fn streams_at_rest_count_and_do_not_give_way() {
    let at_rest: Vec<_> =
        streams("alice", 0, 20, 20).into_iter().map(|holding| Holding { held: None, ..holding }).collect();
    assert!(Holdings::new(at_rest.clone(), 3, ROOM).exceeds_share(&"alice".parse().unwrap()));
    let critical = Shortage { room: ROOM, excess: u64::MAX, is_critical: true };
    assert_eq!(chosen_in(&[at_rest], 3, critical).len(), 0);
}

#[test]
fn a_stream_that_cannot_be_resumed_gives_way_once_it_was_watched_unless_memory_is_critical() {
    let alice = streams("alice", 0, 8, 0);
    let critical = Shortage { room: ROOM, excess: EACH, is_critical: true };
    assert_eq!(chosen(std::slice::from_ref(&alice), 2, EACH), [7], "the one that is furthest behind");
    let unknown = unwatched(&alice, false);
    assert_eq!(chosen(std::slice::from_ref(&unknown), 2, EACH).len(), 0);
    assert_eq!(chosen_in(&[unknown], 2, critical).len(), 1);
    let resumable = unwatched(&alice, true);
    assert_eq!(chosen(std::slice::from_ref(&resumable), 2, EACH).len(), 1);
    assert_eq!(resumable[0].refusal().kind, RefusalKind::Interrupted);
    assert_eq!(alice[0].refusal().detail.as_str(), SHARE_EXCEEDED);
    let stalled = &streams("alice", 1, 1, 10)[0];
    let stalled = [stalled.clone(), Holding { is_resumable: true, ..stalled.clone() }];
    for refusal in stalled.map(|holding| holding.refusal()) {
        assert_eq!(refusal.to_string(), RefusalKind::NotRead.row().sentence.to_owned() + STALLED);
    }
}

const STALLED: &str = " (the device took under 8 KiB/s for 11 s)";

#[test]
fn two_services_that_hold_too_much_give_way_in_turn() {
    let both = [streams("alice", 0, 8, 20), streams("carol", 50, 8, 20)];
    let chosen = chosen(&both, 4, 4 * EACH);
    assert_eq!(chosen.iter().filter(|number| **number < 50).count(), 2, "{chosen:?}");
}
