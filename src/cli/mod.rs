//! Everything a person types or sees. The only place that knows clap, toml, dirs and indicatif.

mod admin;
mod args;
mod certificate;
mod demo;
mod home;
mod identity;
mod join;
mod logging;
mod roles;
mod signals;
mod stdio;
mod text;
mod view;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use self::args::{Cli, Command, HubCommand};
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
    Cli::command()
}

/// Runs what was typed and returns its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors to clap, and come with status 0.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            return if error.print().is_ok() { code.into() } else { ExitCode::FAILURE };
        }
    };
    let name = cli.command.name();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(name, &failure),
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(anyhow::Error::new(error).context("cannot start")))?;
    let progress = view::progress_bars(&cli.command);
    logging::start(cli.verbosity(), progress.clone());
    let done = runtime.block_on(async {
        match cli.command {
            Command::Hub(hub) => match hub.command {
                None => roles::hub(hub.serve, hub.state.state_dir).await,
                Some(HubCommand::Logs(logs)) => admin::logs(&logs, hub.state.state_dir.as_deref()),
                Some(command) => admin::run(command, hub.state.state_dir.as_deref()).await,
            },
            Command::Join(join) => join::run(join).await,
            Command::DeviceAgent(agent) => roles::device_agent(agent).await,
            Command::ServiceProxy(proxy) => roles::service_proxy(proxy, progress).await,
            Command::Demo(demo) => demo::run(demo, progress).await,
            Command::Completions(completions) => {
                text::out(completions.shell.script());
                Ok(())
            }
        }
    });
    // A read of standard input cannot be cancelled, and must not hold up the end.
    runtime.shutdown_background();
    done
}

fn report(name: &str, failure: &Failure) -> ExitCode {
    match failure {
        Failure::Usage(error) => {
            text::err(&format!("{name}: {error:#}"));
            ExitCode::from(2)
        }
        Failure::Refused(refusal) => {
            text::err(&format!("{name}: {refusal}"));
            ExitCode::from(refusal.kind.row().exit)
        }
        Failure::Other(error) => {
            text::err(&format!("{name}: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
