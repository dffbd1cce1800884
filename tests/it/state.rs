//! A state directory of which a part is lost: what can be made again is, the rest is refused and never made anew.

use std::fs;
use std::path::{Path, PathBuf};

use devstream::proto::admin::{HubInfo, Identity};
use serde_json::Value;

use crate::support::machine::Machine;
use crate::support::raw::{RawClient, RawDevice};
use crate::support::roles::Hub;
use crate::support::{DEVICE, ports};

/// A hub of which the state can be damaged while it is stopped.
struct StoppedHub {
    machine: Machine,
    port: u16,
}

impl StoppedHub {
    /// With a device that has joined, and its client.
    fn with_device() -> (Self, RawClient) {
        let (stopped, device) = Self::new(|hub| RawClient::join(&hub.device_link(DEVICE)));
        assert!(stopped.file("ca.key").exists() && stopped.file("registry.sqlite").exists());
        (stopped, device)
    }

    fn new<R>(work: impl FnOnce(&Hub) -> R) -> (Self, R) {
        let stopped = Self { machine: Machine::new(), port: ports::reserve() };
        let result = stopped.run(work);
        (stopped, result)
    }

    /// Runs it until the work is done, and stops it as a service manager does.
    fn run<R>(&self, work: impl FnOnce(&Hub) -> R) -> R {
        let hub = Hub::start_on(&self.machine, self.port, &[]);
        let result = work(&hub);
        hub.process.signal("TERM");
        hub.process.wait_end();
        result
    }

    fn file(&self, name: &str) -> PathBuf {
        state(&self.machine).join(name)
    }

    fn remove(&self, names: &[&str]) {
        names.iter().for_each(|name| fs::remove_file(self.file(name)).expect("a file"));
    }

    /// Asserts that it does not start, and says this.
    fn is_refused(&self, told: &str) {
        let finished = self.machine.run(&["hub", "--listen", "127.0.0.1:0"]);
        assert!(finished.code == Some(1) && finished.stderr.contains(told), "{told}: {finished:?}");
    }

    /// Returns the finding of `hub check` about its files.
    fn check(&self) -> Option<Value> {
        let finished = self.machine.run(&["hub", "check", "--json"]);
        let report: Value = serde_json::from_str(&finished.stdout).expect("a report");
        report["hops"].as_array().expect("hops").iter().find(|hop| hop["hop"] == "state").cloned()
    }
}

#[test]
fn a_lost_ca_certificate_does_not_lock_devices_out() {
    let (stopped, device) = StoppedHub::with_device();
    let key = fs::read(stopped.file("ca.key")).expect("a key");
    let pin = stopped.run(pin);
    for empty in [false, true] {
        stopped.remove(&["ca.pem"]);
        if empty {
            fs::write(stopped.file("ca.pem"), "").expect("a file");
        }
        stopped.run(|hub| {
            hub.process.wait_line("ca.pem was missing and was made again from ca.key");
            assert_eq!(self::pin(hub), pin);
            let _online = RawDevice::online(device.clone(), &["ssh"]);
        });
        assert_eq!(fs::read(stopped.file("ca.key")).expect("a key"), key);
    }
}

#[test]
fn a_lost_registry_does_not_start_empty() {
    let (stopped, _) = StoppedHub::with_device();
    let registry = stopped.file("registry.sqlite");
    fs::write(&registry, "").expect("a file");
    for lost in ["emptied", "removed"] {
        let told = "registry.sqlite is missing or empty; move the directory away; then restore a backup";
        stopped.is_refused(told);
        assert_eq!(stopped.check().expect(lost)["state"], "failed");
        let backup = stopped.machine.run(&["hub", "backup", "file"]);
        assert!(backup.code == Some(1) && backup.stderr.contains(told), "{backup:?}");
        let _ = fs::remove_file(&registry);
    }
    stopped.remove(&["ca.pem", "ca.key"]);
    stopped.is_refused("registry.sqlite and ca.key are missing or empty, but identity-changes is there");
    assert!(!registry.exists() && !stopped.file("ca.key").exists());
}

#[test]
fn a_lost_authority_is_not_replaced_by_another() {
    let (stopped, _) = StoppedHub::with_device();
    stopped.remove(&["ca.key"]);
    let told = "ca.key is missing or empty; move the directory away";
    stopped.is_refused(told);
    stopped.remove(&["ca.pem"]);
    stopped.is_refused(told);
    assert_eq!(stopped.check().expect("a finding")["state"], "failed");
    assert!(!stopped.file("ca.key").exists() && !stopped.file("ca.pem").exists());
}

#[test]
fn a_first_start_that_was_cut_short_is_completed() {
    let (stopped, ()) = StoppedHub::new(|_| ());
    stopped.remove(&["ca.key", "ca.pem", "resume.key"]);
    stopped.run(|hub| drop(RawDevice::online(RawClient::join(&hub.device_link(DEVICE)), &["ssh"])));
    stopped.run(|hub| assert!(!hub.process.errors().contains("made again"), "{}", hub.process.errors()));
}

#[test]
fn certificate_and_key_of_two_authorities_are_refused() {
    let (stopped, _) = StoppedHub::with_device();
    let (other, ()) = StoppedHub::new(|_| ());
    fs::copy(other.file("ca.pem"), stopped.file("ca.pem")).expect("a copy");
    stopped.is_refused("the certificate is not that of the key");
}

#[test]
fn a_lost_resume_key_is_made_anew_and_reported() {
    let (stopped, _) = StoppedHub::with_device();
    stopped.remove(&["resume.key"]);
    stopped.run(|hub| hub.process.wait_line("resume.key was missing and was made anew: streams that were interrupted"));
}

#[test]
fn a_hub_keeps_its_id_and_one_of_a_version_without_ids_is_given_one() {
    let (stopped, _) = StoppedHub::with_device();
    let id = || fs::read_to_string(stopped.file("hub.id")).expect("an id");
    let first = id();
    stopped.run(|_| assert_eq!(id(), first));
    stopped.remove(&["hub.id"]);
    stopped.run(|_| assert_ne!(id(), first));
    fs::write(stopped.file("hub.id"), "damaged").expect("a file");
    stopped.is_refused("hub.id is damaged; remove it to give the hub another id");
}

#[test]
fn the_check_of_a_running_hub_notices_files_that_are_gone() {
    let (stopped, _) = StoppedHub::with_device();
    stopped.run(|_| {
        assert_eq!(stopped.check(), None);
        let vault = stopped.machine.home().join("vault");
        for (name, verdict) in [("ca.pem", "warning"), ("ca.key", "failed"), ("registry.sqlite", "failed")] {
            fs::rename(stopped.file(name), &vault).expect("a file");
            assert_eq!(stopped.check().expect(name)["state"], verdict, "{name}");
            fs::rename(&vault, stopped.file(name)).expect("a file");
        }
    });
}

#[test]
fn an_old_copy_of_the_registry_does_not_bring_back_what_was_removed() {
    let (stopped, device) = StoppedHub::with_device();
    let (registry, copy) = (stopped.file("registry.sqlite"), stopped.machine.home().join("copy"));
    stopped.run(|hub| drop(hub.ask(&["backup", "file"])));
    fs::copy(&registry, &copy).expect("a copy");
    stopped.run(|hub| drop(hub.ask(&["device", "remove", DEVICE])));
    fs::copy(&copy, &registry).expect("a copy");
    stopped.is_refused("the registry is an old copy: it has 2 of 3 changes of identities");

    let kept = stopped.machine.home().join("kept");
    fs::rename(state(&stopped.machine), &kept).expect("a directory");
    let restored = stopped.machine.run(&["hub", "restore", "file"]);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    stopped.run(|_| drop(RawDevice::online(device.clone(), &["ssh"])));

    fs::remove_dir_all(state(&stopped.machine)).and_then(|()| fs::rename(kept, state(&stopped.machine))).expect("one");
    stopped.remove(&["identity-changes"]);
    stopped.run(|_| drop(RawDevice::online(device, &["ssh"])));
}

#[test]
fn a_restore_beside_the_change_count_of_a_later_state_is_accepted() {
    let (stopped, _) = StoppedHub::with_device();
    stopped.run(|hub| drop(hub.ask(&["backup", "file"])));
    stopped.run(|hub| drop(hub.ask(&["device", "remove", DEVICE])));
    stopped.remove(&["registry.sqlite", "ca.pem", "ca.key"]);
    let restored = stopped.machine.run(&["hub", "restore", "file"]);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    stopped.run(|hub| assert_eq!(hub.json::<Vec<Identity>>(&["device", "list"]).len(), 1));
}

#[test]
fn a_registry_copied_without_its_journal_is_refused() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    let _device = RawClient::join(&hub.device_link(DEVICE));
    hub.process.kill();
    let journal = |end: &str| state(&machine).join(format!("registry.sqlite-{end}"));
    assert!(fs::metadata(journal("wal")).expect("a journal").len() > 0);
    fs::remove_file(journal("wal")).and_then(|()| fs::remove_file(journal("shm"))).expect("files");
    let finished = machine.run(&["hub", "--listen", "127.0.0.1:0"]);
    let told = ["copied without its -wal file", "is an old copy"];
    assert!(finished.code == Some(1) && told.iter().any(|told| finished.stderr.contains(told)), "{finished:?}");
}

fn pin(hub: &Hub) -> impl PartialEq + std::fmt::Debug + use<> {
    serde_json::from_str::<HubInfo>(&hub.ask(&["show"])).expect("the hub's particulars").pin
}

fn state(machine: &Machine) -> PathBuf {
    Path::new(machine.home()).join(".local/share/devstream/hub")
}
