//! A database: `psql` at the laptop, a PostgreSQL server of its own behind the device.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;

use crate::support::bytes::MIB;
use crate::support::machine::Machine;
use crate::support::process::Process;
use crate::{end, run, serve, tunnel_to};

/// User of the database server when the tests run as root, which the server refuses.
const USER: &str = "postgres";
const ROWS: u64 = 100_000;

/// A server with a database of its own, for whoever comes from this machine.
struct Server {
    process: Process,
    port: u16,
    _machine: Machine,
}

impl Server {
    fn start() -> Self {
        let (machine, programs) = (machine(), programs());
        let data = machine.home().join("data");
        let mut initdb = machine.command(programs.join("initdb"));
        initdb
            .args(["--auth=trust", "--username=alice", "--no-sync", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(&data);
        run("initdb", &mut initdb);
        let (process, port) = serve("database system is ready to accept connections", "already in use", |port| {
            let mut server = machine.command(programs.join("postgres"));
            server.args(["-h", "127.0.0.1", "-k", "", "-c", "timezone=UTC", "-p", &port.to_string(), "-D"]).arg(&data);
            server
        });
        Self { process, port, _machine: machine }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server that is killed leaves shared memory behind.
        end(&self.process, "INT");
    }
}

#[test]
fn postgresql_restores_and_dumps_a_table() {
    let server = Server::start();
    let tunnel = tunnel_to(server.port);
    let psql = |part: &str, line: &str| {
        let mut command = tunnel.laptop.command("psql");
        command.args(["-h", "127.0.0.1", "-p", &tunnel.proxy.port.to_string(), "-U", "alice", "-d", "postgres"]);
        run(part, command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", line])).trim().to_owned()
    };
    let (given, taken) = (tunnel.laptop.home().join("given"), tunnel.laptop.home().join("taken"));
    let rows = rows();
    assert!(rows.len() as u64 > 8 * MIB, "{}", rows.len());
    fs::write(&given, &rows).unwrap();

    psql("CREATE TABLE", "CREATE TABLE measured (id bigint PRIMARY KEY, at timestamptz NOT NULL, note text)");
    psql("COPY FROM", &format!("\\copy measured FROM '{}'", given.display()));
    let said = psql("SELECT", "SELECT count(*), sum(id), max(length(note)) FROM measured");
    assert_eq!(said, format!("{ROWS}|{}|96", ROWS * (ROWS - 1) / 2), "not every row arrived");
    psql("COPY TO", &format!("\\copy (SELECT * FROM measured ORDER BY id) TO '{}'", taken.display()));
    assert!(fs::read_to_string(&taken).unwrap() == rows, "what came back is not what went");
}

/// As COPY writes them.
fn rows() -> String {
    let mut rows = String::new();
    for id in 0..ROWS {
        let (minute, second) = (id / 60 % 60, id % 60);
        writeln!(rows, "{id}\t2026-01-02 03:{minute:02}:{second:02}+00\t{:096}", id * id).unwrap();
    }
    rows
}

/// The newest version's programs, which Debian keeps out of the PATH.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("no PostgreSQL server: tests/run --real installs it");
    let mut versions: Vec<_> = versions.flatten().map(|version| version.path().join("bin")).collect();
    versions.retain(|programs| programs.join("postgres").exists());
    versions.sort();
    versions.pop().expect("no PostgreSQL server: tests/run --real installs it")
}

fn machine() -> Machine {
    let id = |arguments: &[&str]| -> u32 {
        let said = Command::new("id").args(arguments).output().expect("id runs").stdout;
        String::from_utf8_lossy(&said).trim().parse().unwrap_or_else(|_| panic!("no number from id {arguments:?}"))
    };
    if id(&["-u"]) != 0 {
        return Machine::new();
    }
    let (user, group) = (id(&["-u", USER]), id(&["-g", USER]));
    let identity = [format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".to_owned()];
    // Becomes the program, so that a signal for one is for the other.
    let machine = Machine::behind("setpriv", identity.to_vec());
    chown(machine.home(), Some(user), Some(group)).expect("root may give a directory away");
    machine
}
