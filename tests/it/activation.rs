//! Under a service manager: socket activation and notifications.

use std::fs::File;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use devstream::net::os::clock;

use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::process::Process;
use crate::support::raw::RawClient;
use crate::support::roles::{Agent, Hub, ServiceProxy, connect};
use crate::support::targets::{Target, closed_port, is_alive};
use crate::support::{DEVICE, TIMEOUT};

#[test]
fn a_restart_drops_no_connection_attempt() {
    let machine = Machine::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut hub = Hub::start_inheriting(&machine, &socket);
    assert_eq!(hub.port, socket.local_addr().unwrap().port(), "it says where it really listens");
    let client = RawClient::join(&hub.device_link(DEVICE));
    let (served, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let deadline = clock::now() + TIMEOUT;
    let _hub = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) && clock::now() < deadline {
                    // Each one panics if it is refused, reset or not answered.
                    assert_eq!(client.ask_unsigned("GET", "/healthz").status, 200);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let more = || {
            let wanted = served.load(Ordering::Relaxed) + 50;
            while served.load(Ordering::Relaxed) < wanted {
                assert!(clock::now() < deadline, "{} served, {wanted} wanted", served.load(Ordering::Relaxed));
                thread::yield_now();
            }
        };
        for _ in 0..2 {
            more();
            hub.process.signal("TERM");
            let finished = hub.process.finish();
            assert_eq!(finished.code, Some(0), "{finished:?}");
            hub = Hub::start_inheriting(&machine, &socket);
        }
        more();
        over.store(true, Ordering::Relaxed);
        // It serves until the last connection has closed.
        hub
    });
}

#[test]
fn the_streaming_endpoint_has_its_own_activated_socket() {
    let machine = Machine::new();
    let target = Target::echo();
    let [main, streams] = [(); 2].map(|()| format!("127.0.0.1:{}", closed_port()));
    let mut command = machine.command("systemd-socket-activate");
    // It starts the program when the first connection comes.
    command.args(["--listen", &main, "--listen", &streams, "--fdname", "main:streaming", DEVSTREAM, "hub"]);
    // The address without the sockets, which cannot be bound.
    command.args(["--listen", "192.0.2.1:1", "--streaming-listen", "192.0.2.1:1"]);
    let hub = Process::start(command.args(["--streaming-endpoint", &format!("wss://{streams}")]));
    hub.wait_line("Listening on");
    let port = main.rsplit(':').next().unwrap().parse().unwrap();
    let deadline = clock::now() + TIMEOUT;
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(clock::now() < deadline, "{hub}");
    }
    hub.wait_line(&format!("hub: listening on https://{main}"));
    hub.wait_line(&format!("hub: streaming endpoint listening on https://{streams}"));
    let _agent = Agent::start(&machine, &[&target.port.to_string()]);
    is_alive(&mut ServiceProxy::start(&machine).connect());
}

#[test]
fn sockets_passed_to_another_process_are_ignored() {
    let machine = Machine::new();
    for meant_for in [None, Some("1")] {
        let mut command = machine.command(DEVSTREAM);
        command.args(["hub", "--listen", "127.0.0.1:0"]).env("LISTEN_FDS", "1");
        command.envs(meant_for.map(|id| ("LISTEN_PID", id)));
        Process::start(&mut command).wait_line("hub: listening on https://127.0.0.1:");
    }
}

#[test]
fn an_inherited_descriptor_that_is_no_listening_socket_is_an_error() {
    let target = Target::echo();
    let connected = OwnedFd::from(connect(target.port));
    let null = File::open("/dev/null").unwrap();
    for inherited in [Stdio::from(connected), Stdio::from(null)] {
        let machine = Machine::new();
        let script = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" hub";
        let mut command = machine.command("sh");
        command.args(["-c", script, DEVSTREAM]);
        let finished = Process::start_with_stdin(&mut command, inherited, Vec::new()).finish();
        assert_eq!(finished.code, Some(2), "{finished:?}");
        assert!(finished.stderr.contains("inherited socket 0"), "{finished:?}");
    }
}

#[test]
fn the_service_manager_is_notified_of_readiness_liveness_and_stopping() {
    let machine = Machine::new();
    let path = machine.home().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let hub = start(&machine, path.to_str().unwrap(), &["hub", "--listen", "127.0.0.1:0"]);
    notifies_liveness(&hub, &manager, "READY=1\nSTATUS=listening on https://127.0.0.1:");

    // An abstract socket: its name begins with @.
    let name = format!("devstream-test-{}", closed_port());
    let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let socket = format!("@{name}");
    let agent = start(&machine, &socket, &["device-agent", "--forward", "22"]);
    notifies_liveness(&agent, &manager, "READY=1\nSTATUS=not yet connected");
    let proxy = start(&machine, &socket, &["service-proxy", "--device", DEVICE, "--local", "0"]);
    notifies_liveness(&proxy, &manager, &format!("READY=1\nSTATUS={DEVICE} on 127.0.0.1:"));
}

#[test]
fn a_service_manager_that_never_reads_does_not_hold_up_the_roles() {
    let machine = Machine::new();
    let path = machine.home().join("notify");
    let _manager = UnixDatagram::bind(&path).unwrap();
    let _queued = fill_queue(&path);
    let notify = path.to_str().unwrap();
    let hub = start(&machine, notify, &["hub", "--listen", "127.0.0.1:0"]);
    hub.wait_line("hub: listening on https://127.0.0.1:");
    let agent = start(&machine, notify, &["device-agent", "--id", DEVICE, "--forward", "22"]);
    agent.wait_line(&format!("device-agent: {DEVICE} is online"));
    let proxy = start(&machine, notify, &["service-proxy", "--device", DEVICE, "--local", "0"]);
    proxy.wait_line(&format!("{DEVICE} on 127.0.0.1:"));
    for role in [proxy, agent, hub] {
        role.signal("TERM");
        let finished = role.finish();
        assert_eq!(finished.code, Some(0), "{finished:?}");
    }
}

/// Sends to a socket that nobody reads until every sender would block. The senders keep their messages queued.
fn fill_queue(path: &Path) -> Vec<UnixDatagram> {
    let mut senders = Vec::new();
    loop {
        let sender = UnixDatagram::unbound().unwrap();
        sender.set_nonblocking(true).unwrap();
        let sent = (0..).take_while(|_| sender.send_to(b"X=1", path).is_ok()).count();
        if sent == 0 {
            return senders;
        }
        senders.push(sender);
    }
}

#[test]
fn the_agents_status_reports_its_connection() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    let path = machine.home().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let agent = start(&machine, path.to_str().unwrap(), &["device-agent", "--id", DEVICE, "--forward", "22"]);
    until(&manager, &agent, &format!("STATUS={DEVICE} is online at {}", hub.address()));
    drop(hub);
    until(&manager, &agent, "trying again in");
}

#[test]
fn the_roles_raise_their_descriptor_limit() {
    let machine = Machine::new();
    for arguments in [
        &["hub", "--listen", "127.0.0.1:0"][..],
        &["device-agent", "--forward", "22"],
        &["service-proxy", "--device", DEVICE, "--local", "0"],
    ] {
        let mut command = machine.command("sh");
        command.args(["-c", "ulimit -Sn 64 && ulimit -Hn 512 && exec \"$0\" \"$@\"", DEVSTREAM]).args(arguments);
        let role = Process::start(&mut command);
        role.wait_line(&format!("{}: ", arguments[0]));
        assert_eq!(role.file_limits(), [512, 512], "{role}");
    }
}

fn start(machine: &Machine, notify: &str, arguments: &[&str]) -> Process {
    let mut command = machine.command(DEVSTREAM);
    Process::start(command.args(arguments).env("NOTIFY_SOCKET", notify).env("WATCHDOG_USEC", "100000"))
}

fn notifies_liveness(role: &Process, manager: &UnixDatagram, ready: &str) {
    let first = until(manager, role, "READY=1");
    assert!(first.starts_with(ready), "{first}");
    for _ in 0..3 {
        until(manager, role, "WATCHDOG=1");
    }
    role.signal("TERM");
    until(manager, role, "STOPPING=1");
}

/// Waits for the next message that contains this.
fn until(manager: &UnixDatagram, role: &Process, wanted: &str) -> String {
    manager.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut buffer = [0; 1024];
    let deadline = clock::now() + TIMEOUT;
    while clock::now() < deadline {
        let length = manager.recv(&mut buffer).unwrap_or_else(|error| panic!("{error} from {role}"));
        let message = String::from_utf8_lossy(&buffer[..length]);
        if message.contains(wanted) {
            return message.into_owned();
        }
    }
    panic!("no {wanted} from {role}")
}
