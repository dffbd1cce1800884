//! The three roles as processes.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::thread;

use devstream::net::os::clock;
use devstream::proto::refusal::RefusalKind;
use serde::de::DeserializeOwned;
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::machine::{DEVSTREAM, Machine};
use super::process::{Finished, Process};
use super::targets::closed_port;
use super::{DEVICE, POLL_INTERVAL, TIMEOUT, ports};

/// A running hub.
pub(crate) struct Hub {
    pub(crate) process: Process,
    pub(crate) port: u16,
    machine: Machine,
}

impl Hub {
    /// Starts a hub on a port that stays the test's own.
    pub(crate) fn start(machine: &Machine) -> Self {
        Self::start_with(machine, &[])
    }

    /// Starts it with further arguments.
    pub(crate) fn start_with(machine: &Machine, arguments: &[&str]) -> Self {
        Self::start_on(machine, ports::reserve(), arguments)
    }

    /// Starts a hub on this port, which an earlier hub had.
    pub(crate) fn start_on(machine: &Machine, port: u16, arguments: &[&str]) -> Self {
        Self::start_at(machine, &format!("127.0.0.1:{port}"), arguments)
    }

    /// Starts a hub at this address, which other machines may reach.
    pub(crate) fn start_at(machine: &Machine, listen: &str, arguments: &[&str]) -> Self {
        let process = machine.start(&[&["hub", "--listen", listen], arguments].concat());
        let port = port_of(&process.wait_line("hub: listening on https://"));
        Self { process, port, machine: machine.clone() }
    }

    /// Starts a hub by another program, such as `prlimit`, which executes it.
    pub(crate) fn start_under(machine: &Machine, starter: &[&str], arguments: &[&str]) -> Self {
        let own = ["hub", "--listen", "127.0.0.1:0"];
        let mut command = machine.command(starter[0]);
        command.args(&starter[1..]).arg(DEVSTREAM).args(own).args(arguments);
        let process = Process::start(&mut command);
        let port = port_of(&process.wait_line("hub: listening on https://"));
        Self { process, port, machine: machine.clone() }
    }

    /// Starts a hub on a socket that stays open here, passed as a service manager does.
    pub(crate) fn start_inheriting(machine: &Machine, socket: &TcpListener) -> Self {
        let script = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" hub";
        let mut command = machine.command("sh");
        let socket = OwnedFd::from(socket.try_clone().expect("a socket can be shared"));
        let process = Process::start_with_stdin(command.args(["-c", script, DEVSTREAM]), socket.into(), Vec::new());
        let port = port_of(&process.wait_line("hub: listening on https://"));
        Self { process, port, machine: machine.clone() }
    }

    /// Starts one with a separate streaming endpoint, whose port must be known beforehand.
    pub(crate) fn start_with_own_endpoint(machine: &Machine) -> Self {
        let address = format!("127.0.0.1:{}", closed_port());
        let url = format!("wss://{address}");
        let hub = Self::start_with(machine, &["--streaming-endpoint", &url, "--streaming-listen", &address]);
        hub.process.wait_line(&format!("hub: streaming endpoint listening on https://{address}"));
        hub
    }

    /// Machine of its user.
    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Runs `devstream hub …`, which must succeed.
    pub(crate) fn ask(&self, arguments: &[&str]) -> String {
        self.machine.ask(&[&["hub"], arguments].concat())
    }

    /// The join link of a new device.
    pub(crate) fn device_link(&self, id: &str) -> String {
        self.link(&["device", "add", id])
    }

    /// The join link of a new service that may reach every device.
    pub(crate) fn service_link(&self, name: &str) -> String {
        self.service_link_with(name, &["--device", "*"])
    }

    /// The join link of a new service with a scope as typed.
    pub(crate) fn service_link_with(&self, name: &str, scope: &[&str]) -> String {
        self.link(&[&["service", "add", name], scope].concat())
    }

    /// The join link that a command prints.
    pub(crate) fn link(&self, arguments: &[&str]) -> String {
        link_in(&self.ask(arguments))
    }

    /// Runs a command and parses its JSON output.
    pub(crate) fn json<T: DeserializeOwned>(&self, arguments: &[&str]) -> T {
        let text = self.ask(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// A number that a hub with `--metrics` exports.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let line = self.process.wait_line("hub: metrics on http://127.0.0.1:");
        let mut stream = connect(port_of(line.trim_end_matches("/metrics")));
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("it listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let value = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        // Whole numbers are written with a fraction.
        let value = value.and_then(|value| value.parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("no {name} in {answer}")) as u64
    }

    /// The activity log.
    pub(crate) fn activity(&self) -> Vec<Value> {
        let lines = self.ask(&["logs", "--json"]);
        lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"))).collect()
    }

    /// The first entry in the activity log for this operation with this result. The log may lag behind what the log
    /// is about, so it is read until the entry is there.
    pub(crate) fn wait_activity(&self, operation: &str, result: Option<&str>) -> Value {
        let deadline = clock::now() + TIMEOUT;
        loop {
            let log = self.activity();
            let fits = |entry: &&Value| {
                entry["operationName"] == operation && result.is_none_or(|result| entry["resultType"] == result)
            };
            if let Some(entry) = log.iter().find(fits) {
                return entry.clone();
            }
            assert!(clock::now() < deadline, "no {operation} with {result:?} in {log:#?}");
            thread::park_timeout(POLL_INTERVAL);
        }
    }
}

/// A running agent that is online.
pub(crate) struct Agent {
    pub(crate) process: Process,
}

impl Agent {
    /// Starts an agent for [`DEVICE`].
    pub(crate) fn start(machine: &Machine, forwards: &[&str]) -> Self {
        Self::start_as(machine, DEVICE, forwards)
    }

    /// Starts an agent for this device.
    pub(crate) fn start_as(machine: &Machine, id: &str, forwards: &[&str]) -> Self {
        let agent = Self { process: Self::launch(machine, id, forwards) };
        agent.process.wait_line(&format!("device-agent: {id} is online"));
        agent
    }

    /// Starts an agent without waiting until it is online.
    pub(crate) fn launch(machine: &Machine, id: &str, forwards: &[&str]) -> Process {
        let forwards = forwards.iter().flat_map(|forward| ["--forward", forward]);
        let arguments: Vec<_> = ["device-agent", "--id", id].into_iter().chain(forwards).collect();
        machine.start(&arguments)
    }
}

/// A running service-proxy that listens.
pub(crate) struct ServiceProxy {
    pub(crate) process: Process,
    pub(crate) port: u16,
}

impl ServiceProxy {
    /// Starts one to [`DEVICE`]'s first forward.
    pub(crate) fn start(machine: &Machine) -> Self {
        Self::start_with(machine, DEVICE, "0", &[])
    }

    /// Starts one to any device, on one local listener, with further arguments.
    pub(crate) fn start_with(machine: &Machine, device: &str, local: &str, arguments: &[&str]) -> Self {
        let process = machine.start(&[&["service-proxy", "--device", device, "--local", local], arguments].concat());
        let port = port_of(&process.wait_line(&listening(device, local)));
        Self { process, port }
    }

    /// The port of another `--local` of the same proxy.
    pub(crate) fn port_for(&self, device: &str, local: &str) -> u16 {
        port_of(&self.process.wait_line(&listening(device, local)))
    }

    /// A new local connection, on which nothing waits for ever.
    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.port)
    }
}

/// A connection to this machine, on which nothing waits for ever.
pub(crate) fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("something listens");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a socket takes a timeout");
    stream.set_write_timeout(Some(TIMEOUT)).expect("a socket takes a timeout");
    stream
}

/// A connection from this address of this machine.
pub(crate) fn connect_from(from: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// All three roles of one user on one machine, without configuration.
pub(crate) struct OneMachine {
    pub(crate) proxy: ServiceProxy,
    pub(crate) agent: Agent,
    pub(crate) hub: Hub,
    pub(crate) machine: Machine,
}

impl OneMachine {
    /// Starts the roles with one forward, to this port.
    pub(crate) fn forwarding(port: u16) -> Self {
        Self::with_hub(port, &[])
    }

    /// Starts the roles without resume.
    pub(crate) fn without_resume(port: u16) -> Self {
        Self::with_hub(port, &["--no-resume"])
    }

    /// Starts the roles with further arguments for the hub.
    pub(crate) fn with_hub(port: u16, arguments: &[&str]) -> Self {
        Self::on(Machine::new(), port, arguments)
    }

    /// Starts the roles on this machine.
    pub(crate) fn on(machine: Machine, port: u16, arguments: &[&str]) -> Self {
        let hub = Hub::start_with(&machine, arguments);
        let agent = Agent::start(&machine, &[&format!("target={port}")]);
        let proxy = ServiceProxy::start(&machine);
        Self { proxy, agent, hub, machine }
    }
}

/// The roles in homes of their own, joined with links: [`DEVICE`], and `alice` on the laptop.
pub(crate) struct ThreeMachines {
    pub(crate) proxy: ServiceProxy,
    pub(crate) agent: Agent,
    pub(crate) laptop: Machine,
    pub(crate) device: Machine,
    pub(crate) hub: Hub,
}

impl ThreeMachines {
    /// Starts the roles with one forward, to this port, and these scope arguments.
    pub(crate) fn forwarding(port: u16, scope: &[&str]) -> Self {
        Self::with_hub(port, scope, &[])
    }

    /// Starts the roles with further arguments for the hub.
    pub(crate) fn with_hub(port: u16, scope: &[&str], arguments: &[&str]) -> Self {
        Self::with_laptop(Machine::new(), port, scope, arguments)
    }

    /// Starts the roles with this laptop.
    pub(crate) fn with_laptop(laptop: Machine, port: u16, scope: &[&str], arguments: &[&str]) -> Self {
        let (hub, device) = (Hub::start_with(&Machine::new(), arguments), Machine::new());
        device.ask(&["join", &hub.device_link(DEVICE)]);
        laptop.ask(&["join", &hub.service_link_with("alice", scope)]);
        let agent = Agent::start(&device, &[&format!("target={port}")]);
        let proxy = ServiceProxy::start(&laptop);
        Self { proxy, agent, laptop, device, hub }
    }
}

/// Runs a stream on standard input and output to its end.
pub(crate) fn pipe(machine: &Machine, device: &str) -> Finished {
    machine.run(&["service-proxy", "--device", device, "--stdio", "--connect-timeout", "0"])
}

/// Asserts this refusal: its exit code, and its sentence last on stderr.
pub(crate) fn assert_is(finished: &Finished, kind: RefusalKind) {
    let row = kind.row();
    assert_eq!(finished.code, Some(row.exit.into()), "{finished:?}");
    assert!(finished.stderr.lines().next_back().is_some_and(|line| line.contains(row.sentence)), "{finished:?}");
}

fn listening(device: &str, local: &str) -> String {
    match local.split_once('=') {
        Some((_, stream)) => format!("service-proxy: {device}/{stream} on "),
        None => format!("service-proxy: {device} on "),
    }
}

/// The port that such a line ends with.
pub(crate) fn port_of(line: &str) -> u16 {
    let port = line.rsplit(':').next().and_then(|port| port.trim_end_matches('/').parse().ok());
    port.unwrap_or_else(|| panic!("no port at the end of '{line}'"))
}

/// The link in `devstream join 'LINK'`.
fn link_in(text: &str) -> String {
    let link = text.split(['\'', '\n']).find(|part| part.starts_with("devstream://"));
    link.unwrap_or_else(|| panic!("no join link in '{text}'")).to_owned()
}
