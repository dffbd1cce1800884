//! The services that are installed on this machine, and the names and places of their units.

use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;

use super::units;
use crate::cli::args::ServiceRole;
use crate::cli::profile::Profile;
use crate::proto::id::Role;

pub(super) const UNITS: &str = "etc/systemd/system";
/// Where the package puts units; one that is in [`UNITS`] as well takes its place (systemd.unit(5)).
const PACKAGED: &str = "usr/lib/systemd/system";
/// Where `systemctl enable` puts a link to a unit that is to run. What the package brings does nothing until then.
const ENABLED: &str = "etc/systemd/system/multi-user.target.wants";

/// A role's service, of which each profile may have one.
pub(super) struct ServiceInstance {
    pub(super) role: ServiceRole,
    pub(super) profile: Profile,
}

impl ServiceInstance {
    /// What its units are called, after `devstream-`. An instance that is written out is a unit like any other.
    pub(super) fn unit_name(&self) -> String {
        let role = name(self.role);
        if self.profile.is_default() { role } else { format!("{role}@{}", self.profile) }
    }
}

/// The one whose identity the service is to have. A hub has none.
pub(super) fn profile(role: ServiceRole, given: Option<&Profile>) -> anyhow::Result<Profile> {
    match role {
        ServiceRole::Hub => Ok(Profile::default()),
        ServiceRole::DeviceAgent | ServiceRole::ServiceProxy => Profile::resolve(given),
    }
}

/// A service's units that are there.
pub(super) fn installed(unit: &str, directory: &Path) -> Vec<String> {
    let names = [".socket", "-streaming.socket", ".service"].map(|end| format!("devstream-{unit}{end}"));
    names.into_iter().filter(|name| directory.join(name).exists()).collect()
}

/// An installed service.
pub(in crate::cli) struct Installed {
    /// What systemd calls it.
    pub(in crate::cli) name: String,
    /// What ends it for good.
    pub(in crate::cli) uninstall_command: String,
}

/// The installed service that is handed the key in that directory, as often as it starts.
pub(in crate::cli) fn service_with_key(
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

pub(super) fn directory(root: Option<&Path>) -> PathBuf {
    root.unwrap_or(Path::new("/")).join(UNITS)
}

/// The subcommand, as it is typed.
pub(super) fn name(role: ServiceRole) -> String {
    role.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
