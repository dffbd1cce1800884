//! The file that `devstream config init` writes: every key, commented out, with the help of its flag and its default.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use clap::{Arg, ArgAction};

use super::{SECTIONS, settings};
use crate::cli::Failure;
use crate::hub::state::AtPath as _;

/// The width of comments.
const WIDTH: usize = 98;

/// Writes the file; over an existing one only with `force`.
pub(in crate::cli) fn write(path: &Path, force: bool) -> Result<(), Failure> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).at_path("cannot create", directory)?;
    }
    let mut options = OpenOptions::new();
    options.write(true);
    let options = if force { options.create(true).truncate(true) } else { options.create_new(true) };
    match options.open(path).and_then(|mut file| file.write_all(text().as_bytes())) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Failure::Usage(anyhow!("{} exists; overwrite it with --force", path.display())))
        }
        written => Ok(written.with_context(|| format!("cannot write {}", path.display()))?),
    }
}

/// Returns the content of the file.
pub fn text() -> String {
    let command = crate::cli::command();
    let mut text: String =
        include_str!("about.txt").split("\n\n").map(|paragraph| comment(paragraph) + "#\n").collect();
    text.truncate(text.len() - "#\n".len());
    for section in SECTIONS {
        text += &format!("\n[{section}]\n");
        settings(&command, section).for_each(|flag| text += &key(flag));
    }
    text
}

fn key(flag: &Arg) -> String {
    let help = flag.get_long_help().or(flag.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut meaning: String = help.split("\n\n").map(comment).collect();
    if let Some(name) = flag.get_env() {
        meaning += &comment(&format!("Environment: {}", name.to_string_lossy()));
    }
    format!("\n{meaning}#{} = {}\n", flag.get_long().unwrap_or_default(), value(flag))
}

/// Returns the default, or a placeholder for the value.
fn value(flag: &Arg) -> String {
    if matches!(flag.get_action(), ArgAction::SetTrue) {
        return "false".into();
    }
    let defaults = flag.get_default_values().iter().map(|value| literal(&value.to_string_lossy()));
    let defaults: Vec<_> = defaults.collect();
    let names = flag.get_value_names().unwrap_or_default().iter().map(|name| literal(name));
    let values = if defaults.is_empty() { names.collect() } else { defaults }.join(", ");
    if matches!(flag.get_action(), ArgAction::Append) { format!("[{values}]") } else { values }
}

fn literal(text: &str) -> String {
    if text.parse::<i64>().is_ok() { text.into() } else { toml::Value::from(text).to_string() }
}

/// Wraps a paragraph into lines of a comment.
fn comment(paragraph: &str) -> String {
    let mut lines = vec!["#".to_owned()];
    for word in paragraph.split_whitespace() {
        if lines.last().is_some_and(|line| line.chars().count() + word.chars().count() >= WIDTH) {
            lines.push("#".to_owned());
        }
        if let Some(line) = lines.last_mut() {
            *line += &format!(" {word}");
        }
    }
    lines.join("\n") + "\n"
}
