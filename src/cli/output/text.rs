//! Results on standard output, and messages on standard error.

use std::io::Write as _;

use tracing::Level;

use super::format::format_columns;
use super::{logging, stderr};

/// Prints a result on standard output. A reader that has closed its end is no error.
pub(in crate::cli) fn print(text: &str) {
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    let _ = write!(std::io::stdout().lock(), "{text}{newline}");
}

/// Prints a message on standard error.
pub(in crate::cli) fn eprint(text: &str) {
    write_message(Level::INFO, "devstream", text, text);
}

/// Prints a role's message, regardless of -q and -v.
pub(in crate::cli) fn role_message(role: &str, text: &str) {
    write_message(Level::INFO, role, text, &format!("{role}: {text}"));
}

/// Prints the reason why a command failed.
pub(in crate::cli) fn error(command: &str, text: &str) {
    write_message(Level::ERROR, command, text, &format!("{command}: {text}"));
}

/// Writes the message as JSON or the line as text, in order with the log.
fn write_message(level: Level, target: &str, message: &str, line: &str) {
    let json = logging::is_json().then(|| logging::json(level, target, message, serde_json::Map::new()));
    stderr::write(format!("{}\n", json.as_deref().unwrap_or(line)).into_bytes());
}

/// Prints rows in columns under their names on standard output.
pub(in crate::cli) fn print_table(names: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    format_columns(names, rows.collect()).iter().for_each(|line| print(line));
}
