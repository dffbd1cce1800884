//! What is typed wrong, and what a machine lacks: each answered in one sentence with what to do.

use std::fs;
use std::process::Command;

use devstream::proto::refusal::RefusalKind;

use crate::support::DEVICE;
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::process::{Finished, Process};
use crate::support::roles::{Agent, Hub, ServiceProxy};
use crate::support::targets::{Target, is_alive};

#[test]
fn words_from_elsewhere_are_answered_with_the_command_that_was_meant() {
    let machine = Machine::new();
    for (typed, said) in [
        ("agent --forward 22", "tip: did you mean `devstream device-agent`?"),
        ("-v proxy pi-42", "tip: did you mean `devstream service-proxy`?"),
        ("device-agent", "tip: for example --forward 22"),
        ("server", "tip: did you mean `devstream hub`?"),
        ("device", "tip: did you mean `devstream hub device`?"),
        ("service-proxy pi-42 --listen", "\nUsage: devstream service-proxy [OPTIONS] [DEVICE]\n"),
        ("service-proxy pi-42 --listen 8502", "\nUsage: devstream service-proxy [OPTIONS] [DEVICE]\n"),
        ("check pi-42 web", "tip: did you mean --stream web?"),
        ("status pi-42", "tip: did you mean `devstream check pi-42`?"),
        ("identity pi-42", "tip: this shows the machine's own; the keys of others are in `devstream trust list`"),
        ("trust forget pi-42", "tip: did you mean `devstream trust forget device pi-42`?"),
        ("trust pin pi-42", "tip: did you mean `devstream trust pin device pi-42 KEY`?"),
        ("trust pin pi-42 11qY", "tip: did you mean `devstream trust pin device pi-42 11qY`?"),
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
        (&machine, &["hub", "--state-dir", "own"], "hub: the state directory: cannot create own: ", 1),
        (&machine, &["join", &link], "join: cannot create ", 1),
        (&machine, &["fleet", "init"], "fleet: cannot create ", 1),
        (&machine, &["config", "init"], "config: cannot create ", 1),
        (&joined, &["trust", "pin", "device", DEVICE, key], "trust: cannot ", 1),
        (&joined, &["profiles", "set", "--hub", "hub.invalid"], "profiles: cannot write ", 1),
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
        let setting = match command {
            ["hub"] => "HOME or --state-dir",
            ["hub", ..] => "--state-dir",
            _ => "HOME",
        };
        let next = format!("; nothing can be written there: set {setting} to a directory that can");
        assert!(
            line.ends_with(&next) && (line.matches(&home).count() == 1 || setting == "--state-dir"),
            "{command:?}: {line}"
        );
        assert_eq!(refused.code, Some(code), "{command:?}: {refused:?}");
    }
    // The link is still good.
    machine.ask(&["join", &link]);
}

#[test]
fn a_check_that_cannot_store_the_devices_key_says_so() {
    let (hub, device, laptop, target) = (Hub::start(&Machine::new()), Machine::new(), Machine::new(), Target::echo());
    device.ask(&["join", &hub.device_link(DEVICE)]);
    laptop.ask(&["join", &hub.service_link("alice")]);
    let _agent = Agent::start(&device, &[&format!("web={}", target.port)]);
    let checked = on_read_only_home(&laptop, &["check", DEVICE]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let lines: Vec<_> = checked.stdout.lines().skip_while(|line| !line.starts_with("end-to-end ")).collect();
    assert!(lines[0].contains("warning") && !checked.stdout.contains("first use"), "{checked:?}");
    let cause = "cause: the device's key could not be stored: cannot ";
    let cause = lines.iter().find(|line| line.contains(cause)).unwrap_or_else(|| panic!("{checked:?}"));
    assert!(cause.contains(&laptop.home().display().to_string()) && cause.contains("Read-only file system"), "{cause}");
    let next = "next: let this user write there, and run this check again; until then, each command trusts the key";
    assert!(checked.stdout.contains(next) && checked.stdout.contains("known to this command alone"), "{checked:?}");
    let checked = laptop.run(&["check", DEVICE]);
    assert!(checked.stdout.contains("known by first use, just now"), "{checked:?}");
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

#[test]
fn a_join_beside_a_role_that_waits_for_it_says_that_this_takes_it_up() {
    let (hub, target) = (Hub::start(&Machine::new()), Target::echo());
    let (device, laptop) = (Machine::new(), Machine::new());
    let agent = device.start(&["device-agent", "--forward", &target.port.to_string()]);
    let proxy = ServiceProxy::start(&laptop);
    for (machine, role, process, link) in [
        (&device, "device-agent", &agent, hub.device_link(DEVICE)),
        (&laptop, "service-proxy", &proxy.process, hub.service_link("alice")),
    ] {
        process.wait_line("this machine has not joined a hub");
        let joined = machine.run(&["join", &link]);
        let said = format!("the running {role} (process {}) takes this up by itself, within seconds", process.id());
        assert!(joined.stderr.contains(&said) && !joined.stderr.contains("next:"), "{joined:?}");
    }
    agent.wait_line("pi-42 is online");
    is_alive(&mut proxy.connect());
}

#[test]
fn a_link_that_was_not_used_is_not_said_to_be_valid_and_an_own_id_not_to_be_anothers() {
    let (hub, device) = (Hub::start(&Machine::new()), Machine::new());
    let enrolment = || hub.link(&["enroll", "add", "--device", "plant-*", "--uses", "9"]);
    assert_eq!(device.paste(&["join", "--id", "plant-1"], &enrolment()).code, Some(0));
    let again = device.paste(&["join", "--id", "plant-1"], &enrolment());
    let already = format!("this machine has joined {} as device plant-1 before, and an enrolment key", hub.address());
    let next = "for a new key: on the hub, `devstream hub device rotate plant-1`";
    assert!(again.code == Some(49) && again.stderr.contains(&already) && again.stderr.contains(next), "{again:?}");
    let other = device.run(&["join", &hub.device_link(DEVICE)]);
    assert!(other.code == Some(2) && other.stderr.contains("; the link was not used"), "{other:?}");
}

#[test]
fn a_check_has_a_next_step_that_fits_its_cause() {
    let (hub, device) = (Hub::start(&Machine::new()), Machine::new());
    let (link, laptop) = (hub.device_link(DEVICE), Machine::new());
    laptop.ask(&["join", &hub.service_link("alice")]);
    let says = |machine: &Machine, next: &str| {
        let checked = machine.run(&["check", DEVICE]);
        let words = checked.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(&format!("next: {next}")) && !words.contains("correct that"), "{checked:?}");
    };
    says(&laptop, "on it, run the `devstream join` command that the hub printed");
    device.ask(&["join", &link]);
    says(&device, "run this on an operator's machine");
    hub.ask(&["device", "disable", DEVICE]);
    says(&laptop, "`devstream hub device enable pi-42` there");
}

#[test]
fn a_check_on_a_device_says_that_its_agent_is_not_online_or_does_not_answer() {
    let (hub, device) = (Hub::start(&Machine::new()), Machine::new());
    device.ask(&["join", &hub.device_link(DEVICE)]);
    let agent = Agent::start(&device, &["22"]).process;
    agent.signal("STOP");
    let checked = device.ask(&["check"]);
    assert!(checked.contains("cause: an agent runs here and does not answer ("), "{checked}");
    assert!(!checked.contains("start it: devstream"), "{checked}");
    agent.signal("CONT");
    let (clone, identity) = (Machine::new(), ".local/share/devstream");
    fs::create_dir_all(clone.home().join(".local/share")).expect("a directory");
    let [from, to] = [&device, &clone].map(|machine| machine.home().join(identity));
    assert!(Command::new("cp").arg("-a").args([from, to]).status().is_ok_and(|status| status.success()));
    let _second = Agent::start(&clone, &["22"]);
    agent.wait_line("another agent with the same id has connected");
    let checked = device.ask(&["check"]);
    let cause = format!("cause: the agent, process {}, is not online: another agent with the same id", agent.id());
    assert!(checked.contains(&cause), "{checked}");
}

#[test]
fn what_is_assumed_or_missing_is_named() {
    let machine = Machine::new();
    fs::create_dir_all(machine.home().join(".local/share/devstream")).expect("a directory");
    fs::write(machine.home().join(".local/share/devstream/fleet"), "").expect("a file in its place");
    let listed = machine.run(&["fleet", "list"]);
    assert!(listed.code == Some(1) && listed.stderr.contains("cannot read "), "{listed:?}");
    assert!(!listed.stderr.contains("fleet init"), "{listed:?}");

    let _hub = Hub::start(&machine);
    let none = machine.run(&["devices"]);
    let said = "this hub has no devices yet: `devstream hub device add ID` prints a link for one";
    assert!(none.code == Some(0) && none.stderr.contains(said), "{none:?}");
    let port = machine.run(&["devices", "--hub", "127.0.0.9"]);
    assert!(port.code == Some(25) && port.stderr.contains("(127.0.0.9:443: Connection refused"), "{port:?}");
    let command = ["device-agent", "--forward", "22", "--accept-command", "/nonexistent/accept --now"];
    let agent = machine.start(&command);
    agent.wait_line(
        "device-agent: warning: --accept-command: cannot run /nonexistent/accept: No such file or directory (os error 2); \
         every stream will be refused",
    );
    let hub = Machine::new().start(&["hub", "--hostname", "localhost", "--listen", "0.0.0.0:0"]);
    hub.wait_line("hub: join links have localhost, which is every machine itself");
}

#[test]
fn access_that_is_taken_away_is_said_to_have_ended_and_a_wrong_port_is_asked_about() {
    let (hub, ssh) = (Hub::start(&Machine::new()), Target::greeting_then_reading("SSH-2.0-OpenSSH_9.6\r\n"));
    let laptop = Machine::new();
    laptop.ask(&["join", &hub.service_link("alice")]);
    let set = hub.machine().run(&["hub", "service", "set", "alice", "--for", "0s"]);
    let said = format!("{}{}", set.stdout, set.stderr);
    assert!(said.contains("; its access has ended (20") && !said.contains("until"), "{set:?}");
    let wrong = laptop.run(&["devices", "--hub", &format!("127.0.0.1:{}", ssh.port)]);
    let asked = "the server does not speak TLS: is this the hub's port?";
    assert!(wrong.code == Some(25) && wrong.stderr.contains(asked), "{wrong:?}");
    assert!(!wrong.stderr.contains("InvalidContentType"), "{wrong:?}");
}

#[test]
fn a_join_whose_hub_has_no_such_name_here_asks_for_a_link_with_another() {
    let hub = Hub::start_with(&Machine::new(), &["--hostname", "hub.invalid"]);
    let joined = Machine::new().run(&["join", &hub.device_link(DEVICE)]);
    let next = "if this machine knows the hub by another name: start it with that as --hostname, and make a new link";
    assert!(joined.code == Some(25) && joined.stderr.contains("cannot resolve hub.invalid"), "{joined:?}");
    assert!(joined.stderr.contains(next) && !joined.stderr.contains("profiles set"), "{joined:?}");
    let set = Machine::new().run(&["profiles", "set", "--hub", "hub.invalid"]);
    assert!(set.stderr.contains("; first run the `devstream join` command that the hub printed"), "{set:?}");
}
