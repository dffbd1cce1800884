//! The parser of the file, which locates every error in it.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};
use toml::Spanned;
use toml::de::{DeInteger, DeString, DeTable, DeValue};

use super::{SECTIONS, settings, without_environment};
use crate::cli::profile::Profile;
use crate::net::os::owner::explain;
use crate::proto::text;

/// The table of sections for one profile.
const PROFILE: &str = "profile";

/// The limit on the file; all settings fit many times over.
const FILE_BYTES: u64 = 1024 * 1024;

/// A key with its values, as they would be typed.
#[derive(Clone)]
pub(super) struct Setting {
    /// The section.
    pub(super) section: &'static str,
    /// The long flag.
    pub(super) key: String,
    /// One value, or any number where the flag may be repeated.
    pub(super) values: Vec<String>,
    /// The profile that it is limited to.
    pub(super) profile: Option<Profile>,
    /// The line of the key, from 1.
    pub(super) line: usize,
}

/// An error, with the range of text that it is about.
type Diagnostic = (Range<usize>, String);

/// Loads all settings of the file, or returns every error in it. None if an optional file does not exist.
pub(super) fn load(command: &Command, path: &Path, optional: bool) -> Result<Option<Vec<Setting>>, Vec<String>> {
    let text = match read(path) {
        Err(error) if optional && error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| vec![format!("cannot read {}: {}", path.display(), explain(&error, path))])?,
    };
    parse(command, path, &text).map(Some)
}

/// Parses the text of this file: all settings, or every error.
pub(super) fn parse(command: &Command, path: &Path, text: &str) -> Result<Vec<Setting>, Vec<String>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut errors: Vec<Diagnostic> =
        errors.iter().map(|error| (error.span().unwrap_or_default(), error.message().to_owned())).collect();
    let mut parser = Parser { command, text, profile: None, settings: Vec::new(), errors: Vec::new() };
    // After a syntax error parts of the document are missing, and would cause misleading errors.
    if errors.is_empty() {
        for (name, content) in document.get_ref() {
            if name.get_ref() == PROFILE { parser.profiles(content) } else { parser.section(name, content) }
        }
    }
    errors.append(&mut parser.errors);
    errors.sort_by_key(|(span, _)| span.start);
    if errors.is_empty() {
        return Ok(parser.settings);
    }
    Err(errors.iter().map(|(span, message)| located(path, text, span.start, message)).collect())
}

/// The state of the parser.
struct Parser<'a> {
    command: &'a Command,
    text: &'a str,
    /// The profile of the current sections.
    profile: Option<Profile>,
    settings: Vec<Setting>,
    errors: Vec<Diagnostic>,
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(io::Error::other(format!("longer than {FILE_BYTES} bytes")));
    }
    text::decode(&bytes).ok_or_else(|| io::Error::other("it is not UTF-8 text"))
}

impl Parser<'_> {
    /// `[profile.NAME.ROLE]`
    fn profiles(&mut self, content: &Spanned<DeValue<'_>>) {
        let Some(profiles) = content.get_ref().as_table() else {
            return self
                .errors
                .push((content.span(), "profile must be a table of sections: [profile.NAME.ROLE]".into()));
        };
        for (name, sections) in profiles {
            match (name.get_ref().parse(), sections.get_ref().as_table()) {
                (Ok(profile), Some(sections)) => {
                    self.profile = Some(profile);
                    sections.into_iter().for_each(|(name, content)| self.section(name, content));
                }
                (Err(wrong), _) => self.errors.push((name.span(), wrong)),
                (Ok(_), None) => {
                    let message = format!("'{}' is not in a section such as [profile.NAME.ROLE]", name.get_ref());
                    self.errors.push((name.span(), message));
                }
            }
        }
        self.profile = None;
    }

    fn section(&mut self, name: &Spanned<DeString<'_>>, content: &Spanned<DeValue<'_>>) {
        // A hub has no profiles: it is what profiles join.
        let sections = &SECTIONS[usize::from(self.profile.is_some())..];
        let known = sections.iter().find(|section| **section == name.get_ref());
        let (Some(section), Some(table)) = (known, content.get_ref().as_table()) else {
            let prefix = self.profile.as_ref().map_or_else(String::new, |profile| format!("profile.{profile}."));
            let there = sections.iter().map(|section| format!("[{prefix}{section}]")).collect::<Vec<_>>().join(" ");
            let message = match content.get_ref().as_table() {
                Some(_) => {
                    let meant = similar_section(self.command, name.get_ref(), sections);
                    let next = meant
                        .map_or(format!("expected one of {there}"), |meant| format!("did you mean [{prefix}{meant}]?"));
                    format!("unknown section [{prefix}{}]; {next}", name.get_ref())
                }
                None => format!("'{}' is not in a section; expected one of {there}", name.get_ref()),
            };
            return self.errors.push((name.span(), message));
        };
        for (key, value) in table {
            self.setting(section, key, value);
        }
    }

    fn setting(&mut self, section: &'static str, key: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>) {
        let Some(flag) = settings(self.command, section).find(|flag| flag.get_long() == Some(key.get_ref())) else {
            let keys: Vec<_> = settings(self.command, section).filter_map(Arg::get_long).collect();
            let meant = similar_key(self.command, section, key.get_ref(), &keys);
            let next =
                meant.map_or(format!("expected one of {}", keys.join(", ")), |meant| format!("did you mean {meant}?"));
            let message = format!("unknown key '{}' in [{section}]; {next}", key.get_ref());
            return self.errors.push((key.span(), message));
        };
        match values(self.command, section, flag, value) {
            Ok(values) => {
                let (profile, line) = (self.profile.clone(), line_and_column(self.text, key.span().start).0);
                let key = key.get_ref().clone().into_owned();
                self.settings.push(Setting { section, key, values, profile, line });
            }
            Err(wrong) => self.errors.extend(wrong),
        }
    }
}

/// Returns the key that was meant, as clap finds the flag that was.
fn similar_key<'a>(command: &Command, section: &str, typed: &str, keys: &[&'a str]) -> Option<&'a str> {
    let similar = suggestion(command, &[section, &format!("--{typed}=x")], ContextKind::SuggestedArg)?;
    keys.iter().copied().find(|key| similar.strip_prefix("--") == Some(*key))
}

/// Returns the section that was meant, as clap finds the subcommand that was.
fn similar_section(command: &Command, typed: &str, sections: &[&'static str]) -> Option<&'static str> {
    let similar = suggestion(command, &[typed], ContextKind::SuggestedSubcommand)?;
    sections.iter().copied().find(|section| *section == similar)
}

/// Returns what clap suggests in place of a word that it does not know; of several, the most similar.
fn suggestion(command: &Command, words: &[&str], kind: ContextKind) -> Option<String> {
    let args = ["devstream"].iter().chain(words);
    let error = without_environment(command.clone()).try_get_matches_from(args).err()?;
    let similar = error.get(kind)?;
    if let ContextValue::Strings(several) = similar {
        return several.last().cloned();
    }
    if let ContextValue::String(one) = similar { Some(one.clone()) } else { None }
}

/// Converts a value to arguments, each of which the flag accepts.
fn values(
    command: &Command,
    section: &str,
    flag: &Arg,
    value: &Spanned<DeValue<'_>>,
) -> Result<Vec<String>, Vec<Diagnostic>> {
    let repeatable = matches!(flag.get_action(), ArgAction::Append);
    let one = || vec![(value.span(), text(value.get_ref()))];
    let (given, wanted) = match (value.get_ref(), flag.get_action()) {
        (DeValue::Boolean(on), ArgAction::SetTrue) => return Ok(if *on { vec!["true".into()] } else { Vec::new() }),
        (_, ArgAction::SetTrue) => (vec![(value.span(), None)], "true or false"),
        (DeValue::Array(items), _) if repeatable && items.is_empty() => {
            // To clap, no value is the default, which often allows everything: the opposite of what an empty list says.
            let key = flag.get_long().unwrap_or_default();
            let message = format!("{key} = [] is empty; give at least one value, or omit {key} for its default");
            return Err(vec![(value.span(), message)]);
        }
        (DeValue::Array(items), _) if repeatable => {
            (items.iter().map(|item| (item.span(), text(item.get_ref()))).collect(), "a string or a number")
        }
        _ if repeatable => (one(), "a string, a number, or an array of them"),
        _ => (one(), "a string or a number"),
    };
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for (span, text) in given {
        let key = flag.get_long().unwrap_or_default();
        match text.ok_or_else(|| format!("{key} takes {wanted}")).and_then(|text| validate(command, section, key, text))
        {
            Ok(text) => values.push(text),
            Err(message) => errors.push((span, message)),
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}

/// Returns a scalar as it would be typed.
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

/// Validates a value with the flag's own parser; missing flags are ignored.
fn validate(command: &Command, section: &str, key: &str, text: String) -> Result<String, String> {
    let args = ["devstream", section, &format!("--{key}={text}")];
    match without_environment(command.clone()).try_get_matches_from(args) {
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

fn located(path: &Path, text: &str, offset: usize, message: impl Display) -> String {
    let (line, column) = line_and_column(text, offset);
    format!("{}:{line}:{column}: {message}", path.display())
}

/// Returns the line and the column, from 1.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    (before.matches('\n').count() + 1, before.chars().rev().take_while(|c| *c != '\n').count() + 1)
}
