//! Completion of device and stream names, in the shells themselves.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use devstream::net::os::clock;
use devstream::proto::limits::DIAL_TIMEOUT;
use serde_json::Value;

use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::process::{Finished, Process};
use crate::support::roles::{Agent, Hub};
use crate::support::{DEVICE, within};

/// An enrolled operator, and an online device with two forwards.
struct Fixture {
    laptop: Machine,
    hub: Hub,
    _agent: Agent,
}

impl Fixture {
    fn new() -> Self {
        let (hub, laptop) = (Hub::start(&Machine::new()), Machine::new());
        laptop.ask(&["join", "--profile", "lab", &hub.service_link("alice")]);
        laptop.ask(&["profiles", "use", "lab"]);
        let agent = Agent::start(hub.machine(), &["22", "web=8080"]);
        Self { laptop, hub, _agent: agent }
    }

    /// Ignores whether the hub answered within the completion's time limit: that depends on the machine's load.
    fn warm(&self) {
        self.laptop.ask(&["devices"]);
    }

    fn cache(&self) -> PathBuf {
        self.laptop.home().join(".cache/devstream/devices-lab.json")
    }
}

#[test]
fn bash_completes_ids_from_the_hub() {
    let fixture = Fixture::new();
    fixture.warm();
    let offers = |words: &[&str]| bash(&fixture.laptop, words);
    assert_eq!(offers(&["service-proxy", "--device", "p"]), [DEVICE]);
    assert_eq!(offers(&["service-proxy", "--device", "x"]), [""; 0]);
    assert_eq!(offers(&["service-proxy", "--device", DEVICE, "--stream", ""]), ["ssh", "web"]);
    assert_eq!(offers(&["check", "--device", DEVICE, "--stream", ""]), ["ssh", "web"]);
    assert_eq!(offers(&["service-proxy", "--device", "other", "--stream", ""]), [""; 0]);
    assert_eq!(offers(&["service-proxy", "--dev"]), ["--device"]);
    assert_eq!(offers(&["devices", "--profile", ""]), ["default", "lab"]);
    for command in ["use", "remove"] {
        assert_eq!(offers(&["profiles", command, "l"]), ["lab"]);
    }
    assert_eq!(offers(&["service-proxy", "--profile", "default", "--device", "p"]), [""; 0]);
    // Each hub has its own cache.
    assert_eq!(offers(&["service-proxy", "--hub", "127.0.0.1:1", "--device", "p"]), [""; 0]);
}

#[test]
fn bash_completes_words_that_contain_its_separators() {
    let fixture = Fixture::new();
    let hub = format!("localhost:{}", fixture.hub.port);
    fixture.laptop.ask(&["devices", "--hub", &hub]);
    let from_here = format!("service-proxy --hub {hub}");
    for (typed, rest) in [
        (format!("{from_here} --device p"), "i-42"),
        (format!("{from_here} --device=p"), "i-42"),
        (format!("{from_here} --device="), "pi-42"),
        (format!("{from_here} --device={DEVICE} --stream=w"), "eb"),
        (format!("service-proxy --hub={hub} --local 127.0.0.1:2222=w"), "eb"),
        ("devices --profile=l".into(), "ab"),
    ] {
        assert_eq!(bash_types(&fixture.laptop, &typed), format!("{typed}{rest}"));
    }
    fixture.warm();
    assert_eq!(bash_types(&fixture.laptop, "ssh root@p"), "ssh root@pi-42");
    assert_eq!(bash_types(&fixture.laptop, "service-proxy --device=x"), "service-proxy --device=x");
}

#[test]
fn fish_completes_ids_from_the_hub_with_their_state() {
    let fixture = Fixture::new();
    fixture.warm();
    let offers = |line: &str| fish(&fixture.laptop, line);
    assert_eq!(offers("service-proxy --device p"), [format!("{DEVICE}\tonline, offers ssh, web")]);
    assert_eq!(offers("ssh root@p"), [format!("root@{DEVICE}\tonline, offers ssh, web")]);
    assert_eq!(offers("service-proxy --local 2222=w"), ["2222=web"]);
    assert_eq!(offers("check --device pi-42 --stream w"), ["web"]);
    assert_eq!(offers("devices --profile l"), ["lab"]);
    for command in ["use", "remove"] {
        assert_eq!(offers(&format!("profiles {command} l")), ["lab"]);
    }
}

#[test]
fn zsh_completes_ids_from_the_hub() {
    let fixture = Fixture::new();
    fixture.warm();
    for (line, rest) in [
        ("service-proxy --device p", "i-42"),
        ("service-proxy --device pi-42 --stream w", "eb"),
        ("service-proxy --local 2222=w", "eb"),
        ("ssh root@p", "i-42"),
        ("devices --profile l", "ab"),
        ("profiles use l", "ab"),
        // The shell runs the line, which asks otherwise.
        ("profiles remove --yes l", "ab"),
    ] {
        // The shell echoes the typed line; the completion follows it.
        let finished = zsh(&fixture.laptop, &format!("devstream {line}"), rest);
        assert_eq!((finished.code, finished.stdout.trim()), (Some(0), "completed"), "{finished:?}");
    }
}

#[test]
fn on_the_hubs_machine_ids_complete_at_once() {
    let fixture = Fixture::new();
    let hub = fixture.hub.machine();
    fixture.hub.device_link("pi-43");
    fixture.hub.ask(&["enroll", "add", "--device", "x-*", "--uses", "7"]);
    let online = format!("{DEVICE}\tonline, offers ssh, web");
    for command in ["device show", "device disable", "device enable", "device rotate", "device remove", "logs --device"]
    {
        assert_eq!(fish(hub, &format!("hub {command} p")), [online.clone(), "pi-43\tnot joined".into()], "{command}");
    }
    for command in ["show", "set", "disable", "enable", "rotate", "remove"] {
        assert_eq!(fish(hub, &format!("hub service {command} a")), ["alice\tjoined"], "{command}");
    }
    assert_eq!(fish(hub, "hub service add bob --device pi-42"), [online]);
    assert_eq!(fish(hub, "hub service set alice --stream w"), ["web"]);
    assert_eq!(fish(hub, "hub enroll remove 1"), ["1\tfor x-*, used 0 of 7 times"]);
    assert_eq!(bash(hub, &["hub", "device", "show", "pi-42"]), [DEVICE]);
    assert_eq!(bash_types(hub, "hub device show pi-4"), "hub device show pi-4", "there are two");
    assert_eq!(bash_types(hub, "hub logs --device=pi-43"), "hub logs --device=pi-43");
    let finished = zsh(hub, "devstream hub service show a", "lice");
    assert_eq!((finished.code, finished.stdout.trim()), (Some(0), "completed"), "{finished:?}");
    assert_eq!(fish(hub, "hub --state-dir /nowhere device show p"), [""; 0]);
    assert_eq!(fish(&fixture.laptop, "hub device show p"), [""; 0], "no hub is here");
}

#[test]
fn a_hub_that_does_not_answer_delays_no_completion() {
    let fixture = Fixture::new();
    fixture.warm();
    let cache = fixture.cache();
    let Fixture { laptop, hub, _agent: agent } = fixture;
    let port = hub.port;
    drop((hub, agent));
    // Accepts connections without responding.
    let _silent = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let mut cached: Value = serde_json::from_str(&fs::read_to_string(&cache).unwrap()).unwrap();
    cached["at"] = clock::now_utc().before(Duration::from_secs(60)).to_string().into();
    fs::write(&cache, cached.to_string()).unwrap();
    // Far less than the time limit for the hub, even on a slow machine.
    within(DIAL_TIMEOUT / 2, "two completions", || {
        assert_eq!(bash(&laptop, &["service-proxy", "--device", "p"]), [DEVICE], "what was known a minute ago");
        assert_eq!(fish(&laptop, "service-proxy --device p"), [format!("{DEVICE}\tonline, offers ssh, web")]);
    });
}

#[test]
fn a_completion_asks_the_hub_and_its_cache_is_private() {
    let fixture = Fixture::new();
    // The first response may be too late for a completion; the query continues in the background.
    crate::support::poll("an answer", || {
        (bash(&fixture.laptop, &["service-proxy", "--device", "p"]) == [DEVICE]).then_some(())
    });
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&fixture.cache()), mode(fixture.cache().parent().unwrap())), (0o600, 0o700));
    // The cache is used for a while without another query.
    fs::write(fixture.cache(), fs::read_to_string(fixture.cache()).unwrap().replace(DEVICE, "pi-43")).unwrap();
    assert_eq!(bash(&fixture.laptop, &["service-proxy", "--device", "p"]), ["pi-43"]);
}

#[test]
fn without_a_hub_completion_uses_the_cache_or_is_silent() {
    let fixture = Fixture::new();
    fixture.warm();
    let cache = fixture.cache();
    let Fixture { laptop, hub, _agent: agent } = fixture;
    drop((hub, agent));
    let everywhere = || {
        let offered = [bash(&laptop, &["service-proxy", "--device", "p"]), fish(&laptop, "service-proxy --device p")];
        offered.map(|all| all.first().is_some_and(|first| first.starts_with(DEVICE)))
    };
    let cached = fs::read_to_string(&cache).unwrap();
    let year = cached.split("\"at\":\"").nth(1).unwrap()[..4].to_owned();
    let aged = |years: i32| {
        let then = (year.parse::<i32>().unwrap() - years).to_string();
        fs::write(&cache, cached.replacen(&year, &then, 1)).unwrap();
    };
    assert_eq!(everywhere(), [true, true]);
    aged(1);
    assert_eq!(everywhere(), [false, false], "too old");
    let finished = zsh(&laptop, "devstream service-proxy --device p", "i-42");
    assert!(!finished.stdout.contains("completed") && !finished.stdout.contains("devstream:"), "{finished:?}");
    for damage in ["", "{", "[]", "\0\0"] {
        fs::write(&cache, damage).unwrap();
        assert_eq!(everywhere(), [false, false], "{damage}");
    }
    // No identity, and none is created: a completion generates no key.
    let unjoined = Machine::new();
    assert_eq!(bash(&unjoined, &["service-proxy", "--device", "p"]), [""; 0]);
    assert!(!unjoined.home().join(".local").exists() && !unjoined.home().join(".cache").exists());
}

#[test]
fn an_unknown_shell_gets_no_completions() {
    let machine = Machine::new();
    let mut command = machine.command(DEVSTREAM);
    let finished = Process::start(command.args(["--", "devstream", ""]).env("DEVSTREAM_COMPLETE", "csh")).finish();
    assert_eq!((finished.code, finished.stdout + &finished.stderr), (Some(1), String::new()));
}

#[test]
fn every_shell_has_a_static_script_as_well() {
    let machine = Machine::new();
    for (shell, file) in [
        ("bash", "devstream.bash"),
        ("zsh", "_devstream"),
        ("fish", "devstream.fish"),
        ("powershell", "_devstream.ps1"),
    ] {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("completions").join(file);
        assert_eq!(machine.ask(&["completions", shell, "--static"]).trim(), fs::read_to_string(script).unwrap().trim());
        let live = machine.ask(&["completions", shell]);
        assert!(live.contains("DEVSTREAM_COMPLETE") && !live.contains("--device"), "{live}");
    }
}

/// PowerShell is not among the tests' packages.
#[test]
fn powershells_scripts_know_every_command_and_call_this_program() {
    let machine = Machine::new();
    let live = machine.ask(&["completions", "powershell"]);
    assert!(live.contains("Register-ArgumentCompleter -Native -CommandName devstream"), "{live}");
    let fixed = machine.ask(&["completions", "powershell", "--static"]);
    let mut commands = vec![("devstream".to_owned(), devstream::cli::command())];
    while let Some((path, command)) = commands.pop() {
        assert!(fixed.contains(&format!("'{path}' {{")), "no {path}");
        for (name, inner) in command.get_subcommands().map(|inner| (inner.get_name(), inner)) {
            assert!(fixed.contains(&format!("[CompletionResult]::new('{name}'")), "{path} does not offer {name}");
            commands.push((format!("{path};{name}"), inner.clone()));
        }
    }
}

/// Starts a program of this machine with devstream in its PATH.
fn shell(machine: &Machine, program: &str) -> Command {
    let mut command = machine.command(program);
    let own = Path::new(DEVSTREAM).parent().unwrap().display();
    command.env("PATH", format!("{own}:{}", std::env::var("PATH").unwrap()));
    command
}

/// Completions that bash offers after a TAB.
fn bash(machine: &Machine, words: &[&str]) -> Vec<String> {
    let script = r#"source <(devstream completions bash)
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9
        _clap_complete_devstream devstream "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"
        for word in "${COMPREPLY[@]}"; do echo "$word"; done"#;
    let mut command = shell(machine, "bash");
    let command = command.args(["--norc", "-c", script, "bash", "devstream"]).args(words);
    offered(&Process::start(command).finish())
}

/// The line at bash's prompt after typing this and a TAB.
fn bash_types(machine: &Machine, line: &str) -> String {
    let start = machine.home().join("bashrc");
    fs::write(&start, "source <(devstream completions bash); PS1=; bind 'set bell-style none'").unwrap();
    let mut command = shell(machine, "script");
    command.args(["-qec", &format!("bash --rcfile {} -i", start.display()), "/dev/null"]).env("TERM", "dumb");
    // Moving to the line's beginning and end prints it.
    let typed = format!("devstream {line}\t\x01echo 'line: \x05'\nexit\n");
    let finished = Process::start_with_input(&mut command, typed.into_bytes()).finish();
    let printed = finished.stdout.lines().filter_map(|seen| seen.strip_prefix("line: devstream ")).next_back();
    printed.unwrap_or_else(|| panic!("{finished:?}")).trim().to_owned()
}

/// Completions that fish offers, with their descriptions.
fn fish(machine: &Machine, line: &str) -> Vec<String> {
    let script = format!("devstream completions fish | source; complete -C 'devstream {line}'");
    offered(&Process::start(shell(machine, "fish").args(["--no-config", "-c", &script])).finish())
}

/// Returns `completed` if zsh on a terminal completes this after a TAB.
fn zsh(machine: &Machine, line: &str, rest: &str) -> Finished {
    let script = r#"zmodload zsh/zpty
        zpty z zsh -f -i
        zpty -w z 'PS1=; unsetopt beep; autoload -U compinit; compinit -u -D; source <(devstream completions zsh); print rea''dy'
        zpty -r z seen '*ready*'
        zpty -w -n z "$1"$'\t'"; print en''ded"$'\n'
        zpty -r z seen '*ended*'
        if [[ $seen == *$2* ]]; then print completed; else print -r -- $seen; fi"#;
    Process::start(shell(machine, "zsh").args(["-f", "-c", script, "zsh", line, rest])).finish()
}

/// The completions; asserts that nothing was printed to standard error.
fn offered(finished: &Finished) -> Vec<String> {
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    finished.stdout.lines().map(str::to_owned).collect()
}
