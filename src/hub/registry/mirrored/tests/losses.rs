//! A bucket that loses what it confirmed.

use super::super::follower::MAX_HEALED;
use super::super::mirror::MARKER;
use super::*;
use crate::hub::registry::calls::{Call, contents};

#[test]
fn a_lost_write_is_put_again_from_any_mirror_that_has_it() {
    let runtime = runtime();
    let (bucket, [one, two, three]) = cluster(&runtime);
    Call::Add(0, 1).make(&one.registry, 1).unwrap();
    one.registry.set_disabled(&principal(0), true).unwrap();
    two.catch_up().unwrap();
    bucket.lose(2);
    three.catch_up().unwrap();
    assert_eq!(three.value(0), None);
    two.catch_up().unwrap();
    assert_eq!(two.reports(), ["healed device pi"]);
    for hub in [&one, &three] {
        hub.catch_up().unwrap();
        assert_eq!(hub.value(0).as_deref(), Some("0 keys, disabled: true"));
    }
    assert_eq!(one.reports(), [""; 0]);
    one.registry.set_disabled(&principal(0), false).unwrap();
}

#[test]
fn a_revocation_that_was_lost_and_written_over_does_not_come_undone() {
    let runtime = runtime();
    let (bucket, [one, two]) = cluster(&runtime);
    Call::Add(0, 1).make(&one.registry, 1).unwrap();
    two.catch_up().unwrap();
    one.registry.set_disabled(&principal(0), true).unwrap();
    bucket.lose(1);
    // The same revision, and then a higher version.
    Call::Rescope(0, 2).make(&two.registry, 2).unwrap();
    Call::Rescope(0, 3).make(&two.registry, 3).unwrap();
    one.catch_up().unwrap();
    two.catch_up().unwrap();
    for hub in [&one, &two] {
        let record = hub.registry.find(&principal(0)).unwrap().unwrap();
        assert!(record.disabled && record.scope.until == Some(crate::proto::timestamp::Timestamp(3)), "{record:?}");
    }
    assert_eq!(two.reports(), ["changed Some(false) Some(true)"]);
}

#[test]
fn a_value_that_no_hub_signed_for_this_key_is_none() {
    let runtime = runtime();
    let (bucket, [one, two]) = cluster(&runtime);
    for who in [0, 4] {
        Call::Add(who, 1).make(&one.registry, 1).unwrap();
    }
    Call::Enrol(0, 1).make(&one.registry, 2).unwrap();
    two.catch_up().unwrap();
    let entry = |key: &str| bucket.entries().into_iter().find(|entry| entry.key == key).unwrap();
    let of_another = entry("id.d.pi").value;
    let before = contents(&two.registry);
    for bytes in [of_another, Default::default(), "{}".into()] {
        bucket.set("id.d.c", bytes);
        two.catch_up().unwrap();
        assert_eq!(contents(&two.registry), before);
        assert_eq!(two.reports(), ["healed device c"]);
        one.catch_up().unwrap();
    }
    // As if nobody had it: a hub that never had one takes nothing.
    bucket.set("id.d.new", "{}".into());
    two.catch_up().unwrap();
    assert_eq!(contents(&two.registry), before);
    // However many they are, nothing is lost by them.
    for number in 0..2 * MAX_HEALED {
        bucket.set(&format!("id.d.junk{number}"), "{}".into());
    }
    two.catch_up().unwrap();
    assert_eq!((contents(&two.registry), two.mirror.status().unwrap().refuses), (before, None));
}

#[test]
fn a_value_of_a_later_version_stays_as_it_is() {
    let runtime = runtime();
    let (bucket, [one]) = cluster(&runtime);
    Call::Add(0, 1).make(&one.registry, 1).unwrap();
    let later = one.mirror.sign("id.d.pi", br#"{"format":2,"version":9,"content":7}"#);
    bucket.set("id.d.pi", later.clone());
    one.catch_up().unwrap();
    let changed = one.registry.set_disabled(&principal(0), true);
    assert!(matches!(&changed, Err(RegistryError::Store(why)) if why.contains("upgrade devstream")), "{changed:?}");
    assert_eq!(bucket.entries().into_iter().find(|entry| entry.key == "id.d.pi").unwrap().value, later);
}

#[test]
fn a_bucket_that_was_emptied_deleted_or_replaced_takes_no_change_until_it_is_restored() {
    for loss in [BucketLoss::Wiped, BucketLoss::Deleted, BucketLoss::Replaced] {
        let runtime = runtime();
        let (bucket, [one, two, three]) = cluster(&runtime);
        Call::Add(0, 1).make(&one.registry, 1).unwrap();
        two.catch_up().unwrap();
        Call::Add(2, 1).make(&two.registry, 1).unwrap();
        match loss {
            BucketLoss::Deleted => bucket.delete(),
            BucketLoss::Wiped | BucketLoss::RolledBack(_) => bucket.wipe(),
            BucketLoss::Replaced => {
                bucket.wipe();
                let other = Hub::new(&bucket, runtime.handle());
                Call::Add(4, 1).make(other.mirror.sqlite(), 1).unwrap();
                other.mirror.found().unwrap();
            }
        }
        let error = one.catch_up().unwrap_err();
        assert!(matches!(error, RegistryError::BucketLost(found) if found == loss), "{error}");
        assert_eq!(one.reports(), [format!("lost: it {loss}")]);
        for hub in [&one, &two] {
            let changed = hub.registry.set_disabled(&principal(0), true);
            assert!(matches!(changed, Err(RegistryError::BucketLost(found)) if found == loss), "{changed:?}");
            assert_eq!(hub.value(0).as_deref(), Some("0 keys, disabled: false"), "reads go on");
        }
        assert!(bucket.entries().iter().all(|entry| entry.key != "id.d.pi"), "nothing was put");
        if loss == BucketLoss::Replaced {
            assert!(matches!(one.mirror.restore(false), Err(RegistryError::BucketLost(BucketLoss::Replaced))));
        }
        one.mirror.restore(true).unwrap();
        for hub in [&one, &two, &three, &one] {
            hub.catch_up().unwrap();
        }
        assert_eq!(contents(&one.registry), contents(&two.registry), "what the other hub alone had is there");
        assert_eq!(contents(&one.registry), contents(&three.registry));
        assert!(one.value(0).is_some() && one.value(2).is_some());
        one.registry.set_disabled(&principal(0), true).unwrap();
    }
}

#[test]
fn a_restoration_overwrote_the_registry_of_a_cluster_with_another_key() {
    let runtime = runtime();
    let (bucket, [one]) = cluster(&runtime);
    Call::Add(0, 1).make(&one.registry, 1).unwrap();
    let foreign = bytes::Bytes::from_static(b"signed with another key");
    bucket.set(MARKER, foreign.clone());
    let refused = one.mirror.restore(false);
    assert!(matches!(refused, Err(RegistryError::BucketLost(BucketLoss::Replaced))), "{refused:?}");
    assert_eq!(bucket.entries().into_iter().find(|entry| entry.key == MARKER).unwrap().value, foreign);
    one.mirror.restore(true).unwrap();
    one.catch_up().unwrap();
    one.registry.set_disabled(&principal(0), true).unwrap();
}

#[test]
fn a_bucket_that_lacks_many_values_is_an_old_copy_and_takes_no_change_until_it_is_restored() {
    let runtime = runtime();
    let (bucket, [one, two]) = cluster(&runtime);
    let few = follower::MAX_HEALED;
    for number in 0..=few {
        let device = Principal { id: format!("d-{number}").parse().unwrap(), ..principal(0) };
        one.registry.enrol(&device, &crate::hub::registry::calls::key(1), Timestamp(1)).unwrap();
    }
    bucket.lose(few);
    one.catch_up().unwrap();
    assert_eq!(one.reports().len(), few, "so many are put again");
    two.catch_up().unwrap();
    bucket.lose(few);
    let device = Principal { id: "d-0".parse().unwrap(), ..principal(0) };
    one.registry.set_disabled(&device, true).unwrap();
    bucket.lose(2);
    let error = one.catch_up().unwrap_err();
    assert!(matches!(error, RegistryError::BucketLost(BucketLoss::RolledBack(_))), "{error}");
    let changed = one.registry.set_disabled(&device, false);
    assert!(matches!(changed, Err(RegistryError::BucketLost(_))), "{changed:?}");
    one.mirror.restore(false).unwrap();
    one.catch_up().unwrap();
    two.catch_up().unwrap();
    assert_eq!(contents(&one.registry), contents(&two.registry));
    two.registry.set_disabled(&device, false).unwrap();
}
