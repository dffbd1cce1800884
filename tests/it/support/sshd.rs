//! A real OpenSSH server and what its clients need.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::TIMEOUT;
use super::machine::Machine;
use super::process::Process;
use super::targets::closed_port;

/// A server with its own keys, for this user only.
pub(crate) struct Sshd {
    pub(crate) port: u16,
    /// The user who may log in.
    pub(crate) user: String,
    _process: Process,
    directory: TempDir,
}

/// sshd cannot be told to choose a port, so the one it gets may be taken by somebody else in between.
const ATTEMPTS: usize = 10;

impl Sshd {
    /// Listens on 127.0.0.1.
    pub(crate) fn start() -> Self {
        Self::start_on(&Machine::new())
    }

    /// Starts one in the machine's own network.
    pub(crate) fn start_on(machine: &Machine) -> Self {
        (0..ATTEMPTS)
            .find_map(|_| Self::start_at(machine, closed_port()).ok())
            .unwrap_or_else(|| panic!("no port for sshd in {ATTEMPTS} attempts"))
    }

    /// Starts one on this port; fails if the port is in use.
    pub(crate) fn start_at(machine: &Machine, port: u16) -> Result<Self, String> {
        let directory = TempDir::with_prefix("devstream-sshd-").expect("a temporary directory");
        let file = |name: &str| directory.path().join(name);
        make_key(file("host_key"));
        make_key(file("client_key"));
        fs::rename(file("client_key.pub"), file("authorized_keys")).expect("a file can be renamed");
        // sshd, run as root, insists on this empty directory; as another user it does not need it.
        let _ = fs::create_dir_all("/run/sshd");
        let user = Command::new("id").arg("-un").output().expect("id runs").stdout;
        let user = String::from_utf8(user).expect("a user name").trim().to_owned();
        fs::write(file("config"), config(&directory, port)).expect("a file can be written");
        // It starts itself anew for each connection, and insists on being called by its whole path for that.
        let process = Process::start(machine.command("/usr/sbin/sshd").args(["-D", "-e", "-f"]).arg(file("config")));
        if process.find_line(0, "Server listening on", TIMEOUT).is_some() {
            return Ok(Self { port, user, _process: process, directory });
        }
        assert!(process.log().contains("Address already in use"), "{process}");
        Err(process.log())
    }

    /// The key with which its user logs in.
    pub(crate) fn key(&self) -> PathBuf {
        self.directory.path().join("client_key")
    }

    /// `ssh`, or `scp`, that trusts this server and shows errors only.
    pub(crate) fn client(&self, machine: &Machine, program: &str) -> Command {
        let mut command = machine.command(program);
        command.args(["-F", "none"]).args(self.options());
        command
    }

    /// Options that make a client trust this server, show errors only, and log in as the permitted user.
    pub(crate) fn options(&self) -> Vec<String> {
        let key = self.key().display().to_string();
        let options = [
            "BatchMode=yes",
            "StrictHostKeyChecking=no",
            "LogLevel=ERROR",
            "UserKnownHostsFile=/dev/null",
            "IdentitiesOnly=yes",
            &format!("IdentityFile={key}"),
            &format!("User={}", self.user),
        ];
        options.iter().flat_map(|option| ["-o".to_owned(), (*option).to_owned()]).collect()
    }

    /// `ssh` to this server by way of a local port.
    pub(crate) fn ssh(&self, machine: &Machine, port: u16, line: &str) -> Command {
        let mut command = self.client(machine, "ssh");
        command.args(["-p", &port.to_string(), &format!("{}@127.0.0.1", self.user), line]);
        command
    }
}

fn make_key(path: PathBuf) {
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status();
    assert!(made.is_ok_and(|status| status.success()), "ssh-keygen made no key");
}

/// Takes every connection of a test at once, where the default would turn some away.
fn config(directory: &TempDir, port: u16) -> String {
    let path = directory.path().display();
    format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {path}/host_key\nAuthorizedKeysFile {path}/authorized_keys\n\
         PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\n\
         MaxStartups 200\nSubsystem sftp internal-sftp\nPrintMotd no\n"
    )
}
