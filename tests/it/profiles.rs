//! Several hubs and identities on one machine.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::DEVICE;
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::process::{Finished, Process};
use crate::support::roles::{Agent, Hub, ServiceProxy, connect};
use crate::support::targets::{Target, is_alive};
use crate::support::terminal::Terminal;

#[test]
fn two_hubs_coexist_and_each_profile_reaches_its_own() {
    let target = Target::echo();
    let (first, second, laptop) = (Hub::start(&Machine::new()), Hub::start(&Machine::new()), Machine::new());
    laptop.ask(&["join", &first.service_link("alice")]);
    let beside = laptop.run(&["join", "--profile", "lab", &second.service_link("bob")]);
    assert!(beside.stderr.contains("next: devstream ssh-config --profile lab --install"), "{beside:?}");
    let _agents = [Agent::start_as(first.machine(), "one", &["22"]), Agent::start(second.machine(), &[&port(&target)])];

    assert_eq!((devices(&laptop, &[]), devices(&laptop, &["--profile", "lab"])), (ids(&["one"]), ids(&[DEVICE])));
    let in_lab = laptop.clone().with("DEVSTREAM_PROFILE", "lab");
    assert_eq!(devices(&in_lab, &[]), ids(&[DEVICE]));
    assert_eq!(devices(&in_lab, &["--profile", "default"]), ids(&["one"]), "a flag wins");
    is_alive(&mut ServiceProxy::start(&in_lab).connect());

    let entry = |name: &str, default: bool, id: &str, hub: &Hub| {
        let identity = json!({ "role": "service", "id": id, "hub": hub.address() });
        json!({ "name": name, "default": default, "identities": [identity] })
    };
    let listed = || serde_json::from_str::<Value>(&laptop.ask(&["profiles", "--json"])).unwrap();
    assert_eq!(listed(), json!([entry("default", true, "alice", &first), entry("lab", false, "bob", &second)]));
    laptop.ask(&["profiles", "use", "lab"]);
    assert_eq!(listed(), json!([entry("default", false, "alice", &first), entry("lab", true, "bob", &second)]));
    assert!(laptop.ask(&["profiles"]).contains(&format!("* lab      service  bob    {}", second.address())));
    assert_eq!(devices(&laptop, &[]), ids(&[DEVICE]));

    let removed = laptop.run(&["profiles", "remove", "lab", "--yes"]);
    assert!(removed.stderr.contains("devstream hub service remove bob"), "{removed:?}");
    assert_eq!(listed(), json!([entry("default", true, "alice", &first)]), "and it no longer holds");
    assert!(!place(&laptop, "profiles/lab").exists());
    assert_eq!(devices(&laptop, &[]), ids(&["one"]));
}

#[test]
fn a_second_join_replaces_nothing_without_the_flag() {
    let (first, second, device) = (Hub::start(&Machine::new()), Hub::start(&Machine::new()), Machine::new());
    device.ask(&["join", &first.device_link(DEVICE)]);
    let kept = || fs::read_to_string(place(&device, "device/identity.toml")).unwrap();
    let before = kept();
    let (elsewhere, another) = (second.device_link(DEVICE), first.device_link("pi-43"));
    for link in [&elsewhere, &another] {
        let Finished { code, stderr, .. } = device.run(&["join", link]);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains("--profile NAME") && stderr.contains("--replace"), "{stderr}");
        assert_eq!(kept(), before);
    }
    device.ask(&["join", "--profile", "second", &another]);
    assert_eq!(kept(), before);
    // A new key keeps the same identity.
    device.ask(&["join", &first.link(&["device", "rotate", DEVICE])]);
    device.ask(&["join", "--replace", &elsewhere]);
    assert!(kept().contains(&second.address()), "{}", kept());
    Agent::start(&device, &["22"]);
}

#[test]
fn a_devices_link_on_a_laptop_is_noticed_and_undone_for_that_role_alone() {
    let (hub, laptop) = (Hub::start(&Machine::new()), Machine::new());
    laptop.ask(&["join", &hub.service_link("alice")]);
    let joined = laptop.run(&["join", &hub.device_link(DEVICE)]);
    let note = format!("this machine is also service alice of {}; if the link was for another machine", hub.address());
    assert!(joined.code == Some(0) && joined.stderr.contains(&note), "{joined:?}");
    assert!(
        joined.stderr.contains("devstream profiles remove default --role device --yes, and on the hub:"),
        "{joined:?}"
    );

    let refused = laptop.run(&["profiles", "remove", "default"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("confirm with --yes, or choose one with --role device|service"), "{refused:?}");
    let script = format!("{DEVSTREAM} profiles remove default --role device; echo code $?");
    for (answer, code) in [("\n", "code 1"), ("y\n", "code 0")] {
        assert!(place(&laptop, "device/key").exists());
        let mut terminal = Terminal::start_shell(&laptop, &script);
        terminal.wait_line(&["Delete the key of device pi-42 of ", "To return, it needs a new join link. [y/N]"]);
        terminal.type_keys(answer);
        if code == "code 0" {
            terminal.wait_line(&["`devstream hub device rotate pi-42` for the right machine"]);
        }
        terminal.wait_line(&[code]);
    }
    assert!(!place(&laptop, "device").exists());
    assert_eq!(devices(&laptop, &[]), ids(&[DEVICE]), "the service has its key");
    let absent = laptop.run(&["profiles", "remove", "default", "--role", "device", "--yes"]);
    assert!(absent.code == Some(1) && absent.stderr.contains("has not joined as a device"), "{absent:?}");
}

#[test]
fn a_hub_that_has_moved_is_found_again_without_another_join() {
    let (machine, device, laptop) = (Machine::new(), Machine::new(), Machine::new());
    let hub = Hub::start(&machine);
    device.ask(&["join", "--profile", "lab", &hub.device_link(DEVICE)]);
    laptop.ask(&["join", &hub.service_link("alice")]);
    let before = hub.address();
    drop(hub);
    let hub = Hub::start(&machine);
    let there = hub.address();
    assert_ne!(before, there);
    let moved = device.run(&["profiles", "set", "--hub", &there, "--profile", "lab"]);
    let said = format!("device {DEVICE} connects to {there} from now on, instead of {before}");
    assert!(moved.code == Some(0) && moved.stderr.contains(&said), "{moved:?}");
    assert!(moved.stderr.contains("next: devstream check --profile lab"), "{moved:?}");
    let agent = device.start(&["device-agent", "--profile", "lab", "--forward", "22"]);
    agent.wait_line(&format!("device-agent: {DEVICE} is online"));
    let command = laptop.ask(&["ssh", "--hub", &there, DEVICE, "-G"]);
    assert!(command.contains(&format!("service-proxy --hub {there} --device")), "{command}");
    let wrong = laptop.run(&["profiles", "set", "--hub", &there, "--role", "device"]);
    assert!(wrong.code == Some(1) && wrong.stderr.contains("has not joined as device"), "{wrong:?}");
    laptop.ask(&["profiles", "set", "--hub", &there]);
    let kept = laptop.run(&["profiles", "set", "--hub", "127.0.0.1"]);
    let said = format!("service alice connects to {there} already; nothing was changed\n");
    assert!(kept.stderr.starts_with(&said), "without a port, the one before: {kept:?}");
    let by_name = format!("localhost:{}", hub.port);
    let running = device.run(&["profiles", "set", "--hub", &by_name, "--profile", "lab"]);
    let said = format!("the running device-agent (process {}) takes the address up by itself when", agent.id());
    assert!(running.stderr.contains(&said), "{running:?}");
    assert_eq!(devices(&laptop, &[]), ids(&[DEVICE]));
}

#[test]
fn a_join_that_reached_no_hub_leaves_no_key_and_no_profile() {
    let (hub, device) = (Hub::start(&Machine::new()), Machine::new());
    let (link, other) = (hub.device_link(DEVICE), Hub::start(&Machine::new()).device_link(DEVICE));
    let pin = |link: &str| link.split("pin=").nth(1).and_then(|rest| rest.split('&').next()).expect("a pin").to_owned();
    let impostor = link.replace(&pin(&link), &pin(&other));
    for refused in [&impostor, &other] {
        for flags in [&["join", refused][..], &["join", "--profile", "three", refused]] {
            let said = device.run(flags);
            assert!(said.code != Some(0), "{said:?}");
        }
        assert!(!place(&device, "device").exists() && !place(&device, "profiles/three").exists());
    }
    fs::create_dir_all(place(&device, "profiles/left")).expect("a directory");
    let listed = device.ask(&["profiles"]);
    assert!(listed.contains("default") && !listed.contains("left"), "{listed}");
}

#[test]
fn a_join_without_a_link_asks_for_one_line_at_a_terminal_and_refuses_an_empty_input() {
    let (hub, device) = (Hub::start(&Machine::new()), Machine::new());
    let mut join = device.command(DEVSTREAM);
    let nothing = Process::start_with_input(join.arg("join"), b"\n".to_vec()).finish();
    assert!(
        nothing.code == Some(2) && nothing.stderr.contains("join: no link on standard input; run the command that "),
        "{nothing:?}"
    );
    let mut terminal = Terminal::start_shell(&device, &format!("{DEVSTREAM} join"));
    terminal.wait_line(&["Paste the join link and press Enter:"]);
    terminal.type_keys(&format!("{}\n", hub.device_link(DEVICE)));
    terminal.wait_line(&["joined ", "the key is in"]);
}

#[test]
fn an_unknown_profile_has_no_identity() {
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    // The same user's hub accepts the profile `default`, and no other.
    machine.ask(&["devices"]);
    let finished = machine.run(&["devices", "--profile", "lab"]);
    assert_eq!(finished.code, Some(30), "{finished:?}");
    assert!(finished.stderr.contains("and here the command that it prints with --profile lab"), "{finished:?}");
    for command in ["use", "remove"] {
        let finished = machine.run(&["profiles", command, "lab"]);
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.contains("no profile lab; profiles: default"), "{finished:?}");
    }
    let finished = machine.run(&["profiles", "use", "../lab"]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
}

#[test]
fn a_profiles_files_are_readable_by_their_owner_only() {
    let (hub, laptop) = (Hub::start(&Machine::new()), Machine::new());
    laptop.ask(&["join", "--profile", "lab", &hub.service_link("alice")]);
    laptop.ask(&["profiles", "use", "lab"]);
    let mode = |path: &str| fs::metadata(place(&laptop, path)).unwrap().permissions().mode() & 0o777;
    for (path, wanted) in [
        ("profiles", 0o700),
        ("profiles/lab", 0o700),
        ("profiles/lab/service", 0o700),
        ("profiles/lab/service/key", 0o600),
        ("profiles/lab/service/identity.toml", 0o600),
        ("profile", 0o600),
    ] {
        assert_eq!(mode(path), wanted, "{path}");
    }
    for path in ["profiles/lab/service/key", "profiles/lab/service/identity.toml", "profile"] {
        fs::set_permissions(place(&laptop, path), fs::Permissions::from_mode(0o644)).unwrap();
        let refused = laptop.run(&["devices"]);
        assert!(refused.code != Some(0) && refused.stderr.contains("are too open"), "{path}: {refused:?}");
        fs::set_permissions(place(&laptop, path), fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert_eq!(devices(&laptop, &[]), ids(&[]));
}

#[test]
fn a_key_that_others_may_read_is_reported_as_that_by_every_command() {
    let (hub, laptop, device) = (Hub::start(&Machine::new()), Machine::new(), Machine::new());
    laptop.ask(&["join", &hub.service_link("alice")]);
    device.ask(&["join", &hub.device_link(DEVICE)]);
    let cases: [(&Machine, &str, &[&str]); 6] = [
        (&laptop, "service/key", &["devices"]),
        (&laptop, "service/key", &["check"]),
        (&laptop, "service/key", &["service-proxy", DEVICE, "--stdio"]),
        (&laptop, "service/key", &["service-proxy", DEVICE, "--local", "0"]),
        (&device, "device/key", &["check"]),
        (&device, "device/key", &["device-agent", "--forward", "22"]),
    ];
    for (machine, key, command) in cases {
        let key = place(machine, key);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let (refused, path) = (machine.run(command), key.display());
        let wanted = format!("{}: {path}: permissions 0644 are too open; run: chmod 600 {path}\n", command[0]);
        assert_eq!((refused.code, refused.stderr.as_str()), (Some(1), wanted.as_str()), "{command:?}");
    }
}

#[test]
fn the_key_of_another_user_is_refused_with_the_command_that_changes_its_owner() {
    const USER: u32 = 65534;
    const OTHER: u32 = 65533;
    let (hub, laptop) = (Hub::start(&Machine::new()), Machine::new());
    laptop.ask(&["join", "--profile", "lab", &hub.service_link("alice")]);
    // The test's program may lie where only root reaches it.
    let program = laptop.home().join("program");
    fs::copy(DEVSTREAM, &program).unwrap();
    let own = Command::new("chown").args(["-R", &USER.to_string()]).arg(laptop.home()).status().unwrap();
    assert!(own.success());
    let devices_as_user = || {
        let ids = [format!("--reuid={USER}"), format!("--regid={USER}"), "--clear-groups".into()];
        Process::start(laptop.command("setpriv").args(ids).arg(&program).args(["devices", "--profile", "lab"])).finish()
    };
    assert_eq!(devices_as_user().code, Some(0));
    for name in ["key", "identity.toml"] {
        let path = place(&laptop, &format!("profiles/lab/service/{name}"));
        chown(&path, Some(OTHER), None).unwrap();
        let (refused, told) = (devices_as_user(), format!("run as root: chown {USER} {}", path.display()));
        assert!(refused.code != Some(0) && refused.stderr.contains(&told), "{refused:?}");
        assert_eq!(laptop.run(&["devices", "--profile", "lab"]).code, Some(0), "root, as in a container");
        chown(&path, Some(USER), None).unwrap();
    }
}

#[test]
fn a_profile_has_its_own_sections_in_the_configuration_file() {
    let target = Target::echo();
    let (hub, laptop) = (Hub::start(&Machine::new()), Machine::new());
    let _agent = Agent::start(hub.machine(), &[&format!("echo={}", target.port)]);
    laptop.ask(&["join", "--profile", "lab", &hub.service_link("alice")]);
    let file = laptop.home().join(".config/devstream/config.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let everybodys = "[service-proxy]\ndevice = 'elsewhere'\nlocal = '0'\n";
    fs::write(&file, format!("[profile.lab.service-proxy]\ndevice = '{DEVICE}'\n{everybodys}")).unwrap();
    laptop.start(&["service-proxy"]).wait_line("service-proxy: elsewhere on 127.0.0.1:");
    let proxy = laptop.start(&["service-proxy", "--profile", "lab"]);
    let line = proxy.wait_line(&format!("service-proxy: {DEVICE} on 127.0.0.1:"));
    is_alive(&mut connect(line.rsplit(':').next().unwrap().parse().unwrap()));

    for (text, wanted) in [
        ("[profile.lab.hub]\n", "unknown section [profile.lab.hub]; expected one of [profile.lab.device-agent]"),
        ("[profile.'a/b'.service-proxy]\n", "1:10: a profile's name has"),
        ("[profile.lab]\ndevice = 'x'\n", "2:1: 'device' is not in a section"),
        ("[profile]\nlab = 1\n", "2:1: 'lab' is not in a section"),
        ("profile = 1\n", "1:11: profile must be a table of sections"),
        ("[profile.lab.service-proxy]\ndevices = 'x'\n", "2:1: unknown key 'devices' in [service-proxy]"),
    ] {
        fs::write(&file, text).unwrap();
        let finished = laptop.run(&["hub", "check-config"]);
        assert_eq!(finished.code, Some(2), "{text}: {finished:?}");
        assert!(finished.stderr.contains(wanted), "{text}: {finished:?}");
    }
}

#[test]
fn each_profile_has_its_own_system_service() {
    let (hub, machine) = (Hub::start(&Machine::new()), Machine::new());
    machine.ask(&["join", "--profile", "lab", &hub.device_link(DEVICE)]);
    let install = |flags: &[&str], arguments: &[&str]| {
        let install = ["service", "install", "device-agent", "--root", ".", "--program", DEVSTREAM];
        machine.run(&[&install, flags, &["--", "--forward", "22"], arguments].concat())
    };
    for flags in [&["--profile", "lab"][..], &[]] {
        let finished = install(flags, &[]);
        assert_eq!(finished.code, Some(0), "{finished:?}");
    }
    let unit = |name: &str| fs::read_to_string(machine.home().join("etc/systemd/system").join(name));
    let (of_lab, usual) = (unit("devstream-device-agent@lab.service").unwrap(), unit("devstream-device-agent.service"));
    let key = place(&machine, "profiles/lab/device/key");
    assert!(of_lab.contains(&format!("LoadCredential=key:{}", key.display())), "{of_lab}");
    assert!(of_lab.contains(" device-agent --profile lab --forward 22\n"), "{of_lab}");
    // Each has what its own identity knows.
    assert!(of_lab.contains("\nStateDirectory=devstream/device-agent@lab\n"), "{of_lab}");
    assert!(!usual.as_ref().unwrap().contains("lab"), "{usual:?}");

    // Started by its unit, it has the profile's identity, without access to root's home.
    let service = Machine::new();
    let credentials = service.home().join("credentials");
    fs::create_dir(&credentials).unwrap();
    for name in ["identity.toml", "key"] {
        fs::copy(key.with_file_name(name), credentials.join(name)).unwrap();
    }
    let mut command = service.command(DEVSTREAM);
    command.args(["device-agent", "--profile", "lab", "--forward", "22"]);
    let agent = Process::start(command.env("CREDENTIALS_DIRECTORY", credentials));
    agent.wait_line(&format!("device-agent: {DEVICE} is online"));

    let two = install(&["--profile", "lab"], &["--profile", "other"]);
    assert_eq!(two.code, Some(2), "{two:?}");
    let late = install(&[], &["--profile", "lab"]);
    assert!(late.code == Some(2) && late.stderr.contains("give --profile before --"), "{late:?}");
    machine.ask(&["service", "uninstall", "device-agent", "--root", ".", "--profile", "lab"]);
    assert!(unit("devstream-device-agent@lab.service").is_err());
    assert!(unit("devstream-device-agent.service").is_ok());
}

fn devices(machine: &Machine, flags: &[&str]) -> Vec<String> {
    let listed: Value = serde_json::from_str(&machine.ask(&[&["devices", "--json"], flags].concat())).unwrap();
    listed.as_array().unwrap().iter().map(|device| device["id"].as_str().unwrap().to_owned()).collect()
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

fn port(target: &Target) -> String {
    target.port.to_string()
}

fn place(machine: &Machine, path: &str) -> PathBuf {
    machine.home().join(".local/share/devstream").join(path)
}
