//! `devstream config`: a file to begin with, and what holds.

use std::path::Path;

use anyhow::anyhow;
use clap::ValueEnum as _;

use super::args::{Configuration, ConfigurationCommand, ShowConfiguration};
use super::config::{self, Mistake, Shown};
use super::profile::Profile;
use super::{Failure, output, paths};

pub(super) fn run(configuration: Configuration) -> Result<(), Failure> {
    let (named, usual) = (configuration.file.config, paths::config_file());
    match configuration.command {
        ConfigurationCommand::Init { force } => {
            let nowhere = || anyhow!("there is no configuration directory; set HOME, or name a file with --config");
            let path = named.or(usual).ok_or_else(|| Failure::Usage(nowhere()))?;
            config::init(&path, force)?;
            output::err(&format!("wrote {}; `devstream config show` tells what holds", path.display()));
            Ok(())
        }
        ConfigurationCommand::Show(show) => {
            let profile = Profile::chosen(configuration.profile.as_ref())?;
            self::show(&show, named.as_deref(), usual.as_deref(), &profile)
        }
    }
}

fn show(
    show: &ShowConfiguration,
    named: Option<&Path>,
    usual: Option<&Path>,
    profile: &Profile,
) -> Result<(), Failure> {
    let role = show.role.and_then(|role| role.to_possible_value()).map(|value| value.get_name().to_owned());
    let asked = config::Asked { role: role.as_deref(), arguments: &show.arguments, named, usual, profile };
    let shown = config::effective(&asked).map_err(|mistake| match mistake {
        Mistake::Typed(error) => Failure::Usage(anyhow!("this would not do:\n{}", error.render())),
        Mistake::Written(mistakes) => Failure::Usage(anyhow!(mistakes.join("\n"))),
    })?;
    if show.listing.json {
        output::out(&serde_json::to_string_pretty(&shown).map_err(anyhow::Error::from)?);
        return Ok(());
    }
    let rows = shown.into_iter().map(|Shown { role, key, values, otherwise, source, from }| {
        let nothing = || otherwise.unwrap_or_else(|| "-".into());
        let value = if values.is_empty() { nothing() } else { values.join(", ") };
        vec![role.to_owned(), key, value, from.unwrap_or_else(|| source.into())]
    });
    output::table(&["ROLE", "KEY", "VALUE", "FROM"], rows);
    Ok(())
}
