//! The installed services of this machine, and the names and directories of their units.

use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;

use super::units;
use crate::cli::args::ServiceRole;
use crate::cli::paths;
use crate::cli::profile::Profile;
use crate::proto::id::Role;

pub(super) const UNITS: &str = "etc/systemd/system";
/// The directory of packaged units, which those in [`UNITS`] override (systemd.unit(5)).
const PACKAGED: &str = "usr/lib/systemd/system";
/// The directory where `systemctl enable` links a unit. Packaged units do not run until then.
const ENABLED: &str = "etc/systemd/system/multi-user.target.wants";

/// The service of a role under a profile.
pub(super) struct ServiceInstance {
    pub(super) role: ServiceRole,
    pub(super) profile: Profile,
}

impl ServiceInstance {
    /// Returns the name of its units after `devstream-`. A file named as an instance is a unit like any other.
    pub(super) fn unit_name(&self) -> String {
        let role = name(self.role);
        if self.profile.is_default() { role } else { format!("{role}@{}", self.profile) }
    }
}

/// Returns the profile whose identity the service uses. A hub has none.
pub(super) fn profile(role: ServiceRole, given: Option<&Profile>) -> anyhow::Result<Profile> {
    match role {
        ServiceRole::Hub => Ok(Profile::default()),
        ServiceRole::DeviceAgent | ServiceRole::ServiceProxy => Profile::resolve(given),
    }
}

/// Returns the names of a service's installed units.
pub(super) fn installed(unit: &str, directory: &Path) -> Vec<String> {
    let names = [".socket", "-streaming.socket", ".service"].map(|end| format!("devstream-{unit}{end}"));
    names.into_iter().filter(|name| directory.join(name).exists()).collect()
}

/// An installed service.
pub(in crate::cli) struct Installed {
    /// Its name in systemd.
    pub(in crate::cli) name: String,
    /// The command that removes it.
    pub(in crate::cli) uninstall_command: String,
    /// The directory of its state; units of earlier versions have none.
    pub(in crate::cli) state_directory: Option<PathBuf>,
}

/// Returns the installed service that loads the key in that directory whenever it starts.
pub(in crate::cli) fn service_with_key(
    profile: &Profile,
    role: Role,
    identity: &Path,
    root: Option<&Path>,
) -> Option<Installed> {
    let role = service_role(role);
    let unit = format!("devstream-{}", ServiceInstance { role, profile: profile.clone() }.unit_name());
    let file = format!("{unit}.service");
    let in_directory = |directory: &str| root.unwrap_or(Path::new("/")).join(directory).join(&file);
    let (path, uninstall_command) = if in_directory(UNITS).exists() {
        (in_directory(UNITS), format!("devstream service uninstall{} {}", profile.flag(), name(role)))
    } else {
        // The link's target is a path of the running system, which need not be below `root`.
        let enabled = in_directory(ENABLED).is_symlink();
        (enabled.then(|| in_directory(PACKAGED))?, format!("systemctl disable --now {unit}"))
    };
    let text = fs::read_to_string(path).ok()?;
    let state_directory = units::state_directory(&text).map(|state| paths::service_state(root, state));
    units::takes_key(&text, identity).then_some(Installed { name: unit, uninstall_command, state_directory })
}

/// Returns the directory of what a service kept that is no longer installed.
pub(in crate::cli) fn left_state(profile: &Profile, role: Role) -> Option<PathBuf> {
    let unit = ServiceInstance { role: service_role(role), profile: profile.clone() }.unit_name();
    let is_installed = [UNITS, PACKAGED].iter().any(|units| {
        let file = Path::new("/").join(units).join(format!("devstream-{unit}.service"));
        file.exists()
    });
    (!is_installed).then(|| paths::service_state(None, &format!("devstream/{unit}")))
}

fn service_role(role: Role) -> ServiceRole {
    match role {
        Role::Device => ServiceRole::DeviceAgent,
        Role::Service => ServiceRole::ServiceProxy,
    }
}

pub(super) fn directory(root: Option<&Path>) -> PathBuf {
    root.unwrap_or(Path::new("/")).join(UNITS)
}

/// Returns the role's subcommand.
pub(super) fn name(role: ServiceRole) -> String {
    role.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
