//! Reading the file, and saying where each mistake in it is.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::Path;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command};
use toml::Spanned;
use toml::de::{DeInteger, DeString, DeTable, DeValue};

use super::{SECTIONS, settings, without_environment};

/// Every setting that there is fits many times.
const FILE_BYTES: u64 = 1024 * 1024;

/// One key with its values, as they would be typed.
pub(super) struct Setting {
    /// The section.
    pub(super) section: &'static str,
    /// The long flag.
    pub(super) key: String,
    /// One, or any number where the flag may be repeated.
    pub(super) values: Vec<String>,
}

/// A sentence about a place in the text.
type Mistake = (Range<usize>, String);

/// Everything in the file, or every mistake in it. None if there is no file and there need not be.
pub(super) fn load(command: &Command, path: &Path, optional: bool) -> Result<Option<Vec<Setting>>, Vec<String>> {
    let text = match read(path) {
        Err(error) if optional && error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| vec![format!("{}: cannot be read: {error}", path.display())])?,
    };
    parse(command, path, &text).map(Some)
}

/// Everything in the text of this file, or every mistake in it.
pub(super) fn parse(command: &Command, path: &Path, text: &str) -> Result<Vec<Setting>, Vec<String>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut mistakes: Vec<Mistake> =
        errors.iter().map(|error| (error.span().unwrap_or_default(), error.message().to_owned())).collect();
    let mut settings = Vec::new();
    // What could not be parsed was left out, and would be reported as something else.
    if mistakes.is_empty() {
        for (name, content) in document.get_ref() {
            section(command, name, content, &mut settings, &mut mistakes);
        }
    }
    mistakes.sort_by_key(|(place, _)| place.start);
    if mistakes.is_empty() {
        return Ok(settings);
    }
    Err(mistakes.iter().map(|(place, words)| at(path, text, place.start, words)).collect())
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES {
        return Err(io::Error::other(format!("longer than {FILE_BYTES} bytes")));
    }
    Ok(text)
}

fn section(
    command: &Command,
    name: &Spanned<DeString<'_>>,
    content: &Spanned<DeValue<'_>>,
    into: &mut Vec<Setting>,
    mistakes: &mut Vec<Mistake>,
) {
    let known = SECTIONS.into_iter().find(|section| section == name.get_ref());
    let (Some(section), Some(table)) = (known, content.get_ref().as_table()) else {
        let sections = SECTIONS.map(|section| format!("[{section}]")).join(" ");
        let words = match content.get_ref().as_table() {
            Some(_) => format!("there is no section [{}]; there are {sections}", name.get_ref()),
            None => format!("'{}' stands in no section; there are {sections}", name.get_ref()),
        };
        return mistakes.push((name.span(), words));
    };
    for (key, value) in table {
        let Some(flag) = settings(command, section).find(|flag| flag.get_long() == Some(key.get_ref())) else {
            let keys: Vec<_> = settings(command, section).filter_map(Arg::get_long).collect();
            let words = format!("[{section}] has no key '{}'; it has {}", key.get_ref(), keys.join(", "));
            mistakes.push((key.span(), words));
            continue;
        };
        match values(command, section, flag, value) {
            Ok(values) => into.push(Setting { section, key: key.get_ref().clone().into_owned(), values }),
            Err(wrong) => mistakes.extend(wrong),
        }
    }
}

/// The values as they would be typed, each of which the flag takes.
fn values(
    command: &Command,
    section: &str,
    flag: &Arg,
    value: &Spanned<DeValue<'_>>,
) -> Result<Vec<String>, Vec<Mistake>> {
    let repeatable = matches!(flag.get_action(), ArgAction::Append);
    let one = || vec![(value.span(), text(value.get_ref()))];
    let (given, wanted) = match (value.get_ref(), flag.get_action()) {
        (DeValue::Boolean(on), ArgAction::SetTrue) => return Ok(if *on { vec!["true".into()] } else { Vec::new() }),
        (_, ArgAction::SetTrue) => (vec![(value.span(), None)], "true or false"),
        (DeValue::Array(items), _) if repeatable && items.is_empty() => {
            // To clap no value is the default, which is often everything: hardly what whoever wrote this meant.
            let key = flag.get_long().unwrap_or_default();
            let words = format!("{key} = [] names nothing; give at least one, or leave {key} out to have its default");
            return Err(vec![(value.span(), words)]);
        }
        (DeValue::Array(items), _) if repeatable => {
            (items.iter().map(|item| (item.span(), text(item.get_ref()))).collect(), "a string or a number")
        }
        _ if repeatable => (one(), "a string, a number, or an array of them"),
        _ => (one(), "a string or a number"),
    };
    let (mut values, mut mistakes) = (Vec::new(), Vec::new());
    for (place, text) in given {
        let key = flag.get_long().unwrap_or_default();
        match text.ok_or_else(|| format!("{key} takes {wanted}")).and_then(|text| accepted(command, section, key, text))
        {
            Ok(text) => values.push(text),
            Err(words) => mistakes.push((place, words)),
        }
    }
    if mistakes.is_empty() { Ok(values) } else { Err(mistakes) }
}

/// As it would be typed.
fn text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) => decimal(number),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn decimal(number: &DeInteger<'_>) -> Option<String> {
    i128::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
}

/// Asks the command line itself. What else is missing on it does not matter here.
fn accepted(command: &Command, section: &str, key: &str, text: String) -> Result<String, String> {
    let words = ["devstream", section, &format!("--{key}={text}")];
    match without_environment(command.clone()).try_get_matches_from(words) {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) => {
            Err(first_paragraph(&error))
        }
        _ => Ok(text),
    }
}

fn first_paragraph(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    let lines: Vec<_> = rendered.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let paragraph = lines.join(" ");
    paragraph.strip_prefix("error: ").unwrap_or(&paragraph).to_owned()
}

fn at(path: &Path, text: &str, offset: usize, words: impl Display) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("{}:{line}:{column}: {words}", path.display())
}
