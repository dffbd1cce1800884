//! The identity that `devstream join` stores: who this machine is, its hub, and its key.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::certificate::{OwnCertificate, choose};
use crate::cli::args::HubArgs;
use crate::cli::paths::{self, CERTIFICATE_FILE, IDENTITY_FILE, KEY_FILE, KNOWN_FILE};
use crate::cli::profile::Profile;
use crate::cli::signer::FleetCertificates;
use crate::hub::state::{
    AtPath as _, create_private_directory, read_credential, read_private, write_private, write_private_once,
};
use crate::net::client::Client;
use crate::net::e2e::known_file::KnownFile;
use crate::net::e2e::leaf::Voucher;
use crate::net::e2e::verdict::CertificateVerdict;
use crate::net::os::random;
use crate::net::tls::Trust;
use crate::proto::fleet::Fleet;
use crate::proto::id::{Principal, PrincipalId, Role};
use crate::proto::join::{HubAddress, JoinLink, Pin};
use crate::proto::key::{PrivateKey, PublicKey};
use crate::proto::secret::KeySeed;

/// The file that `devstream join` stores beside the key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct StoredIdentity {
    /// The id of this machine.
    pub(in crate::cli) id: PrincipalId,
    /// The hub's address.
    pub(in crate::cli) hub: HubAddress,
    /// The pin of the hub's certificate authority; without one, public authorities are trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) pin: Option<Pin>,
    /// The host and port to which streams connect besides the hub's own host; not there if an earlier version joined, or the
    /// hub's did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) streaming_endpoint: Option<HubAddress>,
    /// The hash of the link's code, by which the same link is recognised; not there if an earlier version joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) code_hash: Option<String>,
    /// The certificate by which the former key vouches for the present one, to peers that know the former.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) succession: Option<String>,
    /// The certificate by which a fleet vouches for the key, to peers that trust the fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) certificate: Option<String>,
    /// The fleet that must have signed the keys of peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) fleet: Option<Fleet>,
}

const PENDING_KEY: &str = "key.next";

impl StoredIdentity {
    /// Loads the identity of a profile in a role, if it has joined.
    pub(in crate::cli) fn load(profile: &Profile, role: Role) -> anyhow::Result<Option<Self>> {
        let Some((path, text)) = identity_file(profile, role, IDENTITY_FILE)? else { return Ok(None) };
        toml::from_str(&text).map(Some).with_context(|| format!("invalid identity in {}", path.display()))
    }

    /// Returns when the identity of a profile in a role was stored, if it has joined.
    pub(in crate::cli) fn stored_at(profile: &Profile, role: Role) -> Option<SystemTime> {
        let file = profile.identity_directory(role).ok()?.join(IDENTITY_FILE);
        std::fs::metadata(file).ok()?.modified().ok()
    }

    /// Reports whether a link is from the same hub, by its pin or its address.
    pub(in crate::cli) fn matches_hub(&self, link: &JoinLink) -> bool {
        self.hub == link.hub || (self.pin.is_some() && self.pin == link.pin)
    }

    /// Stores it in place of the profile's former one, with the same key.
    pub(in crate::cli) fn save(&self, profile: &Profile, role: Role) -> anyhow::Result<()> {
        write_private(&profile.identity_directory(role)?.join(IDENTITY_FILE), &toml::to_string(self)?)
    }

    /// Reports whether this machine has joined with this link.
    pub(in crate::cli) fn joined_with(&self, link: &JoinLink) -> bool {
        self.matches_hub(link) && self.code_hash.as_ref().is_some_and(|hash| *hash == code_hash(link))
    }

    /// Returns the identity's key.
    pub(in crate::cli) fn key(profile: &Profile, role: Role) -> anyhow::Result<PrivateKey> {
        let key = identity_file(profile, role, KEY_FILE)?;
        let (path, text) = key.context("the key of this identity is missing; join again")?;
        parse_key(&path, &text)
    }

    pub(super) fn client(
        &self,
        profile: &Profile,
        role: Role,
        trust: &Trust,
        hub_args: &HubArgs,
    ) -> anyhow::Result<Client> {
        let key = Self::key(profile, role)?;
        let certificate = self.presented_certificate(profile, role, &key.public())?;
        let hubs = hub_args.hubs(&self.hub);
        let principal = Principal { role, id: self.id.clone() };
        let client = Client::new(hubs, trust, principal, Arc::new(key))?;
        let client = client.with_streaming_endpoint(self.streaming_endpoint.clone());
        let client = client.with_peer_keys(known_keys(profile, role)?).with_fleet(self.fleet);
        let client = client.vouched_for_by(self.succession(profile, role)?, certificate);
        let client = client.with_certificates(Arc::new(FleetCertificates::new(certificate_file(profile, role)?)));
        Ok(client.allowing_tls_inspection(hub_args.trust.allow_tls_inspection))
    }

    /// The voucher of the key's predecessor.
    fn succession(&self, profile: &Profile, role: Role) -> anyhow::Result<Option<Voucher>> {
        let invalid = || format!("invalid succession in {}", place(profile, role));
        self.succession.as_ref().map(|text| Voucher::parse(text).with_context(invalid)).transpose()
    }

    /// The certificate that it presents, if it has one.
    pub(in crate::cli) fn own_certificate(
        &self,
        profile: &Profile,
        role: Role,
        key: &PublicKey,
    ) -> anyhow::Result<Option<OwnCertificate>> {
        let owner = Principal { role, id: self.id.clone() };
        let taken = certificate_file(profile, role)?;
        choose((&owner, key), self.fleet.as_ref(), self.certificate.as_deref(), &taken)
    }

    /// The voucher of a fleet.
    fn presented_certificate(&self, profile: &Profile, role: Role, key: &PublicKey) -> anyhow::Result<Option<Voucher>> {
        let Some(OwnCertificate { voucher, verdict }) = self.own_certificate(profile, role, key)? else {
            return Ok(None);
        };
        let is_readable = verdict != CertificateVerdict::Unreadable;
        ensure!(is_readable, "invalid certificate in {}: {verdict}", place(profile, role));
        Ok(voucher)
    }
}

/// Names the file of an identity, for errors.
fn place(profile: &Profile, role: Role) -> String {
    let stored = || profile.identity_directory(role).map(|directory| directory.join(IDENTITY_FILE));
    let path = paths::credential(IDENTITY_FILE).map_or_else(stored, Ok);
    path.map_or_else(|_| IDENTITY_FILE.to_owned(), |path| path.display().to_string())
}

/// Returns what an identity of this machine knows of its peers' end-to-end keys.
fn known_keys(profile: &Profile, role: Role) -> anyhow::Result<Arc<KnownFile>> {
    Ok(known_file(state_directory(profile, role)?.join(KNOWN_FILE), profile))
}

/// Returns where an identity keeps the certificate that it took from the hub. It is no part of the identity's file, which
/// `devstream join` and `devstream trust` may be writing.
fn certificate_file(profile: &Profile, role: Role) -> anyhow::Result<PathBuf> {
    Ok(state_directory(profile, role)?.join(CERTIFICATE_FILE))
}

/// Returns where an identity keeps what it learns: beside itself. Processes of a service that may not write there keep it in
/// the state directory that systemd gives them.
fn state_directory(profile: &Profile, role: Role) -> anyhow::Result<PathBuf> {
    match paths::state_directory().filter(|_| has_service_credential()) {
        Some(directory) => Ok(directory),
        None => profile.identity_directory(role),
    }
}

/// Returns the file of known keys at a path: the same object each time, since it remembers what it read.
fn known_file(path: PathBuf, profile: &Profile) -> Arc<KnownFile> {
    static FILES: Mutex<Vec<Arc<KnownFile>>> = Mutex::new(Vec::new());
    let mut files = FILES.lock();
    if let Some(file) = files.iter().find(|file| file.path() == path) {
        return file.clone();
    }
    // Commands without the flag take the profile that the person has made the default.
    let is_selected = profile.is_default() && Profile::resolve(None).is_ok_and(|selected| selected == *profile);
    let flag = if is_selected { String::new() } else { format!(" --profile {profile}") };
    let file = Arc::new(KnownFile::new(path).selected_with(flag));
    files.push(file.clone());
    file
}

/// Returns the hash of a link's code, as text.
pub(in crate::cli) fn code_hash(link: &JoinLink) -> String {
    URL_SAFE_NO_PAD.encode(link.code.hash().bytes())
}

/// Reads a file of the identity: the credential from systemd, else the file that `devstream join` stored.
fn identity_file(profile: &Profile, role: Role, name: &str) -> anyhow::Result<Option<(PathBuf, String)>> {
    if let Some(path) = paths::credential(name) {
        let text = read_credential(&path)?;
        return Ok(Some((path, text)));
    }
    let path = profile.identity_directory(role)?.join(name);
    if !path.try_exists().at_path("cannot read", &path)? {
        return Ok(None);
    }
    let text = read_private(&path)?;
    Ok(Some((path, text)))
}

/// Reports whether the key is a credential from systemd, a copy that only a restart of the service renews.
pub(in crate::cli) fn has_service_credential() -> bool {
    paths::credential(KEY_FILE).is_some()
}

/// The directory of a role's identity.
pub(in crate::cli) struct IdentityDir {
    path: PathBuf,
    /// The directory of a named profile, which holds nothing but identities.
    profile: Option<PathBuf>,
}

impl IdentityDir {
    pub(in crate::cli) fn of(profile: &Profile, role: Role) -> anyhow::Result<Self> {
        let named = (!profile.is_default()).then(|| profile.directory()).transpose()?;
        Ok(Self { path: profile.identity_directory(role)?, profile: named })
    }

    /// Returns the key to join with, and whether it is a new one. It is stored before the hub learns of it: if the hub's
    /// response is lost, the next attempt uses the same key, which the hub then knows.
    pub(in crate::cli) fn pending_seed(&self) -> anyhow::Result<(KeySeed, bool)> {
        create_private_directory(&self.path)?;
        let path = self.pending_key();
        let is_new = !path.exists();
        write_private_once(&path, &random::secret::<32>().reveal())?;
        Ok((parse_seed(&path, &read_private(&path)?)?, is_new))
    }

    /// Returns the file of the key to join with.
    pub(in crate::cli) fn pending_key(&self) -> PathBuf {
        self.path.join(PENDING_KEY)
    }

    /// Removes the key that the hub has refused or never received, and the directories if nothing else is in them. A
    /// failure leaves a file that the next join uses.
    pub(in crate::cli) fn discard_pending_seed(&self) {
        let _ = std::fs::remove_file(self.pending_key());
        let _ = std::fs::remove_dir(&self.path);
        self.profile.iter().for_each(|profile| drop(std::fs::remove_dir(profile)));
    }

    /// Stores an identity and its key. The key is written first, so that every readable identity has one.
    pub(in crate::cli) fn store(&self, stored: &StoredIdentity, seed: &KeySeed) -> anyhow::Result<()> {
        write_private(&self.path.join(KEY_FILE), &seed.reveal())?;
        write_private(&self.path.join(IDENTITY_FILE), &toml::to_string(stored)?)?;
        // The former key's; where it stays, it does not count for the new one.
        let _ = std::fs::remove_file(self.path.join(CERTIFICATE_FILE));
        let pending = self.pending_key();
        std::fs::remove_file(&pending).at_path("cannot remove", &pending)
    }
}

pub(super) fn parse_key(path: &Path, text: &str) -> anyhow::Result<PrivateKey> {
    Ok(PrivateKey::from_seed(&parse_seed(path, text)?))
}

fn parse_seed(path: &Path, text: &str) -> anyhow::Result<KeySeed> {
    KeySeed::parse(text.trim()).with_context(|| format!("invalid key in {}", path.display()))
}
