//! Profiles: a directory each for the identities of this machine, so that it can join several hubs.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};

use super::paths;
use crate::hub::state::{AtPath as _, create_private_directory, read_private, write_private};
use crate::proto::id::Role;

/// The name of the profile that exists without being named.
const DEFAULT: &str = "default";

/// The limit on names; longer ones are hard to type.
const MAX_NAME_CHARS: usize = 64;

/// The limit on profiles that are listed, whatever else is in their directory.
const MAX_PROFILES: usize = 1024;

/// A profile's name, which is also that of its directory and a part of its units' names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Profile(String);

impl Profile {
    /// Returns the given profile, else the one set by `devstream profiles use`, else `default`.
    pub(super) fn resolve(given: Option<&Self>) -> anyhow::Result<Self> {
        given.map_or_else(Self::configured_default, |given| Ok(given.clone()))
    }

    /// Returns the default profile. A service without a home directory cannot have another than `default`.
    fn configured_default() -> anyhow::Result<Self> {
        let Ok(path) = paths::default_profile_file() else { return Ok(Self::default()) };
        if !path.try_exists().at_path("cannot read", &path)? {
            return Ok(Self::default());
        }
        read_private(&path)?
            .trim()
            .parse::<Self>()
            .map_err(anyhow::Error::msg)
            .with_context(|| format!("invalid profile in {}", path.display()))
    }

    /// Makes this the default profile.
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

    /// Returns `default`, then the profiles that have a directory, by name.
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
            Err(error) => return Err(error).at_path("cannot read", &directory),
        }
        all[1..].sort();
        Ok(all)
    }

    /// Reports whether it is the profile `default`.
    pub(super) fn is_default(&self) -> bool {
        self.0 == DEFAULT
    }

    /// Returns the name.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the directory of its identities.
    pub(super) fn directory(&self) -> anyhow::Result<PathBuf> {
        if self.is_default() { paths::data() } else { Ok(paths::profiles()?.join(self.as_str())) }
    }

    /// Returns the directory of its identity in one role.
    pub(super) fn identity_directory(&self, role: Role) -> anyhow::Result<PathBuf> {
        Ok(self.directory()?.join(role.as_str()))
    }

    /// Returns the flag that selects it, after a space; empty for `default`.
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
            "a profile's name has 1 to {MAX_NAME_CHARS} of the characters A-Z a-z 0-9 . _ -, and starts with a letter or digit"
        ))
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Removes a directory with its content, if it exists.
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
    fn names_cannot_be_paths_or_flags() {
        for name in ["default", "work", "Plant-A.2_b", "7"] {
            assert_eq!(name.parse::<Profile>().unwrap().as_str(), name);
        }
        for name in ["", ".", "..", "-x", ".hidden", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert!(name.parse::<Profile>().is_err(), "{name}");
        }
    }
}
