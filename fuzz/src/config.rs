//! The configuration file: every error has a valid position in the text, and invalid TOML is an error.

use devstream::cli::config_errors;

use super::input::text;

pub fn check(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let found = config_errors(text);
    assert_eq!(found, config_errors(text), "the same file, other errors");
    let is_toml = toml::from_str::<toml::Table>(text).is_ok();
    assert!(is_toml || !found.is_empty(), "accepted, and no TOML");
    for error in &found {
        position(text, error);
    }
}

/// Checks a position: `config.toml:LINE:COLUMN: message`, in characters, from one.
fn position(text: &str, error: &str) {
    let mut parts = error.splitn(4, ':');
    assert_eq!(parts.next(), Some("config.toml"), "{error}");
    let mut number = || parts.next().and_then(|number| number.parse::<usize>().ok()).expect("a position");
    let (line, column) = (number(), number());
    let message = parts.next().expect("a message");
    assert!(message.len() > 1 && line >= 1 && column >= 1, "{error}");
    // The end of the file is a valid position.
    let lines: Vec<&str> = text.split('\n').collect();
    let there = lines.get(line - 1).unwrap_or_else(|| panic!("{error}: no such line"));
    assert!(column <= there.chars().count() + 1, "{error}: no such column");
}
