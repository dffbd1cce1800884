//! A hub that is killed at any moment while identities change: what it has acknowledged is there after a restart, and nothing is
//! there by half.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use devstream::net::client::{Client, RequestOptions};
use devstream::net::e2e::fleet::certify;
use devstream::net::os::{clock, local_socket, random};
use devstream::net::tls::Trust;
use devstream::proto::admin::{AdminRequest, AdminResponse, Identity};
use devstream::proto::fleet::Validity;
use devstream::proto::http::Route;
use devstream::proto::id::{Principal, Role};
use devstream::proto::join::{JoinLink, JoinRequest};
use devstream::proto::key::{PrivateKey, PublicKey};
use devstream::proto::message::encode;
use devstream::proto::scope::Scope;
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::support::DEVICE;
use crate::support::machine::Machine;
use crate::support::rng::Rng;
use crate::support::roles::Hub;

/// How often the hub is killed, unless this variable of the environment says otherwise.
const KILLS: usize = 20;
const KILLS_VARIABLE: &str = "DEVSTREAM_TEST_KILLS";

/// The latest moment after the first change: each kind of change has been made a few times by then.
const LATEST: Duration = Duration::from_millis(500);

/// More answers than come between the last one that is waited for and the end of the hub.
const ANSWERS: usize = 64;

/// The device whose key is rotated again and again.
const ROTATED: &str = "rotated";

/// What the hub has acknowledged, and what it was asked for last without an answer.
struct Promises {
    runtime: Runtime,
    ids: Ids,
    rotation: Rotation,
    certificates: Certificates,
}

/// The devices that were added, and removed again.
#[derive(Default)]
struct Ids {
    added: Vec<String>,
    removed: Vec<String>,
    /// Asked for without an answer.
    unanswered: Vec<String>,
    next: usize,
}

/// The key of a device.
struct Rotation {
    acknowledged: PublicKey,
    asked: Option<(JoinLink, Arc<PrivateKey>)>,
    joins: usize,
}

/// The certificates that a service stores for one key.
struct Certificates {
    service: Client,
    owner: Principal,
    key: PublicKey,
    acknowledged: Option<String>,
    asked: Option<String>,
}

fn device(id: &str) -> Principal {
    Principal { role: Role::Device, id: id.parse().unwrap() }
}

fn new_key() -> Arc<PrivateKey> {
    Arc::new(PrivateKey::from_seed(&random::secret()))
}

/// Has the hub change something; nothing if there is no answer.
fn ask(runtime: &Runtime, socket: &Path, request: &AdminRequest) -> Option<AdminResponse> {
    let answer = runtime.block_on(local_socket::request(socket, request)).ok()?;
    assert!(!matches!(answer, AdminResponse::Failed { .. }), "{answer:?}");
    Some(answer)
}

/// Redeems a link for a key; nothing if there is no answer.
fn join(runtime: &Runtime, link: &JoinLink, id: &str, key: &Arc<PrivateKey>) -> Option<Client> {
    let principal = Principal { role: link.role, id: id.parse().unwrap() };
    let client = Client::new(link.hub.clone(), &Trust::Pin(link.pin.unwrap()), principal, key.clone()).unwrap();
    let body = encode(&JoinRequest { code: link.code.clone(), key: key.public(), proof: None }).into();
    let options = RequestOptions { body, ..RequestOptions::default() };
    let answer = runtime.block_on(client.request(&Route::Join, options)).ok()?;
    assert!(answer.status().is_success(), "{answer:?}");
    Some(client)
}

impl Ids {
    /// Adds devices, and removes every other one, until the hub does not answer.
    fn change(&mut self, runtime: &Runtime, socket: &Path, answered: &SyncSender<()>) {
        loop {
            let id = format!("d{}", self.next);
            self.next += 1;
            let principal = device(&id);
            let add = AdminRequest::Add { principal: principal.clone(), scope: Scope::default(), link_seconds: 900 };
            if ask(runtime, socket, &add).is_none() {
                return self.unanswered.push(id);
            }
            let _ = answered.send(());
            if self.next.is_multiple_of(2) {
                self.added.push(id);
                continue;
            }
            if ask(runtime, socket, &AdminRequest::Remove { principal }).is_none() {
                return self.unanswered.push(id);
            }
            self.removed.push(id);
        }
    }

    fn check(&self, found: &[Identity], logged: &[(String, String)]) {
        let is_found = |id: &String| found.iter().any(|found| found.principal.id.as_str() == id);
        let is_logged = |operation: &str, id: &str| logged.iter().any(|(of, about)| of == operation && about == id);
        for id in &self.added {
            assert!(is_found(id) && is_logged("identityAdded", id), "{id} was added: {logged:?}");
        }
        for id in &self.removed {
            assert!(!is_found(id) && is_logged("identityRemoved", id), "{id} was removed: {logged:?}");
        }
        for Identity { principal, .. } in found {
            let id = principal.id.as_str().to_owned();
            let is_known = [ROTATED, DEVICE].contains(&id.as_str()) || self.unanswered.contains(&id);
            assert!(is_known || self.added.contains(&id), "nobody added {id}");
        }
    }
}

impl Rotation {
    /// Has the device join with a new key, until the hub does not answer.
    fn change(&mut self, runtime: &Runtime, socket: &Path, answered: &SyncSender<()>) {
        let rotate = AdminRequest::Rotate { principal: device(ROTATED), overlap_seconds: 0, link_seconds: 900 };
        loop {
            let Some(AdminResponse::Link { link, .. }) = ask(runtime, socket, &rotate) else { return };
            let (link, key): (JoinLink, _) = (link.parse().unwrap(), new_key());
            self.asked = Some((link.clone(), key.clone()));
            if join(runtime, &link, ROTATED, &key).is_none() {
                return;
            }
            self.acknowledged = key.public();
            self.asked = None;
            self.joins += 1;
            let _ = answered.send(());
        }
    }

    fn check(&mut self, runtime: &Runtime, found: &[Identity], logged: &[(String, String)]) {
        let found = found.iter().find(|found| found.principal.id.as_str() == ROTATED).expect("it was never removed");
        let [key] = found.keys.as_slice() else { panic!("one key alone is valid: {found:?}") };
        let asked = self.asked.as_ref().map(|(_, key)| key.public().fingerprint());
        let is_known = key.fingerprint == self.acknowledged.fingerprint() || Some(&key.fingerprint) == asked.as_ref();
        assert!(is_known, "{found:?}, and neither the acknowledged nor the last key");
        let joins = logged.iter().filter(|(of, about)| of == "join" && about == ROTATED).count();
        assert!(joins >= self.joins, "{joins} of {} joins are logged", self.joins);
        // A join whose answer was lost is repeated, and its link is good or was used for this key. Its line may be lost with it.
        if let Some((link, key)) = self.asked.take() {
            join(runtime, &link, ROTATED, &key).expect("the hub is up");
            self.acknowledged = key.public();
        }
    }
}

impl Certificates {
    /// Stores one certificate after the other, until the hub does not answer.
    fn change(&mut self, runtime: &Runtime) {
        loop {
            let certificate =
                certify(&self.owner, &self.key, new_key(), Validity::beginning(clock::now_utc())).unwrap();
            self.asked = Some(certificate.to_string());
            if runtime.block_on(self.service.store_certificate(&self.owner, self.key, &certificate)).is_err() {
                return;
            }
            self.acknowledged = self.asked.take();
        }
    }

    fn check(&mut self, runtime: &Runtime) {
        let kept = runtime.block_on(self.service.endorsements(&self.owner)).unwrap().unwrap();
        let [kept] = kept.try_into().unwrap();
        assert_eq!(kept.key, self.key);
        let is_known = kept.certificate == self.acknowledged || kept.certificate == self.asked;
        assert!(is_known, "{kept:?}, and neither {:?} nor {:?}", self.acknowledged, self.asked);
        self.acknowledged = kept.certificate;
    }
}

impl Promises {
    fn new(hub: &Hub) -> Self {
        let runtime = Runtime::new().unwrap();
        let joined = |link: String, id| {
            let key = new_key();
            (join(&runtime, &link.parse().unwrap(), id, &key).expect("the hub is up"), key.public())
        };
        let ((_, rotated), (_, key)) =
            (joined(hub.device_link(ROTATED), ROTATED), joined(hub.device_link(DEVICE), DEVICE));
        let (service, _) = joined(hub.service_link("alice"), "alice");
        let rotation = Rotation { acknowledged: rotated, asked: None, joins: 1 };
        let certificates = Certificates { service, owner: device(DEVICE), key, acknowledged: None, asked: None };
        Self { runtime, ids: Ids::default(), rotation, certificates }
    }

    /// Makes changes of all kinds, and kills the hub at once after so many answers, or else after this time.
    fn change_until_killed(&mut self, hub: &Hub, answers: usize, after: Duration) {
        let Self { runtime, ids, rotation, certificates } = self;
        let (runtime, socket) = (&*runtime, &state(hub).join("admin.sock"));
        let (answered, answer) = sync_channel(ANSWERS);
        let of_ids = answered.clone();
        let pid = Pid::from_raw(hub.process.id().cast_signed()).unwrap();
        thread::scope(|scope| {
            scope.spawn(move || ids.change(runtime, socket, &of_ids));
            scope.spawn(move || rotation.change(runtime, socket, &answered));
            scope.spawn(|| certificates.change(runtime));
            let until = clock::now() + after;
            let left = || until.saturating_duration_since(clock::now());
            let in_time = |_: &usize| answer.recv_timeout(left()).is_ok();
            let _ = (0..answers).take_while(in_time).count();
            // Not by a program: that takes longer to start than a line to be written.
            kill_process(pid, Signal::KILL).unwrap();
            hub.process.wait_end();
        });
    }

    fn check(&mut self, hub: &Hub) {
        let found: Vec<Identity> = hub.json(&["device", "list"]);
        let logged = changes_logged(hub);
        self.ids.check(&found, &logged);
        self.rotation.check(&self.runtime, &found, &logged);
        self.certificates.check(&self.runtime);
    }
}

/// The operations in the log of changes, with the device that each is about. Every line is whole.
fn changes_logged(hub: &Hub) -> Vec<(String, String)> {
    let log = fs::read_to_string(state(hub).join("administration.jsonl")).unwrap();
    let change = |line: &str| {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let field = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (field(&entry["operationName"]), field(&entry["properties"]["deviceId"]))
    };
    log.lines().map(change).collect()
}

fn state(hub: &Hub) -> PathBuf {
    hub.machine().home().join(".local/share/devstream/hub")
}

#[test]
fn a_hub_that_is_killed_at_any_moment_keeps_every_change_that_it_acknowledged() {
    let kills = std::env::var(KILLS_VARIABLE).map_or(KILLS, |kills| kills.parse().unwrap());
    let (machine, mut rng) = (Machine::new(), Rng::new(16));
    let mut hub = Hub::start_with(&machine, &["--penalty-exempt", "127.0.0.0/8"]);
    let mut promises = Promises::new(&hub);
    for round in 0..kills {
        // Half of them at a moment, the others right after an answer.
        let after = LATEST.mul_f64(rng.random_below(1000) as f64 / 1000.0);
        let answers = if round % 2 == 0 { usize::MAX } else { 1 + rng.random_below(8) };
        promises.change_until_killed(&hub, answers, after);
        hub = Hub::start_on(&machine, hub.port, &["--penalty-exempt", "127.0.0.0/8"]);
        promises.check(&hub);
    }
    let Promises { ids, rotation, .. } = &promises;
    let made =
        [ids.added.len(), ids.removed.len(), rotation.joins, usize::from(promises.certificates.acknowledged.is_some())];
    assert!(made.iter().all(|made| *made > 0), "a change of each kind was acknowledged: {made:?}");
    let registry = Connection::open(state(&hub).join("registry.sqlite")).unwrap();
    let integrity: String = registry.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
}
