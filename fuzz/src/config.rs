//! The configuration file: every mistake has its place in the text, and TOML that is none is one.

use devstream::cli::config_errors;

use super::input::text;

pub fn check(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let found = config_errors(text);
    assert_eq!(found, config_errors(text), "the same file, the same mistakes");
    let is_toml = toml::from_str::<toml::Table>(text).is_ok();
    assert!(is_toml || !found.is_empty(), "taken, and yet no TOML");
    for mistake in &found {
        place(text, mistake);
    }
}

/// `config.toml:LINE:COLUMN: words`, in characters and from one.
fn place(text: &str, mistake: &str) {
    let mut parts = mistake.splitn(4, ':');
    assert_eq!(parts.next(), Some("config.toml"), "{mistake}");
    let mut number = || parts.next().and_then(|number| number.parse::<usize>().ok()).expect("a place");
    let (line, column) = (number(), number());
    let words = parts.next().expect("and what is wrong there");
    assert!(words.len() > 1 && line >= 1 && column >= 1, "{mistake}");
    // The end of the file is a place too.
    let lines: Vec<&str> = text.split('\n').collect();
    let there = lines.get(line - 1).unwrap_or_else(|| panic!("{mistake}: there is no such line"));
    assert!(column <= there.chars().count() + 1, "{mistake}: there is no such column");
}
