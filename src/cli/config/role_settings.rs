//! The settings of a role for commands that act in its place: from flags, its environment and the file.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::anyhow;
use clap::CommandFactory as _;

use crate::cli::args::{Cli, Command, DeviceAgent, Devices, ServiceProxy};
use crate::cli::config::{self, ConfigError};
use crate::cli::profile::Profile;
use crate::cli::{Failure, paths};

/// Returns the service-proxy's settings with these flags.
pub(in crate::cli) fn service_proxy(profile: Option<&Profile>, flags: &[&str]) -> Result<ServiceProxy, Failure> {
    let Command::ServiceProxy(proxy) = parse("service-proxy", profile, flags)? else { return Err(wrong_command()) };
    Ok(proxy)
}

/// Returns the device-agent's settings with these flags.
pub(in crate::cli) fn device_agent(profile: Option<&Profile>, flags: &[&str]) -> Result<DeviceAgent, Failure> {
    let Command::DeviceAgent(agent) = parse("device-agent", profile, flags)? else { return Err(wrong_command()) };
    Ok(agent)
}

/// Returns the settings of `devstream devices` with these flags.
pub(in crate::cli) fn devices(flags: &[String]) -> Result<Devices, Failure> {
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let Command::Devices(devices) = parse("devices", None, &flags)? else { return Err(wrong_command()) };
    Ok(devices)
}

/// Returns the state directory of the hub's subcommands with these flags.
pub(in crate::cli) fn hub_state(flags: &[String]) -> Result<Option<PathBuf>, Failure> {
    let flags: Vec<_> = flags.iter().map(String::as_str).chain(["show"]).collect();
    let Command::Hub(hub) = parse("hub", None, &flags)? else { return Err(wrong_command()) };
    Ok(hub.state.state_dir)
}

fn parse(role: &str, profile: Option<&Profile>, flags: &[&str]) -> Result<Command, Failure> {
    let profile = profile.map(|named| OsString::from(format!("--profile={named}")));
    let args: Vec<_> = ["devstream", role].iter().chain(flags).map(OsString::from).chain(profile).collect();
    match config::parse(Cli::command(), &args, paths::config_file().as_deref()) {
        Ok(cli) => Ok(cli.command),
        Err(ConfigError::Args(error)) => Err(Failure::Usage(anyhow!("invalid settings of the {role}:\n{error}"))),
        Err(ConfigError::File(errors)) => Err(Failure::Usage(anyhow!(errors.join("\n")))),
    }
}

fn wrong_command() -> Failure {
    Failure::Other(anyhow!("the settings belong to another command"))
}
