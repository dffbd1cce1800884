//! What is typed wrong, and what a machine lacks: each answered in one sentence with what to do.

use devstream::proto::refusal::RefusalKind;

use crate::support::DEVICE;
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::process::{Finished, Process};
use crate::support::roles::{Agent, Hub};

#[test]
fn words_from_elsewhere_are_answered_with_the_command_that_was_meant() {
    let machine = Machine::new();
    for (typed, said) in [
        ("agent --forward 22", "tip: did you mean `devstream device-agent`?"),
        ("-v proxy pi-42", "tip: did you mean `devstream service-proxy`?"),
        ("server", "tip: did you mean `devstream hub`?"),
        ("device", "tip: did you mean `devstream hub device`?"),
        ("service-proxy pi-42 --listen", "\nUsage: devstream service-proxy [OPTIONS] [DEVICE]\n"),
        ("service-proxy pi-42 --listen 8502", "\nUsage: devstream service-proxy [OPTIONS] [DEVICE]\n"),
        ("hub device add pi-42 --foo", "\nUsage: devstream hub device add [OPTIONS] <ID>\n"),
        ("service-proxy pi-42 --local 22222:22", "; did you mean 22222=ssh?"),
        ("service-proxy pi-42 --local 2222:localhost:80", "; did you mean 2222=http?"),
        ("devices --hub http://foo", "a hub is given as HOST[:PORT], not as a URL; did you mean foo?"),
        ("profiles set --hub https://foo:8443/", "not as a URL; did you mean foo:8443?"),
    ] {
        let refused = machine.run(&typed.split(' ').collect::<Vec<_>>());
        assert!(refused.code == Some(2) && refused.stderr.contains(said), "{typed}: {refused:?}");
    }
}

/// Runs a command with a home that nothing can be written to.
fn on_read_only_home(machine: &Machine, arguments: &[&str]) -> Finished {
    let script =
        "mount --bind \"$HOME\" \"$HOME\" && mount -o remount,ro,bind \"$HOME\" && cd \"$HOME\" && exec \"$@\"";
    let mut command = machine.command("unshare");
    let is_root = rustix::process::geteuid().is_root();
    command.args([if is_root { "-m" } else { "-rm" }, "sh", "-c", script, "sh"]);
    Process::start(command.args(["timeout", "--signal=INT", "3", DEVSTREAM]).args(arguments)).finish()
}

#[test]
fn a_home_that_cannot_be_written_to_is_named_with_what_to_do() {
    let (hub, machine, joined) = (Hub::start(&Machine::new()), Machine::new(), Machine::new());
    let link = hub.device_link(DEVICE);
    joined.ask(&["join", &hub.service_link("alice")]);
    let key = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    for (machine, command, failed, code) in [
        (&machine, &["hub"][..], "hub: the state directory: cannot create ", 1),
        (&machine, &["join", &link], "join: cannot create ", 1),
        (&machine, &["fleet", "init"], "fleet: cannot create ", 1),
        (&machine, &["config", "init"], "config: cannot create ", 1),
        (&joined, &["trust", "pin", "device", DEVICE, key], "trust: cannot ", 1),
        (
            &machine,
            &["device-agent", "--forward", "9"],
            "`devstream status` cannot show this role: cannot create ",
            124,
        ),
    ] {
        let refused = on_read_only_home(machine, command);
        let line = refused.stderr.lines().find(|line| line.contains(failed));
        let line = line.unwrap_or_else(|| panic!("{command:?}: {refused:?}"));
        let home = machine.home().display().to_string();
        let next = "; nothing can be written there: set HOME, or for a hub --state-dir, to a directory that can";
        assert!(line.ends_with(next) && line.matches(&home).count() == 1, "{command:?}: {line}");
        assert_eq!(refused.code, Some(code), "{command:?}: {refused:?}");
    }
    // The link is still good.
    machine.ask(&["join", &link]);
}

#[test]
fn a_proxy_that_ssh_started_does_not_speak_of_a_proxy() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    hub.device_link(DEVICE);
    let named = format!("{DEVICE}.devstream");
    let refused = machine.run(&["service-proxy", "--device", &named, "--strip", ".devstream", "--stdio"]);
    assert_eq!(refused.code, Some(RefusalKind::DeviceOffline.row().exit.into()), "{refused:?}");
    assert!(refused.stderr.starts_with("devstream: the device is offline"), "{refused:?}");
    assert!(!refused.stderr.contains("service-proxy"), "{refused:?}");
}

#[test]
fn an_agent_that_was_never_online_does_not_say_that_it_no_longer_is() {
    let machine = Machine::new();
    let agent = Agent::launch(&machine, DEVICE, &["9"]);
    agent.wait_line("trying again");
    agent.signal("INT");
    let finished = agent.finish();
    assert!(finished.stderr.ends_with("device-agent: stopped; pi-42 has not been online\n"), "{finished:?}");
    let _hub = Hub::start(&machine);
    let agent = Agent::start(&machine, &["9"]).process;
    agent.signal("INT");
    let finished = agent.finish();
    assert!(finished.stderr.ends_with("device-agent: stopped; pi-42 is offline\n"), "{finished:?}");
}
