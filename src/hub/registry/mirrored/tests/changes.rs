//! Changes at several hubs at once, and an engine that fails.

use std::thread;
use std::time::Duration;

use super::*;
use crate::hub::cluster::bucket::Bucket as _;
use crate::hub::cluster::bucket::memory::Faults;
use crate::hub::registry::calls::{Call, code, code_hash, contents, key};
use crate::hub::registry::portable::Subject;
use crate::net::os::clock;

/// Has a change that begins now fail in a moment.
fn hurry(hub: &Hub) {
    hub.mirror.state().not_reached("a test", clock::now() - Duration::from_millis(9_300));
}

#[test]
fn a_change_at_one_hub_is_there_at_all_and_both_of_two_at_once_hold() {
    let runtime = runtime();
    let (_bucket, [one, two, three]) = cluster(&runtime);
    Call::Add(0, 1).make(&one.registry, 1).unwrap();
    two.catch_up().unwrap();
    Call::Rescope(0, 3).make(&one.registry, 2).unwrap();
    // On an older value: it conflicts, and is made on the newer one.
    two.registry.set_disabled(&principal(0), true).unwrap();
    for hub in [&one, &three] {
        hub.catch_up().unwrap();
    }
    assert_eq!(contents(&one.registry), contents(&two.registry));
    assert_eq!(contents(&one.registry), contents(&three.registry));
    let record = three.registry.find(&principal(0)).unwrap().unwrap();
    assert!(record.disabled && record.scope.until.is_some());
    assert_eq!(one.reports(), ["changed Some(false) Some(true)"]);
}

#[test]
fn a_change_that_fails_on_what_is_here_is_tried_on_what_is_in_the_bucket() {
    let runtime = runtime();
    let (_bucket, [one, two]) = cluster(&runtime);
    Call::Add(0, 1).make(&one.registry, 1).unwrap();
    two.registry.set_disabled(&principal(0), true).unwrap();
    one.registry.remove(&principal(0)).unwrap();
    let again = two.registry.rotate(&principal(0), &code_hash(2), Duration::ZERO);
    assert!(matches!(again, Err(RegistryError::Unknown(_))), "{again:?}");
}

#[test]
fn enrolment_keys_of_two_hubs_have_numbers_of_their_own() {
    let runtime = runtime();
    let (_bucket, [one, two]) = cluster(&runtime);
    for (hub, number) in [(&one, 1), (&two, 2), (&one, 3)] {
        Call::AddEnrolment(number, 2).make(&hub.registry, 1).unwrap();
    }
    one.registry.remove_enrolment(3).unwrap();
    two.catch_up().unwrap();
    Call::AddEnrolment(4, 2).make(&two.registry, 1).unwrap();
    let numbers: Vec<_> = two.registry.enrolments().unwrap().iter().map(|enrolment| enrolment.id).collect();
    assert_eq!(numbers, [1, 2, 4]);
}

#[test]
fn a_join_code_that_machines_present_to_three_hubs_at_once_has_one_winner() {
    let runtime = runtime();
    let (bucket, hubs) = cluster::<3>(&runtime);
    for race in 0..1000 {
        let device = Principal { id: format!("d-{race}").parse().unwrap(), ..principal(0) };
        hubs[race % 3].registry.add(&device, &Scope::default(), &code_hash(1), Timestamp(1)).unwrap();
        if race % 7 != 0 {
            hubs.iter().for_each(|hub| hub.catch_up_on(&bucket, &device));
        }
        if race % 50 == 0 {
            bucket.set_faults(Faults { unconfirmed: 1, ..Faults::default() });
        }
        let device = &device;
        let winners: Vec<u8> = thread::scope(|scope| {
            let join = |(hub, number): (_, u8)| {
                let hub: &Hub = hub;
                scope.spawn(move || {
                    let redeemed = hub.registry.redeem(device, &code(1), &key(number), Timestamp(2)).unwrap();
                    redeemed.map(|_| number)
                })
            };
            let joining: Vec<_> = hubs.iter().zip(1..).map(join).collect();
            joining.into_iter().filter_map(|joined| joined.join().unwrap()).collect()
        });
        assert_eq!(winners.len(), 1, "{race}: {winners:?}");
        hubs.iter().for_each(|hub| hub.catch_up_on(&bucket, device));
        for hub in &hubs {
            let record = hub.registry.find(device).unwrap().unwrap();
            assert_eq!(record.keys.iter().map(|stored| stored.key).collect::<Vec<_>>(), [key(winners[0])], "{race}");
        }
    }
}

impl Hub {
    /// Takes one value of the bucket.
    fn catch_up_on(&self, bucket: &MemoryBucket, device: &Principal) {
        let name = Subject::Identity(device.clone()).key();
        let entry = self.mirror.runtime().block_on(bucket.get(&name)).unwrap().unwrap();
        let subject = Subject::of_key(&name).unwrap();
        self.mirror.take(&subject, Some(&entry)).unwrap();
    }
}

#[test]
fn an_enrolment_key_that_a_fleet_presents_to_three_hubs_at_once_gives_no_use_too_many() {
    let runtime = runtime();
    let (_bucket, hubs) = cluster::<3>(&runtime);
    Call::AddEnrolment(1, 40).make(&hubs[0].registry, 1).unwrap();
    hubs.iter().for_each(|hub| hub.catch_up().unwrap());
    let joined: usize = thread::scope(|scope| {
        let fleet = |(hub, start): (_, u8)| {
            let hub: &Hub = hub;
            scope.spawn(move || {
                let join = |number: &u8| {
                    let device = Principal { id: format!("d-{number}").parse().unwrap(), ..principal(0) };
                    hub.registry.redeem(&device, &code(1), &key(*number), Timestamp(2)).unwrap().is_some()
                };
                (start * 20..start * 20 + 20).filter(join).count()
            })
        };
        let fleets: Vec<_> = hubs.iter().zip(0..).map(fleet).collect();
        fleets.into_iter().map(|fleet| fleet.join().unwrap()).sum()
    });
    hubs.iter().for_each(|hub| hub.catch_up().unwrap());
    assert_eq!((joined, hubs[0].registry.enrolments().unwrap()[0].used), (40, 40));
    assert_eq!(hubs[1].registry.count().unwrap(), (40, 0));
}

#[test]
fn a_value_that_was_stored_and_not_confirmed_is_a_change_that_was_made() {
    let runtime = runtime();
    let (bucket, [one]) = cluster(&runtime);
    bucket.set_faults(Faults { unconfirmed: 1, ..Faults::default() });
    Call::Add(0, 1).make(&one.registry, 1).unwrap();
    assert_eq!(one.value(0).as_deref(), Some("0 keys, disabled: false"));
    bucket.set_faults(Faults { unconfirmed: 1, ..Faults::default() });
    let joined = one.registry.redeem(&principal(0), &code(1), &key(1), Timestamp(2)).unwrap();
    assert!(joined.is_some_and(|joined| joined.is_new), "{joined:?}");
    bucket.set_faults(Faults { refused: 1, ..Faults::default() });
    one.registry.set_disabled(&principal(0), true).unwrap();
    assert_eq!(one.value(0).as_deref(), Some("1 keys, disabled: true"));
    bucket.set_faults(Faults { unconfirmed: 1, ..Faults::default() });
    one.registry.remove(&principal(0)).unwrap();
    assert_eq!(one.value(0), None);
}

#[test]
fn while_the_engine_is_away_changes_are_refused_codes_stay_unspent_and_reads_go_on() {
    let runtime = runtime();
    let (bucket, [one, two]) = cluster(&runtime);
    Call::Add(0, 1).make(&one.registry, 1).unwrap();
    Call::Enrol(6, 1).make(&one.registry, 1).unwrap();
    two.catch_up().unwrap();
    bucket.set_faults(Faults { away: true, ..Faults::default() });
    hurry(&one);
    let joined = one.registry.redeem(&principal(0), &code(1), &key(1), Timestamp(2));
    let Err(error) = joined else { panic!("{joined:?}") };
    assert!(matches!(error, RegistryError::Unreachable(_)), "{error}");
    assert_eq!(error.to_public_refusal().kind.row().status, 503);
    let check = one.registry.check_code(&principal(0), &code(1), &key(1), Timestamp(2)).unwrap();
    assert_eq!(check, CodeCheck::Good);
    assert_eq!(one.registry.enrol(&principal(6), &key(1), Timestamp(2)).unwrap(), Enrolled::Unchanged, "no change");
    assert!(one.mirror.status().unwrap().refuses.is_some_and(|why| why.contains("cannot be reached")));
    bucket.set_faults(Faults { hangs: true, ..Faults::default() });
    hurry(&two);
    let disabled = two.registry.set_disabled(&principal(0), true);
    assert!(matches!(disabled, Err(RegistryError::Unreachable(_))), "{disabled:?}");
    assert_eq!(two.value(0).as_deref(), Some("0 keys, disabled: false"));
    bucket.set_faults(Faults::default());
    hurry(&one);
    assert!(one.registry.redeem(&principal(0), &code(1), &key(1), Timestamp(2)).unwrap().is_some());
    assert_eq!(one.mirror.status().unwrap().refuses, None);
}

#[test]
fn the_first_hub_puts_everything_that_it_has_and_the_next_takes_it() {
    let runtime = runtime();
    let bucket = MemoryBucket::new();
    let (one, two) = (Hub::new(&bucket, runtime.handle()), Hub::new(&bucket, runtime.handle()));
    for (now, call) in
        [Call::Add(0, 1), Call::Enrol(6, 2), Call::AddEnrolment(3, 9), Call::Redeem(2, 3, 3), Call::Remove(6)]
            .iter()
            .enumerate()
    {
        call.make(one.mirror.sqlite(), now.try_into().unwrap()).unwrap();
    }
    assert!(matches!(two.mirror.join(), Err(RegistryError::NotFounded)));
    bucket.set_faults(Faults { refused: 2, ..Faults::default() });
    one.mirror.found().unwrap();
    one.mirror.found().unwrap();
    assert!(matches!(two.mirror.found(), Err(RegistryError::Founded)));
    two.mirror.join().unwrap();
    two.catch_up().unwrap();
    assert_eq!(contents(&one.registry), contents(&two.registry));
    assert_eq!(bucket.entries().len(), 5, "four values and the marker");
}

#[test]
fn a_founding_that_failed_half_way_is_repeated() {
    let runtime = runtime();
    let bucket = MemoryBucket::new();
    let one = Hub::new(&bucket, runtime.handle());
    Call::Add(0, 1).make(one.mirror.sqlite(), 1).unwrap();
    Call::Add(2, 1).make(one.mirror.sqlite(), 1).unwrap();
    one.mirror.sqlite().set_bucket_id("half").unwrap();
    let value = one.mirror.sqlite().values().unwrap().remove(0);
    let name = value.subject.key();
    bucket.set(&name, one.mirror.sign(&name, &value.value.to_json().unwrap()));
    one.mirror.found().unwrap();
    assert_eq!(bucket.entries().len(), 3);
    Call::Remove(0).make(&one.registry, 2).unwrap();
}
