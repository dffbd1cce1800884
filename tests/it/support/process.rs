//! A child process whose output is kept, can be waited for, and is printed when a test fails.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;
use std::{fmt, fs};

use super::TIMEOUT;

/// A running program; killed when dropped.
pub(crate) struct Process {
    name: String,
    id: u32,
    shared: Arc<Shared>,
}

/// Exit status and output of a program.
#[derive(Debug)]
pub(crate) struct Finished {
    /// None if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// In bytes, as the kernel counts it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    pub(crate) peak: u64,
}

impl Process {
    /// Starts a program without input.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_with_input(command, Vec::new())
    }

    /// Starts a program with this input.
    pub(crate) fn start_with_input(command: &mut Command, input: Vec<u8>) -> Self {
        Self::start_with_stdin(command, Stdio::piped(), input)
    }

    /// Starts a program with this as its standard input; only a pipe takes what there is to read.
    pub(crate) fn start_with_stdin(command: &mut Command, stdin: Stdio, input: Vec<u8>) -> Self {
        let program = Path::new(command.get_program()).file_name();
        let name = format!("{program:?} {:?}", command.get_args().collect::<Vec<_>>());
        let child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self { name, id: child.id(), shared: Shared::watching(child, input) }
    }

    /// Waits for the first line that contains this, printed already or not.
    pub(crate) fn wait_line(&self, pattern: &str) -> String {
        self.wait_line_after(0, pattern)
    }

    /// Waits for a line after skipping this many; [`Process::lines`] returns their current number.
    pub(crate) fn wait_line_after(&self, skipped: usize, pattern: &str) -> String {
        match self.find_line(skipped, pattern, TIMEOUT) {
            Some(line) => line,
            None => panic!("no line with '{pattern}' from {self}"),
        }
    }

    /// Waits for a line; none if the program exits or time runs out first.
    pub(crate) fn find_line(&self, skipped: usize, pattern: &str, time_limit: Duration) -> Option<String> {
        self.find(skipped, time_limit, |line| line.contains(pattern).then(|| line.to_owned()))
    }

    /// Returns the first line's value for which `said` returns one; none if the program exits or time runs out first.
    pub(crate) fn find<R>(&self, skipped: usize, time_limit: Duration, said: impl Fn(&str) -> Option<R>) -> Option<R> {
        let found = |log: &Log| log.lines.iter().skip(skipped).find_map(|line| said(&line.text));
        let log = self.shared.wait(time_limit, |log| log.is_complete() || found(log).is_some());
        found(&log)
    }

    /// Number of lines printed so far.
    pub(crate) fn lines(&self) -> usize {
        self.shared.lock().lines.len()
    }

    /// Everything it printed so far.
    pub(crate) fn log(&self) -> String {
        self.shared.lock().to_string()
    }

    /// Everything that it printed to standard error.
    pub(crate) fn errors(&self) -> String {
        self.shared.lock().text(Source::Stderr)
    }

    /// Waits for its end.
    pub(crate) fn finish(self) -> Finished {
        self.finish_within(TIMEOUT)
    }

    /// Waits for its end, but not longer than this.
    pub(crate) fn finish_within(self, time_limit: Duration) -> Finished {
        let log = self.shared.wait(time_limit, Log::is_complete);
        let Some(status) = log.exit.filter(|_| log.is_complete()) else {
            drop(log);
            panic!("still running: {self}");
        };
        Finished { code: status.code(), stdout: log.text(Source::Stdout), stderr: log.text(Source::Stderr) }
    }

    /// Reports whether it is running.
    pub(crate) fn is_running(&self) -> bool {
        self.shared.lock().exit.is_none()
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Sends a signal, by its name without `SIG`.
    pub(crate) fn signal(&self, signal: &str) {
        assert!(self.send(signal), "cannot send {signal} to {self}");
    }

    /// Sends SIGKILL, and waits until it has exited; it may be exiting by itself.
    pub(crate) fn kill(&self) {
        self.send("KILL");
        self.wait_end();
    }

    /// Waits until it has exited, and returns its status.
    pub(crate) fn wait_end(&self) -> ExitStatus {
        let exit = self.shared.wait(TIMEOUT, |log| log.exit.is_some()).exit;
        exit.unwrap_or_else(|| panic!("still running: {self}"))
    }

    fn send(&self, signal: &str) -> bool {
        // Every shell has this built in; the program of the same name is missing on bare machines.
        let line = format!("kill -s {signal} {} 2>/dev/null", self.id);
        Command::new("sh").args(["-c", &line]).status().is_ok_and(|status| status.success())
    }

    /// Its directory in `/proc`.
    pub(crate) fn proc(&self) -> PathBuf {
        format!("/proc/{}", self.id).into()
    }

    /// Its soft and hard limit of open files.
    pub(crate) fn file_limits(&self) -> [u64; 2] {
        let limits = fs::read_to_string(self.proc().join("limits")).expect("the process runs");
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("the kernel says so");
        let mut numbers = line.split_whitespace().map(|number| number.parse().unwrap_or(u64::MAX));
        [(); 2].map(|()| numbers.next().expect("two numbers"))
    }

    /// Its open files.
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.id)).expect("the process runs").count()
    }

    /// Processor time of all its threads.
    pub(crate) fn processor_time(&self) -> Duration {
        processor_time(self.id)
    }

    /// Its memory usage.
    pub(crate) fn memory(&self) -> Memory {
        let status = fs::read_to_string(self.proc().join("status")).expect("the process runs");
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).expect("the kernel says so");
            let kilobytes: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
            kilobytes * 1024
        };
        Memory { now: field("VmRSS:"), peak: field("VmHWM:") }
    }
}

/// Processor time of all threads of a process.
pub(crate) fn processor_time(id: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{id}/task")).expect("the process runs").flatten();
    let times = threads.filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
    let nanoseconds = |text: String| text.split(' ').next().and_then(|first| first.parse().ok());
    times.filter_map(nanoseconds).map(Duration::from_nanos).sum()
}

/// The processes that one has started or inherited, zombies included.
pub(crate) fn children(id: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{id}/task")).expect("the process runs").flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            self.kill();
        }
        let log = self.log();
        if thread::panicking() {
            #[expect(clippy::print_stderr, reason = "the harness shows it with the failure")]
            let () = eprintln!("--- {}\n{log}", self.name);
        } else {
            assert!(!log.contains("panicked at"), "{self}");
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.name, self.log())
    }
}

#[derive(Default)]
struct Shared {
    log: Mutex<Log>,
    changed: Condvar,
}

#[derive(Default)]
struct Log {
    lines: Vec<Line>,
    ended: usize,
    exit: Option<ExitStatus>,
}

struct Line {
    source: Source,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Stdout,
    Stderr,
}

impl Shared {
    /// Starts threads that read the output and end with the program.
    fn watching(mut child: Child, input: Vec<u8>) -> Arc<Self> {
        let shared = Arc::new(Self::default());
        let (stdout, stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let stdin = child.stdin.take();
        let (out, err, end) = (shared.clone(), shared.clone(), shared.clone());
        thread::spawn(move || out.collect(Source::Stdout, stdout));
        thread::spawn(move || err.collect(Source::Stderr, stderr));
        // A program that does not read its input has its reasons.
        thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
        thread::spawn(move || {
            let status = child.wait().expect("a child can be waited for");
            end.change(|log| log.exit = Some(status));
        });
        shared
    }

    fn collect(&self, source: Source, from: impl Read) {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            self.change(|log| log.lines.push(Line { source, text }));
            line.clear();
        }
        self.change(|log| log.ended += 1);
    }

    fn change(&self, how: impl FnOnce(&mut Log)) {
        how(&mut self.lock());
        self.changed.notify_all();
    }

    fn wait(&self, time_limit: Duration, until: impl Fn(&Log) -> bool) -> MutexGuard<'_, Log> {
        self.changed.wait_timeout_while(self.lock(), time_limit, |log| !until(log)).expect("no thread panics").0
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no thread panics")
    }
}

impl Log {
    /// Nothing more will come.
    fn is_complete(&self) -> bool {
        self.exit.is_some() && self.ended == 2
    }

    fn text(&self, source: Source) -> String {
        self.lines.iter().filter(|line| line.source == source).map(|line| format!("{}\n", line.text)).collect()
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "    {:?}: {}", line.source, line.text)?;
        }
        match self.exit {
            Some(status) => writeln!(f, "    {status}"),
            None => writeln!(f, "    still running"),
        }
    }
}
