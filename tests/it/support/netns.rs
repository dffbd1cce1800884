//! Machines with networks of their own: network namespaces, joined by a cable (a veth pair) that can be cut and
//! filtered.

use std::fs::File;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use rustix::fd::AsFd as _;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::machine::Machine;
use super::process::{Finished, Process};

/// A network and mount namespace, removed with its last process.
#[derive(Clone)]
pub(crate) struct NetNs(Arc<Process>);

impl NetNs {
    /// Creates one with a loopback interface only.
    pub(crate) fn new() -> Self {
        let holding = "ip link set lo up && echo ready && exec tail -f /dev/null";
        let holder = Process::start(Command::new("unshare").args(["--net", "--mount", "--", "sh", "-c", holding]));
        let ready = holder.find_line(0, "ready", super::TIMEOUT);
        assert!(ready.is_some(), "{}", why_not(rustix::process::geteuid().is_root(), &holder.to_string()));
        Self(Arc::new(holder))
    }

    /// Creates two, joined by a cable: 10.0.0.1 and 10.0.0.2, each with the interface `veth`.
    pub(crate) fn two() -> [Self; 2] {
        let [first, second] = [(); 2].map(|()| Self::new());
        first.join(&second, "10.0.0.1/24", "10.0.0.2/24", "veth");
        [first, second]
    }

    /// Joins another network by a cable (a veth pair of this name), which carries packets up to the usual MTU.
    pub(crate) fn join(&self, other: &Self, own: &str, others: &str, veth: &str) {
        self.run(&format!("ip link add {veth} type veth peer name {veth} netns {}", other.0.id()));
        for (netns, address) in [(self, own), (other, others)] {
            netns.run(&format!("ip address add {address} dev {veth} && ip link set {veth} gso_max_segs 1 up"));
        }
    }

    /// Runs a shell line as root, which must succeed.
    pub(crate) fn run(&self, line: &str) -> String {
        let mut command = Command::new("nsenter");
        let Finished { code, stdout, stderr } =
            Process::start(command.args(self.entering()).args(["sh", "-c", line])).finish();
        assert_eq!(code, Some(0), "{line}: {stdout}{stderr}");
        stdout
    }

    /// A machine in this network.
    pub(crate) fn machine(&self) -> Machine {
        Machine::behind("nsenter", self.entering())
    }

    /// Runs a closure whose sockets belong to this network, wherever they are used.
    pub(crate) fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        let network = File::open(format!("/proc/{}/ns/net", self.0.id())).expect("it is there");
        thread::scope(|scope| {
            let entered = scope.spawn(move || {
                move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may enter");
                work()
            });
            entered.join().expect("no thread panics")
        })
    }

    /// `nsenter`'s arguments.
    fn entering(&self) -> Vec<String> {
        ["--net", "--mount", "--target", &self.0.id().to_string(), "--"].map(str::to_owned).into()
    }
}

/// Says why there is no network namespace, from what `unshare` said.
fn why_not(is_root: bool, output: &str) -> String {
    let next = if is_root {
        "here not even root may make one, as in a chroot or in a container without CAP_SYS_ADMIN: run the tests elsewhere"
    } else {
        "run the tests as root, with the package iproute2 installed"
    };
    format!("no network namespace: {next}: {output}")
}

#[test]
fn root_is_not_told_to_be_root_where_there_are_no_network_namespaces() {
    let words = "unshare: cannot change root filesystem propagation: Invalid argument";
    let (root, user) = (why_not(true, words), why_not(false, words));
    assert!(!root.contains("as root") && root.contains("chroot") && root.ends_with(words), "{root}");
    assert!(user.contains("run the tests as root") && user.ends_with(words), "{user}");
}
