//! The Autobahn cases for RFC 6455, run by kosoku, which `tests/run` installs.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::process::Process;

/// Everything but how fast (9), and compression (12, 13).
const SELECTED: [&str; 8] = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"];

/// Cases that run concurrently: most of them wait for messages that must not arrive.
const AT_ONCE: &str = "8";

/// The suite's remark on each case that was neither passed nor informational.
pub(crate) type Remarks = BTreeMap<String, String>;

/// A run of the cases.
pub(crate) struct Kosoku {
    process: Process,
    folder: TempDir,
}

impl Kosoku {
    /// The suite is the client of this server.
    pub(crate) fn against_server(address: SocketAddr) -> Self {
        Self::start("fuzzingclient", &format!("ws://{address}"))
    }

    /// The suite is a server, at this address.
    pub(crate) fn against_clients() -> (Self, SocketAddr) {
        let run = Self::start("fuzzingserver", "127.0.0.1:0");
        let line = run.process.wait_line("listening on ws://");
        let address = line.rsplit("ws://").next().expect("an address").parse().expect("an address");
        (run, address)
    }

    fn start(mode: &str, address: &str) -> Self {
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("conformance/bin/kosoku");
        assert!(program.exists(), "there is no {}; tests/run installs it", program.display());
        let folder = TempDir::with_prefix("devstream-").expect("a temporary directory");
        let mut command = Command::new(program);
        command.args(["--mode", mode, address, "--parallelism", AT_ONCE, "--outdir"]).arg(folder.path());
        command.args(SELECTED.iter().flat_map(|cases| ["--include", cases]));
        Self { process: Process::start(&mut command), folder }
    }

    /// Waits for the end; returns the number of cases, and the remarks.
    pub(crate) fn finish(self) -> (usize, Remarks) {
        let finished = self.process.finish();
        let report = fs::read_to_string(self.folder.path().join("index.json"))
            .unwrap_or_else(|error| panic!("no report: {error}: {finished:?}"));
        let report: BTreeMap<String, BTreeMap<String, Value>> = serde_json::from_str(&report).expect("a report");
        let cases: Vec<_> = report.into_values().flatten().collect();
        let count = cases.len();
        (count, cases.into_iter().filter_map(remark).collect())
    }
}

fn remark((case, result): (String, Value)) -> Option<(String, String)> {
    let [behaviour, close] = ["behavior", "behaviorClose"].map(|field| result[field].as_str().expect("a verdict"));
    let fine = [behaviour, close].iter().all(|verdict| matches!(*verdict, "OK" | "INFORMATIONAL"));
    (!fine).then(|| (case, format!("{behaviour}, close {close}")))
}
