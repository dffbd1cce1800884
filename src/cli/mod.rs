//! Everything a person types or sees. The only place that knows clap, toml, dirs and indicatif.

mod admin;
mod args;
mod certificate;
mod check;
mod complete;
mod config;
mod config_command;
mod demo;
mod devices;
mod examples;
mod identity;
mod install;
mod join;
mod key_access;
pub mod local_identity;
mod logging;
mod logs;
mod output;
mod paths;
mod profile;
mod profiles;
mod rdp;
mod role_settings;
mod roles;
mod signals;
mod ssh;
mod status;
mod status_server;
mod stderr;
mod stdio;
mod stream_monitor;
mod units;

use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::CommandFactory as _;

use self::args::{Cli, Command, Completions, Hub, HubCommand};
use self::config::ConfigError;
pub use self::config::{SECTIONS, config_errors, config_template, settings};
pub use self::examples::examples;
use self::examples::with_examples;
use self::stream_monitor::Table;
use crate::net::os::core_dump;
use crate::net::os::socket_activation::InheritedSockets;
use crate::proto::refusal::Refusal;

/// Why a command failed, which decides its exit code.
#[derive(Debug)]
enum Failure {
    /// What was typed cannot be done, or a port cannot be opened: 2.
    Usage(anyhow::Error),
    /// One of the table's refusals, each with a code of its own.
    Refused(Refusal),
    /// Anything else: 1.
    Other(anyhow::Error),
    /// What is wrong has been said, by another program or in a report: its code.
    AlreadyReported(u8),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The whole command line, for whatever is generated from it.
pub fn command() -> clap::Command {
    with_examples(Cli::command())
}

/// Runs what was typed and returns its exit code.
pub fn main() -> ExitCode {
    if let Err(error) = core_dump::disable() {
        output::eprint(&format!("devstream: warning: a core dump would have this program's keys in it: {error}"));
    }
    // A shell that completes is in a hurry, and hears no word of anything else.
    if let Some(code) = complete::answer() {
        return code;
    }
    let args: Vec<_> = std::env::args_os().collect();
    let cli = match config::parse(command(), &args, paths::config_file().as_deref()) {
        Ok(cli) => cli,
        Err(ConfigError::Args(error)) => {
            // Help and version are errors to clap, and come with status 0.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            return if error.print().is_ok() { code.into() } else { ExitCode::FAILURE };
        }
        Err(ConfigError::File(errors)) => {
            errors.iter().for_each(|error| output::eprint(error));
            return ExitCode::from(2);
        }
    };
    let name = cli.command.name();
    let table = stream_monitor::table(&cli);
    // It changes the environment, which nobody may who is not the only thread.
    let inherited = InheritedSockets::from_env();
    // Dropped last: what was said until then is written.
    let _output = stderr::start(cli.command.is_role(), table.clone());
    let filter = logging::filter(cli.verbosity()).and_then(|filter| Ok((filter, inherited?)));
    let done = filter.map_err(Failure::Usage).and_then(|(filter, inherited)| {
        logging::start(filter, cli.log_format);
        run(cli, inherited, table)
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(name, &failure),
    }
}

fn run(cli: Cli, inherited: InheritedSockets, table: Option<Table>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    let done = runtime.block_on(async {
        match cli.command {
            // Boxed: none of them makes room for the largest, on a stack that is never given back.
            Command::Hub(command) => Box::pin(hub(*command, inherited)).await,
            Command::Join(join) => Box::pin(join::run(join)).await,
            Command::DeviceAgent(agent) => Box::pin(roles::device_agent(agent)).await,
            Command::ServiceProxy(proxy) => Box::pin(roles::service_proxy(proxy, table)).await,
            Command::Service(service) => install::run(service.command),
            Command::Demo(demo) => Box::pin(demo::run(demo, table)).await,
            Command::Devices(devices) => Box::pin(devices::run(devices)).await,
            Command::Check(check) => Box::pin(check::run(*check)).await,
            Command::Status(status) => Box::pin(status::run(status)).await,
            Command::Rdp(rdp) => Box::pin(rdp::run(rdp)).await,
            Command::Ssh(ssh) => ssh::run(ssh),
            Command::SshConfig(config) => ssh::configure(&config),
            Command::Profiles(profiles) => Ok(profiles::run(profiles)?),
            Command::Config(config) => config_command::run(config),
            Command::Completions(Completions { shell, fixed: true }) => {
                output::print(shell.script());
                Ok(())
            }
            Command::Completions(Completions { shell, fixed: false }) => {
                output::print(&complete::registration(shell)?);
                Ok(())
            }
        }
    });
    // A read of standard input cannot be cancelled, and must not hold up the end.
    runtime.shutdown_background();
    done
}

async fn hub(Hub { serve, state, file, command }: Hub, inherited: InheritedSockets) -> Result<(), Failure> {
    let state = state.state_dir.as_deref();
    match command {
        None => roles::hub(serve, state, inherited).await,
        Some(HubCommand::CheckConfig) => {
            // Its mistakes were said before; what is left is what settings have to do with each other.
            let missing = || anyhow!("there is no configuration file; --config FILE names one");
            let path = file.config.ok_or_else(|| Failure::Usage(missing()))?;
            let path = path.display();
            roles::hub_config(serve, state).map_err(|error| Failure::Usage(error.context(path.to_string())))?;
            output::print(&format!("{path}: ok"));
            Ok(())
        }
        Some(command) => admin::run(command, state).await,
    }
}

fn report(name: &str, failure: &Failure) -> ExitCode {
    match failure {
        Failure::Usage(error) => {
            output::error(name, &format!("{error:#}"));
            ExitCode::from(2)
        }
        Failure::Refused(refusal) => {
            output::error(name, &refusal.to_string());
            ExitCode::from(refusal.kind.row().exit)
        }
        Failure::Other(error) => {
            output::error(name, &format!("{error:#}"));
            ExitCode::FAILURE
        }
        Failure::AlreadyReported(code) => ExitCode::from(*code),
    }
}
