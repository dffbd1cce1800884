//! Who this machine is to its hub: joined with a link, or enrolled with the hub of the same user.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::args::HubArgs;
use super::paths;
use super::profile::Profile;
use crate::hub::state::{
    admin_socket, create_private_directory, read_credential, read_private, write_private, write_private_once,
};
use crate::net::client::{Client, ClientFactory};
use crate::net::os::local_socket;
use crate::net::os::random;
use crate::net::tls::Trust;
use crate::proto::admin::{AdminRequest, AdminResponse};
use crate::proto::id::{Principal, PrincipalId, Role};
use crate::proto::join::{HubAddress, JoinLink, Pin};
use crate::proto::key::PrivateKey;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::secret::KeySeed;

/// What `devstream join` keeps beside the key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredIdentity {
    /// Who this machine is.
    pub(super) id: PrincipalId,
    /// Where the hub is.
    pub(super) hub: HubAddress,
    /// What its certificate authority must be; without it, the public ones are trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pin: Option<Pin>,
}

/// Its file, and a credential's name.
pub(super) const IDENTITY: &str = "identity.toml";
/// The key's file, and a credential's name.
pub(super) const KEY: &str = "key";
const PENDING_KEY: &str = "key.next";

impl StoredIdentity {
    /// What this machine joined as in that role and profile, if it did.
    pub(super) fn load(profile: &Profile, role: Role) -> anyhow::Result<Option<Self>> {
        let Some((path, text)) = identity_file(profile, role, IDENTITY)? else { return Ok(None) };
        toml::from_str(&text).map(Some).with_context(|| format!("cannot understand {}", path.display()))
    }

    /// Whether a link leads to the same hub: by its authority, or by its address.
    pub(super) fn matches_hub(&self, link: &JoinLink) -> bool {
        self.hub == link.hub || (self.pin.is_some() && self.pin == link.pin)
    }

    fn client(&self, profile: &Profile, role: Role, trust: &Trust, hub_args: &HubArgs) -> anyhow::Result<Client> {
        let key = identity_file(profile, role, KEY)?;
        let (path, text) = key.context("this machine has joined, but its key is gone; join again")?;
        let key = parse_key(&path, &text)?;
        let hubs = hub_args.hubs(&self.hub);
        let principal = Principal { role, id: self.id.clone() };
        let client = Client::new(hubs, trust, principal, Arc::new(key))?;
        Ok(client.allowing_tls_inspection(hub_args.trust.allow_tls_inspection))
    }
}

/// A part of the identity and its place: handed over by the service manager, else where `devstream join` left it.
fn identity_file(profile: &Profile, role: Role, name: &str) -> anyhow::Result<Option<(PathBuf, String)>> {
    if let Some(path) = paths::credential(name) {
        let text = read_credential(&path)?;
        return Ok(Some((path, text)));
    }
    let path = paths::identity(profile, role)?.join(name);
    if !path.exists() {
        return Ok(None);
    }
    let text = read_private(&path)?;
    Ok(Some((path, text)))
}

/// Whether the key is the copy that the service manager makes when it starts this service.
pub(super) fn has_service_credential() -> bool {
    paths::credential(KEY).is_some()
}

/// Where a role's identity is kept.
pub(super) struct IdentityDir(PathBuf);

impl IdentityDir {
    pub(super) fn of(profile: &Profile, role: Role) -> anyhow::Result<Self> {
        Ok(Self(paths::identity(profile, role)?))
    }

    pub(super) fn directory(&self) -> &Path {
        &self.0
    }

    /// The key to join with. It is written down before the hub hears of it: if the hub's answer is lost, the next try
    /// is with the same key, which the hub then knows.
    pub(super) fn pending_seed(&self) -> anyhow::Result<KeySeed> {
        create_private_directory(&self.0)?;
        let path = self.0.join(PENDING_KEY);
        write_private_once(&path, &random::secret::<32>().reveal())?;
        parse_seed(&path, &read_private(&path)?)
    }

    /// Keeps an identity and its key. The key is written first: an identity that can be read has one.
    pub(super) fn store(&self, stored: &StoredIdentity, seed: &KeySeed) -> anyhow::Result<()> {
        write_private(&self.0.join(KEY), &seed.reveal())?;
        write_private(&self.0.join(IDENTITY), &toml::to_string(stored)?)?;
        std::fs::remove_file(self.0.join(PENDING_KEY)).context("cannot tidy up after joining")
    }
}

/// What is trusted: a file that was named, else the pin, else the public authorities.
pub(super) fn trust(ca: Option<&Path>, pin: Option<Pin>) -> anyhow::Result<Trust> {
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
pub(super) fn client_factory(principal: Principal, hub_args: HubArgs) -> ClientFactory {
    let failed = |error: anyhow::Error| Refusal::new(RefusalKind::NotJoined, format!("{error:#}"));
    // Once: a role that runs stays who it is, whatever is chosen meanwhile.
    let profile = Profile::resolve(hub_args.profile.as_ref()).map_err(failed);
    ClientFactory::new(move || {
        let (principal, hub_args, profile) = (principal.clone(), hub_args.clone(), profile.clone());
        async move {
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
        }
    })
}

/// A hub of the same user, and where the key for it is.
#[derive(Debug, Clone)]
pub(super) struct LocalHub {
    pub(super) state: PathBuf,
    pub(super) key: PathBuf,
}

impl LocalHub {
    /// Enrols with that hub.
    pub(super) async fn client(
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
pub(super) fn default_device_id(hub_args: &HubArgs) -> anyhow::Result<PrincipalId> {
    match stored_id(hub_args, Role::Device)? {
        Some(id) => Ok(id),
        None => machine_id(),
    }
}

/// What this machine calls itself, as an id.
pub(super) fn machine_id() -> anyhow::Result<PrincipalId> {
    let name = crate::net::os::hostname::machine_name().context("this machine has no usable name; give --id")?;
    name.try_into().context("this machine's name is no device id; give --id")
}

/// Who the profile joined as in that role, if it did.
fn stored_id(hub_args: &HubArgs, role: Role) -> anyhow::Result<Option<PrincipalId>> {
    let profile = Profile::resolve(hub_args.profile.as_ref())?;
    Ok(StoredIdentity::load(&profile, role)?.map(|stored| stored.id))
}

/// Who the service-proxy is: who it joined as, else the user.
pub(super) fn default_service_id(hub_args: &HubArgs) -> anyhow::Result<PrincipalId> {
    if let Some(id) = stored_id(hub_args, Role::Service)? {
        return Ok(id);
    }
    let user = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let named = user.and_then(|user| PrincipalId::try_from(user).ok());
    Ok(named.map_or_else(|| PrincipalId::try_from("local".to_owned()), Ok)?)
}

fn parse_key(path: &Path, text: &str) -> anyhow::Result<PrivateKey> {
    Ok(PrivateKey::from_seed(&parse_seed(path, text)?))
}

fn parse_seed(path: &Path, text: &str) -> anyhow::Result<KeySeed> {
    KeySeed::parse(text.trim()).with_context(|| format!("{} is damaged", path.display()))
}

/// The key in that file, made if it is not there. Of several programs that start at once, one makes it.
fn load_or_create_key(path: &Path) -> anyhow::Result<PrivateKey> {
    if !path.exists() {
        create_private_directory(path.parent().context("a key needs a directory")?)?;
        write_private_once(path, &random::secret::<32>().reveal())?;
    }
    parse_key(path, &read_private(path)?)
}
