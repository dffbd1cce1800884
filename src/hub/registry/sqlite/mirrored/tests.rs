use proptest::prelude::*;

use super::*;
use crate::hub::registry::Registry as _;
use crate::hub::registry::calls::{Call, call, code, code_hash, contents, in_memory, key, principal};
use crate::proto::id::Principal;
use crate::proto::scope::{Glob, Scope};
use crate::proto::timestamp::Timestamp;

/// What a trial of one change of the first identity would change.
fn on_trial<R>(
    registry: &SqliteRegistry,
    work: impl FnOnce(&mut Changes<'_>, &Principal) -> Result<R, RegistryError>,
) -> Vec<Changed> {
    registry.trial(|changes| work(changes, &principal(0))).unwrap().changed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn an_empty_registry_with_the_values_of_another_is_equal_to_it(calls in prop::collection::vec(call(), 0..40)) {
        let (one, other) = (in_memory(), in_memory());
        // Several in each second.
        for (now, call) in (0..).zip(&calls) {
            let _ = call.make(&one, now / 4);
        }
        let values = one.values().unwrap();
        for _ in 0..2 {
            for Changed { subject, value, revision } in &values {
                prop_assert!(Subject::of_key(&subject.key()).is_some());
                let json = value.to_json().unwrap();
                let read = Versioned::from_json(&json).unwrap();
                prop_assert_eq!(&read, value);
                other.accept(subject, &read, *revision, false).unwrap();
                prop_assert_eq!(other.mirrored(subject).unwrap(), Some((read, *revision)));
            }
            prop_assert_eq!(contents(&one), contents(&other));
        }
        let code = code_hash(1);
        let next = |registry: &SqliteRegistry| registry.add_enrolment(&"*".parse().unwrap(), 1, &code, Timestamp(99));
        let numbers = [next(&one), next(&other)].map(|number| number.ok());
        prop_assert_eq!(numbers[0], numbers[1]);
    }
}

#[test]
fn a_trial_changes_nothing_and_names_what_the_change_would() {
    let (registry, scope, devices) = (in_memory(), Scope::default(), Glob::everything());
    let before = contents(&registry);
    let added = on_trial(&registry, |changes, pi| changes.add(pi, &scope, &code_hash(1), Timestamp(1)));
    assert_eq!(added.iter().map(|changed| changed.subject.key()).collect::<Vec<_>>(), ["id.d.pi"]);
    assert_eq!((added[0].value.version, added[0].value.revocations, added[0].revision), (1, 0, 0));
    let enrolment =
        || on_trial(&registry, |changes, _| changes.add_enrolment(&devices, 3, &code_hash(2), Timestamp(1)));
    assert_eq!(enrolment()[0].subject.key(), "enr.1");
    assert_eq!(enrolment(), enrolment(), "the number is not used up");
    assert_eq!(contents(&registry), before);
    registry.accept(&enrolment()[0].subject, &enrolment()[0].value, 7, false).unwrap();
    let redeem = |with| on_trial(&registry, |changes, pi| changes.redeem(pi, &code(with), &key(1), Timestamp(2)));
    let keys: Vec<_> = redeem(2).iter().map(|changed| (changed.subject.key(), changed.revision)).collect();
    assert_eq!(keys, [("enr.1".to_owned(), 7), ("id.d.pi".to_owned(), 0)], "the use first");
    assert_eq!(redeem(5), [], "a wrong code");
    let trial = registry.trial(|changes| changes.remove(&principal(0))).unwrap();
    assert!(matches!(trial.result, Err(RegistryError::Unknown(_))));
    assert_eq!((trial.changed, trial.subjects), (vec![], vec![Subject::Identity(principal(0))]));
}

#[test]
fn a_change_that_changes_nothing_is_no_new_value() {
    let registry = in_memory();
    Call::Enrol(0, 1).make(&registry, 1).unwrap();
    let trial = registry.trial(|changes| changes.set_disabled(&principal(0), false)).unwrap();
    assert_eq!(trial.changed, []);
    let trial = registry.trial(|changes| changes.set_disabled(&principal(0), true)).unwrap();
    assert_eq!((trial.changed[0].value.revocations, trial.changed.len()), (1, 1));
}

#[test]
fn an_identity_that_the_mirror_has_is_changed_in_its_turn_only() {
    let (one, mirror, subject) = (in_memory(), in_memory(), Subject::Identity(principal(0)));
    let value = |call: Call, version| {
        call.make(&one, version).unwrap();
        let content = one.values().unwrap().remove(0).value.content;
        Versioned { version: version.try_into().unwrap(), revocations: 0, content }
    };
    let accept = |value: &Versioned, revision, may_defer| mirror.accept(&subject, value, revision, may_defer).unwrap();
    let added = value(Call::Add(0, 1), 1);
    assert!(matches!(accept(&added, 5, true), Accepted::Taken(None, Some(_))), "a new one at once");
    assert_eq!(accept(&added, 6, true), Accepted::Unchanged);
    assert_eq!(mirror.mirrored(&subject).unwrap(), Some((added.clone(), 6)));
    let joined = value(Call::Redeem(0, 1, 1), 2);
    assert_eq!(accept(&joined, 7, true), Accepted::Deferred);
    assert_eq!(mirror.mirrored(&subject).unwrap(), Some((added.clone(), 6)));
    let Accepted::Taken(Some(before), Some(after)) = accept(&joined, 7, false) else { panic!("not taken") };
    assert_eq!((before.keys.len(), after.keys.len()), (0, 1));
    assert_eq!(accept(&added, 8, false), Accepted::Heal(joined), "an older one");
}

#[test]
fn the_last_connection_of_an_identity_stays_local() {
    let (one, mirror) = (in_memory(), in_memory());
    for registry in [&one, &mirror] {
        Call::Add(0, 1).make(registry, 1).unwrap();
        Call::SetLastSeen(0).make(registry, 9).unwrap();
    }
    Call::Redeem(0, 1, 1).make(&one, 2).unwrap();
    let changed = one.values().unwrap().remove(0);
    mirror.accept(&changed.subject, &changed.value, 1, false).unwrap();
    let record = mirror.find(&principal(0)).unwrap().unwrap();
    assert_eq!((record.last_seen, record.keys.len()), (Some(Timestamp(9)), 1));
}

#[test]
fn a_machine_whose_use_was_counted_and_whose_identity_was_not_stored_joins_without_a_second_use() {
    let (hub, other) = (in_memory(), in_memory());
    Call::AddEnrolment(1, 1).make(&hub, 1).unwrap();
    Call::Redeem(0, 1, 1).make(&hub, 2).unwrap();
    // The hub failed after it had put the first of the two.
    let enrolment = hub.values().unwrap().into_iter().find(|changed| changed.subject == Subject::Enrolment(1)).unwrap();
    other.accept(&enrolment.subject, &enrolment.value, 1, false).unwrap();
    assert!(other.redeem(&principal(0), &code(1), &key(2), Timestamp(3)).unwrap().is_none(), "another machine");
    assert!(other.redeem(&principal(4), &code(1), &key(1), Timestamp(3)).unwrap().is_none(), "another id");
    assert!(other.redeem(&principal(0), &code(1), &key(1), Timestamp(3)).unwrap().is_some());
    assert_eq!(other.enrolments().unwrap()[0].used, 1);
}

#[test]
fn an_enrolment_key_remembers_the_last_machines_alone() {
    let registry = in_memory();
    Call::AddEnrolment(1, 200).make(&registry, 1).unwrap();
    for number in 0..100 {
        let device = Principal { id: format!("d-{number}").parse().unwrap(), ..principal(0) };
        assert!(registry.redeem(&device, &code(1), &key(1), Timestamp(2)).unwrap().is_some());
    }
    let values = registry.values().unwrap();
    let content = &values.iter().find(|changed| changed.subject == Subject::Enrolment(1)).unwrap().value.content;
    let Content::Enrolment(enrolment) = content else { panic!("{content:?}") };
    assert_eq!((enrolment.used, enrolment.redeemers.len()), (100, 64));
}

#[test]
fn a_mirror_of_another_bucket_knows_nothing_of_the_former_ones_values() {
    let registry = in_memory();
    Call::Add(0, 1).make(&registry, 1).unwrap();
    registry.set_bucket_id("one").unwrap();
    let changed = registry.values().unwrap().remove(0);
    registry.accept(&changed.subject, &changed.value, 4, false).unwrap();
    assert_eq!((registry.mirror_size().unwrap(), registry.bucket_id().unwrap()), ((1, 4), Some("one".into())));
    assert_eq!(registry.missing(9, &|name| name != "id.d.pi").unwrap(), std::slice::from_ref(&changed.subject));
    assert_eq!(registry.missing(9, &|_| true).unwrap(), []);
    registry.set_bucket_id("two").unwrap();
    assert_eq!(registry.mirrored(&changed.subject).unwrap(), None);
    assert_eq!(registry.bucket_id().unwrap().as_deref(), Some("two"));
}

#[test]
fn keys_of_one_second_keep_their_order() {
    let (one, other) = (in_memory(), in_memory());
    for call in [Call::Add(0, 1), Call::Redeem(0, 1, 1), Call::Rotate(0, 2, 30), Call::Redeem(0, 2, 2)] {
        call.make(&one, 5).unwrap();
    }
    let changed = one.values().unwrap().remove(0);
    other.accept(&changed.subject, &changed.value, 1, false).unwrap();
    let keys = other.find(&principal(0)).unwrap().unwrap().keys;
    assert_eq!(keys.iter().map(|stored| stored.key).collect::<Vec<_>>(), [key(2), key(1)]);
    assert_eq!(contents(&one), contents(&other));
}
