//! `devstream config init` and `devstream config show`.

use std::path::Path;

use anyhow::anyhow;
use clap::ValueEnum as _;

use crate::cli::args::{ConfigArgs, ConfigCommand, ConfigShowArgs};
use crate::cli::config::{self, ConfigError, EffectiveSetting};
use crate::cli::profile::Profile;
use crate::cli::{Failure, output, paths};

pub(in crate::cli) fn run(config: ConfigArgs) -> Result<(), Failure> {
    let (named, default_path) = (config.file.config, paths::config_file());
    match config.command {
        ConfigCommand::Init { force } => {
            let nowhere = || anyhow!("no configuration directory; set HOME, or name a file with --config");
            let path = named.or(default_path).ok_or_else(|| Failure::Usage(nowhere()))?;
            config::init(&path, force)?;
            output::eprint(&format!("wrote {}; `devstream config show` prints the effective settings", path.display()));
            Ok(())
        }
        ConfigCommand::Show(show) => {
            let profile = Profile::resolve(config.profile.as_ref())?;
            self::show(&show, named.as_deref(), default_path.as_deref(), &profile)
        }
    }
}

fn show(
    show: &ConfigShowArgs,
    named: Option<&Path>,
    default_path: Option<&Path>,
    profile: &Profile,
) -> Result<(), Failure> {
    let role = show.role.and_then(|role| role.to_possible_value()).map(|value| value.get_name().to_owned());
    let request =
        config::ShowRequest { role: role.as_deref(), arguments: &show.arguments, named, default_path, profile };
    let shown = config::effective(&request).map_err(|error| match error {
        ConfigError::Args(error) => Failure::Usage(anyhow!("invalid arguments:\n{}", error.render())),
        ConfigError::File(errors) => Failure::Usage(anyhow!(errors.join("\n"))),
    })?;
    if show.output.json {
        output::print(&serde_json::to_string_pretty(&shown).map_err(anyhow::Error::from)?);
        return Ok(());
    }
    let rows = shown.into_iter().map(|EffectiveSetting { role, key, values, default, source, from }| {
        let unset = || default.unwrap_or_else(|| "-".into());
        let value = if values.is_empty() { unset() } else { values.join(", ") };
        vec![role.to_owned(), key, value, from.unwrap_or_else(|| source.into())]
    });
    output::print_table(&["ROLE", "KEY", "VALUE", "FROM"], rows);
    Ok(())
}
