//! The systemd units, checked by systemd's own tools without running under it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use devstream::proto::refusal::RefusalKind;

use crate::support::bytes::{StreamEnd, drain};
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::process::{Finished, Process};
use crate::support::roles::{Agent, Hub, connect};
use crate::support::targets::{Target, is_alive};
use crate::support::{DEVICE, TIMEOUT};

/// A role's name, and its required flags.
const ROLES: [(&str, &[&str]); 3] = [
    ("hub", &["--listen", "[::]:443", "--listen", "127.0.0.1:8443"]),
    ("device-agent", &["--forward", "22", "--forward", "web=8080"]),
    ("service-proxy", &["--device", DEVICE, "--local", "0.0.0.0:2222=ssh"]),
];

const STREAMING: [&str; 4] =
    ["--streaming-endpoint", "wss://streams.example.com:444", "--streaming-listen", "[::]:444"];

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let machine = Machine::new();
    let more = [("hub", &STREAMING[..])];
    for (role, flags) in ROLES.into_iter().chain(more) {
        let files = print_into(&machine, "units", role, flags);
        let mut command = machine.command("systemd-analyze");
        // Man pages are where the package puts them.
        let Finished { code, stdout, stderr } =
            Process::start(command.args(["verify", "--man=no"]).args(&files)).finish();
        assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), "", ""), "{files:?}");
    }
}

#[test]
fn systemd_rates_the_services_exposure_as_low() {
    let machine = Machine::new();
    for (role, flags) in ROLES {
        let files = print_into(&machine, role, role, flags);
        assert_little_exposed(&machine, &files);
    }
}

fn assert_little_exposed(machine: &Machine, units: &[PathBuf]) {
    let service = units.iter().find(|file| file.extension().is_some_and(|kind| kind == "service")).unwrap();
    let mut command = machine.command("systemd-analyze");
    // In tenths.
    command.args(["security", "--offline=true", "--no-pager", "--threshold=25"]).arg(service);
    let finished = Process::start(&mut command).finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stdout);
    assert!(finished.stdout.contains("Overall exposure level"), "{finished:?}");
}

#[test]
fn the_units_contain_the_flags_and_the_file() {
    let machine = Machine::new();
    fs::create_dir_all(machine.home().join("etc/devstream")).unwrap();
    fs::write(machine.home().join("etc/devstream/config.toml"), "[hub]\ndrain-timeout = 100\n").unwrap();
    let acme = ["--hostname", "hub.test", "--acme", "--acme-contact", "mailto:100% $HOME"];
    let flags = [&acme[..], &["--listen", "[::]:443", "--listen", "127.0.0.1:8443"]].concat();
    let arguments = [&["service", "install", "hub", "--print", "--root", ".", "--"], &flags[..], &STREAMING].concat();
    let units = machine.ask(&arguments);
    for line in [
        "# /etc/systemd/system/devstream-hub.service",
        "# /etc/systemd/system/devstream-hub.socket",
        "ListenStream=[::]:443",
        "ListenStream=127.0.0.1:8443",
        "# /etc/systemd/system/devstream-hub-streaming.socket",
        "ListenStream=[::]:444",
        "FileDescriptorName=streaming",
        "Sockets=devstream-hub.socket devstream-hub-streaming.socket",
        "TimeoutStopSec=115",
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
        "DynamicUser=yes",
        "Type=notify",
    ] {
        assert!(units.lines().any(|other| other == line), "no {line} in {units}");
    }
    assert!(
        units.contains(&format!(
            "ExecStart={DEVSTREAM} hub --hostname hub.test --acme --acme-contact \"mailto:100%% $$HOME\" --listen"
        )),
        "{units}"
    );
    let agent = machine.ask(&["service", "install", "device-agent", "--print", "--", "--forward", "22"]);
    let identity = machine.home().join(".local/share/devstream/device");
    for line in [
        format!("LoadCredential=key:{}/key", identity.display()),
        format!("LoadCredential=identity.toml:{}/identity.toml", identity.display()),
        "CapabilityBoundingSet=".to_owned(),
        "StateDirectory=devstream/device-agent".to_owned(),
        "StateDirectoryMode=0700".to_owned(),
    ] {
        assert!(agent.lines().any(|other| other == line), "no {line} in {agent}");
    }
}

#[test]
fn installing_and_uninstalling_are_idempotent_and_leave_no_other_files() {
    let machine = Machine::new();
    let units = machine.home().join("etc/systemd/system");
    let found = || {
        let mut names: Vec<_> =
            fs::read_dir(&units).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let install = |role: &str, flags: &[&str]| {
        machine.ask(
            &[&["service", "install", role, "--root", ".", "--program", "/usr/bin/devstream", "--"], flags].concat(),
        );
    };
    let plain = ["device-agent.service", "hub.service", "hub.socket", "service-proxy.service"];
    let all = [&plain[..], &["hub-streaming.socket"]].concat();
    for _ in 0..2 {
        ROLES.into_iter().for_each(|(role, flags)| install(role, flags));
        assert_eq!(found(), named(&plain), "a socket that the hub has no use for would keep it from starting");
        install("hub", &STREAMING);
        assert_eq!(found(), named(&all));
    }
    let hub = fs::read_to_string(units.join("devstream-hub.service")).unwrap();
    assert!(hub.contains("ExecStart=/usr/bin/devstream hub --streaming-endpoint"), "the last one counts: {hub}");
    for _ in 0..2 {
        machine.ask(&["service", "uninstall", "hub", "--root", "."]);
        assert_eq!(found(), named(&["device-agent.service", "service-proxy.service"]));
    }
}

#[test]
fn a_service_that_would_not_start_is_not_installed() {
    let machine = Machine::new();
    for (arguments, named) in [
        (&["device-agent"][..], "--forward"),
        (&["device-agent", "--", "--forward", "22x"], "22x"),
        (&["hub", "--", "show"], "only flags of a running"),
        (&["hub", "--", "--state-dir", "/srv"], "--state-dir"),
        (&["hub", "--", "--streaming-listen", "[::]:444"], "--streaming-endpoint"),
        (&["service-proxy", "--", "--device", DEVICE, "--stdio"], "only flags of a running"),
        (&["no-such-role"], "no-such-role"),
    ] {
        let finished = machine.run(&[&["service", "install", "--print", "--root", "."], arguments].concat());
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{arguments:?}: {finished:?}");
        assert!(finished.stderr.contains(named), "{arguments:?}: {finished:?}");
    }
    for (variable, arguments) in [
        (Some(("XDG_DATA_HOME", "/x\nExecStartPre=/y")), &["--forward", "22"][..]),
        (None, &["--forward", "22", "--via", "http://proxy:1", "--via-login", "/x\nExecStartPre=/y"]),
    ] {
        let mut command = machine.command(DEVSTREAM);
        command.args(["service", "install", "device-agent", "--print", "--"]).args(arguments).envs(variable);
        let finished = Process::start(&mut command).finish();
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{arguments:?}: {finished:?}");
        assert!(finished.stderr.contains("control character"), "{arguments:?}: {finished:?}");
    }
    // The service will not run in the environment of whoever installs it.
    let mut command = machine.command(DEVSTREAM);
    command.args(["service", "install", "device-agent", "--print"]).env("DEVSTREAM_FORWARD", "22");
    let finished = Process::start(&mut command).finish();
    assert_eq!(finished.code, Some(2), "{finished:?}");
}

#[test]
fn missing_requirements_are_reported_before_anything_is_written() {
    // The message depends on the test's user; nothing is written to this machine either way.
    for (arguments, as_root) in [
        (
            &["hub", "--program", "/home/me/devstream"][..],
            "/home/me/devstream is below /home, which is hidden from services",
        ),
        (&["device-agent", "--program", "/usr/bin/devstream", "--", "--forward", "22"], "first join the hub, as root"),
    ] {
        let finished = Machine::new().run(&[&["service", "install"], arguments].concat());
        assert_eq!(finished.code, Some(2), "{finished:?}");
        let told = finished.stderr.contains(as_root) || finished.stderr.contains("only root can install services");
        assert!(told, "{finished:?}");
    }
}

#[test]
fn an_identity_is_taken_from_the_service_managers_credentials() {
    let (hub_machine, joined, service) = (Machine::new(), Machine::new(), Machine::new());
    let hub = Hub::start(&hub_machine);
    joined.ask(&["join", &hub.device_link(DEVICE)]);
    let credentials = service.home().join("credentials");
    hand_over(&joined, &credentials);
    let agent = |arguments: &[&str]| {
        let mut command = service.command(DEVSTREAM);
        command.args(["device-agent", "--forward", "22"]).args(arguments);
        Process::start(command.env("CREDENTIALS_DIRECTORY", &credentials))
    };
    let running = agent(&[]);
    running.wait_line(&format!("device-agent: {DEVICE} is online"));
    drop(running);
    fs::set_permissions(credentials.join("key"), fs::Permissions::from_mode(0o444)).unwrap();
    let refused = agent(&[]).find_line(0, "are too open", TIMEOUT);
    assert!(refused.is_some_and(|line| line.contains("credentials/key")));
}

#[test]
fn an_agent_whose_replaced_key_only_systemd_can_renew_exits_and_is_restarted() {
    let (hub_machine, joined, service) = (Machine::new(), Machine::new(), Machine::new());
    let hub = Hub::start(&hub_machine);
    joined.ask(&["join", &hub.device_link(DEVICE)]);
    // As systemd does it: copies, made when the service starts.
    let start = || {
        let credentials = service.home().join("credentials");
        hand_over(&joined, &credentials);
        let mut command = service.command(DEVSTREAM);
        command.args(["device-agent", "--forward", "22"]).env("CREDENTIALS_DIRECTORY", &credentials);
        Process::start(&mut command)
    };
    let online = format!("device-agent: {DEVICE} is online");
    let agent = start();
    agent.wait_line(&online);
    joined.ask(&["join", &hub.link(&["device", "rotate", DEVICE, "--overlap", "2s"])]);
    let finished = agent.finish();
    assert_eq!(finished.code, Some(RefusalKind::KeyReplaced.row().exit.into()), "{finished:?}");
    assert!(finished.stderr.contains("a restart loads the new key; exiting in"), "{finished:?}");
    start().wait_line(&online);
}

#[test]
fn a_proxy_whose_replaced_key_only_systemd_can_renew_exits_and_is_restarted() {
    let target = Target::echo();
    let (hub_machine, joined, service) = (Machine::new(), Machine::new(), Machine::new());
    let hub = Hub::start(&hub_machine);
    let _agent = Agent::start(&hub_machine, &[&target.port.to_string()]);
    joined.ask(&["join", &hub.service_link("alice")]);
    let start = || {
        let credentials = service.home().join("credentials");
        hand_over_as(&joined, "service", &credentials);
        let mut command = service.command(DEVSTREAM);
        command.args(["service-proxy", "--device", DEVICE, "--local", "0"]);
        let proxy = Process::start(command.env("CREDENTIALS_DIRECTORY", &credentials));
        let port =
            proxy.wait_line(&format!("service-proxy: {DEVICE} on ")).rsplit(':').next().unwrap().parse().unwrap();
        (proxy, connect(port))
    };
    let (proxy, mut local) = start();
    is_alive(&mut local);
    joined.ask(&["join", &hub.link(&["service", "rotate", "alice", "--overlap", "0s"])]);
    assert_eq!(drain(&mut local).end, StreamEnd::Reset);
    let port = proxy.wait_line(&format!("service-proxy: {DEVICE} on ")).rsplit(':').next().unwrap().parse().unwrap();
    assert_eq!(drain(&mut connect(port)).end, StreamEnd::Reset);
    let finished = proxy.finish();
    assert_eq!(finished.code, Some(RefusalKind::AuthenticationFailed.row().exit.into()), "{finished:?}");
    is_alive(&mut start().1);
}

#[test]
fn the_hubs_service_gets_the_group_of_its_certificates_key_or_is_refused() {
    let machine = Machine::new();
    let (private, key) = (machine.home().join("etc/ssl/private"), machine.home().join("etc/ssl/private/hub.key"));
    let flags = ["--tls-cert", "/etc/ssl/hub.pem", "--tls-key", "/etc/ssl/private/hub.key"];
    let install = ["service", "install", "hub", "--print", "--program", DEVSTREAM, "--root", ".", "--"];
    let printed = || machine.run(&[&install[..], &flags].concat());
    let missing = printed();
    assert!(missing.stdout.contains("# \"/etc/ssl/private/hub.key\" was not accessible: install"), "{missing:?}");

    fs::create_dir_all(&private).unwrap();
    fs::write(&key, "").unwrap();
    let group = a_group(&key);
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for (directory, file, refused) in [
        (0o755, 0o600, Some("chgrp GROUP /etc/ssl/private/hub.key && chmod 640")),
        (0o755, 0o644, Some("chmod 640")),
        (0o755, 0o660, Some("chmod 640")),
        (0o700, 0o640, Some("has no access to")),
        (0o711, 0o640, None),
        (0o755, 0o640, None),
    ] {
        mode(&private, directory);
        mode(&key, file);
        let finished = printed();
        let code = if refused.is_some() { 2 } else { 0 };
        assert_eq!(finished.code, Some(code), "{directory:o} {file:o}: {finished:?}");
        match refused {
            Some(why) => assert!(finished.stderr.contains(why), "{finished:?}"),
            None => assert!(finished.stdout.contains(&format!("\nSupplementaryGroups={group}\n")), "{finished:?}"),
        }
    }
    std::os::unix::fs::chown(&private, None, Some(group)).unwrap();
    mode(&private, 0o710);
    let files = unpack(&machine, "units", &printed().stdout);
    let mut command = machine.command("systemd-analyze");
    let verified = Process::start(command.args(["verify", "--man=no"]).args(&files)).finish();
    assert_eq!((verified.code, verified.stderr.as_str()), (Some(0), ""), "{files:?}");
    assert_little_exposed(&machine, &files);

    let hidden = [&install[..], &["--tls-cert", "/root/hub.pem", "--tls-key", "/etc/ssl/private/hub.key"]].concat();
    let finished = machine.run(&hidden);
    assert!(finished.code == Some(2) && finished.stderr.contains("/root/hub.pem is below /root"), "{finished:?}");
}

/// Gives the file a group that is not root's, and tells which.
fn a_group(file: &Path) -> u32 {
    let own = fs::metadata(file).unwrap().gid();
    let group = if own == 0 { 4242 } else { own };
    std::os::unix::fs::chown(file, None, Some(group)).unwrap();
    group
}

/// Copies what a machine joined with as a device.
fn hand_over(joined: &Machine, credentials: &Path) {
    hand_over_as(joined, "device", credentials);
}

fn hand_over_as(joined: &Machine, role: &str, credentials: &Path) {
    fs::create_dir_all(credentials).unwrap();
    for name in ["identity.toml", "key"] {
        let (from, to) = (joined.home().join(".local/share/devstream").join(role).join(name), credentials.join(name));
        let _ = fs::remove_file(&to);
        fs::copy(from, &to).unwrap();
        // With an access control list, which systemd may use, the mask stands where the group's bits are.
        fs::set_permissions(&to, fs::Permissions::from_mode(0o440)).unwrap();
    }
}

fn named(units: &[&str]) -> Vec<String> {
    let mut names: Vec<_> = units.iter().map(|unit| format!("devstream-{unit}")).collect();
    names.sort();
    names
}

/// Writes the units that are printed into a directory, and gives their paths.
fn print_into(machine: &Machine, directory: &str, role: &str, flags: &[&str]) -> Vec<PathBuf> {
    let printed =
        machine.ask(&[&["service", "install", role, "--print", "--program", DEVSTREAM, "--"], flags].concat());
    unpack(machine, directory, &printed)
}

fn unpack(machine: &Machine, directory: &str, printed: &str) -> Vec<PathBuf> {
    let directory = machine.home().join(directory);
    fs::create_dir_all(&directory).unwrap();
    let unit = |text: &str| {
        let (path, text) = text.split_once('\n').unwrap();
        let file = directory.join(Path::new(path).file_name().unwrap());
        fs::write(&file, text).unwrap();
        file
    };
    printed.split("# /etc/systemd/system/").skip(1).map(unit).collect()
}
