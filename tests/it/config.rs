//! The configuration file: contents, precedence and error messages.

use std::fs;
use std::path::PathBuf;

use crate::support::DEVICE;
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::process::Process;
use crate::support::roles::connect;
use crate::support::targets::{Target, closed_port, is_alive};

const EXAMPLE: &str = include_str!("../../src/cli/config/example.toml");

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let machine = Machine::new();
    write(&machine, "[hub]\nlisten = '127.0.0.2:0'\n");
    let listens = |environment: &[(&str, &str)], arguments: &[&str], address: &str| {
        let mut command = machine.command(DEVSTREAM);
        let hub = Process::start(command.arg("hub").args(arguments).envs(environment.iter().copied()));
        hub.wait_line(&format!("hub: listening on https://{address}:"));
    };
    let environment = [("DEVSTREAM_LISTEN", "127.0.0.3:0")];
    listens(&[], &[], "127.0.0.2");
    listens(&environment, &[], "127.0.0.3");
    listens(&environment, &["--listen", "127.0.0.4:0"], "127.0.0.4");
    listens(&[], &["--listen", "127.0.0.4:0"], "127.0.0.4");
}

#[test]
fn every_role_runs_from_a_written_configuration_without_flags() {
    let machine = Machine::new();
    let target = Target::echo();
    write(
        &machine,
        &format!(
            "[hub]\nlisten = ['127.0.0.1:0']\nstate-dir = '{}'\n\
             [device-agent]\nid = '{DEVICE}'\nforward = [22, 'echo={}']\nhub = '127.0.0.1:1'\n\
             [service-proxy]\ndevice = '{DEVICE}'\nlocal = ['0=echo', '0']\nconnect-timeout = 7.5\n",
            machine.home().join("kept").display(),
            target.port
        ),
    );
    let hub = machine.start(&["hub"]);
    let address = hub.wait_line("hub: listening on https://127.0.0.1:").split("//").nth(1).unwrap().to_owned();
    // The hub's subcommands use the file's state directory.
    let link = machine.ask(&["hub", "device", "add", DEVICE]);
    assert!(machine.home().join("kept/admin.sock").exists());
    let device = Machine::new();
    fs::create_dir_all(config(&device).parent().unwrap()).unwrap();
    fs::copy(config(&machine), config(&device)).unwrap();
    device.ask(&["join", link.trim()]);
    let agent = device.start(&["device-agent"]);
    // The file's address is wrong; a flag is right.
    agent.wait_line("127.0.0.1:1");
    drop(agent);
    let agent = device.start(&["device-agent", "--hub", &address]);
    agent.wait_line(&format!("{DEVICE} is online at {address}, offering ssh="));

    let operator = Machine::new();
    fs::create_dir_all(config(&operator).parent().unwrap()).unwrap();
    fs::copy(config(&machine), config(&operator)).unwrap();
    operator.ask(&["join", machine.ask(&["hub", "service", "add", "laptop", "--device", "*"]).trim()]);
    let proxy = operator.start(&["service-proxy"]);
    let line = proxy.wait_line(&format!("service-proxy: {DEVICE}/echo on 127.0.0.1:"));
    is_alive(&mut connect(line.rsplit(':').next().unwrap().parse().unwrap()));
    proxy.wait_line(&format!("service-proxy: {DEVICE} on 127.0.0.1:"));

    // A flag that excludes a key of the file takes precedence.
    let mut pipe = operator.command(DEVSTREAM);
    pipe.args(["service-proxy", "--stdio", "--stream", "echo"]);
    let finished = Process::start_with_input(&mut pipe, b"through\n".into()).finish();
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), "through\n"), "{finished:?}");
}

#[test]
fn a_service_proxy_without_a_port_is_answered_with_what_to_type() {
    for (arguments, tip) in [
        (&[DEVICE][..], "tip: for example --local 2222, or --stdio for ssh's ProxyCommand\n"),
        (&[DEVICE, "--listen", "8502"], "tip: did you mean --local 8502?\n"),
        (&[DEVICE, "--listen=[::]:80=web"], "tip: did you mean --local [::]:80=web?\n"),
        (&[DEVICE, "--listen", "--stdio"], "tip: did you mean --local 2222?\n"),
    ] {
        let refused = Machine::new().run(&[&["service-proxy"], arguments].concat());
        assert!(refused.code == Some(2) && refused.stderr.contains(tip), "{arguments:?}: {refused:?}");
        assert_eq!(refused.stderr.matches("tip:").count(), 1, "{refused:?}");
    }
}

#[test]
fn a_mistyped_command_line_is_answered_with_what_was_meant_and_with_no_nonsense() {
    let machine = Machine::new();
    for (typed, tip) in [
        ("service-proxy pi 2222", "did you mean --local 2222?"),
        ("service-proxy pi --forward 22", "--forward is the device-agent's, on the device; here a local port is given"),
        ("device-agent 22", "did you mean --forward 22?"),
        ("device-agent pi --forward 22", "did you mean --id pi?"),
        ("device-agent --device pi --forward 22", "did you mean --id?"),
        ("devices pi", "did you mean `devstream check pi`?"),
        ("hub --port 443", "did you mean --listen 443?"),
        ("hub add pi", "did you mean `devstream hub device add`, or `devstream hub service add`?"),
        ("hub service add alice pi", "did you mean --device pi?"),
        ("logs", "did you mean `devstream hub logs`?"),
        ("profiles set lab --hub x", "did you mean --profile lab?"),
        ("ssh -p 22 pi", "flags of `ssh` go after the device: devstream ssh DEVICE -p"),
        ("joni", "a similar subcommand exists: 'join'"),
    ] {
        let refused = machine.run(&typed.split(' ').collect::<Vec<_>>());
        assert!(refused.code == Some(2) && refused.stderr.contains(&format!("tip: {tip}")), "{typed}: {refused:?}");
        assert_eq!(refused.stderr.matches("tip:").count(), 1, "{refused:?}");
    }
    for typed in ["check --foo", "join --link x", "-x", "ssh --foo pi"] {
        let refused = machine.run(&typed.split(' ').collect::<Vec<_>>());
        assert!(refused.code == Some(2) && !refused.stderr.contains("tip:"), "{typed}: {refused:?}");
    }
}

#[test]
fn two_flags_that_need_each_other_may_come_from_two_places() {
    let machine = Machine::new();
    let address = format!("127.0.0.1:{}", closed_port());
    write(&machine, &format!("[hub]\nlisten = '127.0.0.1:0'\nstreaming-listen = '{address}'\n"));
    let alone = machine.run(&["hub"]);
    assert_eq!(alone.code, Some(2), "{alone:?}");
    assert!(alone.stderr.contains("--streaming-endpoint"), "{alone:?}");
    let checked = machine.run(&["hub", "check-config"]);
    assert_eq!(checked.code, Some(2), "{checked:?}");
    assert!(checked.stderr.contains("config.toml: --streaming-listen needs"), "{checked:?}");
    let hub = machine.start(&["hub", "--streaming-endpoint", &format!("wss://{address}")]);
    hub.wait_line(&format!("hub: streaming endpoint listening on https://{address}"));
}

#[test]
fn every_configuration_error_is_reported_with_its_location() {
    let machine = Machine::new();
    for (text, wanted) in [
        ("[hub]\nlisten = 'nowhere'\n", &["2:10: invalid value 'nowhere' for '--listen <[ADDR:]PORT>'"][..]),
        ("[hub]\nlisten = ['127.0.0.1:0',\n  'nowhere']\n", &["3:3: invalid value 'nowhere'"]),
        ("[hub]\nlisten = [['x']]\n", &["2:11: listen takes a string or a number"]),
        ("[hub]\ndrain-timeout = true\n", &["2:17: drain-timeout takes a string or a number"]),
        ("[hub]\ndrain-timeout = [1]\n", &["2:17: drain-timeout takes a string or a number"]),
        ("[device-agent]\nallow-service = []\n", &["2:17: allow-service = [] is empty; give at least one"]),
        ("[hub]\ndrain-timeout = -1\n", &["2:17: invalid value '-1'"]),
        ("[hub]\ndrain_timeout = 1\n", &["2:1: unknown key 'drain_timeout' in [hub]; did you mean drain-timeout?\n"]),
        ("[hub]\nconfig = 'x'\n", &["2:1: unknown key 'config' in [hub]"]),
        ("[service-proxy]\nstdio = true\n", &["2:1: unknown key 'stdio' in [service-proxy]"]),
        ("[hubs]\n", &["1:2: unknown section [hubs]; did you mean [hub]?\n"]),
        ("[device_agent]\n", &["1:2: unknown section [device_agent]; did you mean [device-agent]?\n"]),
        ("[demo]\n", &["1:2: unknown section [demo]; expected one of [hub] [device-agent] [service-proxy]"]),
        ("listen = 1\n", &["1:1: 'listen' is not in a section"]),
        ("# äöü\n[hub]\nlisten = \n", &["3:10: "]),
        ("[hub]\nlisten = '1'\nlisten = '2'\n", &["3:1: duplicate key"]),
        // Another role's section, and several at once, in the order of the file.
        (
            "[service-proxy]\ndevice = 'a/b'\n[hub]\nx = 1\ny = 2\n",
            &[
                "2:10: invalid value 'a/b'",
                "4:1: unknown key 'x' in [hub]",
                "5:1: unknown key 'y' in [hub]; expected one of ",
            ],
        ),
    ] {
        write(&machine, text);
        for arguments in [&["hub"][..], &["hub", "check-config"], &["hub", "device", "list"]] {
            let finished = machine.run(arguments);
            assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{text}: {finished:?}");
            let mut rest = finished.stderr.as_str();
            for sentence in wanted {
                let place = format!("{}:{sentence}", config(&machine).display());
                let found = rest.find(&place).or_else(|| rest.find(sentence));
                rest = &rest[found.unwrap_or_else(|| panic!("{text}: no '{sentence}' in {finished:?}"))..];
            }
            assert!(finished.stderr.starts_with(config(&machine).to_str().unwrap()), "{finished:?}");
        }
    }
}

#[test]
fn the_file_is_not_blamed_for_the_environment() {
    let machine = Machine::new();
    write(&machine, "[hub]\nhostname = 'hub.example.com'\n");
    let mut command = machine.command(DEVSTREAM);
    let finished = Process::start(command.arg("hub").env("DEVSTREAM_LISTEN", "nowhere")).finish();
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert!(finished.stderr.contains("nowhere") && !finished.stderr.contains("config.toml"), "{finished:?}");
}

#[test]
fn a_named_configuration_file_must_exist_and_takes_precedence() {
    let machine = Machine::new();
    let missing = machine.run(&["hub", "--config", "missing.toml"]);
    assert_eq!(missing.code, Some(2), "{missing:?}");
    assert!(missing.stderr.contains("cannot read missing.toml"), "{missing:?}");
    let nothing = machine.run(&["hub", "check-config"]);
    assert_eq!(nothing.code, Some(2), "{nothing:?}");
    assert!(nothing.stderr.contains("no configuration file"), "{nothing:?}");

    write(&machine, "broken");
    fs::write(machine.home().join("other.toml"), EXAMPLE).unwrap();
    assert_eq!(machine.ask(&["hub", "check-config", "--config", "other.toml"]), "other.toml: ok\n");
    assert_eq!(machine.ask(&["hub", "--config", "other.toml", "check-config"]), "other.toml: ok\n");
    let mut command = machine.command(DEVSTREAM);
    let named = Process::start(command.args(["hub", "check-config"]).env("DEVSTREAM_CONFIG", "other.toml")).finish();
    assert_eq!(named.stdout, "other.toml: ok\n", "{named:?}");
    // Help ignores the file, and so do commands without a section.
    assert!(machine.ask(&["hub", "--help"]).contains("--listen"));
    machine.ask(&["completions", "bash"]);
}

#[test]
fn the_example_configuration_has_every_key_and_changes_nothing() {
    let machine = Machine::new();
    let first = machine.run(&["config", "init"]);
    assert!(first.code == Some(0) && first.stderr.contains(config(&machine).to_str().unwrap()), "{first:?}");
    let text = fs::read_to_string(config(&machine)).unwrap();
    assert_eq!(machine.ask(&["hub", "check-config"]), format!("{}: ok\n", config(&machine).display()));
    for line in ["[hub]", "[device-agent]", "[service-proxy]", "#drain-timeout = 30", "#resume-grace = \"2m\""] {
        assert!(text.lines().any(|other| other == line), "no {line} in {text}");
    }
    let unset = |text: &str| text.contains("\"source\": \"file\"");
    assert!(!unset(&machine.ask(&["config", "show", "--json"])));

    fs::write(config(&machine), "# mine\n").unwrap();
    let second = machine.run(&["config", "init"]);
    assert_eq!(second.code, Some(2), "{second:?}");
    assert!(second.stderr.contains("--force"), "{second:?}");
    assert_eq!(fs::read_to_string(config(&machine)).unwrap(), "# mine\n");
    machine.ask(&["config", "init", "--force"]);
    assert_eq!(fs::read_to_string(config(&machine)).unwrap(), text);
    machine.ask(&["config", "init", "--config", "other.toml"]);
    assert_eq!(fs::read_to_string(machine.home().join("other.toml")).unwrap(), text);
}

#[test]
fn effective_settings_are_shown_with_their_source() {
    let machine = Machine::new().with("DEVSTREAM_RESPONSE_TIMEOUT", "7");
    let sections = "[service-proxy]\ndevice = 'pi-1'\nlocal = ['2222', '0=web']\nno-resume = false\n";
    write(&machine, &format!("{sections}[profile.lab.service-proxy]\ndevice = 'pi-2'\n"));
    let file = |line: u32| format!("{}:{line}", config(&machine).display());
    let shown = |arguments: &[&str]| -> Vec<serde_json::Value> {
        let words = [&["config", "show", "service-proxy", "--json"], arguments].concat();
        serde_json::from_str(&machine.ask(&words)).unwrap()
    };
    let one = |all: &[serde_json::Value], key: &str| all.iter().find(|one| one["key"] == key).unwrap().clone();
    let row = |key: &str, values: &[&str], source: &str, from: Option<String>| {
        let mut row = serde_json::json!({"role": "service-proxy", "key": key, "values": values, "source": source});
        from.into_iter().for_each(|from| row["from"] = from.into());
        row
    };
    let all = shown(&["--", "--dead-after", "9"]);
    for expected in [
        row("device", &["pi-1"], "file", Some(file(2))),
        row("local", &["2222", "0=web"], "file", Some(file(3))),
        row("no-resume", &["false"], "file", Some(file(4))),
        row("response-timeout", &["7"], "environment", Some("DEVSTREAM_RESPONSE_TIMEOUT".into())),
        row("dead-after", &["9"], "flag", None),
        row("connect-timeout", &["5"], "default", None),
        row("hub", &[], "default", None),
    ] {
        assert_eq!(one(&all, expected["key"].as_str().unwrap()), expected);
    }
    let of_lab = shown(&["--profile", "lab"]);
    assert_eq!(one(&of_lab, "device"), row("device", &["pi-2"], "file", Some(file(6))));
    assert_eq!(one(&of_lab, "local"), row("local", &["2222", "0=web"], "file", Some(file(3))));

    let table = machine.ask(&["config", "show"]);
    assert!(table.contains(" [::]:8443 ") && table.contains("forward") && table.contains(&file(2)), "{table}");
    let wrong = machine.run(&["config", "show", "service-proxy", "--", "--dead-after", "x"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    write(&machine, "[hub]\nx = 1\n");
    let broken = machine.run(&["config", "show"]);
    assert!(broken.code == Some(2) && broken.stderr.contains("2:1: unknown key 'x' in [hub]"), "{broken:?}");
}

fn config(machine: &Machine) -> PathBuf {
    machine.home().join(".config/devstream/config.toml")
}

fn write(machine: &Machine, text: &str) {
    fs::create_dir_all(config(machine).parent().unwrap()).unwrap();
    fs::write(config(machine), text).unwrap();
}
