//! A program whose standard error is a terminal.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize};

use super::machine::Machine;
use super::poll;

const LINES: u16 = 24;
const COLUMNS: u16 = 120;

/// Lines that are kept after they have scrolled out: more than any test writes.
const SCROLLBACK: usize = 1000;

/// Killed when dropped.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Starts a shell script on it that has job control.
    pub(crate) fn start_shell(machine: &Machine, script: &str) -> Self {
        // setsid takes the terminal of its standard input.
        let script = format!("exec setsid --ctty sh -c 'set -m; {script}' <&2 >&2");
        Self::start(machine.command("sh").args(["-c", &script]))
    }

    /// Starts a program on it.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_in(command, false)
    }

    /// Starts a program on it in raw mode, as `ssh` sets it.
    pub(crate) fn start_raw(command: &mut Command) -> Self {
        Self::start_in(command, true)
    }

    fn start_in(command: &mut Command, raw: bool) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&keyboard).and_then(|()| unlockpt(&keyboard)).expect("a terminal");
        let size = Winsize { ws_row: LINES, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        let name = ptsname(&keyboard, Vec::new()).expect("a terminal has a name").into_string().expect("in ASCII");
        let line = OpenOptions::new().read(true).write(true).open(name).expect("a terminal");
        tcsetwinsize(&line, size).expect("a terminal has a size");
        if raw {
            let mut modes = tcgetattr(&line).expect("a terminal has modes");
            modes.make_raw();
            tcsetattr(&line, OptionalActions::Now, &modes).expect("a terminal takes modes");
        }
        let command = command.env("TERM", "xterm").stdin(Stdio::null()).stdout(Stdio::null()).stderr(line);
        let child = command.spawn().expect("the program starts");
        let screen = Arc::new(Mutex::new(vt100::Parser::new(LINES, COLUMNS, SCROLLBACK)));
        let shown = screen.clone();
        let keyboard = File::from(keyboard);
        let output = keyboard.try_clone().expect("a file can be duplicated");
        // Ends with the last program that has the terminal.
        thread::spawn(move || show(output, &shown));
        Self { child, keyboard, screen }
    }

    /// Changes its width.
    pub(crate) fn resize(&self, columns: u16) {
        let size = Winsize { ws_row: LINES, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        self.screen.lock().expect("nothing panics").screen_mut().set_size(LINES, columns);
        tcsetwinsize(&self.keyboard, size).expect("a terminal has a size");
    }

    /// Changes its height.
    pub(crate) fn resize_lines(&self, lines: u16) {
        let size = Winsize { ws_row: lines, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        self.screen.lock().expect("nothing panics").screen_mut().set_size(lines, COLUMNS);
        tcsetwinsize(&self.keyboard, size).expect("a terminal has a size");
    }

    /// The lines that have scrolled out of it.
    pub(crate) fn scrolled(&self) -> String {
        let mut parser = self.screen.lock().expect("nothing panics");
        parser.screen_mut().set_scrollback(usize::MAX);
        let count = parser.screen().scrollback();
        let mut lines = Vec::new();
        for back in (1..=count).rev() {
            parser.screen_mut().set_scrollback(back);
            lines.extend(parser.screen().rows(0, COLUMNS).next());
        }
        parser.screen_mut().set_scrollback(0);
        lines.join("\n")
    }

    /// Makes it narrower as tmux does: what is too long is wrapped, with the empty lines below it kept, and the first lines go
    /// to the history. Returns those.
    pub(crate) fn narrow_as_tmux(&self, columns: u16) -> Vec<String> {
        let size = Winsize { ws_row: LINES, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let mut parser = self.screen.lock().expect("nothing panics");
        let (mut lines, mut cursor) = (Vec::new(), 0);
        for (index, row) in parser.screen().rows(0, COLUMNS).enumerate() {
            if index == usize::from(parser.screen().cursor_position().0) {
                cursor = lines.len();
            }
            let cells: Vec<char> = row.trim_end().chars().collect();
            let wrapped = cells.chunks(columns.into()).map(|cells| cells.iter().collect::<String>());
            lines.extend(wrapped.chain(cells.is_empty().then(String::new)));
        }
        let history: Vec<_> = lines.drain(..lines.len().saturating_sub(LINES.into())).collect();
        *parser = vt100::Parser::new(LINES, columns, 0);
        parser.process(lines.join("\r\n").as_bytes());
        let cursor = cursor.saturating_sub(history.len()) + 1;
        parser.process(format!("\x1b[{cursor};1H").as_bytes());
        drop(parser);
        tcsetwinsize(&self.keyboard, size).expect("a terminal has a size");
        history
    }

    /// Types this.
    pub(crate) fn type_keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// The terminal's current screen.
    pub(crate) fn screen(&self) -> String {
        let parser = self.screen.lock().expect("nothing panics");
        parser.screen().rows(0, COLUMNS).collect::<Vec<_>>().join("\n")
    }

    /// The line with all of this on it, once it is there.
    pub(crate) fn wait_line(&self, parts: &[&str]) -> String {
        let fits = |line: &&str| parts.iter().all(|part| line.contains(part));
        poll(&format!("{parts:?}"), || self.screen().lines().find(fits).map(str::to_owned))
    }

    /// Interrupts the program, as Ctrl-C does.
    pub(crate) fn interrupt_once(&self) {
        let line = format!("kill -s INT {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &line]).status().is_ok_and(|status| status.success()));
    }

    /// Ends the program with a Ctrl-C, and waits until it has.
    pub(crate) fn interrupt(&mut self) -> Option<i32> {
        self.interrupt_once();
        poll("its end", || self.child.try_wait().expect("it is our child")).code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            #[expect(clippy::print_stderr, reason = "the harness shows it with the failure")]
            let () = eprintln!("--- on the terminal\n{}", self.screen());
        }
    }
}

fn show(mut from: File, screen: &Mutex<vt100::Parser>) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        screen.lock().expect("nothing panics").process(&bytes[..count]);
    }
}
