//! What the roles say as they run, on standard error: one line each, after the role's name, or one JSON object each.

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;

use anyhow::Context as _;
use clap::ValueEnum;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::stderr;
use crate::net::os::clock::now_rfc3339;

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A line for a person
    Text,
    /// A JSON object with time, level, target, message and fields
    Json,
}

/// What was asked for, known once logging has started.
static FORMAT: OnceLock<Format> = OnceLock::new();

/// What is to be logged. `DEVSTREAM_LOG` says more than -v and -q can: a level, or `TARGET=LEVEL,…`.
pub(super) fn filter(verbosity: i8) -> anyhow::Result<Targets> {
    let level = match verbosity {
        ..0 => Level::WARN,
        0 => Level::INFO,
        1 => Level::DEBUG,
        _ => Level::TRACE,
    };
    match std::env::var_os("DEVSTREAM_LOG").filter(|text| !text.is_empty()) {
        Some(text) => parse_filter(&text.to_string_lossy()),
        None => Ok(Targets::new().with_default(level)),
    }
}

/// A word that is no level would be taken for a target, and nothing else be logged.
fn parse_filter(text: &str) -> anyhow::Result<Targets> {
    let says_level = |part: &str| part.contains('=') || part.trim().parse::<LevelFilter>().is_ok();
    let filter = text.parse().ok().filter(|_| text.split(',').all(says_level));
    filter.with_context(|| {
        format!(
            "DEVSTREAM_LOG takes a level (off, error, warn, info, debug, trace) or TARGET=LEVEL,…, and not '{text}'"
        )
    })
}

/// Starts logging.
pub(super) fn start(filter: Targets, format: Format) {
    let _ = FORMAT.set(format);
    let lines = tracing_subscriber::fmt::layer().event_format(format).with_writer(|| Stderr);
    if tracing_subscriber::registry().with(lines).with(filter).try_init().is_err() {
        super::output::eprint("devstream: logging could not be started");
    }
}

/// Whether every message is to be a JSON object.
pub(super) fn is_json() -> bool {
    FORMAT.get() == Some(&Format::Json)
}

/// A message as a JSON object, without a newline.
pub(super) fn json(level: Level, target: &str, message: &str, fields: Map<String, Value>) -> String {
    let level = level.as_str();
    json!({ "time": now_rfc3339(), "level": level, "target": target, "message": message, "fields": fields }).to_string()
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        if *self == Self::Json {
            let mut fields = EventFields::default();
            event.record(&mut fields);
            return writeln!(writer, "{}", json(*metadata.level(), metadata.target(), &fields.message, fields.fields));
        }
        // `role: message key=value`, with the level where it is not the usual one.
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

/// An event's message and its other fields.
#[derive(Default)]
struct EventFields {
    message: String,
    fields: Map<String, Value>,
}

impl EventFields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(message)) => self.message = message,
            (name, value) => drop(self.fields.insert(name.into(), value)),
        }
    }
}

impl Visit for EventFields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

/// Standard error, for one event.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        stderr::write(bytes.into());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
