//! The effective settings and their sources, as clap resolves them for the roles.

use std::ffi::OsString;
use std::path::Path;

use clap::builder::Resettable;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde::Serialize;

use super::file::{Setting, load};
use super::{ConfigError, SECTIONS, for_profile, settings, with_default};
use crate::cli::profile::Profile;

/// A setting of a role.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct EffectiveSetting {
    /// The role.
    pub(in crate::cli) role: &'static str,
    /// The long flag.
    pub(in crate::cli) key: String,
    /// The values, as they would be typed; none if it is not set.
    pub(in crate::cli) values: Vec<String>,
    /// The behaviour where it is not set, from the flag's help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) default: Option<String>,
    /// The source: flag, environment, file or default.
    pub(in crate::cli) source: &'static str,
    /// The variable, or the file and line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) from: Option<String>,
}

/// The selection of settings to show.
pub(in crate::cli) struct ShowRequest<'a> {
    /// The role; all if none.
    pub(in crate::cli) role: Option<&'a str>,
    /// The arguments of the role.
    pub(in crate::cli) arguments: &'a [String],
    /// The file given by --config.
    pub(in crate::cli) named: Option<&'a Path>,
    /// The file to use without one, if it exists.
    pub(in crate::cli) default_path: Option<&'a Path>,
    /// The profile whose sections apply.
    pub(in crate::cli) profile: &'a Profile,
}

/// Returns every setting of the selected roles.
pub(in crate::cli) fn effective(request: &ShowRequest<'_>) -> Result<Vec<EffectiveSetting>, ConfigError> {
    let command = crate::cli::command();
    let path = request.named.or(request.default_path);
    let loaded =
        path.map(|path| load(&command, path, request.named.is_none()).map_err(ConfigError::File)).transpose()?;
    let file = path.zip(loaded.flatten());
    let mut shown = Vec::new();
    for section in SECTIONS.into_iter().filter(|section| request.role.is_none_or(|role| role == *section)) {
        let lines = file.iter().flat_map(|(path, all)| {
            for_profile(section, all.clone(), request.profile).into_iter().map(move |setting| (*path, setting))
        });
        let lines: Vec<(&Path, Setting)> = lines.collect();
        let matches = matches(command.clone(), section, &lines, request.arguments)?;
        shown.extend(settings(&command, section).map(|flag| effective_setting(section, flag, &matches, &lines)));
    }
    Ok(shown)
}

/// Parses as the role would, but requires no flag.
fn matches(
    command: Command,
    section: &str,
    lines: &[(&Path, Setting)],
    arguments: &[String],
) -> Result<ArgMatches, clap::Error> {
    let optional = |flag: Arg| flag.required(false).required_unless_present(Resettable::Reset);
    let mut command = command.mut_subcommand(section, |role| role.mut_args(optional));
    for (_, Setting { key, values, .. }) in lines {
        command = with_default(command, section, key, values.iter().map(OsString::from).collect());
    }
    let args = ["devstream", section].into_iter().chain(arguments.iter().map(String::as_str));
    let matches = command.try_get_matches_from(args)?;
    Ok(matches.subcommand_matches(section).cloned().unwrap_or_default())
}

fn effective_setting(
    role: &'static str,
    flag: &Arg,
    matches: &ArgMatches,
    lines: &[(&Path, Setting)],
) -> EffectiveSetting {
    let (id, key) = (flag.get_id().as_str(), flag.get_long().unwrap_or_default().to_owned());
    let line = lines.iter().rev().find(|(_, setting)| setting.key == key);
    let (source, from) = match (matches.value_source(id), line) {
        (Some(ValueSource::CommandLine), _) => ("flag", None),
        (Some(ValueSource::EnvVariable), _) => {
            ("environment", flag.get_env().map(|name| name.to_string_lossy().into_owned()))
        }
        (_, Some((path, setting))) => ("file", Some(format!("{}:{}", path.display(), setting.line))),
        (_, None) => ("default", None),
    };
    let values = if matches!(flag.get_action(), ArgAction::SetTrue) {
        vec![matches.get_flag(id).to_string()]
    } else {
        let typed = matches.get_raw(id).into_iter().flatten();
        typed.map(|value| without_password(&value.to_string_lossy())).collect()
    };
    let default = if values.is_empty() { documented_default(flag) } else { None };
    EffectiveSetting { role, key, values, default, source, from }
}

/// Returns the `[default: …]` of the flag's help.
fn documented_default(flag: &Arg) -> Option<String> {
    let help = flag.get_help()?.to_string();
    let (default, _) = help.split_once("[default: ")?.1.rsplit_once(']')?;
    Some(default.to_owned())
}

/// Masks the user and password of a URL.
fn without_password(value: &str) -> String {
    let hidden = value.split_once("://").and_then(|(scheme, rest)| {
        let host = rest.split('/').next()?.rfind('@')?;
        Some(format!("{scheme}://***{}", rest.get(host..)?))
    });
    hidden.unwrap_or_else(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        for (value, shown) in [
            ("http://me:se@cret@proxy:3128/x@y", "http://***@proxy:3128/x@y"),
            ("wss://hub.example.com/@", "wss://hub.example.com/@"),
            ("db=10.0.0.5:5432", "db=10.0.0.5:5432"),
        ] {
            assert_eq!(without_password(value), shown);
        }
    }
}
