//! A hub's membership in a cluster: the link to the others, and the registry that all share.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::cluster::node::Node;
use super::cluster::settings::ClusterSettings;
use super::consequences::{Clocks, consequences};
use super::event::{Event, Operation};
use super::registry::mirrored::{self, Mirror, Report};
use super::registry::sqlite::SqliteRegistry;
use super::registry::{Record, RegistryCache, RegistryError};
use super::shared::Shared;
use crate::proto::id::HubId;
use crate::proto::join::HubAddress;

/// The interval at which a hub tries to found the registry of its cluster, or to take it over, while the engine is away.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// This hub in its cluster.
#[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "such a program has no cluster"))]
pub(super) struct OwnHub {
    pub(super) id: HubId,
    pub(super) run: u64,
    pub(super) address: HubAddress,
}

/// The parts of a hub that it has in a cluster alone.
pub(super) struct Membership {
    pub(super) node: Arc<Node>,
    pub(super) mirror: Arc<Mirror>,
}

/// Connects to the cluster's engine, in the background: a hub serves what it has also without it. Returns the registry that is
/// shared from now on.
#[cfg(feature = "cluster")]
pub(super) async fn join_cluster(
    settings: &ClusterSettings,
    state: &Path,
    own: OwnHub,
    registry: SqliteRegistry,
) -> anyhow::Result<(RegistryCache, Option<Membership>)> {
    use anyhow::Context as _;

    use super::cluster::bucket::Bucket;
    use super::cluster::link::Cluster;
    use super::cluster::nats::Nats;
    use super::cluster::nats::bucket::NatsBucket;
    use super::registry::mirrored::MirroredRegistry;

    let nats = Nats::connect(&settings.servers(state)?, &own.address.to_string()).await;
    let nats = nats.context("cannot use the cluster's NATS servers")?;
    let bucket = NatsBucket::new(nats.client().clone(), BUCKET, settings.replicas());
    let bucket = Arc::new(bucket) as Arc<dyn Bucket>;
    let mirror = Arc::new(Mirror::new(registry, bucket, settings.key(), tokio::runtime::Handle::current()));
    let link = (Arc::new(nats) as Arc<dyn Cluster>, settings.key());
    let node = Arc::new(Node::new(own.id, own.run, own.address, settings.region.clone(), link));
    let cache = RegistryCache::new(MirroredRegistry::new(mirror.clone()));
    Ok((cache, Some(Membership { node, mirror })))
}

#[cfg(not(feature = "cluster"))]
pub(super) async fn join_cluster(
    _: &ClusterSettings,
    _: &Path,
    _: OwnHub,
    _: SqliteRegistry,
) -> anyhow::Result<(RegistryCache, Option<Membership>)> {
    anyhow::bail!("this hub is one of several, for which this program was built without the feature `cluster`")
}

/// The name of the registry's bucket.
#[cfg(feature = "cluster")]
const BUCKET: &str = "devstream";

/// Founds the registry of the cluster or takes it over, and follows it until dropped.
pub(super) async fn follow(shared: Arc<Shared>, mirror: Arc<Mirror>) {
    // Weak: the hub's shared parts hold the mirror, and the activity log ends with the last of them.
    let observer = Arc::downgrade(&shared);
    mirror.observe(move |report| {
        if let Some(shared) = observer.upgrade() {
            observe(&shared, report);
        }
    });
    let is_first = ClusterSettings::load(&shared.config.state).ok().flatten().is_some_and(|settings| settings.is_first);
    let mut last = String::new();
    while let Err(error) = begin(&mirror, is_first).await {
        let error = error.to_string();
        if error != last {
            let verb = if is_first { "founded" } else { "taken over" };
            tracing::warn!(target: "cluster", "the registry of the cluster cannot be {verb} yet: {error}");
            last = error;
        }
        sleep(RETRY_INTERVAL).await;
    }
    mirrored::follow(mirror, shared.registry.clone()).await;
}

async fn begin(mirror: &Arc<Mirror>, is_first: bool) -> Result<(), RegistryError> {
    let mirror = mirror.clone();
    let begun = tokio::task::spawn_blocking(move || if is_first { mirror.found() } else { mirror.join() }).await;
    begun.unwrap_or_else(|error| Err(RegistryError::Store(error.to_string())))
}

fn observe(shared: &Shared, report: Report<'_>) {
    match report {
        Report::Changed(before, after) => changed(shared, before, after),
        Report::Healed(subject) => {
            let reason = format!("the bucket had lost the last value of {subject}");
            shared.activity.record(Event { reason, ..Event::new(Operation::RegistryHealed, "healed") });
        }
        Report::Lost(loss) => tracing::error!(
            target: "cluster",
            "the registry's bucket {loss}, and identities cannot be changed: {}", loss.advice()
        ),
    }
}

/// Another hub has changed an identity.
fn changed(shared: &Shared, before: Option<&Record>, after: Option<&Record>) {
    for input in consequences(before, after, Clocks::now()) {
        shared.streams.broker.handle(input);
    }
    if let Some(record) = after.or(before) {
        shared.registry.lift_denial(&record.principal);
    }
}
