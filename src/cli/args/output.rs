//! The flag of commands that print a table.

use clap::Args;

#[derive(Debug, Clone, Copy, Args)]
pub(in crate::cli) struct OutputArgs {
    /// Print JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
