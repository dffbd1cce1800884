//! Registry migration: a hub accepts an earlier version's registry, and refuses a later one's.

use std::fs;

use devstream::proto::admin::Identity;
use rusqlite::{Connection, params};

use crate::support::machine::Machine;
use crate::support::raw::{RawClient, RawDevice};
use crate::support::roles::Hub;

/// The tables of the first version.
const FIRST: &str = "
    CREATE TABLE identity (
        role TEXT NOT NULL, id TEXT NOT NULL, created INTEGER NOT NULL, last_seen INTEGER, scope TEXT NOT NULL,
        PRIMARY KEY (role, id)
    ) STRICT;
    CREATE TABLE key (
        role TEXT NOT NULL, id TEXT NOT NULL, public BLOB NOT NULL, local INTEGER NOT NULL, added INTEGER NOT NULL,
        PRIMARY KEY (role, id), FOREIGN KEY (role, id) REFERENCES identity ON DELETE CASCADE
    ) STRICT;
    CREATE TABLE code (
        role TEXT NOT NULL, id TEXT NOT NULL, hash BLOB NOT NULL, until INTEGER NOT NULL,
        PRIMARY KEY (role, id), FOREIGN KEY (role, id) REFERENCES identity ON DELETE CASCADE
    ) STRICT;
    PRAGMA user_version = 1;";

#[test]
fn identities_of_a_first_version_hub_are_accepted_after_migration() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    let device = RawClient::join(&hub.device_link("pi-42"));
    let alice = RawClient::join(&hub.service_link("alice"));
    let bob = RawClient::join(&hub.service_link("bob"));
    let pending = hub.device_link("pi-43");
    let (port, path) = (hub.port, machine.home().join(".local/share/devstream/hub/registry.sqlite"));
    drop(hub);
    as_the_first_version_wrote_it(&path);

    let hub = Hub::start_on(&machine, port, &[]);
    let _online = RawDevice::online(device, &["ssh"]);
    assert!(alice.ask("GET", "/devices", &[], "").body.contains("pi-42"), "no names meant everything");
    assert_eq!(bob.ask("GET", "/devices", &[], "").body, "[]", "bob's one device is another");
    let _later = RawDevice::online(RawClient::join(&pending), &["ssh"]);
    let devices: Vec<Identity> = hub.json(&["device", "list"]);
    assert!(devices.iter().all(|device| device.enabled && device.keys.len() == 1), "{devices:?}");
    hub.ask(&["device", "disable", "pi-42"]);
    hub.ask(&["service", "rotate", "alice"]);
    drop(hub);
    let _again = Hub::start(&machine);
}

#[test]
fn a_registry_of_a_later_version_is_refused_unchanged() {
    let machine = Machine::new();
    drop(Hub::start(&machine));
    let path = machine.home().join(".local/share/devstream/hub/registry.sqlite");
    let registry = Connection::open(&path).expect("the registry");
    registry.pragma_update(None, "user_version", 1000).expect("it takes a version");
    drop(registry);
    let before = fs::read(&path).expect("the registry");
    let finished = machine.run(&["hub", "--listen", "127.0.0.1:0"]);
    assert!(finished.code == Some(1) && finished.stderr.contains("upgrade devstream"), "{finished:?}");
    assert!(fs::read(&path).expect("the registry") == before, "it was changed");
}

/// Converts the registry to the first version's tables, with the same identities, keys and codes. Alice had no names in
/// her scope, and bob that of another device.
fn as_the_first_version_wrote_it(path: &std::path::Path) {
    let old = path.with_extension("old");
    let first = Connection::open(&old).expect("a new database");
    first.execute_batch(FIRST).expect("the first tables");
    first.execute("ATTACH ? AS now", [path.to_str().expect("a path")]).expect("the present tables");
    let copy =
        "INSERT INTO identity SELECT role, id, created, last_seen, ?1 FROM now.identity WHERE id IN (?2, ?3, ?4);";
    let (everything, other) = (r#"{"devices":[],"streams":[]}"#, r#"{"devices":["pi-1"],"streams":[]}"#);
    first.execute(copy, params![everything, "pi-42", "pi-43", "alice"]).expect("rows");
    first.execute(copy, params![other, "bob", "", ""]).expect("a row");
    first
        .execute_batch(
            "INSERT INTO key SELECT role, id, public, local, added FROM now.key;
         INSERT INTO code SELECT role, id, hash, until FROM now.code;
         DETACH now;",
        )
        .expect("rows");
    drop(first);
    for extension in ["sqlite-wal", "sqlite-shm"] {
        // Objects of the current schema; they may not exist.
        let _ = fs::remove_file(path.with_extension(extension));
    }
    fs::rename(old, path).expect("a file can be renamed");
    fs::remove_file(path.with_file_name("identity-changes")).expect("a file that the first version did not have");
}
