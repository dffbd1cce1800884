//! README's quick start: its own commands, verbatim, on one machine and on three that have nothing but the program and
//! OpenSSH.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;

use tempfile::TempDir;

use crate::support::machine::DEVSTREAM;
use crate::support::netns::NetNs;
use crate::support::process::{Finished, Process};
use crate::support::sshd::Sshd;

const README: &str = include_str!("../../README.md");

/// README's promise.
const MOST_COMMANDS: usize = 3;

/// Home of root: network namespaces need root.
const HOME: &str = "/root";

#[test]
fn the_readmes_four_lines_lead_to_ssh_on_one_machine_as_they_stand() {
    let machine = TestMachine::alone();
    let sshd = Sshd::start_at(&machine.netns.machine(), 22).expect("a network of its own has a free port 22");
    machine.has_used_ssh(&sshd);
    let lines = commands("## One machine\n", "device and laptop");
    let [hub, agent, proxy, ssh] = lines.as_slice() else { panic!("four lines: {lines:?}") };
    for (line, ready) in [(hub, "listening on"), (agent, "is online"), (proxy, "on 127.0.0.1:2222")] {
        let process = machine.start(line);
        process.wait_line(ready);
        machine.keeps(process);
    }
    assert_eq!(machine.does(&format!("{ssh} 'cat ~/name'")).stdout, "alone\n");
}

#[test]
fn the_readme_alone_leads_to_ssh_on_three_clean_machines_in_three_commands_each() {
    let [hub, device, laptop] = TestMachine::three();
    let sshd = Sshd::start_at(&device.netns.machine(), 22).expect("a network of its own has a free port 22");
    laptop.has_used_ssh(&sshd);
    let [on_hub, on_device, on_laptop] =
        ["On the hub", "On the device", "On the laptop"].map(|machine| commands("## Three machines\n", machine));

    let mut links = Vec::new();
    for (index, command) in on_hub.iter().enumerate() {
        let process = hub.start(command);
        if index == 0 {
            process.wait_line("listening on");
            hub.keeps(process);
        } else {
            links.push(printed_link(process));
        }
    }
    let [first, second] = links.try_into().expect("a line for the device, and one for the laptop");
    let joined = device.does(&first);
    assert!(joined.stderr.contains(&format!("next: {}\n", on_device[0])), "{joined:?}");
    let (goes_on, before) = on_device.split_last().expect("a command");
    before.iter().for_each(|command| drop(device.does(command)));
    let agent = device.start(goes_on);
    agent.wait_line("is online");
    device.keeps(agent);
    let joined = laptop.does(&second);
    assert!(joined.stderr.contains(&format!("next: {}, ", on_laptop[0])), "{joined:?}");
    let (ssh, before) = on_laptop.split_last().expect("a command");
    // Its user is whoever runs the tests.
    let ssh = ssh.replace("pi@", "");
    before.iter().for_each(|command| drop(laptop.does(command)));

    let typed = [on_hub.len(), 1 + on_device.len(), 1 + on_laptop.len()];
    assert!(typed.iter().all(|typed| *typed <= MOST_COMMANDS), "{typed:?}");
    assert_eq!(laptop.does(&format!("{ssh} 'cat ~/name'")).stdout, "device\n");
    laptop.does("scp -q name pi-42.devstream:by-scp && rsync -a name pi-42.devstream:by-rsync");
    for copy in ["by-scp", "by-rsync"] {
        assert_eq!(fs::read_to_string(device.home.path().join(copy)).unwrap(), "laptop\n");
    }
}

/// A machine with a network, a user and a home of its own.
struct TestMachine {
    running: RefCell<Vec<Process>>,
    netns: NetNs,
    home: TempDir,
}

impl TestMachine {
    /// A machine that reaches itself only.
    fn alone() -> Self {
        Self::new(NetNs::new(), "alone", "127.0.0.1")
    }

    /// A hub that the other two reach by its name only.
    fn three() -> [Self; 3] {
        let namespaces = [(); 3].map(|()| NetNs::new());
        let [hub, device, laptop] = &namespaces;
        hub.join(device, "10.0.1.1/24", "10.0.1.2/24", "veth");
        hub.join(laptop, "10.0.2.1/24", "10.0.2.2/24", "wire");
        let [hub, device, laptop] = namespaces;
        [(hub, "hub", "10.0.1.1"), (device, "device", "10.0.1.1"), (laptop, "laptop", "10.0.2.1")]
            .map(|(netns, name, address)| Self::new(netns, name, address))
    }

    fn new(netns: NetNs, name: &str, hub: &str) -> Self {
        let home = TempDir::with_prefix("devstream-").expect("a temporary directory");
        let path = home.path().display();
        for directory in ["bin", ".ssh"] {
            fs::DirBuilder::new().mode(0o700).create(home.path().join(directory)).expect("a directory");
        }
        fs::write(home.path().join("name"), format!("{name}\n")).expect("a file can be written");
        fs::write(home.path().join("hosts"), format!("127.0.0.1 localhost\n{hub} hub.example.com\n"))
            .expect("the same");
        // OpenSSH asks the password database where the user is at home, so that is where he has to be.
        netns.run(&format!(
            "mount --bind {path}/hosts /etc/hosts && touch {path}/bin/devstream && mount --bind {DEVSTREAM} \
             {path}/bin/devstream && mount --rbind {path} {HOME}"
        ));
        Self { running: RefCell::default(), netns, home }
    }

    /// Creates a key that the server accepts, and disables prompts.
    fn has_used_ssh(&self, sshd: &Sshd) {
        let directory = self.home.path().join(".ssh");
        fs::copy(sshd.key(), directory.join("id_ed25519")).expect("a file can be copied");
        fs::write(directory.join("config"), "StrictHostKeyChecking accept-new\n").expect("a file can be written");
    }

    /// Starts a long-running command in place of its shell, so that it ends with its process.
    fn start(&self, command: &str) -> Process {
        self.types(&format!("exec {command}"))
    }

    /// Runs a line in a shell with a minimal environment.
    fn types(&self, command: &str) -> Process {
        let path = format!("PATH={HOME}/bin:/usr/bin:/bin");
        let mut shell = self.netns.machine().command("env");
        shell.current_dir("/");
        shell.args(["-i", &format!("HOME={HOME}"), &path, "sh", "-c", &format!("cd && {command}")]);
        Process::start(&mut shell)
    }

    /// Runs a line to its successful end.
    fn does(&self, command: &str) -> Finished {
        let finished = self.types(command).finish();
        assert_eq!(finished.code, Some(0), "{command}: {finished:?}");
        finished
    }

    /// Starts a line that keeps running.
    fn keeps(&self, process: Process) {
        self.running.borrow_mut().push(process);
    }
}

/// The commands in a section of README that follow some words, without comments.
fn commands(section: &str, words: &str) -> Vec<&'static str> {
    let section = README.split(section).nth(1).and_then(|rest| rest.split("\n## ").next());
    let part = section.and_then(|section| section.split(words).nth(1)).expect("the README's section");
    let lines = part.lines().skip_while(|line| !line.starts_with("    "));
    let lines = lines.map_while(|line| line.strip_prefix("    ")?.split(" #").next());
    lines.map(str::trim_end).collect()
}

/// The line that is to be pasted elsewhere, as it is printed.
fn printed_link(process: Process) -> String {
    let finished = process.finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let line = finished.stdout.lines().find(|line| line.starts_with("devstream join '"));
    line.unwrap_or_else(|| panic!("no line to paste: {finished:?}")).to_owned()
}
