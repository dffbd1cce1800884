//! What is written to a person's terminal, and the units it is written in.

use std::io::Write as _;
use std::time::Duration;

use tracing::Level;

use super::{logging, stderr};

/// What was asked for, on standard output. A reader that has gone away is no error.
pub(super) fn print(text: &str) {
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    let _ = write!(std::io::stdout().lock(), "{text}{newline}");
}

/// Everything else, on standard error.
pub(super) fn eprint(text: &str) {
    write_message(Level::INFO, "devstream", text, text);
}

/// What a role says whatever -q and -v ask for.
pub(super) fn role_message(role: &str, text: &str) {
    write_message(Level::INFO, role, text, &format!("{role}: {text}"));
}

/// Why a command failed.
pub(super) fn error(command: &str, text: &str) {
    write_message(Level::ERROR, command, text, &format!("{command}: {text}"));
}

/// For a program or for a person, after whatever was logged before.
fn write_message(level: Level, target: &str, message: &str, line: &str) {
    let json = logging::is_json().then(|| logging::json(level, target, message, serde_json::Map::new()));
    stderr::write(format!("{}\n", json.as_deref().unwrap_or(line)).into_bytes());
}

/// Rows in columns under their names, on standard output.
pub(super) fn print_table(names: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    format_columns(names, rows.collect()).iter().for_each(|line| print(line));
}

/// Rows in columns under their names, a line each.
pub(super) fn format_columns(names: &[&str], rows: Vec<Vec<String>>) -> Vec<String> {
    let head = names.iter().map(ToString::to_string).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..names.len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A number of bytes in binary units.
pub(super) fn format_bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

/// A length of time, to the tenth of a second where that says something.
pub(super) fn format_duration(time: Duration) -> String {
    if time < Duration::from_secs(60) {
        return format!("{:.1} s", time.as_secs_f64());
    }
    indicatif::HumanDuration(time).to_string()
}
