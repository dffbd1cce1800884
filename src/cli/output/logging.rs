//! Log events on standard error: one line each after the role's name, or one JSON object each.

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use clap::ValueEnum;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::stderr;
use crate::net::os::clock::{self, now_rfc3339};
use crate::proto::text;

/// The format of messages on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// One line of text each
    Text,
    /// One JSON object each, with time, level, target, message and fields
    Json,
}

/// The chosen format, set when logging starts.
static FORMAT: OnceLock<Format> = OnceLock::new();

/// The command of a proxy that `ssh` has started, for the person who did not.
pub(in crate::cli) const UNDER_SSH: &str = "devstream";

/// What else was chosen, set with it.
static STYLE: OnceLock<Style> = OnceLock::new();

/// The style of messages as text.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::cli) struct Style {
    /// Warnings and errors only.
    pub(in crate::cli) quiet: bool,
    /// Each line begins with the time.
    pub(in crate::cli) with_times: bool,
    /// The source of the messages of all roles.
    pub(in crate::cli) command: &'static str,
}

/// Reports whether a message of this level is wanted; before logging starts, every one is.
pub(super) fn is_wanted(level: Level) -> bool {
    level <= Level::WARN || !style().quiet
}

/// Returns the beginning of a line of text: the time, if it is wanted.
pub(super) fn line_start() -> String {
    if style().with_times { format!("{}  ", clock::now_utc()) } else { String::new() }
}

fn style() -> Style {
    STYLE.get().copied().unwrap_or_default()
}

/// Returns the log filter: `DEVSTREAM_LOG` (a level, or `TARGET=LEVEL,…`), else the level of -v and -q.
pub(in crate::cli) fn filter(verbosity: i8) -> anyhow::Result<Targets> {
    let level = match verbosity {
        ..0 => Level::WARN,
        0 => Level::INFO,
        1 => Level::DEBUG,
        _ => Level::TRACE,
    };
    match std::env::var_os("DEVSTREAM_LOG").filter(|text| !text.is_empty()) {
        Some(text) => parse_filter(&text.to_string_lossy()),
        // What NATS's client says of its connection, the hub says in words of its own.
        None => Ok(Targets::new().with_default(level).with_target("async_nats", level.min(Level::WARN))),
    }
}

/// Rejects a lone word that is no level: `Targets` would take it for a target and log nothing else.
fn parse_filter(text: &str) -> anyhow::Result<Targets> {
    let has_level = |part: &str| part.contains('=') || part.trim().parse::<LevelFilter>().is_ok();
    let filter = text.parse().ok().filter(|_| text.split(',').all(has_level));
    filter.with_context(|| {
        format!(
            "invalid DEVSTREAM_LOG '{text}': expected a level (off, error, warn, info, debug, trace) or TARGET=LEVEL,…"
        )
    })
}

/// Starts logging.
pub(in crate::cli) fn start(filter: Targets, format: Format, style: Style) {
    let _ = (FORMAT.set(format), STYLE.set(style));
    let lines = tracing_subscriber::fmt::layer().event_format(format).with_writer(|| Stderr);
    if tracing_subscriber::registry().with(lines).with(filter).try_init().is_err() {
        stderr::write(b"devstream: warning: logging could not be started\n".to_vec());
    }
}

/// Nothing but errors is logged from here on.
static MUTED: AtomicBool = AtomicBool::new(false);

/// Drops what is logged from here on, but for errors.
pub(in crate::cli) fn mute() {
    MUTED.store(true, Ordering::Relaxed);
}

/// Reports whether messages are JSON objects.
pub(super) fn is_json() -> bool {
    FORMAT.get() == Some(&Format::Json)
}

/// Formats a message as a JSON object, without a newline.
pub(super) fn json(level: Level, target: &str, message: &str, fields: Map<String, Value>) -> String {
    let level = level.as_str();
    json!({ "time": now_rfc3339(), "level": level, "target": target, "message": message, "fields": fields }).to_string()
}

/// Words the warning about messages that the queue dropped, with its newline.
pub(super) fn dropped_notice(dropped: u64) -> String {
    let message = format!("{} dropped: standard error was not read", text::count(dropped, "message"));
    if is_json() {
        return json(Level::WARN, "devstream", &message, Map::new()) + "\n";
    }
    format!("devstream: warning: {message}\n")
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        if MUTED.load(Ordering::Relaxed) && *metadata.level() > Level::ERROR {
            return Ok(());
        }
        if *self == Self::Json {
            let mut visitor = EventFields::default();
            event.record(&mut visitor);
            return writeln!(
                writer,
                "{}",
                json(*metadata.level(), metadata.target(), &visitor.message, visitor.fields)
            );
        }
        // `role: message key=value`, with the level unless it is info.
        write!(writer, "{}{}: ", line_start(), source(metadata))?;
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

/// Returns what a message comes from, for a person: a module's name says something to a developer, who asks for details.
fn source(metadata: &Metadata<'static>) -> &'static str {
    let (is_module, command) = (metadata.target().contains("::"), style().command);
    let is_for_people = *metadata.level() <= Level::INFO;
    if is_for_people && (is_module || command == UNDER_SSH) { command } else { metadata.target() }
}

/// The visitor that collects an event's message and its other fields.
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

/// The writer of one event to standard error.
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
