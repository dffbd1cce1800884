//! A machine as the program sees it: a home directory of its own, and an empty environment.

use std::ffi::OsStr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::{env, fs};

use tempfile::TempDir;

use super::process::{Finished, Process};

/// The program under test.
pub(crate) const DEVSTREAM: &str = env!("CARGO_BIN_EXE_devstream");

/// One user's home on one machine, removed with its last clone.
#[derive(Clone)]
pub(crate) struct Machine {
    home: Arc<TempDir>,
    environment: Vec<(&'static str, String)>,
    /// A program that starts every other, and its arguments.
    starter: Vec<String>,
}

/// The platform's directories below a home.
const DIRECTORIES: [(&str, &str); 4] = [
    ("XDG_CONFIG_HOME", ".config"),
    ("XDG_DATA_HOME", ".local/share"),
    ("XDG_STATE_HOME", ".local/state"),
    ("XDG_RUNTIME_DIR", "run"),
];

impl Machine {
    /// A new one.
    pub(crate) fn new() -> Self {
        let home = TempDir::with_prefix("devstream-").expect("a temporary directory");
        fs::DirBuilder::new().mode(0o700).create(home.path().join("run")).expect("a directory");
        // The tests' own services encrypt nothing end to end. Those of the program do all the same.
        let environment = vec![("DEVSTREAM_ALLOW_PLAIN", "*".to_owned())];
        Self { home: Arc::new(home), environment, starter: Vec::new() }
    }

    /// Creates one on which another program, such as `nsenter`, starts every command.
    pub(crate) fn behind(starter: &str, arguments: Vec<String>) -> Self {
        Self { starter: [vec![starter.to_owned()], arguments].concat(), ..Self::new() }
    }

    /// Accepts no stream that is not encrypted end to end, as any machine that is not a test's.
    pub(crate) fn strict(mut self) -> Self {
        self.environment.retain(|(name, _)| *name != "DEVSTREAM_ALLOW_PLAIN");
        self
    }

    /// Opens plain streams: to the tests' own devices, or for the hub to see how many bytes an application sent.
    pub(crate) fn plain(self) -> Self {
        self.with("DEVSTREAM_PLAIN", "true")
    }

    /// Adds an environment variable.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// Hides the roles that it starts from others in the same home, as those of another machine are.
    pub(crate) fn hidden(&self) -> Self {
        self.clone().with("RUNTIME_DIRECTORY", &self.home().join("hidden").display().to_string())
    }

    /// A machine, and the file that sets its wall clock, as in `+40d`.
    pub(crate) fn with_settable_clock(offset: &str) -> (Self, PathBuf) {
        let machine = Self::new();
        let file = machine.home().join("offset");
        fs::write(&file, offset).expect("a file");
        // `FAKETIME` would come before the file.
        let machine = machine.with("LD_PRELOAD", "/usr/$LIB/faketime/libfaketime.so.1");
        let machine =
            machine.with("FAKETIME_TIMESTAMP_FILE", &file.display().to_string()).with("FAKETIME_NO_CACHE", "1");
        (machine.with("FAKETIME_DONT_FAKE_MONOTONIC", "1").with("DONT_FAKE_MONOTONIC", "1"), file)
    }

    /// Shifts its wall clock by this much; the monotonic clock is unchanged.
    pub(crate) fn off_by(self, time: &str) -> Self {
        // The library by itself: the program `faketime` stays between us and what it starts. The loader fills in $LIB.
        let machine = self.with("LD_PRELOAD", "/usr/$LIB/faketime/libfaketime.so.1").with("FAKETIME", time);
        machine.with("FAKETIME_DONT_FAKE_MONOTONIC", "1").with("DONT_FAKE_MONOTONIC", "1")
    }

    /// Its home directory.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// A program as this machine's user runs it.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match self.starter.split_first() {
            Some((starter, arguments)) => {
                let mut command = Command::new(starter);
                command.args(arguments).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.env_clear().env("HOME", self.home()).current_dir(self.home());
        command.env("PATH", env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.envs(DIRECTORIES.map(|(name, directory)| (name, self.home().join(directory))));
        command
    }

    /// Starts the program under test.
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        Process::start(self.command(DEVSTREAM).args(arguments))
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        self.start(arguments).finish()
    }

    /// Runs it to its end with this on standard input.
    pub(crate) fn paste(&self, arguments: &[&str], text: &str) -> Finished {
        Process::start_with_input(self.command(DEVSTREAM).args(arguments), format!("{text}\n").into()).finish()
    }

    /// Runs it to a successful end, and returns its output.
    pub(crate) fn ask(&self, arguments: &[&str]) -> String {
        let finished = self.run(arguments);
        assert_eq!(finished.code, Some(0), "{arguments:?}: {finished:?}");
        finished.stdout
    }
}
