//! `devstream service`: a role under systemd, from its flags to its running units and back.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Program;

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::{CommandFactory as _, ValueEnum as _};

use super::args::{
    Cli, Command, DeviceAgent, Hub, HubArgs, Install, ServiceManagement, ServiceProxy, ServiceRole, Uninstall, ViaArgs,
};
use super::config::{self, ConfigError};
use super::key_access::KeyAccess;
use super::profile::Profile;
use super::units::{self, Service, Unit};
use super::{Failure, output, paths, roles};
use crate::hub::certificate::Source;
use crate::proto::id::Role;

const UNITS: &str = "etc/systemd/system";
/// Where the package puts units; one that is in [`UNITS`] as well takes its place (systemd.unit(5)).
const PACKAGED: &str = "usr/lib/systemd/system";
/// Where `systemctl enable` puts a link to a unit that is to run. What the package brings does nothing until then.
const ENABLED: &str = "etc/systemd/system/multi-user.target.wants";
const CONFIG: &str = "etc/devstream/config.toml";

/// There if and only if systemd runs this machine (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";

/// What the units do not let a service see.
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

pub(super) fn run(command: ServiceManagement) -> Result<(), Failure> {
    match command {
        ServiceManagement::Install(install) => self::install(&install),
        ServiceManagement::Uninstall(uninstall) => self::uninstall(&uninstall).map_err(Failure::Other),
    }
}

fn install(install: &Install) -> Result<(), Failure> {
    let program = match &install.program {
        Some(program) => program.clone(),
        None => std::env::current_exe().context("cannot tell where this program is; name it with --program")?,
    };
    let root = install.root.as_deref();
    let instance = ServiceInstance { role: install.role, profile: profile(install.role, install.profile.as_ref())? };
    let Plan { units, needed } = plan(&instance, &program, &install.arguments, root).map_err(Failure::Usage)?;
    if install.print {
        for Unit { name, text } in &units {
            output::print(&format!("# /{UNITS}/{name}\n{text}"));
        }
        return Ok(());
    }
    if root.is_none() {
        check_prerequisites(&program, &needed)?;
    }
    Ok(replace(&instance.unit_name(), &units, root)?)
}

/// A role's service, of which each profile may have one.
struct ServiceInstance {
    role: ServiceRole,
    profile: Profile,
}

impl ServiceInstance {
    /// What its units are called, after `devstream-`. An instance that is written out is a unit like any other.
    fn unit_name(&self) -> String {
        let role = name(self.role);
        if self.profile.is_default() { role } else { format!("{role}@{}", self.profile) }
    }
}

/// The one whose identity the service is to have. A hub has none.
fn profile(role: ServiceRole, given: Option<&Profile>) -> anyhow::Result<Profile> {
    match role {
        ServiceRole::Hub => Ok(Profile::default()),
        ServiceRole::DeviceAgent | ServiceRole::ServiceProxy => Profile::resolve(given),
    }
}

/// A role's units.
struct Plan {
    units: Vec<Unit>,
    /// The files that must be there before, and what to do where they are not.
    needed: Vec<(PathBuf, &'static str)>,
}

fn plan(instance: &ServiceInstance, program: &Path, arguments: &[String], root: Option<&Path>) -> anyhow::Result<Plan> {
    let (name, unit, profile) = (name(instance.role), instance.unit_name(), &instance.profile);
    let named = (!profile.is_default()).then(|| ["--profile".to_owned(), profile.to_string()]);
    let arguments: Vec<String> = named.into_iter().flatten().chain(arguments.iter().cloned()).collect();
    let service = |drain| Service { role: &name, name: &unit, program, arguments: &arguments, drain };
    match parse(&name, &arguments, root)? {
        Command::Hub(hub) if hub.command.is_none() => {
            let Hub { serve, state, .. } = *hub;
            if state.state_dir.is_some() {
                bail!("leave out --state-dir: the hub's units keep its state in {}", paths::SERVICE_STATE);
            }
            let via = serve.certificate.via.clone();
            let config = roles::hub_config(serve, None)?;
            let (key, needed) = key_access(&config.certificate, root.unwrap_or(Path::new("/")))?;
            let dials_out = matches!(config.certificate, Source::Acme(_));
            let login = if dials_out { proxy_login(&via)? } else { None };
            let streaming = config.streaming.map(|streaming| streaming.listen);
            let file = login.as_ref().map(|(file, _)| file.as_path());
            let units = units::hub(&service(config.drain), &config.listen, streaming, &key, file);
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
        | Command::Config(_)
        | Command::Completions(_) => bail!("after -- come flags of a {name} that runs by itself"),
    }
}

fn key_access(source: &Source, root: &Path) -> anyhow::Result<(KeyAccess, Vec<(PathBuf, &'static str)>)> {
    let Source::Pem(pair) = source else { return Ok((KeyAccess::NotNeeded, Vec::new())) };
    let needed =
        [&pair.certificate, &pair.key].map(|file| (file.clone(), "first put the certificate and its key there"));
    Ok((KeyAccess::of(pair, root)?, needed.into()))
}

/// Whose unit it is decides what the unit is called.
const PROFILE_FIRST: &str =
    "name the profile before --, as in: devstream service install --profile NAME device-agent -- ...";

fn is_other(given: &HubArgs, profile: &Profile) -> bool {
    given.profile.as_ref().is_some_and(|named| named != profile)
}

fn client(service: &Service<'_>, profile: &Profile, role: Role, via: &ViaArgs) -> anyhow::Result<Plan> {
    let identity = paths::identity(profile, role)?;
    let needed = units::credentials(&identity).map(|file| (file, "first join the hub, as root: devstream join LINK"));
    let login = proxy_login(via)?;
    let file = login.as_ref().map(|(file, _)| file.as_path());
    let units = units::client(service, &identity, file);
    Ok(Plan { units, needed: needed.into_iter().chain(login.clone()).collect() })
}

/// The file with the login of the proxy that leads out, which must be there before.
fn proxy_login(via: &ViaArgs) -> anyhow::Result<Option<(PathBuf, &'static str)>> {
    if via.is_in_environment() {
        output::eprint(
            "service: HTTPS_PROXY and the like are not seen by services; if only a proxy leads out, add --via URL",
        );
    }
    let login = via.login_file();
    if let Some(file) = login.filter(|file| !file.is_absolute()) {
        bail!("write the whole path of --via-login {}: services start elsewhere", file.display());
    }
    Ok(login.map(|file| (file.to_owned(), "first put the proxy's USER:PASSWORD there, for root alone")))
}

/// What the service will take the arguments for, over the file that it will read: a mistake is better said now.
fn parse(role: &str, arguments: &[String], root: Option<&Path>) -> anyhow::Result<Command> {
    let args: Vec<OsString> =
        ["devstream", role].into_iter().chain(arguments.iter().map(String::as_str)).map(OsString::from).collect();
    let file = root.unwrap_or(Path::new("/")).join(CONFIG);
    match config::parse(config::without_environment(Cli::command()), &args, Some(&file)) {
        Ok(cli) => Ok(cli.command),
        Err(ConfigError::Args(error)) => bail!("these arguments would not do:\n{}", error.render()),
        Err(ConfigError::File(errors)) => {
            bail!("the service's configuration file would not do:\n{}", errors.join("\n"))
        }
    }
}

/// Which of the places that services do not see a path is below.
pub(super) fn hidden_directory(path: &Path) -> Option<&'static str> {
    HIDDEN.into_iter().find(|place| path.starts_with(place))
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Services are systemd's, which is elsewhere.
#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

fn require_systemd_platform() -> anyhow::Result<()> {
    let starter = if cfg!(windows) { "the Task Scheduler" } else { "launchd" };
    ensure!(
        cfg!(target_os = "linux"),
        "not on this system: services are systemd's; have {starter} run the role instead"
    );
    Ok(())
}

fn check_prerequisites(program: &Path, needed: &[(PathBuf, &str)]) -> Result<(), Failure> {
    require_systemd_platform().map_err(Failure::Usage)?;
    if !is_root() {
        return Err(Failure::Usage(anyhow!("only root can install services; --print shows the units")));
    }
    if let Some(place) = hidden_directory(program) {
        let advice = "first put it where services see it, such as /usr/local/bin";
        return Err(Failure::Usage(anyhow!("{} is below {place}: {advice}", program.display())));
    }
    if let Some((missing, advice)) = needed.iter().find(|(file, _)| !file.exists()) {
        return Err(Failure::Usage(anyhow!("there is no {}: {advice}", missing.display())));
    }
    Ok(())
}

/// Puts the units in the place of the service's earlier ones, unless they are the same.
fn replace(service: &str, units: &[Unit], root: Option<&Path>) -> anyhow::Result<()> {
    let directory = directory(root);
    let old = installed(service, &directory);
    let is_there = |unit: &Unit| fs::read_to_string(directory.join(&unit.name)).is_ok_and(|text| text == unit.text);
    if old.len() != units.len() || !units.iter().all(is_there) {
        // What runs under an older unit would keep its sockets and limits.
        remove(&old, root)?;
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        for Unit { name, text } in units {
            let path = directory.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            output::eprint(&format!("service: wrote {}", path.display()));
        }
        systemctl(root, &["daemon-reload"], &[])?;
    }
    let names: Vec<_> = units.iter().map(|unit| unit.name.clone()).collect();
    systemctl(root, &["enable", "--now"], &names)
}

fn uninstall(uninstall: &Uninstall) -> anyhow::Result<()> {
    let root = uninstall.root.as_deref();
    if root.is_none() {
        require_systemd_platform()?;
        ensure!(is_root(), "only root can remove services");
    }
    let instance =
        ServiceInstance { role: uninstall.role, profile: profile(uninstall.role, uninstall.profile.as_ref())? };
    let (unit, directory) = (instance.unit_name(), directory(root));
    let units = installed(&unit, &directory);
    if units.is_empty() {
        output::eprint(&format!("service: there are no units of the {unit} in {}", directory.display()));
    }
    remove(&units, root)
}

fn remove(units: &[String], root: Option<&Path>) -> anyhow::Result<()> {
    if units.is_empty() {
        return Ok(());
    }
    systemctl(root, &["disable", "--now"], units)?;
    for unit in units {
        let path = directory(root).join(unit);
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        output::eprint(&format!("service: removed {}", path.display()));
    }
    systemctl(root, &["daemon-reload"], &[])
}

/// A service's units that are there.
fn installed(unit: &str, directory: &Path) -> Vec<String> {
    let names = [".socket", "-streaming.socket", ".service"].map(|end| format!("devstream-{unit}{end}"));
    names.into_iter().filter(|name| directory.join(name).exists()).collect()
}

/// An installed service.
pub(super) struct Installed {
    /// What systemd calls it.
    pub(super) name: String,
    /// What ends it for good.
    pub(super) uninstall_command: String,
}

/// The installed service that is handed the key in that directory, as often as it starts.
pub(super) fn service_with_key(
    profile: &Profile,
    role: Role,
    identity: &Path,
    root: Option<&Path>,
) -> Option<Installed> {
    let role = match role {
        Role::Device => ServiceRole::DeviceAgent,
        Role::Service => ServiceRole::ServiceProxy,
    };
    let unit = format!("devstream-{}", ServiceInstance { role, profile: profile.clone() }.unit_name());
    let file = format!("{unit}.service");
    let place = |directory: &str| root.unwrap_or(Path::new("/")).join(directory).join(&file);
    let (path, uninstall_command) = if place(UNITS).exists() {
        (place(UNITS), format!("devstream service uninstall{} {}", profile.flag(), name(role)))
    } else {
        // The link leads to where the unit is under systemd, which need not be below this root.
        let enabled = place(ENABLED).is_symlink();
        (enabled.then(|| place(PACKAGED))?, format!("systemctl disable --now {unit}"))
    };
    let text = fs::read_to_string(path).ok()?;
    units::takes_key(&text, identity).then_some(Installed { name: unit, uninstall_command })
}

fn directory(root: Option<&Path>) -> PathBuf {
    root.unwrap_or(Path::new("/")).join(UNITS)
}

/// Has systemd do it; says what remains to be done where it does not run.
fn systemctl(root: Option<&Path>, args: &[&str], units: &[String]) -> anyhow::Result<()> {
    if root.is_some() {
        return Ok(());
    }
    let line = format!("systemctl {} {}", args.join(" "), units.join(" "));
    let line = line.trim_end();
    if !Path::new(BOOTED).is_dir() {
        output::eprint(&format!("service: systemd does not run here; where it does: {line}"));
        return Ok(());
    }
    let status =
        Program::new("systemctl").args(args).args(units).status().with_context(|| format!("cannot run {line}"))?;
    if !status.success() {
        bail!("`{line}` failed ({status}); `systemctl status 'devstream-*'` and `journalctl -u 'devstream-*'` say why");
    }
    Ok(())
}

/// The subcommand, as it is typed.
fn name(role: ServiceRole) -> String {
    role.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
