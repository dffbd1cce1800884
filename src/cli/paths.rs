//! Where things are kept: all below the platform's data directory, so that HOME and XDG_* move everything.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::profile::Profile;
use crate::net::os::hostname::machine_name;
use crate::net::os::random;
use crate::proto::id::{Principal, Role};

/// devstream's place in the data directory.
fn data() -> anyhow::Result<PathBuf> {
    // Not what Windows carries to other machines: keys and sockets are this one's.
    let base = dirs::data_local_dir().context("there is no home directory to keep things in; set HOME")?;
    Ok(base.join("devstream"))
}

/// Where the hub that runs as a service of the machine keeps everything. Only root can look into it.
pub(super) const SERVICE_STATE: &str = "/var/lib/devstream/hub";

/// The state directory of a hub to be: the one given, else the user's own.
pub(super) fn own_hub_state(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    given.map_or_else(|| Ok(data()?.join("hub")), |given| Ok(given.into()))
}

/// The state directory of a hub to speak to: for root, who has none, also the one of the machine's service.
pub(super) fn hub_state(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let own = own_hub_state(given)?;
    Ok(if given.is_some() { own } else { user_or_service_state(own, SERVICE_STATE.into()) })
}

fn user_or_service_state(own: PathBuf, service: PathBuf) -> PathBuf {
    if !own.exists() && service.is_dir() { service } else { own }
}

/// The configuration file's usual place: where the service manager says, else in the user's configuration directory.
pub(super) fn config_file() -> Option<PathBuf> {
    let given = env::var_os("CONFIGURATION_DIRECTORY").map(PathBuf::from);
    let directory = given.or_else(|| Some(dirs::config_dir()?.join("devstream")))?;
    Some(directory.join("config.toml"))
}

/// What `~/.ssh/config` includes.
pub(super) fn ssh_config_block() -> anyhow::Result<PathBuf> {
    let base = dirs::config_dir().context("there is no home directory to keep things in; set HOME")?;
    Ok(base.join("devstream").join("ssh_config"))
}

/// OpenSSH's configuration of this user.
pub(super) fn ssh_config() -> anyhow::Result<PathBuf> {
    Ok(dirs::home_dir().context("there is no home directory; set HOME")?.join(".ssh").join("config"))
}

/// A file that the service manager hands to this service alone.
pub(super) fn credential(name: &str) -> Option<PathBuf> {
    let path = Path::new(&env::var_os("CREDENTIALS_DIRECTORY")?).join(name);
    path.exists().then_some(path)
}

/// Where a profile keeps the identity of one role once this machine has joined.
pub(super) fn identity(profile: &Profile, role: Role) -> anyhow::Result<PathBuf> {
    let directory = if profile.is_default() { data()? } else { profiles()?.join(profile.as_str()) };
    Ok(directory.join(role.as_str()))
}

/// Where the profiles are that have a name of their own.
pub(super) fn profiles() -> anyhow::Result<PathBuf> {
    Ok(data()?.join("profiles"))
}

/// The file that says which profile holds where none is named.
pub(super) fn default_profile_file() -> anyhow::Result<PathBuf> {
    Ok(data()?.join("profile"))
}

/// What a profile's hub told about its devices, for completions.
pub(super) fn device_cache(profile: &Profile) -> anyhow::Result<PathBuf> {
    let base = dirs::cache_dir().context("there is no home directory to keep things in; set HOME")?;
    Ok(base.join("devstream").join(format!("devices-{profile}.json")))
}

/// How the names of sockets end that tell a role's status.
pub(super) const STATUS_SOCKET: &str = "sock";

/// Where systemd makes a directory for each role that it runs. Only root can look into them.
const SERVICE_STATUS: [&str; 2] = ["/run/devstream/device-agent", "/run/devstream/service-proxy"];

/// Where a role that runs here puts its status socket: where the service manager says, first of all if it says several
/// places, else in the user's own place.
pub(super) fn status_directory() -> anyhow::Result<PathBuf> {
    let given = env::var_os("RUNTIME_DIRECTORY").and_then(|given| env::split_paths(&given).next());
    given.map_or_else(user_status_directory, Ok)
}

/// A new status socket for a process. Its name says on which machine that is, as several may share a home directory; and it is
/// nobody else's, as containers may share the rest.
pub(super) fn status_socket(directory: &Path, role: &str, process: u32) -> PathBuf {
    let (machine, unique) = (machine_name().unwrap_or_default(), random::u64() as u32);
    directory.join(format!("{role}-{process}-{unique:08x}@{machine}.{STATUS_SOCKET}"))
}

/// Whether it is that of a process of this machine.
pub(super) fn is_local_socket(socket: &Path) -> bool {
    let stem = socket.file_stem().and_then(|stem| stem.to_str());
    let machine = stem.and_then(|stem| stem.rsplit_once('@')).map(|(_, machine)| machine);
    machine.is_some() && machine == machine_name().as_deref()
}

/// Where such sockets are that this user may speak to.
pub(super) fn status_directories() -> anyhow::Result<Vec<PathBuf>> {
    let services = SERVICE_STATUS.map(PathBuf::from);
    Ok([user_status_directory()?].into_iter().chain(services).collect())
}

fn user_status_directory() -> anyhow::Result<PathBuf> {
    Ok(data()?.join("run"))
}

/// The key of an identity that enrols itself with the same user's hub.
pub(super) fn local_key(principal: &Principal) -> anyhow::Result<PathBuf> {
    Ok(data()?.join("local").join(format!("{}-{}.key", principal.role, principal.id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_of_another_machine_in_the_same_home_is_told_from_an_own_one() {
        let directory = Path::new("/home/alice");
        let own = status_socket(directory, "device-agent", 7);
        assert!(is_local_socket(&own), "{own:?}");
        for other in ["device-agent-7@other-machine.sock", "device-agent-7.sock", "device-agent-7@.sock", ".sock"] {
            assert!(!is_local_socket(&directory.join(other)), "{other}");
        }
    }

    #[test]
    fn the_machines_hub_is_spoken_to_where_there_is_no_own_one() {
        let directory = tempfile::tempdir().unwrap();
        let [own, service] = ["own", "service"].map(|name| directory.path().join(name));
        let chosen = || user_or_service_state(own.clone(), service.clone());
        assert_eq!(chosen(), own, "neither is there");
        std::fs::create_dir(&service).unwrap();
        assert_eq!(chosen(), service);
        std::fs::create_dir(&own).unwrap();
        assert_eq!(chosen(), own);
    }
}
