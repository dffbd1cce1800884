//! Questions to the person at the terminal.

use std::io::{self, IsTerminal as _};

use anyhow::Context as _;

use super::warning;

/// The answer to a question whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Confirmation {
    Given,
    Denied,
    /// Nobody can be asked.
    NoTerminal,
}

/// Reports whether somebody can be asked.
pub(in crate::cli) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks whether to go on: not unless a person types yes.
pub(in crate::cli) fn confirm(question: &str) -> anyhow::Result<Confirmation> {
    if !can_ask() {
        return Ok(Confirmation::NoTerminal);
    }
    warning(&format!("{question} [y/N]"));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    Ok(if matches!(answer.trim(), "y" | "Y" | "yes") { Confirmation::Given } else { Confirmation::Denied })
}
