//! Certificates of the operator's own: which client gets which, and reloading them.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, thread};

use devstream::net::tls::Trust;
use devstream::proto::join::JoinLink;
use devstream::proto::refusal::RefusalKind;

use crate::support::DEVICE;
use crate::support::bytes::{KIB, Observed, Pattern, StreamEnd, drain};
use crate::support::certificates::{Authority, Files, NAME, shown, trust};
use crate::support::machine::Machine;
use crate::support::raw::RawClient;
use crate::support::roles::{Agent, Hub, OneMachine, ServiceProxy, assert_is};
use crate::support::targets::{Target, is_alive};

const TAKEN_UP: &str = "installed the new certificate";

/// A hub with a certificate of the operator's own for [`NAME`].
struct Fixture {
    authority: Authority,
    trust: std::sync::Arc<Trust>,
    files: Files,
    hub: Hub,
    machine: Machine,
}

impl Fixture {
    fn new() -> Self {
        let (machine, authority) = (Machine::new(), Authority::new());
        let files = Files::in_directory(machine.home());
        files.write(&authority.certify(NAME));
        let hub = Hub::start_with(&machine, &[&["--hostname", NAME], files.arguments().as_slice()].concat());
        Self { trust: trust(&authority.file(&machine)), authority, files, hub, machine }
    }

    fn shown(&self) -> Vec<u8> {
        shown(self.hub.port, &self.trust, NAME).unwrap().to_vec()
    }

    fn errors(&self) -> usize {
        self.hub.process.log().matches("error: ").count()
    }
}

#[test]
fn a_hundred_reloads_under_two_hundred_streams_lose_none() {
    const STREAMS: usize = 200;
    const THREADS: usize = 4;
    const RELOADS: usize = 100;
    let (target, fixture) = (Target::echo(), Fixture::new());
    let _agent = Agent::start(&fixture.machine, &[&format!("target={}", target.port)]);
    let proxy = ServiceProxy::start(&fixture.machine);
    let done = AtomicBool::new(false);
    let ending = StopGuard(&done);
    thread::scope(|scope| {
        let (opened, opening) = std::sync::mpsc::sync_channel(THREADS);
        for seed in 0..THREADS {
            let (proxy, done, opened) = (&proxy, &done, opened.clone());
            scope.spawn(move || {
                // One after the other: unauthenticated connections from one address are limited.
                let open = |_| {
                    let mut stream = proxy.connect();
                    is_alive(&mut stream);
                    stream
                };
                let streams = (0..STREAMS / THREADS).map(open).collect();
                opened.send(()).unwrap();
                echo_until(done, seed as u64, streams);
            });
        }
        // Also when one of the threads has failed.
        let ending = ending;
        drop(opened);
        (0..THREADS).for_each(|_| opening.recv().unwrap());
        for reload in 0..RELOADS {
            if reload == RELOADS / 2 {
                a_broken_file_changes_nothing(&fixture);
            }
            let (pair, lines) = (fixture.authority.certify(NAME), fixture.hub.process.lines());
            fixture.files.write(&pair);
            fixture.hub.process.signal("HUP");
            fixture.hub.process.wait_line_after(lines, TAKEN_UP);
            assert_eq!(fixture.shown(), pair.der.to_vec(), "after reload {reload}");
        }
        drop(ending);
    });
    for _ in 0..STREAMS {
        let seen = target.seen();
        assert!(seen.end == StreamEnd::Eof && seen.bytes >= KIB, "{seen:?}");
    }
    assert_eq!(fixture.errors(), 1, "{}", fixture.hub.process);
}

/// Ends the exchange when the test does, however it does.
struct StopGuard<'a>(&'a AtomicBool);

impl Drop for StopGuard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Exchanges a kibibyte with each stream in turn, over an echo; at the end, nothing may be missing or left over.
fn echo_until(done: &AtomicBool, seed: u64, mut streams: Vec<TcpStream>) {
    let pattern = Pattern::new(seed + 1);
    let (mut position, mut back) = (0, vec![0; KIB as usize]);
    while position == 0 || !done.load(Ordering::Relaxed) {
        let bytes = pattern.chunk(position, KIB);
        for stream in &mut streams {
            stream.write_all(bytes).unwrap();
            stream.read_exact(&mut back[..bytes.len()]).unwrap();
            assert!(back[..bytes.len()] == *bytes, "other bytes after {position}");
        }
        position += bytes.len() as u64;
    }
    for mut stream in streams {
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(drain(&mut stream), Observed { bytes: 0, end: StreamEnd::Eof });
    }
}

/// Asserts that repeated reloads log the fault once.
fn a_broken_file_changes_nothing(fixture: &Fixture) {
    let (before, lines) = (fixture.shown(), fixture.hub.process.lines());
    fs::write(&fixture.files.certificate, &fixture.authority.certify(NAME).certificate[..200]).unwrap();
    fixture.hub.process.signal("HUP");
    let error = fixture.hub.process.wait_line_after(lines, "error: ");
    assert!(error.contains(fixture.files.certificate.to_str().unwrap()), "{error}");
    fixture.hub.process.signal("HUP");
    fixture.hub.process.wait_line_after(lines, "have not changed");
    assert_eq!(fixture.shown(), before);
}

#[test]
fn new_certificate_files_are_loaded_however_they_are_replaced() {
    let (machine, authority) = (Machine::new(), Authority::new());
    let trust = trust(&authority.file(&machine));
    // As a cluster's secrets are mounted: a link to a directory that is exchanged whole.
    let [first, second, third] = [(); 3].map(|()| authority.certify(NAME));
    for (name, pair) in [("first", &first), ("second", &second)] {
        fs::create_dir(machine.home().join(name)).unwrap();
        Files::in_directory(&machine.home().join(name)).write(pair);
    }
    let link = machine.home().join("current");
    symlink("first", &link).unwrap();
    let files = Files::in_directory(&link);
    let hub = Hub::start_with(&machine, &[&["--hostname", NAME], files.arguments().as_slice()].concat());
    let now = || shown(hub.port, &trust, NAME).unwrap();
    assert_eq!(now(), first.der);

    let lines = hub.process.lines();
    symlink("second", machine.home().join("next")).unwrap();
    fs::rename(machine.home().join("next"), &link).unwrap();
    hub.process.wait_line_after(lines, TAKEN_UP);
    assert_eq!(now(), second.der);

    // As an editor saves: a new file takes the name of the old one, one after the other.
    let lines = hub.process.lines();
    fs::create_dir(machine.home().join("saved")).unwrap();
    let saved = Files::in_directory(&machine.home().join("saved"));
    saved.write(&third);
    fs::rename(&saved.certificate, &files.certificate).unwrap();
    fs::rename(&saved.key, &files.key).unwrap();
    hub.process.wait_line_after(lines, TAKEN_UP);
    assert_eq!(now(), third.der);
    assert!(!hub.process.log().contains("error: "), "{}", hub.process);
}

#[test]
fn each_fault_of_a_new_certificate_is_reported_once_and_the_old_one_stays() {
    let fixture = Fixture::new();
    let before = fixture.shown();
    let Files { certificate, key } = &fixture.files;
    let other = fixture.authority.certify(NAME);
    let faults: [(&dyn Fn(), &str, &str); 4] = [
        (&|| fs::write(key, &other.key).unwrap(), "hub.key", "does not match the certificate"),
        (&|| fs::write(key, "nothing").unwrap(), "hub.key", "no readable private key"),
        (&|| fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap(), "hub.key", "chmod 600"),
        (&|| fs::remove_file(certificate).unwrap(), "hub.pem", "No such file"),
    ];
    for (number, (make, file, why)) in faults.iter().enumerate() {
        let lines = fixture.hub.process.lines();
        make();
        for _ in 0..2 {
            let lines = fixture.hub.process.lines();
            fixture.hub.process.signal("HUP");
            let known = fixture.hub.process.find_line(lines, "hub: ", crate::support::TIMEOUT);
            assert!(known.is_some(), "each request has an answer: {}", fixture.hub.process);
        }
        let error = fixture.hub.process.wait_line_after(lines, "error: ");
        assert!(error.contains(file) && error.contains(why), "{error}");
        assert_eq!(fixture.errors(), number + 1, "{}", fixture.hub.process);
        assert_eq!(fixture.shown(), before);
    }
    let lines = fixture.hub.process.lines();
    fixture.files.write(&other);
    fixture.hub.process.wait_line_after(lines, TAKEN_UP);
    assert_eq!(fixture.shown(), other.der.to_vec());
}

#[test]
fn a_bad_certificate_fails_the_start() {
    let (machine, authority) = (Machine::new(), Authority::new());
    let files = Files::in_directory(machine.home());
    let (one, other) = (authority.certify(NAME), authority.certify(NAME));
    files.write(&one);
    fs::write(&files.key, &other.key).unwrap();
    let arguments = files.arguments();
    let started = machine.run(&[&["hub", "--listen", "127.0.0.1:0"], arguments.as_slice()].concat());
    assert_eq!(started.code, Some(1), "{started:?}");
    assert!(started.stderr.contains("hub.key") && started.stderr.contains("does not match"), "{started:?}");
    for half in arguments.chunks(2) {
        let started = machine.run(&[&["hub", "--listen", "127.0.0.1:0"], half].concat());
        assert_eq!(started.code, Some(2), "{started:?}");
    }
}

#[test]
fn a_certificate_that_ends_in_ten_days_is_warned_about_at_the_start() {
    let (machine, authority) = (Machine::new(), Authority::new());
    let files = Files::in_directory(machine.home());
    files.write(&authority.certify_for(NAME, 10));
    let hub = Hub::start_with(&machine, &files.arguments());
    let warning = hub.process.wait_line("warning: the certificate expires in 10 days");
    assert!(warning.contains("the same files"), "{warning}");
    let lines = hub.process.lines();
    files.write(&authority.certify_for(NAME, -1));
    hub.process.signal("HUP");
    hub.process.wait_line_after(lines, TAKEN_UP);
    hub.process.wait_line_after(lines, "warning: the certificate has expired");
}

#[test]
fn pinned_clients_get_the_hubs_own_certificate_whatever_else_is_configured() {
    let target = Target::echo();
    let (machine, device, authority) = (Machine::new(), Machine::new(), Authority::new());
    let hub = Hub::start_with(&machine, &["--hostname", NAME]);
    let pinned: JoinLink = hub.service_link("alice").parse().unwrap();
    device.ask(&["join", &hub.device_link(DEVICE)]);
    let port = hub.port;
    hub.process.kill();

    let files = Files::in_directory(machine.home());
    let pair = authority.certify(NAME);
    files.write(&pair);
    let hub = Hub::start_on(&machine, port, &[&["--hostname", NAME], files.arguments().as_slice()].concat());
    let public = trust(&authority.file(&machine));
    assert_eq!(shown(port, &public, NAME).unwrap(), pair.der);
    let pin = Trust::Pin(pinned.pin.unwrap());
    assert_ne!(shown(port, &pin, NAME).unwrap(), pair.der);
    // The certificate names no address, so clients of an address get the hub's own, pin or not.
    let own = trust(machine.home().join(".local/share/devstream/hub/ca.pem").to_str().unwrap());
    assert_ne!(shown(port, &own, "127.0.0.1").unwrap(), pair.der);
    assert!(shown(port, &own, NAME).is_err());

    // The device joined before, and knows nothing of the pair; this user's own programs never need to.
    let _agent = Agent::start(&device, &[&target.port.to_string()]);
    is_alive(&mut ServiceProxy::start(&machine).connect());
    // Nobody but this test trusts the pair's authority, so new links still carry the pin.
    RawClient::join(&hub.service_link("bob"));
}

#[test]
fn where_the_certificate_is_publicly_trusted_links_carry_no_pin() {
    let (target, authority) = (Target::echo(), Authority::new());
    let directory = Machine::new();
    let [machine, device] = [(); 2].map(|()| Machine::new().with("SSL_CERT_FILE", &authority.file(&directory)));
    let files = Files::in_directory(machine.home());
    files.write(&authority.certify(NAME));
    let hub = Hub::start_with(&machine, &[&["--hostname", NAME], files.arguments().as_slice()].concat());
    let link = hub.device_link(DEVICE);
    assert!(link.contains(NAME) && !link.contains("pin="), "{link}");
    device.ask(&["join", &link]);
    let _agent = Agent::start(&device, &[&target.port.to_string()]);
    is_alive(&mut ServiceProxy::start(&machine).connect());
    // A machine that does not trust the authority is told so, and another with the file in its hand gets in.
    let link = hub.service_link("alice");
    let refused = Machine::new().run(&["join", &link]);
    assert!(refused.stderr.contains("the hub's certificate is not trusted"), "{refused:?}");
    Machine::new().ask(&["join", &link, "--ca", &authority.file(&directory)]);
}

#[test]
fn a_sighup_does_not_affect_a_hub_with_its_own_certificate() {
    let target = Target::echo();
    let fixture = OneMachine::forwarding(target.port);
    let mut local = fixture.proxy.connect();
    is_alive(&mut local);
    fixture.hub.process.signal("HUP");
    fixture.hub.process.wait_line("nothing to reload");
    is_alive(&mut local);
}

#[test]
fn an_unusable_ca_file_is_reported_and_not_mistaken_for_a_missing_join() {
    let (machine, joined) = (Machine::new(), Machine::new());
    let hub = Hub::start(&machine);
    joined.ask(&["join", &hub.service_link("alice")]);
    let bad = machine.home().join("bad.pem").display().to_string();
    fs::write(&bad, "no certificate").unwrap();
    for machine in [&joined, &machine] {
        let finished = machine.run(&["devices", "--ca", &bad]);
        assert_is(&finished, RefusalKind::CertificateNotTrusted);
        assert!(finished.stderr.contains(&format!("cannot use --ca {bad}")), "{finished:?}");
    }
}
