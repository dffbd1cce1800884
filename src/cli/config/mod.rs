//! The configuration file, and `devstream config`.
//!
//! In: a TOML file whose keys are the long flags of each role. Out: a parsed command line. The file's values become
//! clap's defaults, which flags and the environment override, so that clap alone decides which of them takes effect.
//!
//! clap's `requires` and `conflicts_with` ignore defaults: constraints between settings that may come from a file are
//! checked where the settings are converted (`args`).

pub(super) mod command;
mod file;
mod init;
pub(super) mod role_settings;
mod show;
mod tips;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory as _, FromArgMatches as _};

use self::file::{Setting, load};
pub use self::init::text as config_template;
pub(super) use self::init::write as init;
pub(super) use self::show::{EffectiveSetting, ShowRequest, effective};
use self::tips::with_tip;
use super::args::Cli;
use super::profile::Profile;

/// The subcommands with a section in the file.
pub const SECTIONS: [&str; 3] = ["hub", "device-agent", "service-proxy"];

/// Flags that are no keys: the file itself, and those of a single ssh session.
const NOT_IN_A_FILE: [&str; 3] = ["config", "stdio", "strip"];

/// The errors of a command line and its configuration file.
pub(super) enum ConfigError {
    /// Invalid arguments, or a request for help.
    Args(clap::Error),
    /// Errors in the file, each with its position.
    File(Vec<String>),
}

impl From<clap::Error> for ConfigError {
    fn from(error: clap::Error) -> Self {
        Self::Args(error)
    }
}

/// Returns the flags that are keys of a section.
pub fn settings<'a>(command: &'a Command, section: &str) -> impl Iterator<Item = &'a Arg> {
    let role = command.find_subcommand(section);
    let flags = role.into_iter().flat_map(Command::get_arguments);
    flags.filter(|flag| flag.get_long().is_some_and(|name| !NOT_IN_A_FILE.contains(&name)))
}

/// Returns the errors in the text of a `config.toml`, each with its position.
pub fn config_errors(text: &str) -> Vec<String> {
    file::parse(&Cli::command(), Path::new("config.toml"), text).err().unwrap_or_default()
}

/// Parses the command line, with defaults from the file: the named one, else that at `default_path` if it exists.
pub(super) fn parse(mut command: Command, args: &[OsString], default_path: Option<&Path>) -> Result<Cli, ConfigError> {
    // Errors in the arguments are reported by the second pass, which has the file's values.
    let typed = command.clone().ignore_errors(true).try_get_matches_from(args)?;
    if let Some(section) = SECTIONS.into_iter().find(|section| typed.subcommand_name() == Some(section))
        && let Some((path, settings)) = find(&command, &typed, default_path).map_err(ConfigError::File)?
    {
        command = with_default(command, section, "config", vec![path.into()]);
        for Setting { key, values, .. } in for_profile(section, settings, &profile(&typed)) {
            command = with_default(command, section, &key, values.into_iter().map(OsString::from).collect());
        }
    }
    let matches = command.clone().try_get_matches_from(args).map_err(|error| with_tip(error, &command, args))?;
    reject_two_devices(&command, &matches)?;
    Ok(Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?)
}

/// Rejects a device that was typed twice. `conflicts_with` would reject one beside that of the environment too.
fn reject_two_devices(command: &Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let typed = |role: &ArgMatches, id| role.value_source(id) == Some(ValueSource::CommandLine);
    match matches.subcommand() {
        Some(("service-proxy", role)) if typed(role, "positional_device") && typed(role, "device") => {
            let why = "two devices are named: give either DEVICE or --device ID\n";
            Err(clap::Error::raw(ErrorKind::ArgumentConflict, why).with_cmd(command))
        }
        _ => Ok(()),
    }
}

/// Returns the settings of a role under a profile: those of the profile last, so that they override the role's.
fn for_profile(section: &str, settings: Vec<Setting>, profile: &Profile) -> Vec<Setting> {
    let (specific, general): (Vec<_>, Vec<_>) = settings
        .into_iter()
        .filter(|setting| setting.section == section)
        .partition(|setting| setting.profile.is_some());
    general
        .into_iter()
        .chain(specific.into_iter().filter(|setting| setting.profile.as_ref() == Some(profile)))
        .collect()
}

/// Returns the profile whose sections apply. An invalid one is reported later, where an identity is needed.
fn profile(typed: &ArgMatches) -> Profile {
    let named = typed.try_get_one::<Profile>("profile").ok().flatten();
    Profile::resolve(named).unwrap_or_default()
}

/// Removes the environment variables of all flags, for a program that will run in another environment.
pub(super) fn without_environment(command: Command) -> Command {
    let command = command.mut_args(|flag| flag.env(Resettable::Reset));
    command.mut_subcommands(without_environment)
}

type Found = Option<(PathBuf, Vec<Setting>)>;

fn find(command: &Command, typed: &ArgMatches, default_path: Option<&Path>) -> Result<Found, Vec<String>> {
    let named = typed.subcommand().and_then(|(_, role)| role.try_get_one::<PathBuf>("config").ok().flatten());
    let Some(path) = named.map(PathBuf::as_path).or(default_path) else { return Ok(None) };
    let settings = load(command, path, named.is_none())?;
    Ok(settings.map(|settings| (path.into(), settings)))
}

/// Makes these values the default of a flag, which is then no longer required.
fn with_default(command: Command, section: &str, flag: &str, values: Vec<OsString>) -> Command {
    command.mut_subcommand(section, |role| {
        role.mut_args(|arg| {
            if arg.get_long() != Some(flag) || values.is_empty() {
                return arg;
            }
            arg.default_values(values.clone()).required(false).required_unless_present(Resettable::Reset)
        })
    })
}

#[cfg(test)]
mod tests {
    use clap::ArgAction;

    use super::*;

    #[test]
    fn a_switch_is_true_or_false_and_nothing_else() {
        let switch = Arg::new("audit").long("audit-required").action(ArgAction::SetTrue);
        let command = || Command::new("devstream").subcommand(Command::new("hub").arg(switch.clone()));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        let loaded = |value: &str| {
            std::fs::write(&path, format!("[hub]\naudit-required = {value}\n")).unwrap();
            let settings = load(&command(), &path, false)?.unwrap();
            let all = settings.into_iter().fold(command(), |command, Setting { section, key, values, .. }| {
                with_default(command, section, &key, values.into_iter().map(OsString::from).collect())
            });
            let matches = all.try_get_matches_from(["devstream", "hub"]).unwrap();
            Ok::<_, Vec<String>>(matches.subcommand_matches("hub").unwrap().get_flag("audit"))
        };
        assert_eq!(loaded("true"), Ok(true));
        assert_eq!(loaded("false"), Ok(false));
        let wrong = loaded("'yes'").unwrap_err();
        assert!(wrong[0].ends_with("config.toml:2:18: audit-required takes true or false"), "{wrong:?}");
    }
}
