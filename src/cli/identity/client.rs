//! Clients of the hub for this machine's identities: joined with a link, or enrolled with the hub of the same user.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use parking_lot::Mutex;

use super::hub_keys::HubKeys;
use super::stored::{StoredIdentity, parse_key};
use crate::cli::Failure;
use crate::cli::args::HubArgs;
use crate::cli::paths;
use crate::cli::profile::Profile;
use crate::hub::state::{AUTHORITY, admin_socket, create_private_directory, read_private, write_private_once};
use crate::net::client::{Client, ClientFactory};
use crate::net::os::local_socket;
use crate::net::os::random;
use crate::net::tls::Trust;
use crate::proto::admin::{AdminRequest, AdminResponse};
use crate::proto::id::{Principal, PrincipalId, Role, UNNAMED_SERVICE};
use crate::proto::join::Pin;
use crate::proto::key::PrivateKey;
use crate::proto::refusal::{Refusal, RefusalKind};

/// Returns the trust in the hub's certificate: the given file, else the pin, else public authorities.
pub(in crate::cli) fn trust(ca: Option<&Path>, pin: Option<Pin>) -> anyhow::Result<Trust> {
    match (ca, pin) {
        (Some(file), _) => Trust::from_file(file).with_context(|| format!("cannot use --ca {}", file.display())),
        (None, Some(pin)) => Ok(Trust::Pin(pin)),
        (None, None) => Ok(Trust::Public),
    }
}

/// Returns the trust of a joined identity; an error is one of the certificate, not of the identity.
fn trusted(hub_args: &HubArgs, pin: Option<Pin>) -> Result<Trust, Refusal> {
    let untrusted = |error: anyhow::Error| Refusal::new(RefusalKind::CertificateNotTrusted, format!("{error:#}"));
    trust(hub_args.trust.ca.as_deref(), pin).map_err(untrusted)
}

/// Returns the factory of clients for `principal`: with the identity that joined, else, in the default profile,
/// enrolled through the admin socket of the hub that the same user runs.
pub(in crate::cli) fn client_factory(principal: Principal, hub_args: HubArgs) -> ClientFactory {
    factory(principal, hub_args, false)
}

/// Returns the same, but with the identity that joined whatever its id is; `principal` is for a machine that has none.
pub(in crate::cli) fn joined_client_factory(principal: Principal, hub_args: HubArgs) -> ClientFactory {
    factory(principal, hub_args, true)
}

fn factory(principal: Principal, hub_args: HubArgs, takes_any_id: bool) -> ClientFactory {
    let failed = |error: anyhow::Error| Refusal::local(format!("{error:#}"));
    // Resolved once: a running role keeps its profile when the default changes.
    let profile = Profile::resolve(hub_args.profile.as_ref()).map_err(failed);
    ClientFactory::new(move || {
        let (principal, hub_args, profile) = (principal.clone(), hub_args.clone(), profile.clone());
        async move {
            let profile = profile?;
            let proxy = hub_args.via.proxy_settings()?;
            let client = match StoredIdentity::load(&profile, principal.role).map_err(failed)? {
                Some(stored) if takes_any_id || stored.id == principal.id => {
                    let trust = trusted(&hub_args, stored.pin)?;
                    stored.client(&profile, principal.role, &trust, &hub_args).map_err(failed)?
                }
                Some(stored) if !profile.is_default() => {
                    return Err(joined_as_another(&format!("profile {profile}"), &principal, &stored));
                }
                None if !profile.is_default() => return Err(not_joined(&profile, &principal)),
                stored => {
                    let (state, key) = (paths::hub_state(None), paths::local_key(&principal));
                    let local_hub = LocalHub { state: state.map_err(failed)?, key: key.map_err(failed)? };
                    let absent = match stored {
                        Some(stored) => joined_as_another("this machine", &principal, &stored),
                        None => not_joined(&profile, &principal),
                    };
                    local_hub.client(principal, &hub_args, absent).await?
                }
            };
            Ok(client.with_proxy(proxy))
        }
    })
}

/// The hub of the same user: its state directory, and the file of the key that enrols with it.
#[derive(Debug, Clone)]
pub(in crate::cli) struct LocalHub {
    pub(in crate::cli) state: PathBuf,
    pub(in crate::cli) key: PathBuf,
}

impl LocalHub {
    /// Enrols with the hub, and returns a client of it. `absent` is the error if no hub runs.
    pub(in crate::cli) async fn client(
        &self,
        principal: Principal,
        hub_args: &HubArgs,
        absent: Refusal,
    ) -> Result<Client, Refusal> {
        let failed = |error: anyhow::Error| Refusal::local(format!("{error:#}"));
        let socket = admin_socket(&self.state);
        if !socket.exists() {
            // Without a hub, a key is of no use.
            return Err(stopped_hub(&self.state, &io::ErrorKind::NotFound.into()).unwrap_or(absent));
        }
        let key = load_or_create_key(&self.key).map_err(failed)?;
        let request = AdminRequest::Enrol { principal: principal.clone(), key: key.public() };
        let info = match local_socket::request(&socket, &request).await {
            Ok(AdminResponse::Hub(info)) => info,
            Ok(AdminResponse::Failed { reason }) => return Err(Refusal::new(RefusalKind::NotPermitted, reason)),
            Ok(_) => return Err(Refusal::new(RefusalKind::HubFailed, "unexpected response on the admin socket")),
            Err(error) => return Err(stopped_hub(&self.state, &error).unwrap_or(absent)),
        };
        let hubs = hub_args.hubs(&info.local);
        let trust = trusted(hub_args, Some(info.pin))?;
        let client = Client::new(hubs, &trust, principal, Arc::new(key)).map_err(|error| failed(error.into()))?;
        let client = client.with_peer_keys(hub_keys(admin_socket(&self.state)));
        let endpoint = info.streaming_endpoints.iter().find_map(|url| url.strip_prefix("https://")?.parse().ok());
        let client = client.with_streaming_endpoint(endpoint);
        Ok(client.allowing_tls_inspection(hub_args.trust.allow_tls_inspection))
    }
}

/// Returns the keys of peers that the hub behind a socket has: the same object each time, since it remembers answers.
fn hub_keys(socket: PathBuf) -> Arc<HubKeys> {
    static HUBS: Mutex<Vec<(PathBuf, Arc<HubKeys>)>> = Mutex::new(Vec::new());
    let mut hubs = HUBS.lock();
    if let Some((_, keys)) = hubs.iter().find(|(known, _)| *known == socket) {
        return keys.clone();
    }
    let keys = Arc::new(HubKeys::new(socket.clone()));
    hubs.push((socket, keys.clone()));
    keys
}

/// Fails if this machine has no identity of an operator: it has not joined as one, and this user runs no hub that
/// enrols it.
pub(in crate::cli) async fn ensure_service_identity(profile: Option<&Profile>) -> Result<(), Failure> {
    let mut hub_args = HubArgs::none();
    hub_args.profile = profile.cloned();
    let principal = Principal { role: Role::Service, id: default_service_id(&hub_args)? };
    let profile = Profile::resolve(profile)?;
    if StoredIdentity::load(&profile, principal.role)?.is_some() {
        return Ok(());
    }
    if !profile.is_default() {
        return Err(not_joined(&profile, &principal).into());
    }
    let state = paths::hub_state(None)?;
    match local_socket::request::<_, AdminResponse>(&admin_socket(&state), &AdminRequest::Status).await {
        Ok(_) => Ok(()),
        Err(error) => Err(stopped_hub(&state, &error).unwrap_or_else(|| not_joined(&profile, &principal)).into()),
    }
}

/// Words why the hub whose state this user has does not answer; none if no hub has run there, or it is another user's.
pub(in crate::cli) fn stopped_hub(state: &Path, error: &io::Error) -> Option<Refusal> {
    if error.kind() == io::ErrorKind::PermissionDenied || !state.join(AUTHORITY).is_file() {
        return None;
    }
    if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
        let detail =
            format!("this machine's own, with the state directory {}, does not answer: {error}", state.display());
        let advice = "look at its log, and restart it if it hangs";
        return Some(Refusal::new(RefusalKind::HubUnreachable, detail).advised(advice));
    }
    let start = if state == Path::new(paths::SERVICE_STATE) {
        "start it with `systemctl start devstream-hub`; `systemctl status devstream-hub` says why if it cannot"
    } else {
        "start it with `devstream hub`, which says why if it cannot"
    };
    let detail = format!("this machine's own, with the state directory {}, is not running", state.display());
    let or_join = "to use a hub on another machine instead, run here the `devstream join` command that it prints";
    Some(Refusal::new(RefusalKind::HubUnreachable, detail).advised(format!("{start}; {or_join}")))
}

/// Words the refusal of a profile without an identity in this role. It may have one in the other.
pub(in crate::cli) fn not_joined(profile: &Profile, principal: &Principal) -> Refusal {
    // Named profiles never enrol by themselves.
    let named = (!profile.is_default()).then(|| profile.as_str());
    let detail: Vec<_> = named.map(|name| format!("profile {name}")).into_iter().chain(no_home()).collect();
    let refusal = Refusal::not_joined(principal, &detail.join(": "), named);
    let other_role = !principal.role;
    let (message, first) = match (StoredIdentity::load(profile, other_role), missing(profile)) {
        (Ok(Some(other)), _) => {
            let role = principal.role;
            let place = if role == Role::Service { "an operator's machine" } else { "the device's machine" };
            (
                format!("this machine joined only as {other_role} {}", other.id),
                format!("run this on {place}; to have this one join as a {role} too, "),
            )
        }
        (_, Some(missing)) => (missing, "to join a hub under that name, ".to_owned()),
        (_, None) => return refusal,
    };
    let advice = format!("{first}{}", refusal.advice().unwrap_or_default());
    Refusal::worded(RefusalKind::NotJoined, message).advised(advice)
}

/// Words that there is no such profile, if that is so.
pub(super) fn missing(profile: &Profile) -> Option<String> {
    let all = Profile::all().ok()?;
    let names: Vec<_> = all.iter().map(Profile::as_str).collect();
    (!all.contains(profile)).then(|| format!("there is no profile {profile}; this user has: {}", names.join(", ")))
}

/// Words that this user's files are nowhere, if that is so.
pub(in crate::cli) fn no_home() -> Option<String> {
    let home = paths::missing_home()?;
    Some(format!("the home directory {} does not exist: set HOME to one of this user's", home.display()))
}

/// Words that another id was asked for than the one that joined.
fn joined_as_another(joined: &str, Principal { id, .. }: &Principal, stored: &StoredIdentity) -> Refusal {
    Refusal::local(format!("{joined} joined as {}; drop --id, or join as {id} with --profile NAME", stored.id))
}

/// Returns the device-agent's default id: the one that joined, else the machine's name.
pub(in crate::cli) fn default_device_id(hub_args: &HubArgs) -> anyhow::Result<PrincipalId> {
    match stored_id(hub_args, Role::Device)? {
        Some(id) => Ok(id),
        None => machine_id(),
    }
}

/// Returns the machine's name as an id.
pub(in crate::cli) fn machine_id() -> anyhow::Result<PrincipalId> {
    let name =
        crate::net::os::hostname::machine_name().context("this machine has no usable host name; set one with --id")?;
    name.try_into().context("this machine's host name is no valid device id; set one with --id")
}

/// Returns the id that the profile joined as in this role.
fn stored_id(hub_args: &HubArgs, role: Role) -> anyhow::Result<Option<PrincipalId>> {
    let profile = Profile::resolve(hub_args.profile.as_ref())?;
    let Some(stored) = StoredIdentity::load(&profile, role)? else { return Ok(None) };
    // A role whose key cannot be read ends at its start, and not with each connection.
    StoredIdentity::key(&profile, role)?;
    Ok(Some(stored.id))
}

/// Returns the service-proxy's id: the one that joined, else the user's name.
pub(in crate::cli) fn default_service_id(hub_args: &HubArgs) -> anyhow::Result<PrincipalId> {
    if let Some(id) = stored_id(hub_args, Role::Service)? {
        return Ok(id);
    }
    let user = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let named = user.and_then(|user| PrincipalId::try_from(user).ok());
    Ok(named.map_or_else(|| PrincipalId::try_from(UNNAMED_SERVICE.to_owned()), Ok)?)
}

/// Loads the key, or creates it. Of several processes that start at once, one creates it.
fn load_or_create_key(path: &Path) -> anyhow::Result<PrivateKey> {
    if !path.exists() {
        create_private_directory(path.parent().context("a key needs a directory")?)?;
        write_private_once(path, &random::secret::<32>().reveal())?;
    }
    parse_key(path, &read_private(path)?)
}
