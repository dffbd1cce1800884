//! The paths of files and sockets, all below the platform's user directories, so that HOME and XDG_* move everything.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::net::os::hostname::machine_name;
use crate::net::os::random;
use crate::proto::id::Principal;

/// The file of a stored identity, and the name of the credential that systemd passes a service.
pub(super) const IDENTITY_FILE: &str = "identity.toml";
/// The file beside it with the end-to-end keys of its peers.
pub(super) const KNOWN_FILE: &str = "known";
/// The file by whose lock processes take turns to change it.
pub(super) const KNOWN_LOCK: &str = "known.lock";
/// The file beside it with the certificate of a fleet that it took from the hub.
pub(super) const CERTIFICATE_FILE: &str = "certificate";
/// The file of its key, and the name of that credential.
pub(super) const KEY_FILE: &str = "key";

/// Returns devstream's directory below the user's data directory.
pub(super) fn data() -> anyhow::Result<PathBuf> {
    // Not the roaming directory of Windows: keys and sockets belong to this machine.
    let base = dirs::data_local_dir().context("no home directory; set HOME")?;
    Ok(base.join("devstream"))
}

/// Returns the directory of the owner's fleet: its keys, and what they signed.
pub(super) fn fleet() -> anyhow::Result<PathBuf> {
    Ok(data()?.join("fleet"))
}

/// Returns the home directory, if it would hold this program's files and does not exist.
pub(super) fn missing_home() -> Option<PathBuf> {
    let (home, data) = (dirs::home_dir()?, dirs::data_local_dir()?);
    (data.starts_with(&home) && !home.exists()).then_some(home)
}

/// The state directory of the hub that systemd runs. Only root has access.
pub(super) const SERVICE_STATE: &str = "/var/lib/devstream/hub";

/// Returns the state directory to run a hub with: the given one, else the user's.
pub(super) fn user_hub_state(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    given.map_or_else(|| Ok(data()?.join("hub")), |given| Ok(given.into()))
}

/// Returns the state directory of the hub to talk to: as [`user_hub_state`], or the service's where the user has none.
pub(super) fn hub_state(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let user = user_hub_state(given)?;
    Ok(if given.is_some() { user } else { user_or_service_state(user, SERVICE_STATE.into()) })
}

fn user_or_service_state(user: PathBuf, service: PathBuf) -> PathBuf {
    if !user.exists() && service.is_dir() { service } else { user }
}

/// Returns the default configuration file: in the directory that systemd sets, else in the user's configuration
/// directory.
pub(super) fn config_file() -> Option<PathBuf> {
    let service = env::var_os("CONFIGURATION_DIRECTORY").map(PathBuf::from);
    let directory = service.or_else(|| Some(dirs::config_dir()?.join("devstream")))?;
    Some(directory.join("config.toml"))
}

/// Returns the file that `~/.ssh/config` includes.
pub(super) fn ssh_config_block() -> anyhow::Result<PathBuf> {
    let base = dirs::config_dir().context("no home directory; set HOME")?;
    Ok(base.join("devstream").join("ssh_config"))
}

/// Returns the user's OpenSSH configuration.
pub(super) fn ssh_config() -> anyhow::Result<PathBuf> {
    Ok(dirs::home_dir().context("no home directory; set HOME")?.join(".ssh").join("config"))
}

/// Returns a credential that systemd passes this service (systemd.exec(5), LoadCredential=), if there is one.
pub(super) fn credential(name: &str) -> Option<PathBuf> {
    let path = Path::new(&env::var_os("CREDENTIALS_DIRECTORY")?).join(name);
    path.exists().then_some(path)
}

/// Returns the state directory that systemd gives this service (systemd.exec(5), StateDirectory=).
pub(super) fn state_directory() -> Option<PathBuf> {
    env::split_paths(&env::var_os("STATE_DIRECTORY")?).next()
}

/// Returns the directory of named profiles.
pub(super) fn profiles() -> anyhow::Result<PathBuf> {
    Ok(data()?.join("profiles"))
}

/// Returns the file with the name of the default profile.
pub(super) fn default_profile_file() -> anyhow::Result<PathBuf> {
    Ok(data()?.join("profile"))
}

/// Returns the cache of a profile's devices, for completions.
pub(super) fn device_cache(profile: &str) -> anyhow::Result<PathBuf> {
    let base = dirs::cache_dir().context("no home directory; set HOME")?;
    Ok(base.join("devstream").join(format!("devices-{profile}.json")))
}

/// The extension of status sockets.
pub(super) const STATUS_SOCKET: &str = "sock";

/// The runtime directories of the roles that systemd runs. Only root has access.
const SERVICE_STATUS: [&str; 2] = ["/run/devstream/device-agent", "/run/devstream/service-proxy"];

/// Returns the directory for this role's status socket: the first runtime directory that systemd sets, else the user's.
pub(super) fn status_directory() -> anyhow::Result<PathBuf> {
    let service = env::var_os("RUNTIME_DIRECTORY").and_then(|paths| env::split_paths(&paths).next());
    service.map_or_else(user_status_directory, Ok)
}

/// Returns the path of a new status socket. Its name has the machine, since several may share a home directory, and a
/// random part, since containers may share the machine's name and process ids.
pub(super) fn status_socket(directory: &Path, role: &str, process: u32) -> PathBuf {
    let (machine, unique) = (machine_name().unwrap_or_default(), random::u64() as u32);
    directory.join(format!("{role}-{process}-{unique:08x}@{machine}.{STATUS_SOCKET}"))
}

/// Reports whether a status socket belongs to a process of this machine.
pub(super) fn is_local_socket(socket: &Path) -> bool {
    let stem = socket.file_stem().and_then(|stem| stem.to_str());
    let machine = stem.and_then(|stem| stem.rsplit_once('@')).map(|(_, machine)| machine);
    machine.is_some() && machine == machine_name().as_deref()
}

/// Returns the directories of the status sockets that this user may connect to.
pub(super) fn status_directories() -> anyhow::Result<Vec<PathBuf>> {
    let services = SERVICE_STATUS.map(PathBuf::from);
    Ok([user_status_directory()?].into_iter().chain(services).collect())
}

fn user_status_directory() -> anyhow::Result<PathBuf> {
    Ok(data()?.join("run"))
}

/// Returns the directory of the keys of identities that enrol with the hub of the same user.
pub(super) fn local_keys() -> anyhow::Result<PathBuf> {
    Ok(data()?.join("local"))
}

/// Returns the key of an identity that enrols with the hub of the same user.
pub(super) fn local_key(principal: &Principal) -> anyhow::Result<PathBuf> {
    Ok(local_keys()?.join(format!("{}-{}{LOCAL_KEY_SUFFIX}", principal.role, principal.id)))
}

const LOCAL_KEY_SUFFIX: &str = ".key";

/// Returns the identity whose key has this file name.
pub(super) fn local_key_owner(name: &str) -> Option<Principal> {
    let (role, id) = name.strip_suffix(LOCAL_KEY_SUFFIX)?.split_once('-')?;
    Some(Principal { role: role.parse().ok()?, id: id.parse().ok()? })
}

/// Returns the directory in which systemd keeps the state of a service. Only root has access.
pub(super) fn service_state(root: Option<&Path>, name: &str) -> PathBuf {
    root.unwrap_or(Path::new("/")).join("var/lib").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_other_machines_in_a_shared_home_are_not_local() {
        let directory = Path::new("/home/alice");
        let local = status_socket(directory, "device-agent", 7);
        assert!(is_local_socket(&local), "{local:?}");
        for other in ["device-agent-7@other-machine.sock", "device-agent-7.sock", "device-agent-7@.sock", ".sock"] {
            assert!(!is_local_socket(&directory.join(other)), "{other}");
        }
    }

    #[test]
    fn the_services_hub_is_used_where_the_user_has_none() {
        let directory = tempfile::tempdir().unwrap();
        let [user, service] = ["user", "service"].map(|name| directory.path().join(name));
        let chosen = || user_or_service_state(user.clone(), service.clone());
        assert_eq!(chosen(), user, "neither exists");
        std::fs::create_dir(&service).unwrap();
        assert_eq!(chosen(), service);
        std::fs::create_dir(&user).unwrap();
        assert_eq!(chosen(), user);
    }
}
