//! The identities of this machine in a profile, with their end-to-end keys.

use std::fs;
use std::io;

use serde::{Serialize, Serializer};

use super::client::missing;
use super::stored::{StoredIdentity, parse_key};
use crate::cli::paths;
use crate::cli::profile::Profile;
use crate::hub::state::{AUTHORITY, AtPath as _, read_private};
use crate::net::e2e::verdict::CertificateVerdict;
use crate::proto::fleet::FleetKeys;
use crate::proto::id::{Principal, PrincipalId, Role};
use crate::proto::join::HubAddress;
use crate::proto::key::PublicKey;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::timestamp::Timestamp;

/// The limit on identities that enrolled with the hub of the same user, whatever else is in their directory.
const MAX_LOCAL: usize = 1024;

/// An identity of this machine.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct OwnIdentity {
    pub(in crate::cli) role: Role,
    pub(in crate::cli) id: PrincipalId,
    /// The hub that it joined; `None` is the hub of the same user.
    pub(in crate::cli) hub: Option<HubAddress>,
    /// The key by which peers know it.
    pub(in crate::cli) end_to_end_key: PublicKey,
    /// The fleet that must have signed the keys of its peers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) fleet: Option<FleetKeys>,
    /// The end of the certificate by which the fleet vouches for its key, or did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) certificate_until: Option<Timestamp>,
    /// The verdict on the certificate that it presents.
    #[serde(rename = "certificate", serialize_with = "word", skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) verdict: Option<CertificateVerdict>,
}

#[expect(clippy::ref_option, reason = "serde passes a reference")]
fn word<S: Serializer>(verdict: &Option<CertificateVerdict>, serializer: S) -> Result<S::Ok, S::Error> {
    verdict.map(CertificateVerdict::word).serialize(serializer)
}

/// Returns the profile's identities: those that joined, then, in the default profile, those that enrolled with the hub of the
/// same user.
pub(in crate::cli) fn own_identities(profile: &Profile) -> anyhow::Result<Vec<OwnIdentity>> {
    let mut identities = Vec::new();
    for role in [Role::Device, Role::Service] {
        if let Some(stored) = StoredIdentity::load(profile, role)? {
            let end_to_end_key = StoredIdentity::key(profile, role)?.public();
            let own = stored.own_certificate(profile, role, &end_to_end_key)?;
            let verdict = own.map(|own| own.verdict);
            let certificate_until = verdict.and_then(CertificateVerdict::end);
            let StoredIdentity { id, hub, fleet, .. } = stored;
            let (hub, fleet) = (Some(hub), fleet.map(|fleet| fleet.keys));
            identities.push(OwnIdentity { role, id, hub, end_to_end_key, fleet, certificate_until, verdict });
        }
    }
    if profile.is_default() {
        identities.extend(enrolled()?);
    }
    Ok(identities)
}

fn enrolled() -> anyhow::Result<Vec<OwnIdentity>> {
    let directory = paths::local_keys()?;
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.at_path("cannot read", &directory)?,
    };
    let names = entries.take(MAX_LOCAL).flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut principals: Vec<_> = names.filter_map(|name| paths::local_key_owner(&name)).collect();
    principals.sort();
    let identity = |principal: Principal| {
        let path = paths::local_key(&principal)?;
        let end_to_end_key = parse_key(&path, &read_private(&path)?)?.public();
        let Principal { role, id } = principal;
        Ok(OwnIdentity { role, id, hub: None, end_to_end_key, fleet: None, certificate_until: None, verdict: None })
    };
    principals.into_iter().map(identity).collect()
}

/// The refusal of a command for a profile without an identity.
pub(in crate::cli) fn no_identity(profile: &Profile) -> Refusal {
    let has_hub = || paths::hub_state(None).is_ok_and(|state| state.join(AUTHORITY).is_file());
    if profile.is_default() && has_hub() {
        let message = "this user's hub is on this machine, and a key for using it is made at the first use";
        return Refusal::worded(RefusalKind::NotJoined, message).advised("for example `devstream devices`");
    }
    let refusal = missing(profile).map_or_else(
        || Refusal::from(RefusalKind::NotJoined),
        |missing| Refusal::worded(RefusalKind::NotJoined, missing),
    );
    refusal.advised(format!(
        "on the hub's machine run `devstream hub device add ID` or `devstream hub service add NAME --device ID`, and here the \
         command that it prints{}",
        profile.flag().replace(" --profile", " with --profile")
    ))
}
