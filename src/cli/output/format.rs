//! Numbers, durations and rows as a person reads them.

use std::time::Duration;

/// Formats rows in columns under their names, a line each.
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

/// Formats a number of bytes in binary units.
pub(in crate::cli) fn format_bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

/// Formats a duration: to a tenth of a second below a minute, in one coarse unit above.
pub(in crate::cli) fn format_duration(time: Duration) -> String {
    if time < Duration::from_secs(60) {
        return format!("{:.1} s", time.as_secs_f64());
    }
    indicatif::HumanDuration(time).to_string()
}
