//! Questions to the person at the terminal.

use std::io::{self, IsTerminal as _};

use anyhow::Context as _;

use super::warning;

/// What a person chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Choice {
    Yes,
    No,
    /// There is no terminal.
    Nobody,
}

/// Reports whether somebody can be asked.
pub(in crate::cli) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a question, to which the answer is no unless a person types yes.
pub(in crate::cli) fn ask(question: &str) -> anyhow::Result<Choice> {
    if !can_ask() {
        return Ok(Choice::Nobody);
    }
    warning(&format!("{question} [y/N]"));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    Ok(if matches!(answer.trim(), "y" | "Y" | "yes") { Choice::Yes } else { Choice::No })
}
