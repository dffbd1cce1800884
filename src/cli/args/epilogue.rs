//! What holds for every command: what its exit status and its environment mean.

use crate::proto::refusal::TABLE;

/// Its own words, then one line for each kind of refusal, from their table.
pub(super) fn text() -> String {
    let mut rows: Vec<_> = TABLE.iter().filter(|row| row.exit > LAST_GENERIC_STATUS).collect();
    rows.sort_by_key(|row| row.exit);
    let refusals: String = rows.iter().map(|row| format!("\n  {}  {}", row.exit, row.sentence)).collect();
    format!(
        "Exit status, which does not change from version to version (`devstream ssh` ends with that of `ssh`):\n  \
         0   done\n  1   failed\n  2   a wrong command line, or a port that cannot be opened{refusals}\n\n\
         Environment, beside what the flags name:\n  \
         DEVSTREAM_LOG  what is logged, where -v and -q do not say enough: a level, or TARGET=LEVEL,...\n  \
         NO_COLOR       no colours on a terminal; elsewhere there are none"
    )
}

/// The statuses up to this one are no refusal's own.
const LAST_GENERIC_STATUS: u8 = 2;
