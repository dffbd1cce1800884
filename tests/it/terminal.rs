//! Output for interactive terminals only: the table of open streams, and advice on the next step.

use std::net::TcpStream;
use std::time::Duration;

use devstream::net::os::clock;
use devstream::proto::timestamp::Timestamp;

use crate::support::bytes::{KIB, Pattern};
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::roles::{Agent, Hub, ServiceProxy, connect};
use crate::support::targets::{Target, is_alive};
use crate::support::terminal::Terminal;
use crate::support::{DEVICE, poll, ports};

#[test]
fn a_terminal_shows_each_open_stream_and_a_summary_at_the_end() {
    let (machine, target) = (Machine::new(), Target::echo());
    let hub = Hub::start(&machine);
    let _agent = Agent::start(&machine, &[&format!("echo={}", target.port)]);
    let (mut terminal, mut local) = proxy(&machine, &[]);
    let from = local.local_addr().expect("it is connected").to_string();
    is_alive(&mut local);
    terminal.wait_line(&["TO", "FROM", "UP", "DOWN", "RATE", "AGE"]);
    terminal.wait_line(&["pi-42/echo #1", &from, "1.00 KiB", "/s", "00:00:0"]);

    hub.process.kill();
    terminal.wait_line(&["pi-42/echo #1", &from, "interrupted for "]);
    let _hub = Hub::start_on(&machine, hub.port, &[]);
    is_alive(&mut local);
    terminal.wait_line(&["pi-42/echo #1", &from, "2.00 KiB", "1 interruption"]);
    let screen = terminal.screen();
    let table = screen.trim_end().lines().rev().take(2).collect::<Vec<_>>();
    assert!(table[0].contains("#1") && table[1].contains("FROM"), "messages stand above it:\n{screen}");

    drop(local);
    terminal.wait_line(&["pi-42/echo #1 from ", "closed; up 2.00 KiB, down 2.00 KiB"]);
    poll("a screen without a table", || (!terminal.screen().contains("FROM")).then_some(()));
    assert_eq!(terminal.interrupt(), Some(0));
    terminal.wait_line(&["total: streams 1, refused 0, interruptions 1; up 2.00 KiB, down 2.00 KiB"]);
}

#[test]
fn the_stream_table_is_cut_to_the_terminals_width_and_leaves_nothing_behind_when_that_changes() {
    let (machine, target) = (Machine::new(), Target::echo());
    let _hub = Hub::start(&machine);
    let _agent = Agent::start(&machine, &[&format!("echo={}", target.port)]);
    let (mut terminal, mut local) = proxy(&machine, &[]);
    for columns in [100, 60, 30, 100] {
        terminal.resize(columns);
        is_alive(&mut local);
        poll("the table in this width", || {
            let screen = terminal.screen();
            let lines: Vec<_> = screen.trim_end().lines().map(str::trim_end).collect();
            let head = lines.iter().position(|line| line.starts_with("  TO"))?;
            let is_whole = lines[head..].len() == 2 && lines[head + 1].contains("#1");
            let is_cut = lines[head..].iter().all(|line| line.ends_with('…') == (columns < 80));
            let is_once = screen.matches("FROM").count() == 1 && screen.matches("#1").count() == 1;
            (is_whole && is_cut && is_once).then_some(())
        });
    }
    terminal.interrupt_once();
    terminal.wait_line(&["ending: 1 stream may go on"]);
    assert_eq!(terminal.interrupt(), Some(0));
    terminal.wait_line(&["service-proxy: stopped"]);
    assert!(!terminal.screen().contains("FROM"), "{}", terminal.screen());
}

#[test]
fn the_stream_table_of_a_low_terminal_has_its_head_once_or_not_at_all() {
    let (machine, target) = (Machine::new(), Target::echo());
    let _hub = Hub::start(&machine);
    let _agent = Agent::start(&machine, &[&format!("echo={}", target.port)]);
    let (terminal, first) = proxy(&machine, &[]);
    let mut locals = vec![first];
    locals.extend((0..4).map(|_| connect(port(&terminal))));
    for (lines, head, more) in [(6, 1, "and 2 more"), (3, 1, "and 4 more"), (2, 0, "and 4 more"), (6, 1, "and 2 more")]
    {
        terminal.resize_lines(lines);
        locals.iter_mut().for_each(is_alive_for_some_ticks);
        let screen = poll("the table", || Some(terminal.screen()).filter(|screen| screen.contains(more)));
        assert_eq!(screen.matches("FROM").count(), head, "{lines} lines:\n{screen}");
        assert_eq!(screen.matches("echo #1 ").count(), 1, "{lines} lines:\n{screen}");
        assert!(!terminal.scrolled().contains("  TO "), "{lines} lines:\n{}", terminal.scrolled());
    }
}

#[test]
fn the_stream_table_in_tmux_is_not_in_what_a_narrower_window_moves_to_the_history() {
    let (machine, target) = (Machine::new(), Target::echo());
    let _hub = Hub::start(&machine);
    let _agent = Agent::start(&machine, &[&format!("echo={}", target.port)]);
    let mut command = machine.command(DEVSTREAM);
    let command = command.env("TMUX", "/tmp/tmux-0/default,1,0");
    let terminal = Terminal::start(command.args(["service-proxy", DEVICE, "--local", "0=echo"]));
    let port = port(&terminal);
    let mut locals = [(); 3].map(|()| connect(port));
    let is_whole = || {
        let screen = terminal.screen();
        let parts = ["FROM", "echo #1", "echo #2", "echo #3"];
        parts.iter().all(|part| screen.matches(part).count() == 1).then_some(())
    };
    for columns in [100, 60, 30] {
        locals.iter_mut().for_each(is_alive);
        poll("the table", is_whole);
        let history = terminal.narrow_as_tmux(columns);
        assert!(!history.iter().any(|line| line.contains("FROM") || line.contains('#')), "{history:#?}");
    }
    poll("the table", is_whole);
}

#[test]
fn a_session_that_waits_for_its_device_says_so_and_every_line_begins_in_the_first_column() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    hub.device_link(DEVICE);
    let mut command = machine.command(DEVSTREAM);
    let terminal = Terminal::start_raw(command.args(["service-proxy", "--device", DEVICE, "--stdio"]));
    terminal.wait_line(&["waiting for pi-42 (up to 5 s)"]);
    let line = terminal.wait_line(&["the device is offline"]);
    assert!(line.starts_with("service-proxy: "), "{line}");
}

#[test]
fn a_session_whose_device_is_connected_and_hangs_says_so() {
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    let agent = Agent::start(&machine, &["22"]);
    agent.process.signal("STOP");
    let mut command = machine.command(DEVSTREAM);
    let command = command.args(["service-proxy", DEVICE, "--stdio", "--connect-timeout", "2"]);
    let terminal = Terminal::start(command);
    terminal.wait_line(&["waiting for pi-42 (up to 2 s)"]);
    terminal.wait_line(&["pi-42 is connected to the hub, and does not answer yet (up to 60 s)"]);
}

#[test]
fn the_stream_table_can_be_disabled() {
    let (machine, target) = (Machine::new(), Target::echo());
    let _hub = Hub::start(&machine);
    let _agent = Agent::start(&machine, &[&format!("echo={}", target.port)]);
    let (terminal, mut local) = proxy(&machine, &["--log-format", "json"]);
    Pattern::new(4).send(&mut local, KIB).expect("the stream takes bytes");
    Pattern::new(4).expect(&mut local, KIB);
    assert!(!terminal.screen().contains("FROM"), "{}", terminal.screen());

    let (port, mut command) = (ports::reserve(), machine.command(DEVSTREAM));
    let local = format!("{port}=echo");
    let terminal = Terminal::start(command.args(["-q", "service-proxy", "--device", DEVICE, "--local", &local]));
    poll("its port", || TcpStream::connect(("127.0.0.1", port)).ok());
    is_alive(&mut connect(port));
    assert_eq!(terminal.screen().trim(), "", "quiet means quiet");
}

#[test]
fn a_roles_terminal_shows_when_things_happened() {
    let (machine, target) = (Machine::new(), Target::echo());
    let terminal = Terminal::start(machine.command(DEVSTREAM).args(["hub", "--listen", "127.0.0.1:0"]));
    let line = terminal.wait_line(&["hub: listening on https://127.0.0.1:"]);
    let (time, _) = line.split_once("  hub: ").expect("a time before the message");
    assert!(Timestamp::parse(time).is_some(), "{line}");
    machine.ask(&["hub", "device", "add", DEVICE]);
    let line = terminal.wait_line(&["hub: device pi-42 was added by "]);
    let begins = |line: &str, role| line.split_once(role).is_some_and(|(time, _)| Timestamp::parse(time).is_some());
    assert!(begins(&line, "  hub: "), "{line}");
    let mut agent = machine.command(DEVSTREAM);
    let agent = agent.args(["device-agent", "--id", "pi-43", "--forward", &format!("echo={}", target.port)]);
    let agent = Terminal::start(agent);
    let line = agent.wait_line(&["pi-43 is online"]);
    assert!(begins(&line, "  device-agent: "), "{line}");
    let mut proxy = machine.command(DEVSTREAM);
    let proxy = Terminal::start(proxy.args(["service-proxy", "pi-43", "--local", "0"]));
    let line = proxy.wait_line(&["pi-43 on 127.0.0.1:"]);
    assert!(begins(&line, "  service-proxy: "), "{line}");
    // Of one command, now.
    let mut session = machine.command(DEVSTREAM);
    let session = Terminal::start(session.args(["service-proxy", DEVICE, "--stdio"]));
    assert!(session.wait_line(&["waiting for pi-42"]).starts_with("service-proxy: "));
}

#[test]
fn the_log_at_a_terminal_is_in_sentences_of_one_line_and_elsewhere_in_fields() {
    let (machine, target) = (Machine::new(), Target::echo());
    let hub = Hub::start(&machine);
    let _agent = Agent::start(&machine, &[&format!("echo={}", target.port)]);
    let proxy = ServiceProxy::start(&machine);
    is_alive(&mut proxy.connect());
    hub.wait_activity("streamClosed", None);
    let terminal = Terminal::start_shell(&machine, &format!("{DEVSTREAM} hub logs; echo the end"));
    terminal.wait_line(&["the end"]);
    let screen = terminal.screen();
    let lines: Vec<_> = screen.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let of_stream: Vec<_> = lines.iter().filter(|line| line.contains(" to pi-42/echo ")).collect();
    assert!(of_stream.len() == 2 && of_stream[0].contains(" opened from 127.0.0.1:"), "{screen}");
    assert!(of_stream[1].contains(" closed by service after "), "{screen}");
    let (end, events) = lines.split_last().expect("lines");
    assert_eq!(*end, "the end");
    for line in events {
        let begins = line.split_once("  ").is_some_and(|(time, _)| Timestamp::parse(time).is_some());
        assert!(begins && line.len() < 120 && !line.contains("deviceId="), "{screen}");
    }
    let piped = hub.ask(&["logs"]);
    assert!(piped.contains(" deviceId=pi-42 ") && piped.contains("invoke "), "{piped}");
}

#[test]
fn an_agent_on_a_terminal_prints_how_to_reach_its_device() {
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    for (forward, command) in [("22", "devstream ssh pi-42"), ("web=80", "devstream service-proxy pi-42 --local")] {
        let mut agent = machine.command(DEVSTREAM);
        let terminal = Terminal::start(agent.args(["device-agent", "--id", DEVICE, "--forward", forward]));
        terminal.wait_line(&["device-agent: ", command]);
    }
}

#[test]
fn a_table_of_a_job_in_the_background_is_not_drawn_over_the_shell() {
    let (machine, target) = (Machine::new(), Target::echo());
    let _hub = Hub::start(&machine);
    let _agent = Agent::start(&machine, &[&format!("echo={}", target.port)]);
    let job = format!("{DEVSTREAM} service-proxy --device {DEVICE} --local 0=echo");
    // The job is no child of the test, which ends the shell alone.
    let end = "read line; kill -KILL %1; wait; echo no job";
    let mut terminal =
        Terminal::start_shell(&machine, &format!("{job} & echo shell; read line; fg; echo shell again; bg; {end}"));
    let mut local = connect(port(&terminal));
    is_alive_for_some_ticks(&mut local);
    terminal.wait_line(&["shell"]);
    assert!(!terminal.screen().contains("FROM"), "{}", terminal.screen());
    terminal.type_keys("\n");
    terminal.wait_line(&["pi-42/echo #1", "/s"]);
    terminal.type_keys("\x1a");
    terminal.wait_line(&["shell again"]);
    assert!(!terminal.screen().contains("FROM"), "no remnant is left: {}", terminal.screen());
    is_alive(&mut local);
    let stopped = terminal.screen();
    is_alive_for_some_ticks(&mut local);
    assert_eq!(terminal.screen(), stopped, "nothing is drawn");
    terminal.type_keys("\n");
    terminal.wait_line(&["no job"]);
}

#[test]
fn a_job_in_the_background_of_a_terminal_that_stops_those_that_write_carries_streams_and_keeps_its_messages() {
    let (machine, target, port) = (Machine::new(), Target::echo(), ports::reserve());
    let _hub = Hub::start(&machine);
    let _agent = Agent::start(&machine, &[&format!("echo={}", target.port)]);
    let job = format!("{DEVSTREAM} service-proxy --device {DEVICE} --local {port}=echo");
    let end = "read line; kill -KILL %1; wait; echo no job";
    let mut terminal =
        Terminal::start_shell(&machine, &format!("stty tostop; {job} & echo shell; read line; fg; {end}"));
    terminal.wait_line(&["shell"]);
    let mut local = poll("its port", || TcpStream::connect(("127.0.0.1", port)).ok());
    is_alive_for_some_ticks(&mut local);
    is_alive(&mut connect(port));
    assert!(!terminal.screen().contains("service-proxy:"), "{}", terminal.screen());
    terminal.type_keys("\n");
    terminal.wait_line(&["service-proxy: pi-42/echo on 127.0.0.1:"]);
    terminal.wait_line(&["pi-42/echo #2", "closed; up 1.00 KiB"]);
    is_alive(&mut local);
    terminal.type_keys("\x1a");
    terminal.type_keys("\n");
    terminal.wait_line(&["no job"]);
}

/// Uses a stream for longer than the table takes to be redrawn a few times.
fn is_alive_for_some_ticks(local: &mut TcpStream) {
    let start = clock::now();
    while clock::now() - start < Duration::from_secs(1) {
        is_alive(local);
    }
}

/// A service-proxy on a terminal, and a connection to its port.
fn proxy(machine: &Machine, wish: &[&str]) -> (Terminal, TcpStream) {
    let mut command = machine.command(DEVSTREAM);
    let terminal = Terminal::start(command.args(["service-proxy", "--device", DEVICE, "--local", "0=echo"]).args(wish));
    let local = connect(port(&terminal));
    (terminal, local)
}

fn port(terminal: &Terminal) -> u16 {
    let line = terminal.wait_line(&["service-proxy", "pi-42/echo on 127.0.0.1:"]);
    let port = line.rsplit("127.0.0.1:").next().map(|rest| rest.split('"').next().unwrap_or(rest).trim());
    port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port in {line}"))
}
