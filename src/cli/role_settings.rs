//! A command's settings for another one that does what it would: its flags, environment and file.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::anyhow;
use clap::CommandFactory as _;

use super::args::{Cli, Command, DeviceAgent, Devices, ServiceProxy};
use super::config::{self, ConfigError};
use super::profile::Profile;
use super::{Failure, paths};

/// The service-proxy with these flags.
pub(super) fn service_proxy(profile: Option<&Profile>, flags: &[&str]) -> Result<ServiceProxy, Failure> {
    let Command::ServiceProxy(proxy) = parse("service-proxy", profile, flags)? else { return Err(not_its_own()) };
    Ok(proxy)
}

/// The device-agent with these flags.
pub(super) fn device_agent(profile: Option<&Profile>, flags: &[&str]) -> Result<DeviceAgent, Failure> {
    let Command::DeviceAgent(agent) = parse("device-agent", profile, flags)? else { return Err(not_its_own()) };
    Ok(agent)
}

/// `devstream devices` with these flags.
pub(super) fn devices(flags: &[String]) -> Result<Devices, Failure> {
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let Command::Devices(devices) = parse("devices", None, &flags)? else { return Err(not_its_own()) };
    Ok(devices)
}

/// The state directory that the hub's commands are given with these flags, if they are.
pub(super) fn hub_state(flags: &[String]) -> Result<Option<PathBuf>, Failure> {
    let flags: Vec<_> = flags.iter().map(String::as_str).chain(["show"]).collect();
    let Command::Hub(hub) = parse("hub", None, &flags)? else { return Err(not_its_own()) };
    Ok(hub.state.state_dir)
}

fn parse(role: &str, profile: Option<&Profile>, flags: &[&str]) -> Result<Command, Failure> {
    let profile = profile.map(|named| OsString::from(format!("--profile={named}")));
    let args: Vec<_> = ["devstream", role].iter().chain(flags).map(OsString::from).chain(profile).collect();
    match config::parse(Cli::command(), &args, paths::config_file().as_deref()) {
        Ok(cli) => Ok(cli.command),
        Err(ConfigError::Args(error)) => Err(Failure::Usage(anyhow!("the {role}'s settings would not do:\n{error}"))),
        Err(ConfigError::File(errors)) => Err(Failure::Usage(anyhow!(errors.join("\n")))),
    }
}

fn not_its_own() -> Failure {
    Failure::Other(anyhow!("a role's settings are not its own"))
}
