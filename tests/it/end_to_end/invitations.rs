//! Invitations to a fleet: a machine joins with a link that the owner's machine has added to, and is signed from there.

use std::fs;
use std::io::read_to_string;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use devstream::proto::refusal::RefusalKind;
use serde_json::Value;

use super::fleet::{Owner, identity_file};
use super::{Joined, json, key, stream};
use crate::support::DEVICE;
use crate::support::machine::Machine;
use crate::support::process::Finished;
use crate::support::roles::{Agent, Hub, ServiceProxy};
use crate::support::targets::{Target, is_alive};

/// What a stream from the owner's machine says when it has signed the device.
pub(super) const SIGNED: &str = "pi-42: proof of the invitation checked; signed for 400 days";

/// A hub, and the owner's machine, which is the service `alice` in its own fleet.
pub(super) struct Invited {
    pub(super) hub: Hub,
    pub(super) owner: Owner,
}

impl Invited {
    pub(super) fn new() -> Self {
        Self::on(Machine::new())
    }

    pub(super) fn on(machine: Machine) -> Self {
        let invited = Self { hub: Hub::start(&Machine::new()), owner: Owner::on(machine) };
        invited.join(&invited.owner.machine, &invited.hub.service_link("alice"));
        let signed = invited.owner.machine.ask(&["fleet", "sign"]);
        assert!(signed.starts_with("service alice: proof of the invitation checked; signed until 20"), "{signed}");
        invited
    }

    /// Adds an invitation to a link.
    pub(super) fn invite(&self, link: &str) -> String {
        self.invite_any(link, &[])
    }

    /// Adds an invitation to an enrolment key's link, for the ids that match.
    pub(super) fn invite_any(&self, link: &str, ids: &[&str]) -> String {
        let invited = self.owner.machine.paste(&[&["fleet", "invite"], ids].concat(), link);
        assert!(invited.code == Some(0) && invited.stderr.contains("devstream join"), "{invited:?}");
        let line = invited.stdout.trim().to_owned();
        assert!(line.starts_with(&format!("{link}#fleet={}&proof=", self.owner.keys)), "{invited:?}");
        line
    }

    /// Has a machine join with a link to which an invitation was added, and returns that.
    pub(super) fn join(&self, machine: &Machine, link: &str) -> String {
        let line = self.invite(link);
        let joined = machine.paste(&["join"], &line);
        assert!(joined.code == Some(0) && joined.stderr.contains("trusts the fleet"), "{joined:?}");
        line
    }

    /// A device that has joined with an invitation.
    pub(super) fn device(&self) -> Machine {
        let device = Machine::new();
        self.join(&device, &self.hub.device_link(DEVICE));
        device
    }
}

pub(super) fn start(device: &Machine, target: &Target) -> Agent {
    Agent::start(device, &[&format!("target={}", target.port)])
}

/// Asserts that a stream was carried, and that this machine signed the device for it, or not.
pub(super) fn assert_says_hello(said: &Finished, signed: bool) {
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "hello\n"), "{said:?}");
    assert_eq!(said.stderr.contains(SIGNED), signed, "{said:?}");
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.is_file())
        .collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_device_that_joins_with_an_invitation_is_signed_at_the_first_stream_and_takes_its_certificate() {
    let (invited, target) = (Invited::new(), Target::greeting_then_reading("hello\n"));
    let (device, laptop) = (Machine::new(), &invited.owner.machine);
    let link = invited.join(&device, &invited.hub.device_link(DEVICE));
    let agent = start(&device, &target);
    assert_eq!(json(&device, &["identity"])[0].get("certificate"), None);
    assert_says_hello(&stream(laptop), true);
    agent.process.wait_line("pi-42: the fleet has signed this device's key, until 20");
    assert_says_hello(&stream(laptop), false);
    let own = json(&device, &["identity"])[0].clone();
    assert_eq!((&own["certificate"], &own["fleet"]), (&"good".into(), &invited.owner.keys.as_str().into()), "{own}");
    drop(agent);
    // Another operator, whose machine has no fleet key, and a device that was restarted without its hub's help.
    let bob = Machine::new();
    invited.join(&bob, &invited.hub.service_link_with("bob", &["--device", DEVICE]));
    let signed = laptop.ask(&["fleet", "sign"]);
    assert!(signed.starts_with("service bob: proof of the invitation checked; signed until 20"), "{signed}");
    let agent = start(&device, &target);
    let said = stream(&bob);
    assert_says_hello(&said, false);
    assert!(said.stderr.contains("the fleet has signed this machine's key, until 20"), "{said:?}");
    assert_says_hello(&stream(&bob), false);
    agent.process.wait_line("is online");
    assert_eq!(agent.process.errors().matches("has signed").count(), 0, "it had its certificate");

    let event = invited.hub.wait_activity("identityChanged", Some("certified"));
    assert_eq!(
        (&event["properties"]["by"], &event["properties"]["serviceId"]),
        (&"service:alice".into(), &"alice".into())
    );
    let secret = link.rsplit_once("proof=").unwrap().1;
    let at_the_hub = files(invited.hub.machine().home());
    assert!(at_the_hub.iter().any(|path| path.ends_with("registry.sqlite")), "{at_the_hub:?}");
    for path in at_the_hub {
        let bytes = fs::read(&path).unwrap_or_default();
        assert!(!holds(&bytes, secret) && !holds(&bytes, &invited.owner.keys), "{}", path.display());
    }
    let all = laptop.ask(&["fleet", "list"]);
    assert_eq!(all.lines().count(), 4, "{all}");
}

#[test]
fn an_invitation_is_taken_on_standard_input_alone_and_added_to_a_link_once() {
    let invited = Invited::new();
    let link = invited.invite(&invited.hub.device_link(DEVICE));
    let device = Machine::new();
    for given in [link.clone(), format!("devstream join '{link}'"), "x#y".into()] {
        let refused = device.run(&["join", &given]);
        assert!(refused.code == Some(2) && refused.stderr.contains("paste it when asked"), "{refused:?}");
        assert!(!refused.stderr.contains(link.rsplit_once("proof=").unwrap().1), "{refused:?}");
    }
    let twice = invited.owner.machine.paste(&["fleet", "invite"], &link);
    assert!(twice.code == Some(2) && twice.stderr.contains("has something after a # already"), "{twice:?}");
    let none = invited.owner.machine.paste(&["fleet", "invite"], "");
    assert!(none.code == Some(2) && none.stderr.contains("no link on standard input"), "{none:?}");
    let another = invited.owner.machine.paste(&["fleet", "invite", "pi-43"], &invited.hub.device_link("pi-44"));
    assert!(another.code == Some(2) && another.stderr.contains("this link is for pi-44"), "{another:?}");
    let damaged = device.paste(&["join"], &link[..link.len() - 1]);
    assert!(damaged.code == Some(2) && damaged.stderr.contains("invalid invitation"), "{damaged:?}");
    assert!(!identity_file(&device, "device").exists());
    // Nothing is stored of an invitation whose link the hub refuses.
    let (before, code) = link.split_once("code=").unwrap();
    let other = if code.starts_with('A') { "B" } else { "A" };
    let refused = device.paste(&["join"], &format!("{before}code={other}{}", &code[1..]));
    assert_eq!(refused.code, Some(i32::from(RefusalKind::AuthenticationFailed.row().exit)), "{refused:?}");
    assert!(!identity_file(&device, "device").exists());
    let whole = device.paste(&["join"], &format!("devstream join '{link}'"));
    assert_eq!(whole.code, Some(0), "{whole:?}");
    let again = device.paste(&["join"], &link);
    assert!(again.code == Some(0) && again.stderr.contains("gave the hub the proof"), "{again:?}");
    let invitations = invited.owner.machine.home().join(".local/share/devstream/fleet/invitations");
    assert_eq!(fs::metadata(invitations).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_certificate_is_renewed_without_a_visit_to_the_device() {
    let target = Target::greeting_then_reading("hello\n");
    let invited = Invited::new();
    let device = invited.device();
    let agent = start(&device, &target);
    // What the owner's machine signed was signed 341 days ago.
    let earlier = invited.owner.machine.clone().off_by("-341d");
    let signed = earlier.ask(&["fleet", "sign", DEVICE]);
    assert!(signed.starts_with("device pi-42: proof of the invitation checked; signed until 20"), "{signed}");
    agent.process.wait_line("the fleet has signed this device's key");
    let until = |machine: &Machine| json(machine, &["identity"])[0]["certificateUntil"].as_str().unwrap().to_owned();
    let before = until(&device);
    let checked = invited.owner.machine.run(&["check", DEVICE, "--json"]);
    let report: Value = serde_json::from_str(&checked.stdout).unwrap();
    let hop = report["hops"].as_array().unwrap().iter().find(|hop| hop["hop"] == "endToEnd").unwrap();
    assert_eq!(hop["state"], "warning", "{hop:#}");
    let said = agent.process.lines();
    let renewed = invited.owner.machine.ask(&["fleet", "sign"]);
    assert!(renewed.starts_with("device pi-42: renewed until 20"), "{renewed}");
    agent.process.wait_line_after(said, "the fleet has signed this device's key");
    crate::support::poll("the later certificate", || (until(&device) > before).then_some(()));
    let again = invited.owner.machine.run(&["fleet", "sign"]);
    assert!(again.code == Some(0) && again.stderr.contains("no machine waits to be signed"), "{again:?}");
    let key = key(&device, "device");
    assert!(invited.owner.machine.ask(&["fleet", "list"]).contains(&key));
}

#[test]
fn what_is_easily_overlooked_about_a_fleet_is_said() {
    let invited = Invited::new();
    let (laptop, keys) = (&invited.owner.machine, &invited.owner.keys);
    // A further role of the same machine, and a further profile.
    for (link, arguments) in [
        (invited.hub.device_link(DEVICE), vec!["join"]),
        (invited.hub.service_link("bob"), vec!["join", "--profile", "other"]),
    ] {
        let joined = laptop.run(&[arguments.as_slice(), &[&link]].concat());
        assert_eq!(joined.code, Some(0), "{joined:?}");
        assert!(joined.stderr.contains("trusts no fleet, and service alice"), "{joined:?}");
        assert!(joined.stderr.contains(&format!("devstream trust fleet {keys} --role ")), "{joined:?}");
    }
    let without = laptop.run(&["trust", "fleet", keys.split(',').next().unwrap(), "--role", "service"]);
    let recovery = &keys.split(',').nth(1).unwrap()[..8];
    let dropped = format!("what its other key {recovery}… signs, which may be the recovery key, is refused");
    assert!(without.code == Some(0) && without.stderr.contains(&dropped), "{without:?}");
    let both = laptop.run(&["trust", "fleet", keys, "--role", "service"]);
    assert!(both.code == Some(0) && !both.stderr.contains("recovery"), "{both:?}");

    let pipe = laptop.home().join("pipe");
    assert!(laptop.command("mkfifo").arg(&pipe).status().unwrap().success());
    let hung = Machine::new().run(&["fleet", "recover", pipe.to_str().unwrap()]);
    assert!(hung.code == Some(1) && hung.stderr.contains("it is no regular file"), "{hung:?}");
}

#[test]
fn a_certificate_that_does_not_hold_is_shown_as_what_it_is() {
    let (joined, owner, other) = (Joined::new(), Owner::new(), Owner::new());
    let (laptop, file) = (&joined.laptop, identity_file(&joined.laptop, "service"));
    owner.admit(laptop, "service", "alice");
    let whole = fs::read_to_string(&file).unwrap();
    let line = whole.lines().find(|line| line.starts_with("certificate")).unwrap();
    let of = |owner: &Machine, id: &str, key: &str| {
        let printed = owner.ask(&["fleet", "sign", id, "--role", "service", "--key", key, "--replace"]);
        printed.trim().rsplit(' ').next().unwrap().to_owned()
    };
    let own = key(laptop, "service");
    for (certificate, word, shown, said) in [
        (of(&owner.machine, "bob", &own), "anotherIdentity", "another id", "it is for another id or role"),
        (of(&owner.machine, "alice", &other.keys[..43]), "anotherKey", "another key", "it is for another key"),
        (of(&other.machine, "alice", &own), "anotherFleet", "another fleet", "this machine trusts has not signed it"),
        (of(&owner.machine.clone().off_by("-401d"), "alice", &own), "expired", "expired", "it expired on 20"),
        ("AAAA".into(), "unreadable", "unreadable", "it cannot be read"),
        ("not base64url".into(), "unreadable", "unreadable", "it cannot be read"),
    ] {
        fs::write(&file, whole.replace(line, &format!("certificate = \"{certificate}\""))).unwrap();
        assert_eq!(json(laptop, &["identity"])[0]["certificate"], word, "{certificate}");
        let table = laptop.ask(&["identity"]);
        assert!(table.trim().ends_with(shown), "{table}");
        let checked = laptop.run(&["check", "--json"]);
        let named = if word == "unreadable" { file.to_str().unwrap() } else { said };
        assert!(checked.stdout.contains(named), "{checked:?}");
    }
}

#[test]
fn a_service_of_the_system_keeps_its_certificate_where_it_may_write() {
    let (invited, target) = (Invited::new(), Target::greeting_then_reading("hello\n"));
    let device = invited.device();
    let [credentials, state] = ["credentials", "state"].map(|name| device.home().join(name));
    for directory in [&credentials, &state] {
        fs::create_dir(directory).unwrap();
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
    }
    for name in ["identity.toml", "key"] {
        fs::copy(identity_file(&device, "device").with_file_name(name), credentials.join(name)).unwrap();
    }
    let [directory, own] = [&credentials, &state].map(|path| path.display().to_string());
    let service = device.clone().with("CREDENTIALS_DIRECTORY", &directory).with("STATE_DIRECTORY", &own);
    let agent = start(&service, &target);
    assert_says_hello(&stream(&invited.owner.machine), true);
    agent.process.wait_line("the fleet has signed this device's key");
    drop(agent);
    assert!(
        state.join("certificate").exists() && !identity_file(&device, "device").with_file_name("certificate").exists()
    );
    let agent = start(&service, &target);
    assert_says_hello(&stream(&invited.owner.machine), false);
    assert!(!agent.process.errors().contains("has signed"), "{}", agent.process.errors());
}

#[test]
fn a_hub_of_an_earlier_version_is_told_from_one_that_refuses() {
    let (hub, owner) = (Hub::start_with_own_endpoint(&Machine::new()), Owner::new());
    owner.machine.ask(&["join", &hub.service_link("alice")]);
    let listening = hub.process.wait_line("hub: streaming endpoint listening on https://");
    let endpoint = listening.rsplit_once("https://").unwrap().1;
    // It answers what it does not know as any hub does.
    for arguments in [vec!["fleet", "sign", DEVICE], vec!["fleet", "sign"]] {
        owner.machine.paste(&["fleet", "invite"], &hub.link(&["device", "add", "pi-7"]));
        let sign = owner.machine.run(&[arguments.as_slice(), &["--hub", endpoint]].concat());
        let advice = "--key KEY";
        assert!(sign.code == Some(1) && sign.stderr.contains("the hub is of an earlier version"), "{sign:?}");
        assert!(sign.stderr.contains(advice), "{sign:?}");
        hub.ask(&["device", "remove", "pi-7"]);
    }
    let unknown = owner.machine.run(&["fleet", "sign", DEVICE]);
    assert_eq!(unknown.code, Some(i32::from(RefusalKind::UnknownDevice.row().exit)), "{unknown:?}");
}

#[test]
fn a_running_agent_trusts_the_fleet_that_its_machine_is_invited_to() {
    let (invited, target) = (Invited::new(), Target::greeting_then_reading("hello\n"));
    let (device, outsider) = (Machine::new(), Machine::new());
    let link = invited.hub.device_link(DEVICE);
    device.ask(&["join", &link]);
    outsider.ask(&["join", &invited.hub.service_link("mallory")]);
    let agent = start(&device, &target);
    let proxy = ServiceProxy::start(&outsider);
    assert_eq!(read_to_string(proxy.connect()).unwrap(), "hello\n");
    let lines = agent.process.lines();
    let joined = device.paste(&["join"], &invited.invite(&link));
    let running = format!("the running device-agent (process {}) takes this up by itself", agent.process.id());
    assert!(joined.code == Some(0) && joined.stderr.contains(&running), "{joined:?}");
    agent.process.wait_line_after(lines, "this machine trusts another fleet than before; connecting again");
    agent.process.wait_line_after(lines, "pi-42 is online");
    // Also by what stood by.
    for _ in 0..2 {
        assert_eq!(read_to_string(proxy.connect()).unwrap_or_default(), "");
    }
    assert_says_hello(&stream(&invited.owner.machine), true);
}

#[test]
fn a_check_and_a_local_port_sign_a_device_as_well_and_streams_at_the_same_time_do_it_once() {
    let target = Target::echo();
    {
        let invited = Invited::new();
        let device = invited.device();
        let _agent = start(&device, &target);
        let checked = invited.owner.machine.run(&["check", DEVICE]);
        let said = checked.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(checked.code == Some(0) && said.contains("signed just now by its invitation"), "{checked:?}");
    }
    let invited = Invited::new();
    let device = invited.device();
    let agent = start(&device, &target);
    let proxy = ServiceProxy::start_with(&invited.owner.machine, DEVICE, "0=target", &[]);
    let mut streams: Vec<_> = (0..8).map(|_| proxy.connect()).collect();
    streams.iter_mut().for_each(is_alive);
    proxy.process.wait_line(SIGNED);
    agent.process.wait_line("the fleet has signed this device's key");
    assert_eq!(proxy.process.errors().matches(SIGNED).count(), 1, "{}", proxy.process.errors());
    let stored = invited.hub.activity().into_iter().filter(|event| event["resultType"] == "certified");
    assert_eq!(stored.filter(|event| event["properties"]["deviceId"] == DEVICE).count(), 1);
}

#[test]
fn an_owner_who_is_an_operator_with_few_rights_is_signed_by_the_first_stream_too() {
    let (hub, owner, target) = (Hub::start(&Machine::new()), Owner::new(), Target::greeting_then_reading("hello\n"));
    let invited = Invited { hub, owner };
    let (laptop, device) = (&invited.owner.machine, Machine::new());
    invited.join(laptop, &invited.hub.service_link_with("alice", &["--device", DEVICE]));
    invited.join(&device, &invited.hub.device_link(DEVICE));
    let _agent = start(&device, &target);
    let said = stream(laptop);
    assert_says_hello(&said, true);
    assert!(
        said.stderr.contains("alice: proof of the invitation checked") && !said.stderr.contains("warning"),
        "{said:?}"
    );
    assert_says_hello(&stream(laptop), false);
    assert_eq!(json(laptop, &["identity"])[0]["certificate"], "good");
    let none = laptop.run(&["fleet", "sign"]);
    assert!(none.code == Some(0) && none.stderr.contains("no machine waits to be signed"), "{none:?}");
}
