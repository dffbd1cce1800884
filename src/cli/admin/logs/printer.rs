//! Prints lines of the log.

use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write as _};

use crate::cli::output::{harmless_if_closed, printable};
use crate::hub::activity::Line;

/// The write buffer in bytes: without one, a system call per line would take most of the time.
const WRITE_BUFFER: usize = 64 * 1024;

/// How a line is printed.
#[derive(Debug, Clone, Copy)]
enum Style {
    /// As in the file.
    Json,
    /// With all fields, for scripts that read text.
    Fields,
    /// For a person at a terminal.
    Sentences,
}

/// The printer of lines.
pub(super) struct LinePrinter {
    style: Style,
    /// The number of printed lines.
    pub(super) printed: usize,
    out: BufWriter<Stdout>,
}

impl LinePrinter {
    /// Prints to standard output.
    pub(super) fn new(json: bool) -> Self {
        let style = match (json, io::stdout().is_terminal()) {
            (true, _) => Style::Json,
            (false, true) => Style::Sentences,
            (false, false) => Style::Fields,
        };
        Self { style, printed: 0, out: BufWriter::with_capacity(WRITE_BUFFER, io::stdout()) }
    }

    /// Prints a line, after the hub that it is from, padded to this width. Returns false once the reader has closed its
    /// end.
    pub(super) fn print(&mut self, line: &Line, hub: Option<&str>, width: usize) -> io::Result<bool> {
        let text = match self.style {
            Style::Json => Some(line.json().to_owned()),
            Style::Fields => Some(line.text()),
            Style::Sentences => line.sentence(),
        };
        let Some(text) = text else { return Ok(true) };
        let text = match hub {
            None => text,
            Some(hub) if matches!(self.style, Style::Json) => with_hub(&text, hub),
            Some(hub) => format!("{hub:<width$}  {text}"),
        };
        self.printed += 1;
        let written = writeln!(self.out, "{}", printable(&text));
        Self::is_open(written)
    }

    /// Writes what is buffered. Returns false once the reader has closed its end.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        Self::is_open(self.out.flush())
    }

    /// Decides whether an error of standard output is one. What is still buffered would fail again.
    fn is_open(written: io::Result<()>) -> io::Result<bool> {
        if written.is_ok() { Ok(true) } else { harmless_if_closed(written).map(|()| false) }
    }
}

/// Puts the hub before the other fields of a JSON line.
fn with_hub(json: &str, hub: &str) -> String {
    match json.strip_prefix('{') {
        Some(fields) => format!(r#"{{"hub":{},{fields}"#, serde_json::Value::from(hub)),
        None => json.to_owned(),
    }
}
