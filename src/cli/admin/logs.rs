//! `devstream hub logs`: the activity log, whether or not the hub runs.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;

use crate::cli::Failure;
use crate::cli::args::Logs;
use crate::cli::output::{self, OutputError, harmless_if_closed, printable, stdio};
use crate::hub::activity::{History, Line};
use crate::hub::state::{activity_log, admin_socket};
use crate::net::os::clock;
use crate::net::os::local_socket;
use crate::net::os::owner::explain;
use crate::proto::admin::{AdminRequest, AdminResponse, LogFilter};
use crate::proto::id::{Principal, Role};

/// The entries that --follow starts with, as `tail` does.
const LAST_LINES: usize = 10;

/// The polling interval of --follow: fast enough for a person, and no load for the machine.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The write buffer in bytes: without one, a system call per line would take most of the time.
const WRITE_BUFFER: usize = 64 * 1024;

pub(in crate::cli) async fn run(logs: &Logs, state: &Path) -> Result<(), Failure> {
    let path = activity_log(state);
    let cannot = |error: io::Error| {
        Failure::Other(anyhow!(
            "cannot read the activity log {}: {}",
            path.display(),
            if error.kind() == io::ErrorKind::NotFound {
                format!("{error}; check that a hub has run here")
            } else {
                explain(&error, &path)
            }
        ))
    };
    let since = logs.since.map(|age| clock::now_utc().before(age));
    let filter = LogFilter { device: logs.device.clone(), service: logs.service.clone(), since };
    let (last, reader) = if logs.follow && since.is_none() {
        History::open_at_end(&path, filter, LAST_LINES).map_err(cannot)?
    } else {
        (Vec::new(), History::open(&path, filter).map_err(cannot)?)
    };
    let style = match (logs.json, io::stdout().is_terminal()) {
        (true, _) => Style::Json,
        (false, true) => Style::Sentences,
        (false, false) => Style::Fields,
    };
    let mut printer = LinePrinter { style, printed: 0, out: BufWriter::with_capacity(WRITE_BUFFER, io::stdout()) };
    let failed = |error| match error {
        PrintError::Log(error) => cannot(error),
        PrintError::Output(error) => Failure::Other(OutputError::from(error).into()),
    };
    let mut has_more = printer.print(last.into_iter().map(Ok)).map_err(failed)?;
    let mut reader = RemainingLines(reader);
    while has_more {
        has_more = printer.print(&mut reader).map_err(failed)? && logs.follow && !stdio::is_closed();
        if has_more {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
    if printer.printed == 0 && !logs.follow {
        output::eprint(&nothing_logged(logs, state).await);
    }
    tracing::debug!(target: "hub", "read {} bytes of the activity log", reader.0.bytes_read());
    Ok(())
}

/// Words that nothing matches, and whether the hub knows the identity at all, if it runs.
async fn nothing_logged(logs: &Logs, state: &Path) -> String {
    let device = logs.device.clone().map(|id| Principal { role: Role::Device, id: id.into() });
    let service = logs.service.clone().map(|id| Principal { role: Role::Service, id: id.into() });
    let asked: Vec<_> = device.into_iter().chain(service).collect();
    let mut unknown = Vec::new();
    for principal in &asked {
        let request = AdminRequest::ShowIdentity { principal: principal.clone() };
        if let Ok(AdminResponse::Failed { reason }) = local_socket::request(&admin_socket(state), &request).await {
            unknown.push(format!("; {reason}"));
        }
    }
    let about = asked.iter().map(Principal::to_string).collect::<Vec<_>>().join(" and ");
    let about = if about.is_empty() { about } else { format!(" about {about}") };
    let since = if logs.since.is_some() { " in that time" } else { "" };
    format!("nothing is logged{about}{since}{}", unknown.concat())
}

/// The lines that are in the log now.
struct RemainingLines(History);

impl Iterator for RemainingLines {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next_line().transpose()
    }
}

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
struct LinePrinter<W: Write> {
    style: Style,
    printed: usize,
    out: BufWriter<W>,
}

impl<W: Write> LinePrinter<W> {
    /// Prints all lines. Returns false once the reader has closed its end.
    fn print(&mut self, lines: impl Iterator<Item = io::Result<Line>>) -> Result<bool, PrintError> {
        for line in lines {
            let line = line.map_err(PrintError::Log)?;
            let text = match self.style {
                Style::Json => Some(line.json().to_owned()),
                Style::Fields => Some(line.text()),
                Style::Sentences => line.sentence(),
            };
            let Some(text) = text else { continue };
            self.printed += 1;
            let written = writeln!(self.out, "{}", printable(&text));
            if written.is_err() {
                return self.closed(written);
            }
        }
        let flushed = self.out.flush();
        if flushed.is_err() { self.closed(flushed) } else { Ok(true) }
    }

    /// Decides whether an error of standard output is one. What is still buffered would fail again.
    fn closed(&mut self, written: io::Result<()>) -> Result<bool, PrintError> {
        harmless_if_closed(written).map(|()| false).map_err(PrintError::Output)
    }
}

/// Why lines could not be printed.
enum PrintError {
    /// The log could not be read.
    Log(io::Error),
    /// Standard output could not be written.
    Output(io::Error),
}
