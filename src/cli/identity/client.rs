//! Who this machine is to its hub: joined with a link, or enrolled with the hub of the same user.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use super::stored::{StoredIdentity, parse_key};
use crate::cli::args::HubArgs;
use crate::cli::paths;
use crate::cli::profile::Profile;
use crate::hub::state::{admin_socket, create_private_directory, read_private, write_private_once};
use crate::net::client::{Client, ClientFactory};
use crate::net::os::local_socket;
use crate::net::os::random;
use crate::net::tls::Trust;
use crate::proto::admin::{AdminRequest, AdminResponse};
use crate::proto::id::{Principal, PrincipalId, Role};
use crate::proto::join::Pin;
use crate::proto::key::PrivateKey;
use crate::proto::refusal::{Refusal, RefusalKind};

/// What is trusted: a file that was named, else the pin, else the public authorities.
pub(in crate::cli) fn trust(ca: Option<&Path>, pin: Option<Pin>) -> anyhow::Result<Trust> {
    match (ca, pin) {
        (Some(file), _) => Trust::from_file(file).with_context(|| format!("cannot use --ca {}", file.display())),
        (None, Some(pin)) => Ok(Trust::Pin(pin)),
        (None, None) => Ok(Trust::Public),
    }
}

/// The same, for who has joined: only what is trusted is in question.
fn trusted(hub_args: &HubArgs, pin: Option<Pin>) -> Result<Trust, Refusal> {
    let untrusted = |error: anyhow::Error| Refusal::new(RefusalKind::CertificateNotTrusted, format!("{error:#}"));
    trust(hub_args.trust.ca.as_deref(), pin).map_err(untrusted)
}

/// How this machine becomes a client as `principal`: with what it joined as, else, in the profile that has no name of its
/// own, through the admin socket of the hub that the same user runs.
pub(in crate::cli) fn client_factory(principal: Principal, hub_args: HubArgs) -> ClientFactory {
    let failed = |error: anyhow::Error| Refusal::new(RefusalKind::NotJoined, format!("{error:#}"));
    // Once: a role that runs stays who it is, whatever is chosen meanwhile.
    let profile = Profile::resolve(hub_args.profile.as_ref()).map_err(failed);
    Arc::new(move || {
        let (principal, hub_args, profile) = (principal.clone(), hub_args.clone(), profile.clone());
        Box::pin(async move {
            let profile = profile?;
            let proxy = hub_args.via.proxy_settings()?;
            let client = match StoredIdentity::load(&profile, principal.role).map_err(failed)? {
                Some(stored) if stored.id == principal.id => {
                    let trust = trusted(&hub_args, stored.pin)?;
                    stored.client(&profile, principal.role, &trust, &hub_args).map_err(failed)?
                }
                stored if !profile.is_default() => return Err(wrong_identity(&profile, &principal, stored)),
                stored => {
                    let (state, key) = (paths::hub_state(None), paths::local_key(&principal));
                    let local_hub = LocalHub { state: state.map_err(failed)?, key: key.map_err(failed)? };
                    local_hub.client(principal, &hub_args, stored).await?
                }
            };
            Ok(client.with_proxy(proxy))
        })
    })
}

/// A hub of the same user, and where the key for it is.
#[derive(Debug, Clone)]
pub(in crate::cli) struct LocalHub {
    pub(in crate::cli) state: PathBuf,
    pub(in crate::cli) key: PathBuf,
}

impl LocalHub {
    /// Enrols with that hub.
    pub(in crate::cli) async fn client(
        &self,
        principal: Principal,
        hub_args: &HubArgs,
        stored: Option<StoredIdentity>,
    ) -> Result<Client, Refusal> {
        let failed = |error: anyhow::Error| Refusal::new(RefusalKind::NotJoined, format!("{error:#}"));
        let key = load_or_create_key(&self.key).map_err(failed)?;
        let question = AdminRequest::Enrol { principal: principal.clone(), key: key.public() };
        let info = match local_socket::request(&admin_socket(&self.state), &question).await {
            Ok(AdminResponse::Hub(info)) => info,
            Ok(AdminResponse::Failed { reason }) => return Err(Refusal::new(RefusalKind::NotPermitted, reason)),
            Ok(_) => return Err(Refusal::new(RefusalKind::HubFailed, "an unexpected answer on the admin socket")),
            Err(_) => {
                let other = stored.map(|stored| format!("it joined as {}, not as {}", stored.id, principal.id));
                return Err(Refusal::new(RefusalKind::NotJoined, other.unwrap_or_default()));
            }
        };
        let hubs = hub_args.hubs(&info.local);
        let trust = trusted(hub_args, Some(info.pin))?;
        let client = Client::new(hubs, &trust, principal, Arc::new(key)).map_err(|error| failed(error.into()))?;
        Ok(client.allowing_tls_inspection(hub_args.trust.allow_tls_inspection))
    }
}

/// A profile with a name is what it joined as, and nobody else.
fn wrong_identity(profile: &Profile, principal: &Principal, stored: Option<StoredIdentity>) -> Refusal {
    let role = principal.role.as_str();
    let why = match stored {
        Some(stored) => format!("profile {profile} joined as {}, not as {}", stored.id, principal.id),
        None => format!("profile {profile} has joined none as a {role}; devstream join --profile {profile} does"),
    };
    Refusal::new(RefusalKind::NotJoined, why)
}

/// Who the device-agent is when nobody says: who it joined as, else the machine's name.
pub(in crate::cli) fn default_device_id(hub_args: &HubArgs) -> anyhow::Result<PrincipalId> {
    match stored_id(hub_args, Role::Device)? {
        Some(id) => Ok(id),
        None => machine_id(),
    }
}

/// What this machine calls itself, as an id.
pub(in crate::cli) fn machine_id() -> anyhow::Result<PrincipalId> {
    let name = crate::net::certificate::machine_name().context("this machine has no usable name; give --id")?;
    name.try_into().context("this machine's name is no device id; give --id")
}

/// Who the profile joined as in that role, if it did.
fn stored_id(hub_args: &HubArgs, role: Role) -> anyhow::Result<Option<PrincipalId>> {
    let profile = Profile::resolve(hub_args.profile.as_ref())?;
    Ok(StoredIdentity::load(&profile, role)?.map(|stored| stored.id))
}

/// Who the service-proxy is: who it joined as, else the user.
pub(in crate::cli) fn default_service_id(hub_args: &HubArgs) -> anyhow::Result<PrincipalId> {
    if let Some(id) = stored_id(hub_args, Role::Service)? {
        return Ok(id);
    }
    let user = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let named = user.and_then(|user| PrincipalId::try_from(user).ok());
    Ok(named.map_or_else(|| PrincipalId::try_from("local".to_owned()), Ok)?)
}

/// The key in that file, made if it is not there. Of several programs that start at once, one makes it.
fn load_or_create_key(path: &Path) -> anyhow::Result<PrivateKey> {
    if !path.exists() {
        create_private_directory(path.parent().context("a key needs a directory")?)?;
        write_private_once(path, &random::secret::<32>().reveal())?;
    }
    parse_key(path, &read_private(path)?)
}
