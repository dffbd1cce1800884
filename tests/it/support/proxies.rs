//! Real proxies, in a network namespace where alone the hub's name resolves.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use tempfile::TempDir;

use super::netns::NetNs;
use super::poll;
use super::process::Process;
use super::sshd::Sshd;
use super::targets::closed_port;

pub(crate) const USER: &str = "alice";
pub(crate) const PASSWORD: &str = "hunter2.so-secret";

/// Address of the namespace on its cable.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// A running proxy.
pub(crate) struct Proxy {
    pub(crate) process: Process,
    pub(crate) port: u16,
    _server: Option<Sshd>,
    _directory: TempDir,
}

impl Proxy {
    /// Starts squid, which requires [`USER`] and [`PASSWORD`].
    pub(crate) fn squid(netns: &NetNs) -> Self {
        Self::squid_on(netns, closed_port())
    }

    /// Starts squid on this port, which an earlier one had.
    pub(crate) fn squid_on(netns: &NetNs, port: u16) -> Self {
        let directory = directory();
        let path = directory.path();
        let check = format!(
            "while read user password; do [ \"$user $password\" = '{USER} {PASSWORD}' ] && echo OK || echo ERR; done\n"
        );
        fs::write(path.join("check"), check).expect("a file can be written");
        let config = format!(
            "http_port {ADDRESS}:{port}\nhosts_file /etc/hosts\npid_filename none\ncache_log /dev/null\naccess_log none\n\
             cache deny all\npinger_enable off\ncoredump_dir {path}\nshutdown_lifetime 0 seconds\n\
             auth_param basic program /bin/sh {path}/check\nauth_param basic children 1\n\
             acl known proxy_auth REQUIRED\nhttp_access allow known\nhttp_access deny all\n",
            path = path.display()
        );
        fs::write(path.join("config"), config).expect("a file can be written");
        let mut command = netns.machine().command("/usr/sbin/squid");
        command.args(["-N", "-f"]).arg(path.join("config"));
        Self::start(netns, command, port, None, directory)
    }

    /// Starts microsocks, which requires [`USER`] and [`PASSWORD`].
    pub(crate) fn microsocks(netns: &NetNs) -> Self {
        let port = closed_port();
        let mut command = netns.machine().command("microsocks");
        command.args(["-i", &ADDRESS.to_string(), "-p", &port.to_string(), "-u", USER, "-P", PASSWORD]);
        Self::start(netns, command, port, None, directory())
    }

    /// Starts `ssh -D`, without authentication.
    pub(crate) fn ssh(netns: &NetNs) -> Self {
        let port = closed_port();
        let machine = netns.machine();
        let server = Sshd::start_on(&machine);
        let mut command = server.client(&machine, "ssh");
        let to = format!("{}@127.0.0.1", server.user);
        command.args(["-N", "-D", &format!("{ADDRESS}:{port}"), "-p", &server.port.to_string(), &to]);
        Self::start(netns, command, port, Some(server), directory())
    }

    fn start(netns: &NetNs, mut command: Command, port: u16, server: Option<Sshd>, directory: TempDir) -> Self {
        // Where it starts is still there then.
        let process = Process::start(command.current_dir("/"));
        poll("a proxy that listens", || {
            assert!(process.is_running(), "{process}");
            netns.enter(|| TcpStream::connect((ADDRESS, port)).ok())
        });
        Self { process, port, _server: server, _directory: directory }
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("{ADDRESS}:{}", self.port)
    }
}

/// squid, started by root, works as another user.
fn directory() -> TempDir {
    let directory = TempDir::with_prefix("devstream-proxy-").expect("a temporary directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("its mode can be set");
    directory
}
