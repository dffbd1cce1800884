//! The join link that a person pastes: on standard input, since arguments are visible to every user of the machine.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use anyhow::{Context as _, anyhow};

use super::{Failure, output};
use crate::proto::text;

/// The limit on standard input; links are far shorter.
const LINK_BYTES: u64 = 4096;

/// Reads a link from standard input; at a terminal, asks for it. `next` says where there is one.
pub(super) fn read(ask: &str, next: &str) -> Result<String, Failure> {
    let (mut typed, mut input) = (Vec::new(), io::stdin().lock().take(LINK_BYTES));
    let read = if io::stdin().is_terminal() {
        output::warning(ask);
        input.read_until(b'\n', &mut typed)
    } else {
        input.read_to_end(&mut typed)
    };
    read.context("cannot read the join link from standard input")?;
    if typed.trim_ascii().is_empty() {
        return Err(Failure::Usage(anyhow!("no link on standard input; {next}")));
    }
    Ok(text::decode(&typed).context("the join link on standard input is not text")?)
}

/// Returns the link, also from the whole command that a hub prints.
pub(super) fn extract(typed: &str) -> &str {
    let typed = typed.trim();
    let typed = typed.strip_prefix("devstream join").unwrap_or(typed).trim();
    typed.trim_matches(['\'', '"'])
}
