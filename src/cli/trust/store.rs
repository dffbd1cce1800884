//! The files in which an identity of this machine keeps the keys of its peers.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;

use crate::cli::Failure;
use crate::cli::args::HubArgs;
use crate::cli::identity::{StoredIdentity, default_service_id, machine_id, not_joined, own_identities};
use crate::cli::paths::KNOWN_FILE;
use crate::cli::profile::Profile;
use crate::cli::service::service_with_key;
use crate::hub::state::AtPath as _;
use crate::net::e2e::known_file::KnownFile;
use crate::proto::id::{Principal, PrincipalId, Role};
use crate::proto::known::KnownPeers;

/// What an identity knows.
pub(super) struct Store {
    /// This user's own commands keep what they know beside the identity.
    own: KnownFile,
    /// An installed service may not write there, and has a directory of its own.
    service: Option<OfService>,
}

struct OfService {
    name: String,
    directory: PathBuf,
    file: KnownFile,
}

impl Store {
    /// Finds what the profile's identity in a role knows. An identity that enrols with the hub of the same user asks that hub
    /// instead.
    pub(super) fn of(profile: &Profile, role: Role) -> Result<Self, Failure> {
        if StoredIdentity::load(profile, role)?.is_none() {
            return Err(absent(profile, role)?);
        }
        let directory = profile.identity_directory(role)?;
        let service = service_with_key(profile, role, &directory, None);
        let service = service.and_then(|service| {
            let (name, directory) = (service.name, service.state_directory?);
            let file = KnownFile::new(directory.join(KNOWN_FILE));
            Some(OfService { name, directory, file })
        });
        Ok(Self { own: KnownFile::new(directory.join(KNOWN_FILE)), service })
    }

    /// Returns what is known, with the name of the service that knows it; none is this user.
    pub(super) fn read(&self) -> anyhow::Result<Vec<(Option<&str>, Arc<KnownPeers>)>> {
        let mut known = vec![(None, self.own.read()?)];
        if let Some(service) = &self.service {
            known.push((Some(service.name.as_str()), service.file.read()?));
        }
        Ok(known)
    }

    /// Returns the number of known peers.
    pub(super) fn count(&self) -> anyhow::Result<usize> {
        Ok(self.read()?.iter().map(|(_, peers)| peers.iter().count()).max().unwrap_or(0))
    }

    /// Forgets all peers.
    pub(super) fn clear(&self) -> anyhow::Result<()> {
        self.change(|peers| {
            *peers = KnownPeers::default();
            Ok(())
        })
    }

    /// Changes what is known, in each file.
    pub(super) fn change(&self, mut change: impl FnMut(&mut KnownPeers) -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.own.change(&mut change)??;
        let Some(service) = &self.service else { return Ok(()) };
        // The service, which runs as another user, must get through to its own directory.
        if let Some(above) = service.directory.parent() {
            std::fs::create_dir_all(above).at_path("cannot create", above)?;
        }
        service.file.change(&mut change)?
    }
}

/// Words why an identity keeps no keys.
fn absent(profile: &Profile, role: Role) -> anyhow::Result<Failure> {
    if let Some(enrolled) = own_identities(profile)?.into_iter().find(|own| own.role == role && own.hub.is_none()) {
        return Ok(anyhow!(of_own_hub(role, &enrolled.id)).into());
    }
    let mut hub_args = HubArgs::none();
    hub_args.profile = Some(profile.clone());
    let id = match role {
        Role::Device => machine_id()?,
        Role::Service => default_service_id(&hub_args)?,
    };
    Ok(not_joined(profile, &Principal { role, id }).into())
}

/// Says where an identity that enrolled with the hub of the same user has the keys of its peers from.
pub(super) fn of_own_hub(role: Role, id: &PrincipalId) -> String {
    format!("{role} {id} uses the hub of this user, and takes the keys of its peers from that; none are kept here")
}
