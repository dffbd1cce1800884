//! All roles behind a proxy with a password, at full verbosity, and all their output.

use std::fs;
use std::io::{PipeWriter, Read as _, Write as _};
use std::net::Shutdown;
use std::process::Command;

use devstream::proto::refusal::RefusalKind;

use super::leaks::Secrets;
use crate::networks::Fixture;
use crate::ssh::fake;
use crate::support::DEVICE;
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::netns::NetNs;
use crate::support::process::Process;
use crate::support::proxies::{PASSWORD, Proxy, USER};
use crate::support::roles::{connect, port_of};
use crate::support::sshd::Sshd;

/// A line that goes through every stream.
const CONTENT: &str = "this-went-through-a-stream";

/// A password that is not this proxy's, and perhaps another one's.
pub(super) const WRONG: &str = "wrong-but-secret";

pub(super) struct Everything {
    pub(super) device: Machine,
    pub(super) laptop: Machine,
    secrets: Secrets,
    /// Running processes, by name.
    running: Vec<(&'static str, Process)>,
    /// Output of exited processes, by name.
    said: Vec<(String, String)>,
    /// Standard input of what runs.
    inputs: Vec<PipeWriter>,
    sshd: Sshd,
    pub(super) fixture: Fixture,
}

impl Everything {
    /// Starts with these variables for device and laptop, made from the proxy and the file with its credentials.
    pub(super) fn behind(proxy: fn(&NetNs) -> Proxy, environment: fn(Machine, &Proxy, &str) -> Machine) -> Self {
        let fixture = Fixture::with_hub(proxy, &["-vv", "--metrics", "127.0.0.1:0"]);
        let sshd = Sshd::start_on(&fixture.far.machine());
        let [device, laptop] = [(); 2].map(|()| {
            let (machine, login) = fixture.machine();
            environment(machine.with("DEVSTREAM_LOG", "trace"), &fixture.proxy, &login)
        });
        let mut secrets = Secrets::default();
        secrets.login(USER, PASSWORD);
        [CONTENT, WRONG].into_iter().for_each(|secret| secrets.word(secret));
        let (running, said, inputs) = (Vec::new(), Vec::new(), Vec::new());
        let mut everything = Self { device, laptop, secrets, running, said, inputs, sshd, fixture };
        everything.join();
        everything.start_roles();
        everything.ask();
        everything
    }

    /// Each in another way: with an enrolment key, and with a link of its own.
    fn join(&mut self) {
        let enrolment = self.fixture.hub.link(&["enroll", "add", "--device", DEVICE, "--uses", "2", "--for", "1h"]);
        let link = self.fixture.hub.service_link("alice");
        [&enrolment, &link].into_iter().for_each(|link| self.secrets.link(link));
        let (device, laptop) = (self.device.clone(), self.laptop.clone());
        self.run_with_input(&device, &["join", "--id", DEVICE], &enrolment, 0);
        self.run(&laptop, &["join", &link], 0);
        self.run(&laptop, &["join", "--profile", "other", &link], RefusalKind::LinkSpent.row().exit.into());
        self.run(&laptop, &["join", &link.replace("role=", "roll=")], 2);
        self.run(&laptop, &["join", &enrolment], 2);
        for machine in [self.fixture.hub.machine(), &device, &laptop] {
            self.secrets.keys(machine);
        }
    }

    /// Every role, with content in every stream.
    fn start_roles(&mut self) {
        let (device, laptop) = (self.device.clone(), self.laptop.clone());
        let forwards = [("ssh", self.sshd.port), ("echo", self.fixture.target.port), ("rdp", self.fixture.target.port)];
        let forwards = forwards.map(|(name, port)| format!("--forward={name}={port}"));
        let [ssh, echo, rdp] = forwards.each_ref().map(String::as_str);
        let agent = ["device-agent", ssh, echo, rdp, "--accept-command", TELLING];
        self.start(("device-agent", "is online"), device.command(DEVSTREAM).args(agent));

        let proxy = ["service-proxy", "--device", DEVICE, "--local", "0=echo"];
        self.start(("service-proxy", "service-proxy: pi-42/echo on "), laptop.command(DEVSTREAM).args(proxy));
        self.use_the_last();
        let pipe = ["service-proxy", "--device", DEVICE, "--stdio", "--stream", "echo"];
        self.start(("service-proxy --stdio", CONTENT), laptop.command(DEVSTREAM).args(pipe));
        let desktop = fake(&laptop, "xfreerdp", &format!("{TELLING}\n{CLIENT}"));
        self.start(("rdp", CONTENT), desktop.command(DEVSTREAM).args(["rdp", DEVICE]));
        let options = [vec!["-F".to_owned(), "none".to_owned()], self.sshd.options()].concat();
        let there = "read -r line; echo got ${#line}; cat >/dev/null";
        let got = format!("got {}", CONTENT.len());
        self.start(("ssh", &got), laptop.command(DEVSTREAM).args(["ssh", DEVICE]).args(options).arg(there));
    }

    /// Starts a command with one line as its input, which stays open, and waits for this output.
    fn start(&mut self, (name, ready): (&'static str, &str), command: &mut Command) {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        writeln!(writer, "{CONTENT}").expect("a pipe takes a line");
        let process = Process::start_with_stdin(command, reader.into(), Vec::new());
        process.wait_line(ready);
        self.running.push((name, process));
        self.inputs.push(writer);
    }

    /// Sends the line through the service-proxy that was started last, also as the first bytes of a stream on a
    /// connection that stands by.
    fn use_the_last(&self) {
        let (_, process) = self.running.last().expect("a service-proxy");
        let port = port_of(&process.wait_line(" on 127.0.0.1:"));
        for _ in 0..2 {
            let mut local = self.fixture.far.enter(|| connect(port));
            writeln!(local, "{CONTENT}").expect("it is taken");
            local.shutdown(Shutdown::Write).expect("it is open");
            let mut answer = String::new();
            local.read_to_string(&mut answer).expect("all of it comes back");
            assert_eq!(answer.trim(), CONTENT);
        }
    }

    /// Commands to run on each machine.
    fn ask(&mut self) {
        let hub = self.fixture.hub.machine().clone().with("DEVSTREAM_LOG", "trace");
        let (device, laptop) = (self.device.clone(), self.laptop.clone());
        let port = self.sshd.port.to_string();
        let laptops = ["devices --json", "status --json", "profiles --json", "config show service-proxy"];
        let devices = ["status --json", "config show device-agent", "check --json --forward"];
        let hubs = ["status --json", "check --json", "show", "streams --json", "devices --json", "service list --json"];
        let logs = ["enroll list --json", "device show pi-42", "service show alice", "logs", "logs --json"];
        let asked = laptops.into_iter().chain(["check --device pi-42 --stream ssh"]).map(|words| (&laptop, words));
        let asked = asked.chain(devices.into_iter().map(|words| (&device, words)));
        for (machine, words) in asked {
            let last = words.ends_with("--forward").then_some(port.as_str());
            self.run(machine, &words.split(' ').chain(last).collect::<Vec<_>>(), 0);
        }
        for words in hubs.into_iter().chain(logs) {
            self.run(&hub, &["hub"].into_iter().chain(words.split(' ')).collect::<Vec<_>>(), 0);
        }
    }

    /// Runs a command to this exit code, and keeps its output.
    pub(super) fn run(&mut self, machine: &Machine, words: &[&str], code: i32) {
        self.run_with_input(machine, words, "", code);
    }

    fn run_with_input(&mut self, machine: &Machine, words: &[&str], input: &str, code: i32) {
        let finished = Process::start_with_input(machine.command(DEVSTREAM).args(words), input.into()).finish();
        assert_eq!(finished.code, Some(code), "{words:?}: {finished:?}");
        self.said.push((words.join(" "), finished.stdout + &finished.stderr));
    }

    /// Asserts that no secret appears anywhere, except this one in the environment, where its user put it.
    pub(super) fn assert_no_secret_in_output(&self, own: &str) {
        for (name, text) in &self.said {
            self.secrets.assert_not_in(name, text);
        }
        let state = self.fixture.hub.machine().home().join(".local/share/devstream/hub");
        let activity = fs::read_to_string(state.join("activity.jsonl")).expect("an activity log");
        assert!(activity.contains("streamOpened") || activity.contains("invoke"), "{activity}");
        self.secrets.assert_not_in("the activity log", &activity);
        let refused = fs::read_to_string(state.join("unauthenticated.jsonl")).expect("a log of unauthenticated peers");
        self.secrets.assert_not_in("the log of unauthenticated peers", &refused);
        self.secrets.assert_not_in("/metrics", &self.metrics());
        for machine in [&self.device, &self.laptop] {
            let children = fs::read_to_string(machine.home().join("told")).expect("what was started told");
            self.secrets.assert_not_in("what a program was given", &but(own, &children));
        }
        self.secrets.assert_not_in("ps", &but(own, &self.processes()));
        self.assert_no_secret_in_output_of("hub", &self.fixture.hub.process, "");
        for (name, process) in &self.running {
            self.assert_no_secret_in_output_of(name, process, own);
        }
    }

    fn assert_no_secret_in_output_of(&self, name: &str, process: &Process, own: &str) {
        let said = process.errors();
        assert!(said.contains("debug: "), "it does not say all: {process}");
        self.secrets.assert_not_in(name, &said);
        let shown =
            |file: &str| String::from_utf8_lossy(&fs::read(process.proc().join(file)).expect("it runs")).into_owned();
        self.secrets.assert_not_in(name, &[shown("cmdline"), shown("comm"), but(own, &shown("environ"))].join("\n"));
    }

    fn metrics(&self) -> String {
        let line = self.fixture.hub.process.wait_line("hub: metrics on ");
        let url = line.rsplit(' ').next().expect("an address");
        let text = self.fixture.near.run(&format!("curl --silent --show-error --max-time 10 {url}"));
        assert!(text.contains("# EOF"), "{text}");
        text
    }

    /// Output of `ps` for the started processes and their children.
    fn processes(&self) -> String {
        let shown = Process::start(Command::new("ps").args(["auxeww"])).finish().stdout;
        let homes = [&self.device, &self.laptop, self.fixture.hub.machine()]
            .map(|machine| machine.home().display().to_string());
        let ours = shown.lines().filter(|line| homes.iter().any(|home| line.contains(home)));
        let ours: Vec<_> = ours.collect();
        assert!(
            ours.len() > self.running.len() && ours.iter().any(|line| line.contains("--strip .devstream")),
            "{shown}"
        );
        ours.join("\n")
    }
}

/// A program started by devstream, which prints its arguments, its environment and its parent.
const TELLING: &str = "(env; cat /proc/$$/cmdline /proc/$PPID/cmdline | tr '\\0' '\\n') >>~/told";

/// A fake RDP client: sends a line of its input, prints the response, and stays.
const CLIENT: &str = r#"
address=$(sed -n 's/\r$//; s/^full address:s://p' "$1")
exec 3<>"/dev/tcp/${address%:*}/${address##*:}"
read -r line; echo "$line" >&3; read -r answer <&3; echo "$answer"
exec sleep 1000"#;

/// A text from a place where the user put that, without it.
fn but(own: &str, text: &str) -> String {
    assert!(text.contains(own), "this is no look at the environment: {text}");
    if own.is_empty() { text.to_owned() } else { text.replace(own, "") }
}
