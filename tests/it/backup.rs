//! Backup and restore: one file, written while the hub runs, restores the same hub elsewhere.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::fs::{chown, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use devstream::proto::admin::{Enrolment, HubInfo, Identity};

use rusqlite::Connection;

use crate::support::machine::Machine;
use crate::support::process::Finished;
use crate::support::raw::{RawClient, RawDevice};
use crate::support::roles::{Agent, Hub, ThreeMachines};
use crate::support::targets::{Target, is_alive};
use crate::support::{DEVICE, poll};

#[test]
fn a_hub_that_is_restored_elsewhere_is_the_same_hub() {
    let target = Target::echo();
    let ThreeMachines { proxy, agent, laptop, device, hub } =
        ThreeMachines::forwarding(target.port, &["--device", "pi-*"]);
    let bob =
        RawClient::join(&hub.service_link_with("bob", &["--device", "*", "--stream", "web", "--max-streams", "7"]));
    let pending = hub.device_link("pi-later");
    let shared = hub.link(&["enroll", "add", "--device", "plant-*", "--uses", "3"]);
    hub.ask(&["device", "disable", "pi-later"]);
    let mut local = proxy.connect();
    is_alive(&mut local);
    let elsewhere = Machine::new();
    let knows_the_site = |machine: &Machine| {
        let known = machine.home().join(".local/share/devstream/hub/known-sources");
        fs::read_to_string(known).is_ok_and(|sources| sources.contains("127.0.0.1 "))
    };
    poll("the address of all on disk", || knows_the_site(hub.machine()).then_some(()));
    let file = elsewhere.home().join("hub.backup");
    let told = hub.machine().run(&["hub", "backup", file.to_str().expect("a path")]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(
        told.stderr.contains("4 identities") && told.stderr.contains("store it where nobody else has access"),
        "{told:?}"
    );
    assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    is_alive(&mut local);

    let known = |hub: &Hub| {
        let identities = ["device", "service"].map(|role| hub.json::<Vec<Identity>>(&[role, "list"]));
        let timeless =
            identities.concat().into_iter().map(|identity| Identity { last_seen: None, online: None, ..identity });
        let id = fs::read_to_string(hub.machine().home().join(".local/share/devstream/hub/hub.id")).expect("an id");
        (timeless.collect::<Vec<_>>(), hub.json::<Vec<Enrolment>>(&["enroll", "list"]), info(hub).pin, id)
    };
    let (before, port) = (known(&hub), hub.port);
    hub.process.kill();
    assert_eq!(restore(&elsewhere, "hub.backup").code, Some(0));
    assert!(knows_the_site(&elsewhere), "no neighbour of theirs gets them banned");
    let lines = agent.process.lines();
    let hub = Hub::start_on(&elsewhere, port, &[]);
    assert_eq!(known(&hub), before);
    agent.process.wait_line_after(lines, "is online");
    is_alive(&mut proxy.connect());
    assert_eq!(bob.ask("GET", "/devices", &[], "").status, 200);
    hub.ask(&["device", "enable", "pi-later"]);
    let _later = RawDevice::online(RawClient::join(&pending), &["ssh"]);
    let named = shared.replacen("/?", "/plant-1?", 1);
    assert_eq!(RawClient::before_joining(&named).redeem(&shared).status, 204, "codes are good as they were");
    drop((laptop, device));
}

#[test]
fn a_backup_of_a_busy_hub_is_complete() {
    let hub = Hub::start(&Machine::new());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut added = 0;
            while !stop.load(Ordering::Relaxed) {
                // In this order: a backup that has the service has the device.
                RawDevice::online(RawClient::join(&hub.device_link(&format!("d{added}"))), &["ssh"]);
                RawClient::join(&hub.service_link(&format!("s{added}")));
                added += 1;
            }
        });
        for number in 0..5 {
            let elsewhere = Machine::new();
            let file = elsewhere.home().join("hub.backup");
            poll("something to back up", || {
                (hub.json::<Vec<Identity>>(&["service", "list"]).len() > number).then_some(())
            });
            hub.ask(&["backup", file.to_str().expect("a path")]);
            assert_eq!(restore(&elsewhere, "hub.backup").code, Some(0));
            let restored = Hub::start(&elsewhere);
            let [devices, services] = ["device", "service"].map(|role| restored.json::<Vec<Identity>>(&[role, "list"]));
            assert!(services.len() > number, "{services:?}");
            assert!((services.len()..=services.len() + 1).contains(&devices.len()), "{devices:?} {services:?}");
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().expect("the hub takes identities meanwhile");
    });
}

#[test]
fn a_backup_never_replaces_a_file() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    let file = machine.home().join("mine");
    fs::write(&file, "precious").expect("a file can be written");
    let finished = machine.run(&["hub", "backup", "mine"]);
    assert!(finished.code == Some(1) && finished.stderr.contains("mine already exists"), "{finished:?}");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "precious");
    let finished = machine.run(&["hub", "backup", "nowhere/mine"]);
    assert!(
        finished.code == Some(1) && finished.stderr.contains("cannot write to nowhere: there is no such directory\n"),
        "{finished:?}"
    );
    let finished = Machine::new().run(&["hub", "backup", "mine"]);
    assert!(finished.code == Some(1) && finished.stderr.contains("no hub of this user runs here"), "{finished:?}");
    let names = fs::read_dir(machine.home())
        .expect("a directory")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    assert!(names.into_iter().all(|name| !name.starts_with(".devstream-")), "nothing is left behind");
    hub.ask(&["backup", "other"]);
}

#[test]
fn files_that_a_backup_cannot_include_are_named_and_symlinks_are_not_followed() {
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    let (key, vault) = (state(&machine).join("ca.key"), machine.home().join("vault"));
    let refused = |what: &str| {
        let finished = machine.run(&["hub", "backup", "file"]);
        assert!(finished.code == Some(1) && finished.stderr.contains(what), "{finished:?}");
        assert!(!machine.home().join("file").exists(), "half a backup");
    };
    fs::rename(&key, &vault).and_then(|()| symlink(&vault, &key)).expect("a link");
    refused("ca.key is not a regular file of up to 1024 KiB; replace the link with its target");
    fs::rename(&vault, &key).and_then(|()| symlink("/etc", state(&machine).join("keys.d"))).expect("a link");
    refused("keys.d is not a regular file");
    fs::remove_file(state(&machine).join("keys.d")).expect("a link");
    fs::write(state(&machine).join("film"), vec![0; 2 << 20]).expect("a file");
    refused("film is not a regular file of up to 1024 KiB; move it elsewhere");
    // Tests run as root, whose files are not those of another user that a hub runs as.
    fs::remove_file(state(&machine).join("film")).expect("a file");
    chown(state(&machine), Some(65534), None).expect("root may");
    refused("its owner is not that of");
}

#[test]
fn a_backup_does_not_follow_a_link_to_another_registry() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    hub.process.kill();
    let (registry, vault) = (state(&machine).join("registry.sqlite"), machine.home().join("vault"));
    let refused = |what: &str| {
        let finished = machine.run(&["hub", "backup", "file"]);
        assert!(finished.code == Some(1) && finished.stderr.contains(what), "{finished:?}");
        assert!(!machine.home().join("file").exists(), "another's registry");
    };
    fs::rename(&registry, &vault).and_then(|()| symlink(&vault, &registry)).expect("a link");
    refused("cannot read registry.sqlite: it is not a regular file");
    fs::rename(&vault, &registry).and_then(|()| chown(&registry, Some(65534), None)).expect("root may");
    refused("cannot read registry.sqlite: its owner is not that of");
}

#[test]
fn a_backup_by_root_changes_no_file_of_the_hubs_user() {
    let machine = Machine::new();
    let mut hub = Hub::start(&machine);
    let owned = || {
        let names = fs::read_dir(state(&machine)).expect("a directory").map(|entry| entry.expect("a file").path());
        // The hub, which is root's in this test, writes the known sources a second after a change.
        let others = names.filter(|path| !path.display().to_string().contains("/known-sources"));
        others.chain([state(&machine)]).collect::<Vec<_>>()
    };
    for (round, stop) in ["none", "KILL", "TERM"].into_iter().enumerate() {
        RawClient::join(&hub.device_link(&format!("pi-{round}")));
        if stop != "none" {
            hub.process.signal(stop);
            hub.process.wait_end();
        }
        owned().iter().for_each(|path| chown(path, Some(65534), Some(65534)).expect("root may"));
        let registry =
            || ["registry.sqlite", "registry.sqlite-wal"].map(|name| fs::read(state(&machine).join(name)).ok());
        let before = registry();
        let file = format!("file-{round}");
        let told = machine.run(&["hub", "backup", &file]);
        assert!(
            told.code == Some(0) && told.stderr.contains(["1 identity", "2 identities", "3 identities"][round]),
            "{stop}: {told:?}"
        );
        assert!(registry()[0] == before[0], "{stop}: the registry was changed");
        assert!(stop == "TERM" || registry() == before, "{stop}: the journal was changed");
        let owners: Vec<_> = owned().iter().map(|path| fs::metadata(path).expect("a file").uid()).collect();
        assert!(owners.iter().all(|owner| *owner == 65534), "{stop}: {owners:?} {:?}", owned());
        if stop != "none" {
            hub = Hub::start(&machine);
        }
    }
}

#[test]
fn a_restore_never_overwrites_an_existing_hub() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    hub.device_link("kept");
    hub.ask(&["backup", "file"]);
    let finished = restore(&machine, "file");
    assert!(finished.code == Some(1) && finished.stderr.contains("another hub is running"), "{finished:?}");
    hub.device_link("later");
    drop(hub);
    let finished = restore(&machine, "file");
    assert!(finished.code == Some(1) && finished.stderr.contains("already holds a hub's state"), "{finished:?}");
    assert!(Hub::start(&machine).ask(&["device", "list"]).contains("later"));
    let beside = machine.run(&["hub", "--state-dir", "beside", "restore", "file"]);
    assert_eq!(beside.code, Some(0), "{beside:?}");
}

#[test]
fn a_stale_sqlite_journal_is_not_replayed_into_a_restored_registry() {
    let machine = Machine::new();
    Hub::start(&machine).ask(&["backup", "file"]);
    for leftover in ["registry.sqlite-wal", "registry.sqlite-shm", "registry.sqlite-journal"] {
        let elsewhere = machine.home().join(leftover);
        fs::DirBuilder::new().mode(0o700).create(&elsewhere).expect("a directory");
        fs::write(elsewhere.join(leftover), "of another").expect("a file can be written");
        let finished = machine.run(&["hub", "--state-dir", leftover, "restore", "file"]);
        let told = format!("already holds a hub's state ({leftover}); move it away first");
        assert!(finished.code == Some(1) && finished.stderr.contains(&told), "{finished:?}");
        assert!(!elsewhere.join("registry.sqlite").exists());
    }
}

#[test]
fn a_file_that_is_no_backup_is_reported_and_restores_nothing() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    hub.ask(&["backup", "good"]);
    let registry = state(&machine).join("registry.sqlite");
    let good = fs::read(machine.home().join("good")).expect("the backup");
    for (name, content, why) in [
        ("text", b"once upon a time".to_vec(), "is not a hub backup\n"),
        ("empty", Vec::new(), "is not a hub backup"),
        ("half", good[..good.len() / 2].to_vec(), ""),
        ("short", good[..good.len() - 1].to_vec(), "is truncated"),
        ("damaged", damaged(&good), "is damaged"),
        ("registry", fs::read(registry).expect("the registry"), "is not a hub backup"),
    ] {
        let elsewhere = Machine::new();
        fs::write(elsewhere.home().join(name), content).expect("a file can be written");
        let finished = restore(&elsewhere, name);
        assert!(
            finished.code == Some(1) && finished.stderr.contains(name) && finished.stderr.contains(why),
            "{name}: {finished:?}"
        );
        fs::write(elsewhere.home().join("good"), &good).expect("a file can be written");
        let finished = restore(&elsewhere, "good");
        assert_eq!(finished.code, Some(0), "after {name}: {finished:?}");
    }
    let finished = restore(&Machine::new(), "missing");
    assert!(finished.code == Some(1) && finished.stderr.contains("cannot read missing"), "{finished:?}");
}

#[test]
fn a_backup_with_a_path_outside_the_state_directory_is_refused_whole() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    for (number, path) in ["../outside", "/tmp/devstream-outside", "a/../../outside"].into_iter().enumerate() {
        let name = format!("malformed{number}");
        hub.ask(&["backup", &name]);
        let malformed = Connection::open(machine.home().join(&name)).expect("a database");
        malformed.execute("INSERT INTO file VALUES (?, x'00')", [path]).expect("it takes a row");
        drop(malformed);
        let finished = machine.run(&["hub", "--state-dir", "elsewhere", "restore", &name]);
        assert!(finished.code == Some(1) && finished.stderr.contains("outside the state directory"), "{finished:?}");
        assert!(!machine.home().join("elsewhere/ca.pem").exists(), "{path}");
    }
}

/// They tell what has changed since a backup was made.
#[test]
fn a_backup_with_logs_or_another_registry_is_refused_whole() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    let state = machine.home().join("elsewhere");
    let unwritable = ["ca.pem/x", "notes/.", "notes/", "no\u{1b}tes"];
    let paths = ["activity.jsonl", "administration.jsonl", "registry.sqlite-wal", ""].into_iter().chain(unwritable);
    for (number, path) in paths.enumerate() {
        let name = format!("forged{number}");
        hub.ask(&["backup", &name]);
        let forged = Connection::open(machine.home().join(&name)).expect("a database");
        forged.execute("INSERT INTO file VALUES (?, x'00')", [path]).expect("it takes a row");
        drop(forged);
        let finished = machine.run(&["hub", "--state-dir", "elsewhere", "restore", &name]);
        assert!(finished.code == Some(1) && finished.stderr.contains("the backup holds a file"), "{finished:?}");
        assert!(!state.join("ca.pem").exists() && (path.is_empty() || !state.join(path).exists()), "{path}");
    }
}

#[test]
fn an_agent_trusts_a_hub_that_was_restored_and_no_other_in_its_place() {
    let (first, device) = (Machine::new(), Machine::new());
    let hub = Hub::start(&first);
    device.ask(&["join", &hub.device_link(DEVICE)]);
    hub.ask(&["backup", "file"]);
    let port = hub.port;
    drop(hub);
    let other_hub = Hub::start_on(&Machine::new(), port, &[]);
    let agent = Agent::launch(&device, DEVICE, &["22"]);
    agent.wait_line("another authority");
    drop(other_hub);
    let again = Machine::new();
    fs::copy(first.home().join("file"), again.home().join("file")).expect("a file can be copied");
    assert_eq!(restore(&again, "file").code, Some(0));
    let _hub = Hub::start_on(&again, port, &[]);
    agent.wait_line("is online");
}

#[test]
fn a_restore_names_removed_identities_replaced_keys_and_used_counts_that_it_revives() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    for id in ["pi-1", "pi-2"] {
        RawClient::join(&hub.device_link(id));
    }
    RawClient::join(&hub.service_link("alice"));
    let shared = hub.link(&["enroll", "add", "--device", "plant-*", "--uses", "3"]);
    hub.ask(&["backup", "file"]);
    hub.ask(&["device", "remove", "pi-1"]);
    RawClient::join(&hub.link(&["device", "rotate", "pi-2"]));
    hub.ask(&["service", "disable", "alice"]);
    ["bob", "carol"].into_iter().for_each(|name| drop(hub.service_link(name)));
    hub.ask(&["service", "remove", "carol"]);
    let named = shared.replacen("/?", "/plant-1?", 1);
    assert_eq!(RawClient::before_joining(&named).redeem(&shared).status, 204);
    poll("the last line", || {
        hub.activity().iter().any(|line| line["properties"]["deviceId"] == "plant-1").then_some(())
    });
    hub.process.kill();

    let elsewhere = Machine::new();
    fs::copy(machine.home().join("file"), elsewhere.home().join("file")).expect("a copy");
    let told = restore(&elsewhere, "file");
    for what in [
        "restored 3 identities",
        "the backup was made at 20",
        "devices: 2\n  pi-1, key of 20",
        "services: 1\n  alice, key of 20",
        "enrolment keys with uses left: 1\n  1 for plant-*, 3 of 3 uses left until 20",
        "no log there tells what has changed since; if the old directory still exists, copy its activity*.jsonl",
    ] {
        assert!(told.code == Some(0) && told.stderr.contains(what), "{what}: {told:?}");
    }

    for name in ["ca.pem", "ca.key", "registry.sqlite", "registry.sqlite-wal", "registry.sqlite-shm"] {
        fs::remove_file(state(&machine).join(name)).expect("a file");
    }
    let told = restore(&machine, "file");
    for (what, command) in [
        ("device pi-1 was removed (20", "`devstream hub device remove pi-1`"),
        ("device pi-2 got another key, and has the former one again (20", "`devstream hub device rotate pi-2`"),
        ("service alice was disabled (20", "`devstream hub service disable alice`"),
        ("enrolment key 1 was used, and has these uses again (20", "`devstream hub enroll remove 1`"),
        ("device plant-1 was added, and is gone; it has to join again (20", "`devstream hub device add plant-1`"),
        ("service bob was added, and is gone; it has to join again (20", "`devstream hub service add bob`"),
    ] {
        let line = told.stderr.lines().find(|line| line.contains(what));
        assert!(line.is_some_and(|line| line.contains(command)), "{what}: {told:?}");
    }
    assert!(!told.stderr.contains("carol"), "added and removed again: {told:?}");
    // In the same second as the backup, unless the machine is slow.
    assert!(!told.stderr.contains("alice got another key"), "joined before the backup: {told:?}");
}

#[test]
fn a_restore_of_many_identities_lists_some_and_says_how_to_list_all() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    (0..22).for_each(|number| drop(hub.device_link(&format!("d{number:02}"))));
    hub.ask(&["backup", "file"]);
    let told = machine.run(&["hub", "--state-dir", "beside", "restore", "file"]);
    assert!(
        told.stderr.contains("  d19, has not joined\n  and 2 more: `devstream hub --state-dir beside device list`"),
        "{told:?}"
    );
    for what in [
        "start it with the same --hostname and --listen as before: `devstream hub --state-dir beside`",
        "copy its activity*.jsonl and administration.jsonl here before restoring: move beside away",
        "with `devstream hub --state-dir beside device|service remove|rotate ID`",
        "`devstream hub --state-dir beside enroll remove ID`",
    ] {
        assert!(told.stderr.contains(what), "{what}: {told:?}");
    }
    fs::remove_file(machine.home().join("beside/registry.sqlite")).expect("a registry");
    let started = machine.run(&["hub", "--state-dir", "beside", "--listen", "127.0.0.1:0"]);
    assert!(started.stderr.contains("`devstream hub --state-dir beside restore FILE`"), "{started:?}");
    let checked = machine.run(&["hub", "--state-dir", "beside", "check", "--json"]).stdout;
    assert!(checked.contains("`devstream hub --state-dir beside restore FILE`"), "{checked}");
}

/// Overwrites the database's last page.
fn damaged(good: &[u8]) -> Vec<u8> {
    let (intact, page) = good.split_at(good.len() - 4096);
    [intact, &vec![0xa5; page.len()]].concat()
}

fn restore(machine: &Machine, file: &str) -> Finished {
    machine.run(&["hub", "restore", file])
}

fn info(hub: &Hub) -> HubInfo {
    serde_json::from_str(&hub.ask(&["show"])).expect("the hub's particulars")
}

fn state(machine: &Machine) -> PathBuf {
    machine.home().join(".local/share/devstream/hub")
}
