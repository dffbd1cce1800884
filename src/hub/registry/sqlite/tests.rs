use super::*;
use crate::hub::registry::Spent;
use crate::proto::secret::JoinCode;

const OVERLAP: Duration = Duration::from_secs(50);

fn device(id: &str) -> Principal {
    Principal { role: Role::Device, id: id.to_owned().try_into().unwrap() }
}

fn service() -> Principal {
    Principal { role: Role::Service, id: "alice".to_owned().try_into().unwrap() }
}

fn key(byte: u8) -> PublicKey {
    PublicKey::from_bytes([byte; 32])
}

fn code(byte: u8) -> SecretHash {
    JoinCode::new([byte; 16]).hash()
}

/// A code that is valid until 100.
fn good(byte: u8) -> CodeHash {
    CodeHash { hash: code(byte), until: Timestamp(100) }
}

fn registry() -> SqliteRegistry {
    SqliteRegistry::open(Path::new(IN_MEMORY)).unwrap()
}

impl SqliteRegistry {
    fn added(&self, principal: &Principal) {
        self.add(principal, &Scope::default(), &good(1), Timestamp(0)).unwrap();
    }

    fn joins(&self, principal: &Principal, with: u8, as_key: u8, at: i64) -> bool {
        self.redeem(principal, &code(with), &key(as_key), Timestamp(at)).unwrap().is_some()
    }

    fn keys(&self, principal: &Principal) -> Vec<(PublicKey, Option<Timestamp>)> {
        let record = self.find(principal).unwrap().unwrap();
        record.keys.iter().map(|stored| (stored.key, stored.until)).collect()
    }
}

#[test]
fn a_join_code_is_accepted_once_before_it_expires_and_for_its_identity_only() {
    let (registry, pi) = (registry(), device("pi"));
    registry.added(&pi);
    assert!(!registry.joins(&service(), 1, 1, 1));
    assert!(!registry.joins(&pi, 2, 1, 1), "a made-up code");
    assert!(!registry.joins(&pi, 1, 1, 100), "late");
    assert!(registry.joins(&pi, 1, 1, 99));
    assert!(!registry.joins(&pi, 1, 2, 99), "twice");
    assert_eq!(registry.keys(&pi), [(key(1), None)]);
}

#[test]
fn only_a_code_that_was_right_learns_why_it_is_refused() {
    let (registry, pi) = (registry(), device("pi"));
    registry.added(&pi);
    registry.add_enrolment(&"x-*".parse().unwrap(), 1, &good(7), Timestamp(0)).unwrap();
    let check = |id: &Principal, with, at| registry.check_code(id, &code(with), &key(9), Timestamp(at)).unwrap();
    assert_eq!(check(&pi, 1, 100), CodeCheck::Spent(Spent::Expired(Timestamp(100))));
    assert!(registry.joins(&pi, 1, 1, 50));
    assert_eq!(check(&pi, 1, 60), CodeCheck::Spent(Spent::Used(Timestamp(50))));
    assert_eq!(check(&pi, 1, 200), CodeCheck::Spent(Spent::Used(Timestamp(50))), "whenever");
    assert_eq!(check(&pi, 7, 1), CodeCheck::NotCovered("x-*".parse().unwrap()));
    assert!(registry.joins(&device("x-1"), 7, 2, 60));
    assert_eq!(check(&device("x-2"), 7, 60), CodeCheck::Spent(Spent::UsedUp(1)));
    for (id, with) in [(pi.clone(), 2), (device("x-1"), 1), (service(), 1), (service(), 7)] {
        assert_eq!(check(&id, with, 60), CodeCheck::Wrong, "{id}");
    }
    registry.rotate(&pi, &good(3), Duration::ZERO).unwrap();
    assert_eq!([check(&pi, 1, 60), check(&pi, 3, 60)], [CodeCheck::Wrong, CodeCheck::Good], "a newer code replaces it");
}

#[test]
fn a_joined_machine_that_repeats_its_join_is_told_from_one_with_any_code() {
    let (registry, pi, enrolled) = (registry(), device("pi"), device("x-1"));
    registry.added(&pi);
    registry.add_enrolment(&"x-*".parse().unwrap(), 1, &good(7), Timestamp(0)).unwrap();
    assert!(registry.joins(&pi, 1, 1, 50) && registry.joins(&enrolled, 7, 1, 50));
    for (id, with, has_code) in [(&pi, 1, true), (&enrolled, 7, true), (&pi, 2, false), (&enrolled, 1, false)] {
        for at in [50, 2000] {
            let check = registry.check_code(id, &code(with), &key(1), Timestamp(at)).unwrap();
            assert_eq!(check, CodeCheck::HasKey { has_code }, "{id} {with}");
        }
    }
}

#[test]
fn a_machine_whose_response_was_lost_may_repeat_its_join() {
    let (registry, pi) = (registry(), device("pi"));
    registry.added(&pi);
    assert!(registry.joins(&pi, 1, 1, 1) && registry.joins(&pi, 1, 1, 2));
    assert_eq!(registry.keys(&pi), [(key(1), None)]);
}

#[test]
fn a_local_user_never_replaces_a_key_that_joined() {
    let (registry, pi) = (registry(), device("pi"));
    registry.enrol(&pi, &key(1), Timestamp(0)).unwrap();
    registry.enrol(&pi, &key(2), Timestamp(0)).unwrap();
    assert_eq!(registry.keys(&pi), [(key(2), None)]);
    registry.remove(&pi).unwrap();
    registry.added(&pi);
    assert!(registry.joins(&pi, 1, 3, 0));
    assert!(matches!(registry.enrol(&pi, &key(4), Timestamp(0)), Err(RegistryError::AlreadyJoined(_))));
    let again = registry.add(&pi, &Scope::default(), &good(1), Timestamp(0));
    assert!(matches!(again, Err(RegistryError::AlreadyJoined(_))));
}

#[test]
fn a_service_of_the_hubs_own_user_may_reach_everything_and_an_added_one_only_its_scope() {
    let registry = registry();
    registry.enrol(&service(), &key(1), Timestamp(0)).unwrap();
    assert_eq!(registry.find(&service()).unwrap().unwrap().scope, Scope::everything());
    registry.remove(&service()).unwrap();
    registry.added(&service());
    registry.enrol(&service(), &key(1), Timestamp(0)).unwrap();
    assert_eq!(registry.find(&service()).unwrap().unwrap().scope, Scope::default());
}

#[test]
fn a_join_link_is_void_once_the_identity_has_a_key() {
    let (registry, pi) = (registry(), device("pi"));
    registry.added(&pi);
    registry.enrol(&pi, &key(1), Timestamp(0)).unwrap();
    assert!(!registry.joins(&pi, 1, 2, 0));
}

#[test]
fn after_a_rotation_both_keys_are_valid_until_the_overlap_ends() {
    let (registry, pi) = (registry(), device("pi"));
    registry.added(&pi);
    registry.joins(&pi, 1, 1, 0);
    registry.rotate(&pi, &good(2), OVERLAP).unwrap();
    assert_eq!(registry.keys(&pi), [(key(1), None)], "nothing happens until the new key is there");
    assert!(registry.joins(&pi, 2, 2, 10));
    assert_eq!(registry.keys(&pi), [(key(2), None), (key(1), Some(Timestamp(60)))]);
    let record = registry.find(&pi).unwrap().unwrap();
    assert!(record.valid_key(&key(1), Timestamp(59)).is_some() && record.valid_key(&key(1), Timestamp(60)).is_none());
    registry.rotate(&pi, &good(3), OVERLAP).unwrap();
    assert!(registry.joins(&pi, 3, 3, 20));
    assert_eq!(registry.keys(&pi), [(key(3), None), (key(2), Some(Timestamp(70)))], "never more than two");
    registry.rotate(&pi, &good(4), Duration::ZERO).unwrap();
    assert!(registry.joins(&pi, 4, 4, 30));
    assert_eq!(registry.keys(&pi), [(key(4), None)], "without an overlap, at once");
}

#[test]
fn an_enrolment_key_admits_matching_devices_up_to_its_number_of_uses() {
    let registry = registry();
    let id = registry.add_enrolment(&"plant-a-*".parse().unwrap(), 2, &good(7), Timestamp(0)).unwrap();
    let (one, two, three) = (device("plant-a-1"), device("plant-a-2"), device("plant-a-3"));
    assert!(!registry.joins(&device("plant-b-1"), 7, 1, 1), "another plant");
    let service = Principal { role: Role::Service, ..one.clone() };
    assert!(!registry.joins(&service, 7, 1, 1), "a service");
    assert!(!registry.joins(&one, 7, 1, 100), "late");
    assert!(registry.joins(&one, 7, 1, 1));
    assert!(registry.joins(&one, 7, 1, 1), "repeating it spends no use");
    assert!(!registry.joins(&one, 7, 9, 1), "the id is taken");
    assert_eq!(registry.enrolments().unwrap()[0].used, 1);
    assert!(registry.joins(&two, 7, 2, 1));
    assert!(!registry.joins(&three, 7, 3, 1), "used up");
    assert_eq!(registry.find(&two).unwrap().unwrap().enrolment, Some(id));
}

#[test]
fn a_revoked_enrolment_key_admits_no_device_and_a_disabled_id_is_not_free() {
    let registry = registry();
    let id = registry.add_enrolment(&"*".parse().unwrap(), 9, &good(7), Timestamp(0)).unwrap();
    registry.added(&device("off"));
    registry.set_disabled(&device("off"), true).unwrap();
    assert!(!registry.joins(&device("off"), 7, 1, 1));
    registry.remove_enrolment(id).unwrap();
    assert!(!registry.joins(&device("on"), 7, 1, 1));
    assert!(matches!(registry.remove_enrolment(id), Err(RegistryError::UnknownEnrolment(_))));
    let next = registry.add_enrolment(&"*".parse().unwrap(), 9, &good(8), Timestamp(0)).unwrap();
    assert!(next > id, "numbers are unique in the log");
}

#[test]
fn an_enrolment_key_gives_no_id_that_was_added_by_hand_or_removed() {
    let registry = registry();
    registry.add_enrolment(&"*".parse().unwrap(), 9, &good(7), Timestamp(0)).unwrap();
    let (by_hand, removed) = (device("by-hand"), device("removed"));
    registry.added(&by_hand);
    assert!(registry.joins(&removed, 7, 1, 1));
    registry.remove(&removed).unwrap();
    for id in [&by_hand, &removed, &device("By-Hand"), &device("REMOVED")] {
        let check = registry.check_code(id, &code(7), &key(1), Timestamp(1)).unwrap();
        assert_eq!(check, CodeCheck::IdTaken);
        assert!(!registry.joins(id, 7, 1, 1));
        assert_eq!(registry.check_code(id, &code(8), &key(1), Timestamp(1)).unwrap(), CodeCheck::Wrong);
    }
    registry.added(&removed);
    assert!(registry.joins(&removed, 1, 1, 1), "added again");
    registry.remove(&removed).unwrap();
    assert_eq!(registry.enrol(&removed, &key(3), Timestamp(1)).unwrap(), Enrolled::Created, "by the hub's own user");
}

#[test]
fn the_first_key_of_an_identity_replaces_none() {
    let (registry, pi) = (registry(), device("pi"));
    registry.added(&pi);
    let enrol = |byte| registry.enrol(&pi, &key(byte), Timestamp(1)).unwrap();
    assert_eq!([enrol(1), enrol(1), enrol(2)], [Enrolled::NewKey, Enrolled::Unchanged, Enrolled::NewKey]);
}

#[test]
fn removing_an_identity_deletes_its_keys_and_code() {
    let (registry, pi) = (registry(), device("pi"));
    registry.added(&pi);
    registry.remove(&pi).unwrap();
    assert!(!registry.joins(&pi, 1, 1, 0));
    assert!(matches!(registry.remove(&pi), Err(RegistryError::Unknown(_))));
    assert!(matches!(registry.set_disabled(&pi, true), Err(RegistryError::Unknown(_))));
    assert!(matches!(registry.rotate(&pi, &good(1), OVERLAP), Err(RegistryError::Unknown(_))));
    assert_eq!(registry.list(Role::Device).unwrap(), []);
}

#[test]
fn changes_to_an_identity_are_stored() {
    let registry = registry();
    registry.added(&service());
    registry.joins(&service(), 1, 1, 0);
    let change = ScopeChange { devices: Some(vec!["pi-*".parse().unwrap()]), ..ScopeChange::default() };
    let scope = registry.rescope(&service(), change).unwrap();
    registry.set_disabled(&service(), true).unwrap();
    registry.set_last_seen(&[(service(), Timestamp(5)), (device("unknown"), Timestamp(5))]).unwrap();
    let record = registry.find(&service()).unwrap().unwrap();
    assert_eq!((record.scope, record.disabled, record.last_seen), (scope, true, Some(Timestamp(5))));
    assert_eq!((record.created, record.keys.len()), (Timestamp(0), 1));
    assert_eq!(registry.count().unwrap(), (0, 1));
}

#[test]
fn a_file_of_the_first_format_is_migrated() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.sqlite");
    let old = Connection::open(&path).unwrap();
    schema::make_first_version(&old);
    let sql = "INSERT INTO identity VALUES ('service', 'alice', 1, 2, '{\"devices\":[],\"streams\":[\"ssh\"]}'),
                   ('device', 'pi', 1, NULL, '{\"devices\":[],\"streams\":[]}')";
    old.execute(sql, []).unwrap();
    old.execute("INSERT INTO key VALUES ('service', 'alice', ?, 0, 3)", [key(1).bytes()]).unwrap();
    old.execute("INSERT INTO code VALUES ('device', 'pi', ?, 100)", [code(1).bytes()]).unwrap();
    drop(old);
    let registry = SqliteRegistry::open(&path).unwrap();
    let alice = registry.find(&service()).unwrap().unwrap();
    let scope = Scope { streams: vec!["ssh".parse().unwrap()], ..Scope::everything() };
    assert_eq!((alice.scope, alice.last_seen, alice.disabled), (scope, Some(Timestamp(2)), false));
    assert_eq!(registry.keys(&service()), [(key(1), None)]);
    assert!(registry.joins(&device("pi"), 1, 2, 5), "an issued code stays valid");
    registry.remove(&service()).unwrap();
    assert_eq!(registry.list(Role::Service).unwrap(), []);
}

#[test]
fn invalid_patterns_of_the_first_format_are_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.sqlite");
    let old = Connection::open(&path).unwrap();
    schema::make_first_version(&old);
    let scope = r#"{"devices":["pi-1,pi-2","plant a*","","pi-7"],"streams":[]}"#;
    old.execute("INSERT INTO identity VALUES ('service', 'alice', 1, NULL, ?)", [scope]).unwrap();
    drop(old);
    let registry = SqliteRegistry::open(&path).unwrap();
    let services = registry.list(Role::Service).unwrap();
    assert_eq!(services[0].scope.devices, ["pi-7".parse().unwrap()]);
}

#[cfg(unix)]
#[test]
fn the_file_and_its_journals_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.sqlite");
    for _ in 0..2 {
        let registry = SqliteRegistry::open(&path).unwrap();
        registry.rotate(&device("pi"), &good(1), OVERLAP).unwrap_err();
        let mut files: Vec<_> =
            std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| !file.ends_with(CHANGE_COUNT));
        assert_eq!(files.len(), 3, "{files:?}");
        for file in files {
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
            // As an earlier version made them.
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
}

#[test]
fn a_file_of_a_newer_format_is_refused_and_not_changed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.sqlite");
    drop(SqliteRegistry::open(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let Err(error) = SqliteRegistry::open(&path) else { panic!("opened") };
    assert!(error.to_string().contains("99"), "{error}");
}

#[test]
fn the_count_of_changes_follows_the_database_and_refuses_an_earlier_copy() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.sqlite");
    let (marker, copy) = (directory.path().join(CHANGE_COUNT), directory.path().join("copy"));
    let count = || std::fs::read_to_string(&marker).unwrap().trim().parse::<u64>().unwrap();
    let registry = SqliteRegistry::open(&path).unwrap();
    assert_eq!(count(), 0);
    registry.added(&device("pi"));
    registry.set_last_seen(&[(device("pi"), Timestamp(5))]).unwrap();
    assert_eq!(registry.redeem(&device("pi"), &code(7), &key(1), Timestamp(1)).unwrap(), None);
    registry.remove(&service()).unwrap_err();
    assert_eq!(count(), 1, "only changes of identities count");
    drop(registry);
    std::fs::copy(&path, &copy).unwrap();
    let registry = SqliteRegistry::open(&path).unwrap();
    registry.set_disabled(&device("pi"), true).unwrap();
    let id = registry.add_enrolment(&Glob::everything(), 1, &good(2), Timestamp(0)).unwrap();
    registry.remove_enrolment(id).unwrap();
    assert_eq!(count(), 4);
    drop(registry);
    for behind in ["3\n", "", "damaged"] {
        std::fs::write(&marker, behind).unwrap();
        drop(SqliteRegistry::open(&path).unwrap());
        assert_eq!(count(), 4, "after '{behind}'");
    }
    std::fs::copy(&copy, &path).unwrap();
    let Err(error) = SqliteRegistry::open(&path) else { panic!("opened") };
    assert!(matches!(error, RegistryError::OldCopy { has: 1, made: 4, .. }), "{error}");
    assert_eq!(count(), 4);
}

#[test]
fn a_registry_without_tables_is_not_created_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.sqlite");
    Connection::open(&path).unwrap().pragma_update(None, "journal_mode", "wal").unwrap();
    let Err(error) = SqliteRegistry::open_existing(&path) else { panic!("opened") };
    assert!(error.to_string().contains("no tables"), "{error}");
}

#[test]
fn an_id_is_found_whatever_its_case_and_no_two_devices_differ_only_in_case() {
    let registry = registry();
    registry.added(&device("PI_1"));
    let found = registry.find_ignoring_case(&device("pi_1")).unwrap();
    assert_eq!(found.map(|record| record.principal), Some(device("PI_1")));
    assert_eq!(registry.find_ignoring_case(&device("pi-1")).unwrap(), None);
    let again = registry.add(&device("Pi_1"), &Scope::default(), &good(2), Timestamp(0));
    assert!(matches!(again, Err(RegistryError::DiffersInCase(_))), "{again:?}");
    let enrolled = registry.enrol(&device("pi_1"), &key(3), Timestamp(0));
    assert!(matches!(enrolled, Err(RegistryError::DiffersInCase(_))), "{enrolled:?}");
    registry.add_enrolment(&"*".parse().unwrap(), 9, &good(4), Timestamp(0)).unwrap();
    let check = registry.check_code(&device("pi_1"), &code(4), &key(5), Timestamp(1)).unwrap();
    assert_eq!(check, CodeCheck::IdTaken);
    registry.added(&device("PI_1"));
}

#[test]
fn a_proof_and_a_certificate_go_with_their_key() {
    let (registry, pi) = (registry(), device("pi"));
    registry.added(&pi);
    let of_pi = || {
        let kept = registry.endorsements(&pi).unwrap();
        kept.into_iter().map(|kept| (kept.key, kept.proof, kept.certificate)).collect::<Vec<_>>()
    };
    assert_eq!(of_pi(), []);
    let named = |id: &str| -> PrincipalId { id.parse().unwrap() };
    let set = |text, by: &str, any| registry.set_certificate(&pi, &key(1), text, (&named(by), any));
    assert!(matches!(set("A", "alice", true), Err(RegistryError::UnknownKey(_))));
    assert!(registry.joins(&pi, 1, 1, 0));
    registry.set_proof(&pi, &key(1), "first").unwrap();
    registry.set_proof(&pi, &key(1), "second").unwrap();
    assert!(set("A", "alice", false).unwrap() && set("B", "alice", false).unwrap());
    assert!(!set("B", "bob", false).unwrap(), "the same");
    assert!(matches!(set("C", "bob", false), Err(RegistryError::StoredByAnother(_))));
    assert!(set("C", "bob", true).unwrap() && set("B", "bob", false).unwrap());
    let first = (key(1), Some("second".to_owned()), Some("B".to_owned()));
    assert_eq!(of_pi(), std::slice::from_ref(&first), "both are replaced");
    registry.rotate(&pi, &good(2), OVERLAP).unwrap();
    assert!(registry.joins(&pi, 2, 2, 10));
    assert_eq!(of_pi(), [(key(2), None, None), first], "the new key has none");
    registry.remove(&pi).unwrap();
    registry.added(&pi);
    assert!(registry.joins(&pi, 1, 1, 10));
    assert_eq!(of_pi(), [(key(1), None, None)], "a new join clears them");
}
