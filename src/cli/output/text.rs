//! Results on standard output, and messages on standard error.

use std::borrow::Cow;
use std::io::{self, Write as _};
use std::sync::OnceLock;

use tracing::Level;

use super::format::format_columns;
use super::hub_command::with_state_dir;
use super::{logging, stderr};
use crate::proto::refusal::sanitize;

/// The first error of standard output, for [`finish`].
static OUTPUT_ERROR: OnceLock<io::Error> = OnceLock::new();

/// Prints a result on standard output. An error shows at the end of the command.
pub(in crate::cli) fn print(text: &str) {
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    record(write!(io::stdout().lock(), "{}{newline}", printable(text)));
}

/// Prints one line, whatever it has in it.
pub(in crate::cli) fn print_line(line: &str) {
    print(&line.chars().map(sanitize).collect::<String>());
}

/// Replaces what terminals act on, but for the ends of lines: names, reasons and links come from the hub and from files.
pub(in crate::cli) fn printable(text: &str) -> Cow<'_, str> {
    let shown = |c| if matches!(c, '\n' | '\t') { c } else { sanitize(c) };
    if text.chars().all(|c| shown(c) == c) { text.into() } else { text.chars().map(shown).collect() }
}

/// Flushes standard output, and returns its first error since the start.
pub(in crate::cli) fn finish() -> Result<(), OutputError> {
    record(io::stdout().lock().flush());
    OUTPUT_ERROR.get().map_or(Ok(()), |error| Err(OutputError(error.to_string())))
}

fn record(written: io::Result<()>) {
    if let Err(error) = harmless_if_closed(written) {
        let _ = OUTPUT_ERROR.set(error);
    }
}

/// Takes a pipe whose reader has closed its end for success: `head` closes it.
pub(in crate::cli) fn harmless_if_closed(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// An error of standard output: what was printed is not where it should be.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
pub(in crate::cli) struct OutputError(String);

impl From<io::Error> for OutputError {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Prints a message on standard error, unless -q is given.
pub(in crate::cli) fn eprint(text: &str) {
    write_message(Level::INFO, "devstream", text, text);
}

/// Prints a message that -q does not silence: a warning, or a question.
pub(in crate::cli) fn warning(text: &str) {
    write_message(Level::WARN, "devstream", text, text);
}

/// Prints a role's message, unless -q is given.
pub(in crate::cli) fn role_message(role: &str, text: &str) {
    write_message(Level::INFO, role, text, &format!("{}{role}: {text}", logging::line_start()));
}

/// Prints the reason why a command failed.
pub(in crate::cli) fn error(command: &str, text: &str) {
    write_message(Level::ERROR, command, text, &format!("{command}: {text}"));
}

/// Writes the message as JSON or the line as text, in order with the log.
fn write_message(level: Level, target: &str, message: &str, line: &str) {
    if !logging::is_wanted(level) {
        return;
    }
    let (message, line) = (with_state_dir(message), with_state_dir(line));
    let json = logging::is_json().then(|| logging::json(level, target, &message, serde_json::Map::new()));
    stderr::write(format!("{}\n", printable(json.as_deref().unwrap_or(&line))).into_bytes());
}

/// Prints rows in columns under their names on standard output.
pub(in crate::cli) fn print_table(names: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    format_columns(names, rows.collect()).iter().for_each(|line| print_line(line));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_replaced_and_the_ends_of_lines_are_not() {
        assert_eq!(printable("a\tb\nü\n"), "a\tb\nü\n");
        assert_eq!(printable("\u{1b}[2J\r\u{9b}x\u{202e}"), "\u{fffd}[2J\u{fffd}\u{fffd}x\u{fffd}");
    }
}
