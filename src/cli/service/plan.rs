//! The plan of an installation: a role's units, from its flags, and the files that must exist first.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::CommandFactory as _;

use super::access::KeyAccess;
use super::installed::{ServiceInstance, name};
use super::units::{self, Service, Unit};
use crate::cli::args::{Cli, Command, DeviceAgent, Hub, HubArgs, ServiceProxy, ViaArgs};
use crate::cli::config::{self, ConfigError};
use crate::cli::profile::Profile;
use crate::cli::{output, paths};
use crate::hub::certificate::Source;
use crate::proto::id::Role;

const CONFIG: &str = "etc/devstream/config.toml";

/// The units of a role's service.
pub(super) struct Plan {
    pub(super) units: Vec<Unit>,
    /// The files that must exist first, and what to do if one does not.
    pub(super) needed: Vec<(PathBuf, &'static str)>,
}

/// Plans a role's service, with the flags given after `--`.
pub(super) fn plan(
    instance: &ServiceInstance,
    program: &Path,
    arguments: &[String],
    root: Option<&Path>,
) -> anyhow::Result<Plan> {
    let (name, unit, profile) = (name(instance.role), instance.unit_name(), &instance.profile);
    let named = (!profile.is_default()).then(|| ["--profile".to_owned(), profile.to_string()]);
    let arguments: Vec<String> = named.into_iter().flatten().chain(arguments.iter().cloned()).collect();
    let service = |drain| Service { role: &name, name: &unit, program, arguments: &arguments, drain };
    match parse(&name, &arguments, root)? {
        Command::Hub(hub) if hub.command.is_none() => {
            let Hub { serve, state, .. } = *hub;
            if state.state_dir.is_some() {
                bail!("omit --state-dir: the hub's units keep its state in {}", paths::SERVICE_STATE);
            }
            let via = serve.certificate.via.clone();
            let config = serve.config(None)?;
            let (key, needed) = key_access(&config.certificate, root.unwrap_or(Path::new("/")))?;
            let dials_out = matches!(config.certificate, Source::Acme(_));
            let login = if dials_out { proxy_login(&via)? } else { None };
            let streaming = config.streaming.map(|streaming| streaming.listen);
            let file = login.as_ref().map(|(file, _)| file.as_path());
            let units = units::hub(&service(config.drain), &config.listen, streaming, &key, file)?;
            Ok(Plan { units, needed: needed.into_iter().chain(login.clone()).collect() })
        }
        Command::DeviceAgent(DeviceAgent { hub, .. }) if is_other(&hub, profile) => bail!(PROFILE_FIRST),
        Command::ServiceProxy(ServiceProxy { hub, .. }) if is_other(&hub, profile) => bail!(PROFILE_FIRST),
        Command::DeviceAgent(agent) => {
            client(&service(agent.drain.drain_timeout), profile, Role::Device, &agent.hub.via)
        }
        Command::ServiceProxy(ServiceProxy { stdio: false, drain, hub, .. }) => {
            client(&service(drain.drain_timeout), profile, Role::Service, &hub.via)
        }
        Command::Hub(_)
        | Command::ServiceProxy(_)
        | Command::Join(_)
        | Command::Service(_)
        | Command::Demo(_)
        | Command::Devices(_)
        | Command::Check(_)
        | Command::Status(_)
        | Command::Ssh(_)
        | Command::SshConfig(_)
        | Command::Rdp(_)
        | Command::Profiles(_)
        | Command::Identity(_)
        | Command::Trust(_)
        | Command::Fleet(_)
        | Command::Config(_)
        | Command::Completions(_) => {
            bail!("after -- only flags of a running {name} are valid, no subcommands or --stdio")
        }
    }
}

fn key_access(source: &Source, root: &Path) -> anyhow::Result<(KeyAccess, Vec<(PathBuf, &'static str)>)> {
    let Source::Pem(pair) = source else { return Ok((KeyAccess::NotNeeded, Vec::new())) };
    let needed =
        [&pair.certificate, &pair.key].map(|file| (file.clone(), "first install the certificate and its key there"));
    Ok((KeyAccess::of(pair, root)?, needed.into()))
}

/// The profile is part of the unit's name.
const PROFILE_FIRST: &str =
    "give --profile before --, as in: devstream service install --profile NAME device-agent -- ...";

fn is_other(given: &HubArgs, profile: &Profile) -> bool {
    given.profile.as_ref().is_some_and(|named| named != profile)
}

fn client(service: &Service<'_>, profile: &Profile, role: Role, via: &ViaArgs) -> anyhow::Result<Plan> {
    let identity = profile.identity_directory(role)?;
    let needed = units::credentials(&identity).map(|file| (file, "first join the hub, as root: devstream join LINK"));
    let login = proxy_login(via)?;
    let file = login.as_ref().map(|(file, _)| file.as_path());
    let units = units::client(service, &identity, file)?;
    Ok(Plan { units, needed: needed.into_iter().chain(login.clone()).collect() })
}

/// Returns the file of the proxy's credentials, which must exist first.
fn proxy_login(via: &ViaArgs) -> anyhow::Result<Option<(PathBuf, &'static str)>> {
    if via.is_in_environment() {
        output::warning(
            "service: services do not see HTTPS_PROXY and similar variables; if they need the proxy, add --via URL",
        );
    }
    let login = via.login_file();
    if let Some(file) = login.filter(|file| !file.is_absolute()) {
        bail!("--via-login {} must be an absolute path: services run in another directory", file.display());
    }
    Ok(login.map(|file| (file.to_owned(), "first write the proxy's USER:PASSWORD there, readable by root only")))
}

/// Parses the arguments as the service will, with the configuration file that it will read, to report errors now.
fn parse(role: &str, arguments: &[String], root: Option<&Path>) -> anyhow::Result<Command> {
    let args: Vec<OsString> =
        ["devstream", role].into_iter().chain(arguments.iter().map(String::as_str)).map(OsString::from).collect();
    let file = root.unwrap_or(Path::new("/")).join(CONFIG);
    match config::parse(config::without_environment(Cli::command()), &args, Some(&file)) {
        Ok(cli) => Ok(cli.command),
        Err(ConfigError::Args(error)) => bail!("invalid arguments:\n{}", error.render()),
        Err(ConfigError::File(errors)) => {
            bail!("invalid configuration file of the service:\n{}", errors.join("\n"))
        }
    }
}
