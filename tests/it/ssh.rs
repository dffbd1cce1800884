//! OpenSSH, and what is built on it, reaches devices by their names: real clients, a real server, three clean homes.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use devstream::proto::refusal::RefusalKind;

use crate::support::DEVICE;
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::process::{Finished, Process};
use crate::support::roles::{Agent, Hub};
use crate::support::sshd::Sshd;
use crate::support::targets::Target;

/// Three machines: the device offers its SSH server, and the laptop has only its identity.
struct Fixture {
    laptop: Machine,
    device: Machine,
    _agent: Process,
    hub: Hub,
    sshd: Sshd,
}

impl Fixture {
    /// The README's commands, but for ports and names.
    fn new() -> Self {
        let [hub, device, laptop] = [(); 3].map(|()| Machine::new());
        let (sshd, hub) = (Sshd::start(), Hub::start(&hub));
        device.ask(&["join", &hub.link(&["device", "add", DEVICE])]);
        let agent = device.start(&["device-agent", "--forward", &format!("ssh={}", sshd.port)]);
        laptop.ask(&["join", &hub.link(&["service", "add", "laptop", "--device", "*"])]);
        agent.wait_line("is online");
        Self { laptop, device, _agent: agent, hub, sshd }
    }

    /// The user's configuration of OpenSSH, which asks the password database for his home and not the environment.
    fn config(&self) -> String {
        self.laptop.home().join(".ssh/config").display().to_string()
    }

    /// A client of OpenSSH with that.
    fn client(&self, program: &str) -> Command {
        let mut command = self.laptop.command(program);
        command.args(["-F", &self.config()]).args(self.sshd.options());
        command
    }

    fn install(&self) {
        self.laptop.ask(&["ssh-config", "--install"]);
    }
}

#[test]
fn devstream_ssh_takes_the_host_name_of_a_device_too() {
    let fixture = Fixture::new();
    let mut command = fixture.laptop.command(DEVSTREAM);
    let options = fixture.sshd.options();
    let finished =
        Process::start(command.args(["ssh", "pi-42.devstream", "-F", "none"]).args(options).arg("echo ok")).finish();
    assert_eq!((finished.stdout.as_str(), finished.code), ("ok\n", Some(0)), "{finished:?}");
}

#[test]
fn ssh_to_a_stream_without_an_ssh_server_says_what_answered() {
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    let (web, mute) =
        (Target::greeting_then_reading("HTTP/1.1 400 Bad Request\r\n\r\n"), Target::greeting_then_reading(""));
    let _agent = Agent::start(&machine, &[&format!("web={}", web.port), &format!("mute={}", mute.port)]);
    for (stream, what) in [
        ("web", "no SSH server is at pi-42/web: what is there answered \"HTTP/1.1 400 Bad Request\"; choose"),
        ("mute", "no SSH server is at pi-42/mute: what is there closed the connection without an answer"),
    ] {
        let finished = machine.run(&["ssh", "--stream", stream, DEVICE, "-F", "none"]);
        assert!(finished.code == Some(255) && finished.stderr.contains(what), "{finished:?}");
    }
    let known = Fixture::new();
    known.install();
    let finished = Process::start(known.client("ssh").args(["pi-42.devstream", "true"])).finish();
    assert!(finished.code == Some(0) && !finished.stderr.contains("no SSH server"), "{finished:?}");
}

#[test]
fn ssh_scp_and_rsync_reach_the_device_by_its_name() {
    let fixture = Fixture::new();
    fixture.install();
    let finished = Process::start(fixture.client("ssh").args(["pi-42.devstream", "echo ok; exit 7"])).finish();
    assert_eq!((finished.stdout.as_str(), finished.code), ("ok\n", Some(7)), "{finished:?}");

    let home = fixture.laptop.home();
    fs::create_dir_all(home.join("tree/inner")).unwrap();
    fs::write(home.join("tree/inner/file"), "by name\n").unwrap();
    let copied =
        |directory: &str| fs::read_to_string(fixture.device.home().join(directory).join("inner/file")).unwrap();
    let target = |directory: &str| format!("pi-42.devstream:{}", fixture.device.home().join(directory).display());
    let finished = Process::start(fixture.client("scp").args(["-r", "tree", &target("scp")])).finish();
    assert_eq!((copied("scp").as_str(), finished.code), ("by name\n", Some(0)), "{finished:?}");
    let shell = format!("ssh -F {} {}", fixture.config(), fixture.sshd.options().join(" "));
    let mut rsync = fixture.laptop.command("rsync");
    let finished = Process::start(rsync.args(["-a", "-e", &shell, "tree/", &target("rsync")])).finish();
    assert_eq!((copied("rsync").as_str(), finished.code), ("by name\n", Some(0)), "{finished:?}");
}

#[test]
fn the_printed_ssh_config_works_and_each_device_has_its_own_known_hosts_name() {
    let fixture = Fixture::new();
    // Capitals are lost in what OpenSSH makes of a host.
    let _other = other_device(&fixture, "Press-7");
    let (printed, known) = (fixture.laptop.home().join("printed"), fixture.laptop.home().join("known"));
    fs::write(&printed, fixture.laptop.ask(&["ssh-config"])).unwrap();
    for host in ["pi-42.devstream", "Press-7.devstream", "pi-42.devstream"] {
        let mut ssh = fixture.laptop.command("ssh");
        ssh.arg("-F").arg(&printed).args(["-o", &format!("UserKnownHostsFile={}", known.display())]);
        let finished = Process::start(ssh.args(fixture.sshd.options()).args([host, "echo ok"])).finish();
        assert_eq!((finished.stdout.as_str(), finished.code), ("ok\n", Some(0)), "{host}: {finished:?}");
    }
    let known = fs::read_to_string(known).unwrap();
    let names: Vec<_> = known.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["pi-42.devstream", "press-7.devstream"], "{known}");
}

#[test]
fn a_host_whose_hostname_is_a_device_reaches_it() {
    let fixture = Fixture::new();
    fixture.install();
    let config = PathBuf::from(fixture.config());
    let included = fs::read_to_string(&config).unwrap();
    fs::write(&config, included + "Host press\n    HostName PI-42.devstream\n").unwrap();
    for host in ["press", "pi-42.devstream", "PI-42.devstream"] {
        let finished = Process::start(fixture.client("ssh").args([host, "echo ok"])).finish();
        assert_eq!((finished.stdout.as_str(), finished.code), ("ok\n", Some(0)), "{host}: {finished:?}");
    }
}

#[test]
fn another_name_for_the_servers_stream_can_be_given() {
    let fixture = Fixture::new();
    let agent = other_device(&fixture, "old");
    let forward = format!("admin={}", fixture.sshd.port);
    drop(agent);
    let machine = Machine::new();
    machine.ask(&["join", &fixture.hub.device_link("older")]);
    let _agent = Agent::start_as(&machine, "older", &[&forward]);
    let printed = fixture.laptop.home().join("printed");
    for (arguments, code) in [(&["ssh-config", "--stream", "admin"][..], Some(0)), (&["ssh-config"], Some(255))] {
        fs::write(&printed, fixture.laptop.ask(arguments)).unwrap();
        let mut ssh = fixture.laptop.command("ssh");
        ssh.arg("-F").arg(&printed).args(fixture.sshd.options()).args(["older.devstream", "true"]);
        let finished = Process::start(&mut ssh).finish();
        assert_eq!(finished.code, code, "{finished:?}");
        let told = finished.stderr.contains(RefusalKind::StreamNotOffered.row().sentence);
        assert_eq!(told, code != Some(0), "{finished:?}");
    }
}

#[test]
fn installing_adds_one_line_at_the_top_and_keeps_everything_else() {
    let machine = Machine::new();
    let (ssh, own) = (machine.home().join(".ssh"), machine.home().join(".config/devstream/ssh_config"));
    let config = ssh.join("config");
    machine.ask(&["ssh-config", "--install"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(&ssh), mode(&config), mode(&own)], [0o700, 0o600, 0o600]);
    let include = format!("Include \"{}\"\n", own.display());
    assert_eq!(fs::read_to_string(&config).unwrap(), include);
    assert_eq!(fs::read_to_string(&own).unwrap(), machine.ask(&["ssh-config"]));
    machine.ask(&["ssh-config", "--uninstall"]);
    assert!(!config.exists() && !own.exists(), "what was made is gone");

    // Not text everywhere, without a last newline, a link to where it is kept, and readable for others.
    let (kept, theirs) = (machine.home().join("dotfiles"), b"# caf\xe9\nHost x\n  User y".as_slice());
    fs::write(&kept, theirs).unwrap();
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o644)).unwrap();
    symlink(&kept, &config).unwrap();
    for _ in 0..2 {
        machine.ask(&["ssh-config", "--install"]);
        assert_eq!(fs::read(&config).unwrap(), [include.as_bytes(), theirs].concat());
    }
    assert!(config.is_symlink() && mode(&kept) == 0o644);
    fs::write(&own, "outdated").unwrap();
    machine.ask(&["ssh-config", "--install", "--stream", "admin"]);
    assert!(fs::read_to_string(&own).unwrap().contains("--stream admin"), "it is written anew");
    for _ in 0..2 {
        machine.ask(&["ssh-config", "--uninstall"]);
        assert_eq!(fs::read(&config).unwrap(), theirs);
    }
    assert!(config.is_symlink() && !own.exists());
}

#[test]
fn a_home_path_that_openssh_would_expand_is_refused() {
    let machine = Machine::new();
    let odd = machine.home().join("100%");
    let mut command = machine.command(DEVSTREAM);
    let finished = Process::start(command.env("XDG_CONFIG_HOME", odd).args(["ssh-config", "--install"])).finish();
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("100%") && finished.stderr.contains("ssh-config"), "{finished:?}");
    assert!(!machine.home().join(".ssh").exists());
}

#[test]
fn a_program_path_with_special_characters_is_quoted() {
    let fixture = Fixture::new();
    let odd = fixture.laptop.home().join("it's 100% mine");
    fs::create_dir(&odd).unwrap();
    let program = odd.join("devstream");
    // By another process: a program that is open for writing cannot run, and children of other tests inherit what is open.
    assert!(Command::new("cp").args([Path::new(DEVSTREAM), &program]).status().unwrap().success());
    let mut install = fixture.laptop.command(&program);
    assert_eq!(Process::start(install.args(["ssh-config", "--install"])).finish().code, Some(0));
    let finished = Process::start(fixture.client("ssh").args(["pi-42.devstream", "echo ok"])).finish();
    assert_eq!((finished.stdout.as_str(), finished.code), ("ok\n", Some(0)), "{finished:?}");
}

#[test]
fn the_name_of_a_host_is_never_part_of_a_command() {
    let machine = Machine::new();
    machine.ask(&["ssh-config", "--install"]);
    let config = machine.home().join(".ssh/config").display().to_string();
    let printed = machine.ask(&["ssh-config"]);
    let line = |key: &str| printed.lines().find_map(|line| line.trim().strip_prefix(key)).expect("it is there");
    // The one character that would end the quotes.
    assert_eq!(line("Host "), r#"*.devstream "!*'*""#);
    let names =
        ["$(touch x)", "`touch x`", ";touch x;", "|touch x;", "\";touch x;\"", "a\ntouch x\n", "--version", "\\"];
    for name in names.map(|name| format!("{name}.devstream")) {
        let mut ssh = machine.command("ssh");
        ssh.args(["-F", &config, "-o", "BatchMode=yes", "--", &name, "true"]);
        // Some before 9.6 do not look at the name, and have the shell read it. Then it may be a submodule's in somebody
        // else's repository.
        let mut older = machine.command("sh");
        older.args(["-c", &format!("exec {}", line("ProxyCommand ").replace("%n", &name))]);
        for command in [&mut ssh, &mut older] {
            let finished = Process::start(command).finish();
            assert!(finished.code.is_some_and(|code| code > 0), "{name}: {finished:?}");
            assert!(!machine.home().join("x").exists(), "{name}: {finished:?}");
        }
    }
}

#[test]
fn devstream_ssh_passes_every_argument_on() {
    let fixture = Fixture::new();
    // OpenSSH would read the configuration of whoever runs this test.
    let options = [vec!["-F".to_owned(), "none".to_owned()], fixture.sshd.options()].concat();
    let run = |words: &[&str]| {
        let mut command = fixture.laptop.command(DEVSTREAM);
        command.args(["ssh", DEVICE]).args(&options).args(words);
        Process::start_with_input(&mut command, b"and back\n".into()).finish()
    };
    for (words, wanted) in
        [(&["exit 7"][..], ("", Some(7))), (&["cat"], ("and back\n", Some(0))), (&["-v", "true"], ("", Some(0)))]
    {
        let finished = run(words);
        assert_eq!((finished.stdout.as_str(), finished.code), wanted, "{words:?}: {finished:?}");
        assert_eq!(finished.stderr.contains("debug1"), words[0] == "-v", "its flags are its own: {finished:?}");
    }
    let dashed = fixture.laptop.run(&["ssh", "--", "-V"]);
    assert!(dashed.code == Some(2) && !dashed.stderr.contains("OpenSSH"), "no device is an option: {dashed:?}");
}

#[test]
fn devstream_ssh_names_an_unknown_device() {
    let fixture = Fixture::new();
    let finished = fixture.laptop.run(&["ssh", "nobody@nowhere", "-F", "none", "-o", "BatchMode=yes", "true"]);
    assert_eq!(finished.code, Some(255), "{finished:?}");
    assert!(finished.stderr.contains(RefusalKind::UnknownDevice.row().sentence), "{finished:?}");
}

#[test]
fn devstream_ssh_logs_in_as_the_user_before_the_at_sign() {
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    let words = fake(&machine, "ssh", "for word; do echo \"[$word]\"; done");
    let Finished { code, stdout, stderr } = words.run(&["ssh", "me@work@pi-42", "-p", "1", "--", "a  b"]);
    assert_eq!(code, Some(0), "{stderr}");
    let lines: Vec<_> = stdout.lines().collect();
    let proxy =
        format!("[ProxyCommand={DEVSTREAM} service-proxy --device='%n' --strip .devstream --stdio --stream ssh]");
    assert_eq!(lines[..4], ["[-o]", proxy.as_str(), "[-l]", "[me@work]"]);
    assert_eq!(lines[4..7], ["[pi-42.devstream]", "[-p]", "[1]"]);
    assert_eq!(lines.last(), Some(&"[a  b]"));
}

#[test]
fn devstream_ssh_passes_the_path_to_the_hub_and_the_wait_on() {
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    let words = fake(&machine, "ssh", "for word; do echo \"[$word]\"; done");
    let flags = ["--hub", "a,b:1", "--via", "http://proxy.lan:3128", "--via-login", "login", "--connect-timeout", "20"];
    let printed = words.ask(&[&["ssh"], &flags[..], &[DEVICE]].concat());
    let login = machine.home().join("login").display().to_string();
    let proxy = format!(
        "{DEVSTREAM} service-proxy --hub a --hub b:1 --via http://proxy.lan:3128 --connect-timeout 20 --via-login {login} "
    );
    assert!(printed.contains(&format!("[ProxyCommand={proxy}--device='%n'")), "{printed}");
    let printed = machine.ask(&[&["ssh-config"], &flags[..]].concat());
    assert!(printed.contains(&format!("ProxyCommand {proxy}--device='%h'")), "{printed}");
    let secret = machine.run(&["ssh", "--via", "http://me:secret@proxy.lan:3128", DEVICE]);
    assert!(secret.code == Some(2) && !secret.stderr.contains("secret"), "{secret:?}");
}

#[test]
fn a_missing_ssh_program_is_reported() {
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    let nothing = machine.home().join("nothing").display().to_string();
    let finished = machine.with("PATH", &nothing).run(&["ssh", DEVICE]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("openssh-client"), "{finished:?}");
}

fn other_device(fixture: &Fixture, id: &str) -> (Machine, Agent) {
    let machine = Machine::new();
    machine.ask(&["join", &fixture.hub.device_link(id)]);
    let agent = Agent::start_as(&machine, id, &[&format!("ssh={}", fixture.sshd.port)]);
    (machine, agent)
}

/// The machine with a program of this name first in its path.
pub(crate) fn fake(machine: &Machine, name: &str, script: &str) -> Machine {
    let directory: PathBuf = machine.home().join("programs");
    fs::create_dir_all(&directory).unwrap();
    let program = directory.join(name);
    fs::write(&program, format!("#!/usr/bin/env bash\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    machine.clone().with("PATH", &format!("{}:/usr/bin:/bin", directory.display()))
}
