//! A hub's place in a cluster, as its state directory keeps it: one private file, since it has the cluster's key.

use std::fmt;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::key::ClusterKey;
#[cfg(feature = "cluster")]
use super::nats::NatsServers;
use crate::net::os::private_files::{read_private, write_private};
use crate::proto::join::HubAddress;
use crate::proto::secret::Secret;

/// The file's name in the state directory.
const CLUSTER: &str = "cluster.json";

/// The file with the authorities of the NATS servers' certificates.
#[cfg(feature = "cluster")]
const AUTHORITIES: &str = "nats-ca.pem";

/// The servers that store a registry where there are as many: one of them may be missed.
const REPLICAS: usize = 3;

/// A hub's place in a cluster.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSettings {
    /// The URLs of the NATS servers.
    pub nats: Vec<String>,
    /// The text of their credentials file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
    /// The authorities of their certificates, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<String>,
    /// `HOST[:PORT]` at which clients reach this hub and no other. Without a port, the hub's own.
    pub name: String,
    /// The region that its operator gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The hub founds the cluster: the bucket of identities is made from its registry, if there is none yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_first: bool,
    key: Secret<32>,
}

impl fmt::Debug for ClusterSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nats, name, region, .. } = self;
        f.debug_struct("ClusterSettings")
            .field("nats", nats)
            .field("name", name)
            .field("region", region)
            .finish_non_exhaustive()
    }
}

impl ClusterSettings {
    /// The place of the hub with this name that founds a cluster with this key.
    pub fn new(nats: Vec<String>, name: String, key: Secret<32>) -> Self {
        Self { nats, credentials: None, authorities: None, name, region: None, is_first: true, key }
    }

    /// Those of another hub of the same cluster.
    #[must_use]
    pub fn of_another(self, name: String, region: Option<String>) -> Self {
        Self { name, region, is_first: false, ..self }
    }

    /// Reads those of a hub; `None` if it is alone.
    pub fn load(state: &Path) -> anyhow::Result<Option<Self>> {
        let path = state.join(CLUSTER);
        if !path.exists() {
            return Ok(None);
        }
        let settings = serde_json::from_str(&read_private(&path)?);
        settings.map(Some).with_context(|| {
            format!("{} is damaged: restore it, or run `devstream hub cluster join` again", path.display())
        })
    }

    /// Stores them.
    pub fn store(&self, state: &Path) -> anyhow::Result<()> {
        write_private(&state.join(CLUSTER), &format!("{}\n", serde_json::to_string_pretty(self)?))
    }

    /// Removes them: the hub is alone from its next start on.
    pub fn remove(state: &Path) -> anyhow::Result<()> {
        let path = state.join(CLUSTER);
        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
    }

    /// How to reach the NATS servers. Their authorities are written to a file of the state directory, since the client reads one.
    #[cfg(feature = "cluster")]
    pub fn servers(&self, state: &Path) -> anyhow::Result<NatsServers> {
        let file = state.join(AUTHORITIES);
        if let Some(authorities) = &self.authorities {
            write_private(&file, authorities)?;
        }
        let authorities = self.authorities.is_some().then_some(file);
        Ok(NatsServers { urls: self.nats.clone(), credentials: self.credentials.clone(), authorities })
    }

    /// The number of servers that store the registry.
    pub fn replicas(&self) -> usize {
        if self.nats.len() < REPLICAS { 1 } else { REPLICAS }
    }

    /// The cluster's key.
    pub fn key(&self) -> ClusterKey {
        ClusterKey::new(&self.key)
    }

    /// The secret of the cluster's key, for a hub that joins.
    pub fn secret(&self) -> &Secret<32> {
        &self.key
    }

    /// The hub's own address.
    pub fn address(&self, default_port: u16) -> anyhow::Result<HubAddress> {
        HubAddress::parse(&self.name, default_port)
            .with_context(|| format!("the hub's name in the cluster is '{}'", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_kept_and_their_secrets_are_not_printed() {
        let state = tempfile::tempdir().unwrap();
        assert!(ClusterSettings::load(state.path()).unwrap().is_none());
        let mut settings =
            ClusterSettings::new(vec!["tls://n1.test".into()], "h1.hub.test".into(), Secret::new([7; 32]));
        settings.credentials = Some("SECRET".into());
        settings.store(state.path()).unwrap();
        let loaded = ClusterSettings::load(state.path()).unwrap().unwrap();
        assert_eq!(loaded.secret().bytes(), &[7; 32]);
        assert_eq!(loaded.address(8443).unwrap().to_string(), "h1.hub.test:8443");
        let printed = format!("{loaded:?}");
        assert!(!printed.contains("SECRET") && !printed.contains(&Secret::new([7; 32]).reveal()), "{printed}");
        std::fs::write(state.path().join(CLUSTER), "{}").unwrap();
        assert!(ClusterSettings::load(state.path()).unwrap_err().to_string().contains("is damaged"));
        ClusterSettings::remove(state.path()).unwrap();
        assert!(ClusterSettings::load(state.path()).unwrap().is_none());
    }
}
