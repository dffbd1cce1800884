//! What a person reads who uses the program for the first time, and makes mistakes with it.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;

use devstream::proto::refusal::RefusalKind;

use crate::support::disk::STATE;
use crate::support::machine::Machine;
use crate::support::roles::{Agent, Hub, OneMachine, ServiceProxy, connect, port_of};
use crate::support::targets::{Target, closed_port, is_alive};
use crate::support::{DEVICE, poll};

/// What every command says where nobody has joined.
const NOT_JOINED: &str = "this machine has not joined a hub, and you run no hub on it";

/// What it says to do.
const JOIN: &str = "and here the command that it prints; or start a hub here with `devstream hub`";

#[test]
fn every_command_on_a_machine_that_has_not_joined_says_the_same() {
    let machine = Machine::new();
    let service = "on the hub's machine run `devstream hub service add ";
    let neutral = "on the hub's machine run `devstream hub device add ID`, for an operator `devstream hub service add";
    for (command, next) in [
        (&["ssh", DEVICE][..], service),
        (&["rdp", DEVICE], service),
        (&["rdp", "--no-client", DEVICE], service),
        (&["service-proxy", DEVICE, "--stdio"], service),
        (&["check"], service),
        (&["check", DEVICE], service),
        (&["devices"], service),
        (&["status"], neutral),
    ] {
        let finished = machine.run(command);
        assert_eq!(finished.code, Some(30), "{command:?}: {finished:?}");
        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert!([NOT_JOINED, next, JOIN].iter().all(|part| said.contains(part)), "{command:?}: {said}");
        let others = ["listening", " on 127.0.0.1", "kex_exchange", "UNKNOWN port"];
        assert!(!others.iter().any(|other| said.contains(other)), "{command:?}: {said}");
    }
    for (command, next) in [
        (&["device-agent", "--forward", "1"][..], "on the hub's machine run `devstream hub device add "),
        (&["service-proxy", DEVICE, "--local", "0"], service),
    ] {
        let line = machine.start(command).wait_line(NOT_JOINED);
        assert!(line.contains(next) && line.contains(JOIN), "{line}");
    }
}

#[test]
fn a_machine_that_joined_in_the_other_role_says_so() {
    let (hub, machine) = (Hub::start(&Machine::new()), Machine::new());
    machine.ask(&["join", &hub.device_link(DEVICE)]);
    let finished = machine.run(&["devices"]);
    assert_eq!(finished.code, Some(30), "{finished:?}");
    let said = "this machine joined only as device pi-42; run this on an operator's machine; to have this one join as a \
                service too, on the hub's machine run";
    assert!(finished.stderr.contains(said) && !finished.stderr.contains("no hub"), "{finished:?}");
}

#[test]
fn ssh_config_on_a_machine_that_has_not_joined_warns() {
    let machine = Machine::new();
    for command in [&["ssh-config"][..], &["ssh-config", "--install"]] {
        let finished = machine.run(command);
        assert_eq!(finished.code, Some(0), "{finished:?}");
        let warning = format!("ssh-config: warning: `ssh` cannot reach a device yet: {NOT_JOINED}");
        assert!(finished.stderr.contains(&warning) && finished.stderr.contains(JOIN), "{finished:?}");
        assert!(!finished.stderr.contains("next: ssh"), "{finished:?}");
    }
    let _hub = Hub::start(&machine);
    let installed = machine.run(&["ssh-config", "--install"]).stderr;
    assert!(installed.contains("next: ssh ID.devstream") && !installed.contains("warning"), "{installed}");
}

#[test]
fn a_command_to_a_hub_that_does_not_run_names_the_state_directory_and_the_next_step() {
    let machine = Machine::new();
    let own = machine.home().join("own").display().to_string();
    let hub = Hub::start_with(&machine, &["--state-dir", &own]);
    let default = machine.home().join(STATE).display().to_string();
    let commands = [&["device", "add", "pi-1"][..], &["status"], &["check"], &["show"]];
    let each = |flags: &[&str], parts: [&str; 2]| {
        for command in commands {
            let said = machine.run(&[&["hub"], command, flags].concat());
            let printed = said.stdout.clone() + &said.stderr;
            assert!(said.code != Some(0) && parts.iter().all(|part| printed.contains(part)), "{command:?}: {said:?}");
        }
    };
    let other = "if it runs with another --state-dir, give that here too: `devstream hub --state-dir DIR …`";
    each(&[], [&format!("there is no state directory {default}"), other]);
    each(
        &["--state-dir", "nowhere"],
        ["there is no state directory nowhere", "give the one that the hub was started with"],
    );
    drop(hub);
    let cannot = "which says why if it cannot; or give the directory that it runs with";
    each(&["--state-dir", &own], [&format!("no hub runs with the state directory {own}"), cannot]);
    // Of a hub that could not start.
    assert_eq!(machine.run(&["hub", "--listen", "192.0.2.1:1"]).code, Some(2));
    let other = format!("start it with `devstream hub`, which says why if it cannot; {other}");
    each(&[], [&format!("no hub runs with the state directory {default}"), &other]);
}

#[test]
fn on_a_machine_whose_own_hub_has_stopped_every_command_says_that_and_how_to_start_it() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    let agent = Agent::start(&machine, &["1"]);
    drop(hub);
    let directory = machine.home().join(STATE).display().to_string();
    let why = format!("(this machine's own, with the state directory {directory}, is not running)");
    let start = "start it with `devstream hub`, which says why if it cannot; to use a hub on another machine instead";
    agent.process.wait_line(&why);
    let status = machine.ask(&["status"]);
    assert!(status.contains(&format!("hub            {}", &why[1..why.len() - 1])), "{status}");
    drop(agent);
    let commands = [&["ssh", DEVICE][..], &["rdp", DEVICE], &["devices"], &["check"], &["status"]];
    for command in [&commands[..], &[&["service-proxy", DEVICE, "--stdio"]]].concat() {
        let finished = machine.run(command);
        assert_eq!(finished.code, Some(RefusalKind::HubUnreachable.row().exit.into()), "{command:?}: {finished:?}");
        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert!(said.contains(&why) && said.contains(start) && !said.contains("not joined"), "{command:?}: {said}");
    }
    let line = machine.start(&["device-agent", "--forward", "1"]).wait_line(&why);
    assert!(line.contains(start), "{line}");
}

#[test]
fn every_command_takes_the_host_name_of_a_device() {
    let (machine, target) = (Machine::new(), Target::echo());
    let hub = Hub::start(&machine);
    let _agent = Agent::start(&machine, &[&format!("rdp={}", target.port)]);
    let named = "pi-42.devstream";
    let proxy = machine.start(&["service-proxy", named, "--local", "0=rdp"]);
    proxy.wait_line("service-proxy: pi-42/rdp on 127.0.0.1:");
    machine.start(&["service-proxy", "--device", named, "--local", "0"]).wait_line("service-proxy: pi-42 on 127.");
    machine.start(&["rdp", "--no-client", named]).wait_line("rdp: pi-42/rdp on 127.0.0.1:");
    for command in [&["check", named][..], &["check", "--device", named]] {
        let checked = machine.ask(command);
        assert!(checked.contains("pi-42, from 127.0.0.1:"), "{checked}");
    }
    let shown = hub.ask(&["device", "show", named]);
    assert!(shown.contains("pi-42 ") && hub.ask(&["logs", "--device", named]).contains(DEVICE), "{shown}");
    let added = machine.run(&["hub", "device", "add", named]);
    assert!(added.code == Some(2) && added.stderr.contains("; did you mean pi-42?"), "{added:?}");
}

#[test]
fn a_stream_name_in_the_place_of_a_port_is_asked_about() {
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    for (flags, meant) in [
        (["service-proxy", DEVICE, "--local", "web=18302"], "did you mean 18302=web?"),
        (["service-proxy", DEVICE, "--local", "web:18302"], "did you mean --local 18302=web?"),
        (["device-agent", "--id=pi", "--forward", "8080=web"], "did you mean web=8080?"),
    ] {
        let finished = machine.run(&flags);
        assert!(finished.code == Some(2) && finished.stderr.contains(meant), "{flags:?}: {finished:?}");
    }
}

#[test]
fn a_join_link_whose_code_was_altered_is_not_known() {
    let (hub, machine) = (Hub::start(&Machine::new()), Machine::new());
    let link = hub.device_link(DEVICE);
    let (before, code) = link.split_once("code=").expect("a code");
    let refused = machine.run(&["join", &format!("{before}code=AAAA{}", &code[4..])]);
    let why = "join: the hub does not know this join link: its code was altered, a newer one has replaced it";
    assert!(refused.code == Some(21) && refused.stderr.contains(why), "{refused:?}");
    assert!(refused.stderr.contains("`devstream hub device add pi-42` prints a new one"), "{refused:?}");
    let cut = machine.run(&["join", &link[..link.len() - 3]]);
    assert!(
        cut.code == Some(2) && cut.stderr.contains("its code is cut off or altered: copy the whole line"),
        "{cut:?}"
    );
}

#[test]
fn the_undoing_of_a_join_on_the_wrong_machine_works_as_it_is_printed() {
    let (hub, machine) = (Hub::start(&Machine::new()), Machine::new());
    machine.ask(&["join", &hub.service_link("alice")]);
    let joined = machine.run(&["join", &hub.device_link(DEVICE)]);
    let undo = joined.stderr.split_once("undo this: devstream ").expect("what to do").1;
    let (here, there) = undo.split_once(", and on the hub: devstream ").expect("two commands");
    let removed = machine.run(&here.split(' ').collect::<Vec<_>>());
    assert!(removed.code == Some(0) && removed.stderr.contains("removed device pi-42"), "{here}: {removed:?}");
    hub.machine().ask(&there.lines().next().expect("a command").split(' ').collect::<Vec<_>>());
}

#[test]
fn the_name_of_the_hubs_own_services_is_not_given_to_others() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    let refused = machine.run(&["hub", "service", "add", "local", "--device", "*"]);
    let why = "hub: the name local is for the services of the hub's own user, which need no link; choose another one\n";
    assert_eq!((refused.code, refused.stderr.as_str()), (Some(1), why));
    // That user has it nevertheless, and a device may be called so.
    machine.ask(&["devices"]);
    assert!(hub.ask(&["service", "list"]).contains("local"));
    let rotated = machine.run(&["hub", "service", "rotate", "local"]);
    let why =
        "service local is the hub's own user, whose key is made on this machine; for another machine: devstream hub";
    assert!(rotated.code == Some(1) && rotated.stderr.contains(why), "{rotated:?}");
    let removed = machine.run(&["hub", "service", "remove", "local"]);
    let why = "is added again, with access to everything, at the next use: to bar that, `devstream hub service disable local`";
    assert!(removed.code == Some(0) && removed.stderr.contains(why), "{removed:?}");
    hub.device_link("local");
}

#[test]
fn a_role_says_in_its_own_name_that_status_cannot_show_it() {
    let machine = Machine::new();
    let data = machine.home().join(".local/share/devstream");
    DirBuilder::new().recursive(true).mode(0o700).create(&data).expect("a directory");
    fs::write(data.join("run"), "").expect("a file in the place of a directory");
    let agent = Agent::launch(&machine, DEVICE, &["22"]);
    agent.wait_line("device-agent: `devstream status` cannot show this role: ");
    assert!(!agent.log().contains("devstream::"), "{agent}");
}

#[test]
fn a_refused_stream_is_named_by_the_agent_and_in_the_status() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    let agent = Agent::start(&machine, &[&format!("web={}", closed_port())]);
    let started = agent.process.wait_line("forward web: nothing listens on ");
    let proxy = ServiceProxy::start_with(&machine, DEVICE, "0=web", &[]);
    drop(connect(proxy.port));
    let line = agent.process.wait_line("web: refused for ");
    assert!(line.contains(" at 127.0.0.1:") && line.contains(" id=") && line != started, "{line}");
    let status = poll("the error", || Some(machine.ask(&["status"])).filter(|text| text.contains("last error ")));
    assert!(status.contains("Z: pi-42/web #1: the target refused the connection"), "{status}");
    drop(hub);
}

#[test]
fn the_lines_about_one_stream_share_its_id_and_fields_with_spaces_are_quoted() {
    let target = Target::echo();
    let OneMachine { proxy, agent, hub, .. } = OneMachine::forwarding(target.port);
    is_alive(&mut proxy.connect());
    let opened = hub.process.wait_line("/target (");
    let id = opened.split(['(', ')']).nth(1).expect("an id").to_owned();
    assert!(id.len() == 8 && opened.contains(") opened from "), "{opened}");
    hub.process.wait_line(&format!("/target ({id}) closed by "));
    agent.process.wait_line(&format!(" id={id}"));
    let ended = agent.process.wait_line(" bytes to the target, ");
    assert!(ended.contains(&format!(" from it id={id}")), "{ended}");
    hub.service_link("the-first");
    let logged = poll("the line", || Some(hub.ask(&["logs"])).filter(|text| text.contains("the-first")));
    assert!(logged.contains("reason=\"*, streams *\" serviceId=the-first"), "{logged}");
}

#[test]
fn a_log_without_a_matching_line_says_so_and_names_an_unknown_identity() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    hub.device_link(DEVICE);
    for (flag, id, role) in [("--device", "pi-43", "device"), ("--service", "alise", "service")] {
        let finished = machine.run(&["hub", "logs", flag, id]);
        assert!(finished.code == Some(0) && finished.stdout.is_empty(), "{finished:?}");
        let known = format!("`devstream hub {role} list`");
        let nothing = format!("nothing is logged about {role} {id}; ");
        assert!(finished.stderr.contains(&nothing), "{finished:?}");
        assert_eq!(finished.stderr.matches(&known).count(), 1, "{finished:?}");
    }
    let known = machine.run(&["hub", "logs", "--device", DEVICE]);
    assert!(known.stdout.contains("identityAdded") && known.stderr.is_empty(), "{known:?}");
}

#[test]
fn the_demo_ends_with_one_line() {
    let demo = Machine::new().start(&["demo", "--local", "0"]);
    let local = connect(port_of(&demo.wait_line("demo: service-proxy: ")));
    demo.wait_line(": opened");
    demo.wait_line("hub: demo to demo/");
    demo.signal("INT");
    let finished = demo.finish();
    drop(local);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(finished.stderr.lines().next_back(), Some("demo: stopped; no files are left"), "{finished:?}");
    for other in ["ending", "interrupted", "broken", "shutting down", "was told to end", "offline", "resumed"] {
        assert!(!finished.stderr.contains(other), "{other}: {finished:?}");
    }
}

#[test]
fn a_stream_that_a_second_signal_ends_names_the_signal() {
    let target = Target::echo();
    let OneMachine { proxy, machine, agent: _agent, hub: _hub } = OneMachine::forwarding(target.port);
    for (signal, name) in [("TERM", "SIGTERM"), ("INT", "Ctrl-C")] {
        let proxy = ServiceProxy::start(&machine);
        let mut local = proxy.connect();
        is_alive(&mut local);
        proxy.process.signal(signal);
        proxy.process.wait_line("service-proxy: ending: ");
        proxy.process.signal(signal);
        proxy.process.wait_line(&format!(": ended by {name}; up "));
    }
    drop(proxy);
}

#[test]
fn an_agent_whose_machine_joins_again_warns_of_nothing() {
    let (hub, device) = (Hub::start(&Machine::new()), Machine::new());
    device.ask(&["join", &hub.device_link(DEVICE)]);
    let target = Target::echo();
    let agent = Agent::start(&device, &[&target.port.to_string()]);
    let lines = agent.process.lines();
    device.ask(&["join", &hub.link(&["device", "rotate", DEVICE, "--overlap", "0s"])]);
    let told = agent.process.wait_line_after(lines, "this key has been replaced by a newer one");
    assert!(told.ends_with("; connecting again with the key that is stored here"), "{told}");
    agent.process.wait_line_after(lines, "is online");
    assert!(!agent.process.log().lines().skip(lines).any(|line| line.contains("warning")), "{}", agent.process);
}

#[test]
fn a_check_has_one_row_for_each_hop_and_fits_100_columns() {
    let (machine, target) = (Machine::new(), Target::echo());
    let hub = Hub::start_with(&machine, &["--hostname", "localhost"]);
    let _agent = Agent::start(&machine, &[&format!("web={}", target.port)]);
    let checked = hub.ask(&["check"]);
    let rows: Vec<_> = checked.lines().filter(|line| line.starts_with("dns ")).collect();
    assert!(rows.len() == 1 && rows[0].starts_with("dns             warning"), "{checked}");
    assert!(checked.contains("cause: localhost is "), "{checked}");
    let checked = machine.ask(&["check", DEVICE]);
    let device: Vec<_> = checked.lines().skip_while(|line| !line.starts_with("device ")).take(2).collect();
    assert!(device[1].starts_with("                ") && device[1].contains("online since "), "{checked}");
    let words = |line: &&str| ["cause:", "next:"].iter().any(|word| line.trim_start().starts_with(word));
    assert!(checked.lines().filter(|line| !words(line)).all(|line| line.chars().count() < 100), "{checked}");
}
