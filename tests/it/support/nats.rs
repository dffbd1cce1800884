//! NATS servers: Debian's nats-server, or whichever `DEVSTREAM_TEST_NATS_SERVER` names.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::{env, fs};

use super::machine::Machine;
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
                _ => format!("cluster {{ name: test, listen: \"127.0.0.1:{route}\", routes: [{}] }}\n", all.join(", ")),
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

    /// URLs of all servers, as `--nats` takes them.
    pub(crate) fn urls(&self) -> String {
        let urls: Vec<_> = self.nodes.iter().map(|node| format!("nats://127.0.0.1:{}", node.port)).collect();
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
