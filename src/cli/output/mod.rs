//! Everything the program writes: results on standard output; messages, logs and the live table of streams on standard
//! error.
//!
//! In: text, log events and the events of streams. Out: lines for a person, or one JSON object per message. A role's
//! messages go through a queue and a thread of their own, so that a stopped terminal never blocks a stream.

pub(super) mod advice;
mod format;
mod hub_command;
pub(super) mod logging;
mod question;
pub(super) mod ssh_banner;
mod stderr;
pub(super) mod stdio;
pub(super) mod stream_monitor;
mod text;

pub(super) use self::format::{format_bytes, format_duration};
pub(super) use self::hub_command::{name_state_dir, with_state_dir};
pub(super) use self::question::{Confirmation, can_ask, confirm};
pub(super) use self::stderr::Guard;
use self::stream_monitor::Table;
pub(super) use self::text::{
    OutputError, eprint, error, finish, harmless_if_closed, print, print_line, print_table, printable, role_message,
    warning,
};

/// Queues the messages of a role from here on, and writes them above its table. Commands that end by themselves write
/// directly.
pub(super) fn start(is_role: bool, table: Option<Table>) -> Option<Guard> {
    let sink = move |message: &[u8]| match &table {
        Some(table) => table.above(|| stderr::write_now(message)),
        None => stderr::write_now(message),
    };
    if is_role { stderr::start(sink, logging::dropped_notice) } else { None }
}
