//! The command line: everything that a person types or sees. Only here are clap, toml, dirs and indicatif used.
//!
//! In: words, the environment, the configuration file, and what the machine has joined. Out: settings for the three
//! roles, requests to a running hub, and an exit code. `args` is what can be typed, `config` the file below it,
//! `identity` who this machine is, `roles` starts a role from them, and `output` writes what comes of it; each other
//! module is a command.

mod admin;
mod args;
mod check;
mod complete;
mod config;
mod demo;
mod examples;
mod fleet;
mod identity;
mod identity_command;
mod join;
mod output;
mod pasted_link;
mod paths;
mod preflight;
mod profile;
mod profiles;
mod roles;
mod service;
mod signals;
mod signer;
mod ssh;
mod status;
mod trust;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::CommandFactory as _;

use self::args::{Cli, Command, Completions, Hub, HubCommand};
use self::complete::attach_completers;
use self::config::ConfigError;
pub use self::config::{SECTIONS, config_errors, config_template, settings};
pub use self::examples::examples;
use self::examples::with_examples;
pub use self::identity::local_identity;
use self::output::advice::Advice;
use self::output::logging::{self, Style};
use self::output::stream_monitor::Table;
use crate::net::client::RequestError;
use crate::net::os::core_dump;
use crate::net::os::owner;
use crate::net::os::socket_activation::InheritedSockets;
use crate::proto::refusal::Refusal;

/// The failure of a command, which decides its exit code.
#[derive(Debug)]
enum Failure {
    /// An invalid command line or configuration, or a port that cannot be opened: 2.
    Usage(anyhow::Error),
    /// A refusal, with the exit code of its kind.
    Refused(Refusal),
    /// A refusal, and a next step in place of the table's, which knows no names.
    Advised(Refusal, String),
    /// Anything else: 1.
    Other(anyhow::Error),
    /// A failure that a report or another program has already printed, with its code.
    AlreadyReported(u8),
}

impl Failure {
    /// A refusal with the next step that fits the command.
    fn with_advice(refusal: Refusal, advice: Advice) -> Self {
        match advice.instead(&refusal) {
            Some(advice) => Self::Advised(refusal, advice.into()),
            None => Self::Refused(refusal),
        }
    }
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

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        Self::Refused(error.into())
    }
}

/// Returns the complete command line, which man pages and completions are generated from.
pub fn command() -> clap::Command {
    attach_completers(with_examples(Cli::command()))
}

/// Runs the command that was typed, and returns its exit code.
pub fn main() -> ExitCode {
    if let Err(error) = core_dump::disable() {
        output::warning(&format!("devstream: warning: core dumps cannot be disabled, and would contain keys: {error}"));
    }
    // Before anything else: a completion must be fast, and print nothing but candidates.
    if let Some(code) = complete::answer() {
        return code;
    }
    let args: Vec<_> = std::env::args_os().collect();
    let cli = match config::parse(command(), &args, paths::config_file().as_deref()) {
        Ok(cli) => cli,
        Err(ConfigError::Args(error)) => {
            // To clap, help and version are errors with exit code 0.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            return if error.print().is_ok() { code.into() } else { ExitCode::FAILURE };
        }
        Err(ConfigError::File(errors)) => {
            errors.iter().for_each(|error| output::warning(error));
            return ExitCode::from(2);
        }
    };
    let name = cli.command.name();
    let table = cli.shows_streams().then(Table::on_terminal).flatten();
    // Changes the environment, which only a process with a single thread may.
    let inherited = InheritedSockets::from_env();
    // Dropped last, and so flushes every message.
    let _output = output::start(cli.command.is_role(), table.clone());
    let filter = logging::filter(cli.log_verbosity()).and_then(|filter| Ok((filter, inherited?)));
    let done = filter.map_err(Failure::Usage).and_then(|(filter, inherited)| {
        let with_times = cli.command.is_read_later() && io::stderr().is_terminal();
        logging::start(filter, cli.log_format, Style { quiet: cli.verbosity() < 0, with_times, command: name });
        run(cli, inherited, table.clone())
    });
    table.iter().for_each(Table::suspend);
    let done = done.and_then(|()| output::finish().map_err(|error| Failure::Other(error.into())));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(name, &failure),
    }
}

fn run(cli: Cli, inherited: InheritedSockets, table: Option<Table>) -> Result<(), Failure> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = cli.command.worker_threads() {
        runtime.worker_threads(threads);
    }
    let runtime = runtime.enable_all().build().context("cannot start the async runtime")?;
    let done = runtime.block_on(async {
        match cli.command {
            // Boxed: unboxed, the largest of these futures would size the stack of every command.
            Command::Hub(command) => Box::pin(hub(*command, inherited)).await,
            Command::Join(join) => Box::pin(join::run(join)).await,
            Command::DeviceAgent(agent) => Box::pin(roles::device_agent(agent)).await,
            Command::ServiceProxy(proxy) => Box::pin(roles::service_proxy(proxy, table)).await,
            Command::Service(service) => service::run(service.command),
            Command::Demo(demo) => Box::pin(demo::run(demo, table)).await,
            Command::Devices(devices) => Box::pin(admin::devices::run(devices)).await,
            Command::Check(check) => Box::pin(check::run(*check)).await,
            Command::Status(status) => Box::pin(status::run(status)).await,
            Command::Rdp(rdp) => Box::pin(ssh::rdp::run(rdp)).await,
            Command::Ssh(ssh) => Box::pin(ssh::run(ssh)).await,
            Command::SshConfig(config) => Box::pin(ssh::configure(&config)).await,
            Command::Profiles(profiles) => Ok(profiles::run(profiles).await?),
            Command::Identity(identity) => identity_command::run(&identity),
            Command::Trust(trust) => trust::run(trust),
            Command::Fleet(fleet) => Box::pin(fleet::run(fleet.command)).await,
            Command::Config(config) => config::command::run(config),
            Command::Completions(Completions { shell, fixed: true }) => {
                output::print(&complete::static_script(shell)?);
                Ok(())
            }
            Command::Completions(Completions { shell, fixed: false }) => {
                output::print(&complete::registration(shell)?);
                Ok(())
            }
        }
    });
    // A read of standard input cannot be cancelled, and must not delay the exit.
    runtime.shutdown_background();
    done
}

async fn hub(Hub { serve, state, file, command }: Hub, inherited: InheritedSockets) -> Result<(), Failure> {
    let state = state.state_dir.as_deref();
    owner::set_location(if state.is_some() { "--state-dir" } else { "HOME or --state-dir" });
    if let Some(named) = state.filter(|named| !paths::hub_state(None).is_ok_and(|default| default == *named)) {
        output::name_state_dir(named);
    }
    match command {
        None => roles::hub(serve, state, inherited).await,
        Some(HubCommand::CheckConfig) => {
            // Errors within the file were reported when it was read. The rest are settings that contradict each other.
            let missing = || anyhow!("no configuration file; name one with --config FILE");
            let path = file.config.ok_or_else(|| Failure::Usage(missing()))?;
            let path = path.display();
            serve.config(state).map_err(|error| Failure::Usage(error.context(path.to_string())))?;
            output::print(&format!("{path}: ok"));
            Ok(())
        }
        Some(HubCommand::Check(output)) => check::hub(&paths::hub_state(state)?, state.is_some(), output).await,
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
            output::error(name, &refusal.with_hint());
            ExitCode::from(refusal.kind.row().exit)
        }
        Failure::Advised(refusal, advice) => {
            output::error(name, &format!("{}; {advice}", refusal.message()));
            ExitCode::from(refusal.kind.row().exit)
        }
        Failure::Other(error) => {
            output::error(name, &format!("{error:#}"));
            ExitCode::FAILURE
        }
        Failure::AlreadyReported(code) => ExitCode::from(*code),
    }
}
