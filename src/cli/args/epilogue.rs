//! The end of the help: exit statuses, environment variables and units, which all commands share.

use crate::proto::refusal::TABLE;

/// Returns the text, with one line for each kind of refusal from its table.
pub(super) fn text() -> String {
    let mut rows: Vec<_> = TABLE.iter().filter(|row| row.exit > LAST_GENERIC_STATUS).collect();
    rows.sort_by_key(|row| row.exit);
    let refusals: String = rows.iter().map(|row| format!("\n  {}  {}", row.exit, row.sentence)).collect();
    format!(
        "Exit status, the same in every version (`devstream ssh` exits with that of `ssh`):\n  \
         0   success\n  1   failure\n  2   invalid command line, or a port that cannot be opened{refusals}\n\n\
         Environment, besides the variables of the flags:\n  \
         DEVSTREAM_LOG  log filter, finer than -v and -q: a level, or TARGET=LEVEL,...\n  \
         NO_COLOR       disables colours on a terminal\n\n\
         Units, in the values of flags:\n  \
         DURATION  90s, 30m, 12h, 7d or '1h 30m'\n  \
         SECONDS   a number of seconds such as 1.5, or a duration\n  \
         SIZE      500K, 64MiB or 1.5G are powers of 1024, 64MB is decimal; without a unit, bytes"
    )
}

/// The last status that is not specific to one kind of refusal.
const LAST_GENERIC_STATUS: u8 = 2;
