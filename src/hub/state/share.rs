//! What all hubs of a cluster have in common, as one gives it to the next: the cluster's key, the way to the engine, the certificate
//! authority and the key of resume tickets.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use super::parts::StateParts;
use super::{AUTHORITY, AUTHORITY_KEY, AtPath as _, RESUME_KEY, StateDirectory, read_private, write_private};
use crate::hub::certificate::authority::Authority;
use crate::hub::cluster::key::ClusterKey;
use crate::hub::cluster::settings::ClusterSettings;
use crate::hub::registry::sqlite::SqliteRegistry;
use crate::proto::join::Pin;
use crate::proto::secret::Secret;

/// What a share is sealed for.
const PLACE: &str = "invitation";

/// What hubs have in common.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterShare {
    settings: ClusterSettings,
    authority: String,
    authority_key: String,
    resume_key: String,
}

impl ClusterShare {
    /// Reads it from the state of a hub that is in the cluster.
    pub fn read(state: &Path) -> anyhow::Result<Self> {
        let settings =
            ClusterSettings::load(state)?.context("this hub is alone: run `devstream hub cluster init` first")?;
        let certificate = state.join(AUTHORITY);
        Ok(Self {
            settings,
            authority: fs::read_to_string(&certificate).at_path("cannot read", &certificate)?,
            authority_key: read_private(&state.join(AUTHORITY_KEY))?,
            resume_key: read_private(&state.join(RESUME_KEY))?,
        })
    }

    /// Seals it with the code of an invitation.
    pub fn seal(&self, code: &Secret<32>) -> anyhow::Result<Vec<u8>> {
        let sealed = ClusterKey::new(code).seal(PLACE, &serde_json::to_vec(self)?);
        sealed.ok().context("cannot seal the invitation")
    }

    /// Unseals it with the code of an invitation.
    pub fn unseal(code: &Secret<32>, sealed: &[u8]) -> anyhow::Result<Self> {
        let opened = ClusterKey::new(code).unseal(PLACE, sealed).context("the invitation is not this link's")?;
        serde_json::from_slice(&opened).context("the invitation is of a version that this program does not know")
    }

    /// Makes a new hub of the cluster in a state directory where none has run.
    pub fn install(
        &self,
        state: &Path,
        pin: Pin,
        own: impl FnOnce(ClusterSettings) -> ClusterSettings,
    ) -> anyhow::Result<()> {
        let directory = StateDirectory::open(state)?;
        let parts = StateParts::find(state).at_path("cannot read", state)?;
        ensure!(
            parts.is_fresh(),
            "there is a hub in {} already: its identities would be lost; give another --state-dir, or move it away",
            state.display()
        );
        let authority = Authority::load(&self.authority, &self.authority_key)?;
        ensure!(authority.pin() == Some(pin), "the invitation's certificate authority is not the one of the link");
        SqliteRegistry::open(&directory.registry_path())?;
        write_private(&state.join(RESUME_KEY), &self.resume_key)?;
        own(self.settings.clone()).store(state)?;
        write_private(&state.join(AUTHORITY_KEY), &self.authority_key)?;
        // Last: it shows that the rest is there.
        write_private(&state.join(AUTHORITY), &self.authority)
    }
}
