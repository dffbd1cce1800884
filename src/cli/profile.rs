//! Profiles: one place each for what this machine joined as, so that several hubs and identities stand side by side.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, bail};

use super::paths;
use crate::hub::state::{create_private_directory, read_private, write_private};

/// The profile of whoever never named one.
const DEFAULT: &str = "default";

/// Longer names are no help to whoever types them.
const MAX_NAME_CHARS: usize = 64;

/// More profiles than this are not looked at, whatever else fills their directory.
const MAX_PROFILES: usize = 1024;

/// A profile's name, which is also its directory's and a part of its units'.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Profile(String);

impl Profile {
    /// The one that was named, else the one that `devstream profiles use` chose, else `default`.
    pub(super) fn resolve(given: Option<&Self>) -> anyhow::Result<Self> {
        given.map_or_else(Self::configured_default, |given| Ok(given.clone()))
    }

    /// The one that holds where none is named. To a service that has no home nobody chose another.
    fn configured_default() -> anyhow::Result<Self> {
        let Ok(path) = paths::default_profile_file() else { return Ok(Self::default()) };
        if !path.exists() {
            return Ok(Self::default());
        }
        read_private(&path)?
            .trim()
            .parse::<Self>()
            .map_err(anyhow::Error::msg)
            .with_context(|| format!("cannot understand {}", path.display()))
    }

    /// Has this one hold from now on.
    pub(super) fn make_default(&self) -> anyhow::Result<()> {
        let path = paths::default_profile_file()?;
        if self.is_default() {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(error).with_context(|| format!("cannot remove {}", path.display()))
                }
                _ => Ok(()),
            };
        }
        path.parent().map_or(Ok(()), create_private_directory)?;
        write_private(&path, &format!("{self}\n"))
    }

    /// Those that have a place, by name, and `default`.
    pub(super) fn all() -> anyhow::Result<Vec<Self>> {
        let mut all = vec![Self::default()];
        let directory = paths::profiles()?;
        match fs::read_dir(&directory) {
            Ok(entries) => {
                let names =
                    entries.take(MAX_PROFILES).flatten().filter_map(|entry| entry.file_name().into_string().ok());
                all.extend(names.filter_map(|name| name.parse().ok()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", directory.display())),
        }
        all[1..].sort();
        Ok(all)
    }

    /// Whether it is the one of whoever never named one.
    pub(super) fn is_default(&self) -> bool {
        self.0 == DEFAULT
    }

    /// The name.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// What is typed to name it, where it has to be.
    pub(super) fn flag(&self) -> String {
        if self.is_default() { String::new() } else { format!(" --profile {self}") }
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self(DEFAULT.into())
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if begins && text.len() <= MAX_NAME_CHARS && text.chars().all(allowed) {
            return Ok(Self(text.into()));
        }
        Err(format!(
            "a profile's name is 1 to {MAX_NAME_CHARS} of the characters A-Z a-z 0-9 . _ -, beginning with a letter or digit"
        ))
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Removes a directory of a profile with all that is in it, if it is there.
pub(super) fn remove_directory(directory: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            bail!("cannot remove {}: {error}", directory.display())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path_and_no_flag() {
        for name in ["default", "work", "Plant-A.2_b", "7"] {
            assert_eq!(name.parse::<Profile>().unwrap().as_str(), name);
        }
        for name in ["", ".", "..", "-x", ".hidden", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert!(name.parse::<Profile>().is_err(), "{name}");
        }
    }
}
