//! NATS servers: Debian's nats-server, or whichever `DEVSTREAM_TEST_NATS_SERVER` names.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;

use super::machine::Machine;
use super::poll;
use super::ports;
use super::process::Process;
use super::roles::connect;

/// Path of the package's program.
const NATS_SERVER: &str = "/usr/sbin/nats-server";

/// Messages that pass.
pub(crate) struct MessageCount {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl MessageCount {
    /// The messages since the last call, subjects first, once all that were sent before are there.
    pub(crate) fn take(&mut self) -> Vec<String> {
        self.stream.write_all(b"PING\r\n").expect("NATS runs");
        let (mut messages, mut line) = (Vec::new(), Vec::new());
        loop {
            line.clear();
            let read = self.lines.read_until(b'\n', &mut line).expect("NATS runs");
            assert!(read > 0, "NATS ended");
            let text = String::from_utf8_lossy(&line).into_owned();
            let mut words = text.split_whitespace();
            match words.next() {
                Some("PONG") => return messages,
                Some("MSG") => {
                    let subject = words.next().expect("a subject");
                    let length: usize = words.next_back().and_then(|length| length.parse().ok()).expect("a length");
                    let mut payload = vec![0; length + 2];
                    self.lines.read_exact(&mut payload).expect("NATS runs");
                    messages.push(format!("{subject} {}", String::from_utf8_lossy(&payload)));
                }
                Some("PING") => self.stream.write_all(b"PONG\r\n").expect("NATS runs"),
                _ => {}
            }
        }
    }
}

/// Servers that are one.
pub(crate) struct Nats {
    machine: Machine,
    nodes: Vec<Node>,
}

struct Node {
    port: u16,
    config: PathBuf,
    process: Option<Process>,
}

impl Nats {
    /// Starts this many servers.
    pub(crate) fn start(count: usize) -> Self {
        Self::start_with(count, "")
    }

    /// Starts this many servers, with further settings.
    pub(crate) fn start_with(count: usize, settings: &str) -> Self {
        let machine = Machine::new();
        let routes: Vec<_> = (0..count).map(|_| ports::reserve()).collect();
        let all: Vec<_> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let node = |(number, route): (usize, &u16)| {
            let (port, store) = (ports::reserve(), machine.home().join(format!("store-{number}")));
            let config = machine.home().join(format!("nats-{number}.conf"));
            let cluster = match count {
                1 => String::new(),
                // Clients keep to the addresses that they were given, which may be those of proxies.
                _ => format!(
                    "cluster {{ name: test, listen: \"127.0.0.1:{route}\", routes: [{}], no_advertise: true }}\n",
                    all.join(", ")
                ),
            };
            let text = format!(
                "server_name: n{number}\nlisten: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{}\" }}\n{cluster}{settings}\n",
                store.display()
            );
            fs::write(&config, text).expect("a file");
            Node { port, config, process: None }
        };
        let nodes = routes.iter().enumerate().map(node).collect();
        let mut nats = Self { machine, nodes };
        (0..count).for_each(|number| nats.restart(number));
        nats
    }

    /// `HOST:PORT` of each server.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect()
    }

    /// URLs of all servers, as `--nats` takes them.
    pub(crate) fn urls(&self) -> String {
        let urls: Vec<_> = self.addresses().iter().map(|address| format!("nats://{address}")).collect();
        urls.join(",")
    }

    /// Counts the messages on these subjects from now on, in the protocol that clients speak.
    pub(crate) fn count(&self, subjects: &[&str]) -> MessageCount {
        let mut stream = connect(self.nodes[0].port);
        let subscriptions: Vec<_> =
            subjects.iter().enumerate().map(|(number, subject)| format!("SUB {subject} {number}\r\n")).collect();
        write!(stream, "CONNECT {{\"verbose\":false}}\r\n{}PING\r\n", subscriptions.concat()).expect("it listens");
        let mut lines = BufReader::new(stream.try_clone().expect("a socket"));
        let mut line = String::new();
        while line.trim() != "PONG" {
            line.clear();
            assert!(lines.read_line(&mut line).is_ok_and(|read| read > 0), "NATS ended");
        }
        MessageCount { stream, lines }
    }

    /// Makes a request without a body, and returns the reply.
    pub(crate) fn request(&self, subject: &str) -> Value {
        let mut asking = self.count(&["_INBOX.request"]);
        write!(asking.stream, "PUB {subject} _INBOX.request 0\r\n\r\n").expect("NATS runs");
        poll("a reply", || {
            let reply = asking.take();
            serde_json::from_str(reply.first()?.split_once(' ')?.1.trim()).ok()
        })
    }

    /// Copies what the servers have stored to a directory that is not there yet, or has them go back to the copy.
    pub(crate) fn keep_or_roll_back(&mut self, copy: &Path) {
        self.kill_all();
        let home = self.machine.home().to_owned();
        let is_back = copy.exists();
        if !is_back {
            fs::create_dir(copy).expect("a directory");
        }
        let (from, to) = if is_back { (copy, &*home) } else { (&*home, copy) };
        for number in 0..self.nodes.len() {
            let store = format!("store-{number}");
            if is_back {
                fs::remove_dir_all(to.join(&store)).expect("it is there");
            }
            let done = self.machine.command("cp").arg("-a").arg(from.join(&store)).arg(to).status().expect("cp runs");
            assert!(done.success());
        }
        self.restart_all();
    }

    /// The server that leads the stream in which the registry is.
    pub(crate) fn leader(&self) -> usize {
        poll("a leader", || {
            let info = self.request("$JS.API.STREAM.INFO.KV_devstream");
            info["cluster"]["leader"].as_str()?.strip_prefix('n')?.parse().ok()
        })
    }

    /// Kills a server.
    pub(crate) fn kill(&mut self, number: usize) {
        self.nodes[number].process = None;
    }

    /// Kills all servers.
    pub(crate) fn kill_all(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.process = None);
    }

    /// Starts all servers that were killed.
    pub(crate) fn restart_all(&mut self) {
        (0..self.nodes.len()).for_each(|number| self.restart(number));
    }

    /// Starts a server, or starts it again.
    pub(crate) fn restart(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        node.process = None;
        let program = env::var_os("DEVSTREAM_TEST_NATS_SERVER").unwrap_or_else(|| NATS_SERVER.into());
        let process = Process::start(self.machine.command(program).arg("-c").arg(&node.config));
        process.wait_line("Server is ready");
        node.process = Some(process);
    }
}
