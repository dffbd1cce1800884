//! What the roles say as they run, on standard error: one line each, after the role's name.

use std::fmt;
use std::io::{self, Write};

use indicatif::MultiProgress;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

/// Starts logging. `DEVSTREAM_LOG` takes tracing's filter syntax for more than -v and -q can say.
pub(super) fn start(verbosity: i8, progress: Option<MultiProgress>) {
    let level = match verbosity {
        ..0 => "warn",
        0 => "info",
        1 => "debug",
        _ => "trace",
    };
    let filter = std::env::var("DEVSTREAM_LOG").ok().and_then(|text| EnvFilter::try_new(text).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new(level));
    let started =
        tracing_subscriber::fmt().with_env_filter(filter).event_format(Line).with_writer(Stderr(progress)).try_init();
    if started.is_err() {
        super::text::err("devstream: logging could not be started");
    }
}

/// `role: message key=value`, with the level where it is not the usual one.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        write!(writer, "{}: ", metadata.target())?;
        match *metadata.level() {
            Level::ERROR => writer.write_str("error: ")?,
            Level::WARN => writer.write_str("warning: ")?,
            Level::INFO => {}
            Level::DEBUG => writer.write_str("debug: ")?,
            Level::TRACE => writer.write_str("trace: ")?,
        }
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// Standard error, above any progress bars.
#[derive(Clone)]
struct Stderr(Option<MultiProgress>);

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Some(progress) => progress.suspend(|| io::stderr().write(bytes)),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl MakeWriter<'_> for Stderr {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}
