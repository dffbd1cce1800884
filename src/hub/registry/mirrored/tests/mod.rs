mod changes;
mod following;
mod losses;
mod simulation;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};

use super::*;
use crate::hub::cluster::bucket::memory::MemoryBucket;
use crate::hub::cluster::key::ClusterKey;
use crate::hub::registry::RegistryCache;
use crate::hub::registry::calls::{in_memory, principal};
use crate::proto::secret::Secret;

/// A hub of a cluster.
struct Hub {
    mirror: Arc<Mirror>,
    registry: MirroredRegistry,
    reports: Arc<Mutex<Vec<String>>>,
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
}

fn cluster_key() -> ClusterKey {
    ClusterKey::new(&Secret::new([7; 32]))
}

impl Hub {
    fn new(bucket: &MemoryBucket, runtime: &Handle) -> Self {
        let mirror = Mirror::new(in_memory(), Arc::new(bucket.clone()), cluster_key(), runtime.clone());
        let mirror = Arc::new(mirror);
        let reports = Arc::<Mutex<Vec<String>>>::default();
        let reported = reports.clone();
        mirror.observe(move |report| {
            let disabled = |record: Option<&Record>| record.map(|record| record.disabled);
            reported.lock().push(match report {
                Report::Changed(before, after) => format!("changed {:?} {:?}", disabled(before), disabled(after)),
                Report::Healed(subject) => format!("healed {subject}"),
                Report::Lost(loss) => format!("lost: it {loss}"),
            });
        });
        Self { registry: MirroredRegistry::new(mirror.clone()), mirror, reports }
    }

    fn cache(&self) -> RegistryCache {
        RegistryCache::new(MirroredRegistry::new(self.mirror.clone()))
    }

    fn reports(&self) -> Vec<String> {
        std::mem::take(&mut *self.reports.lock())
    }

    /// Compares with the whole bucket, as the follower does.
    fn catch_up(&self) -> Result<(), RegistryError> {
        self.mirror.runtime().block_on(follower::catch_up(self.mirror.clone(), self.cache()))
    }

    fn value(&self, who: usize) -> Option<String> {
        let record = self.registry.find(&principal(who)).unwrap()?;
        Some(format!("{} keys, disabled: {}", record.keys.len(), record.disabled))
    }
}

/// A founded bucket and as many hubs that mirror it.
fn cluster<const N: usize>(runtime: &Runtime) -> (MemoryBucket, [Hub; N]) {
    let bucket = MemoryBucket::new();
    let hubs = std::array::from_fn(|_| Hub::new(&bucket, runtime.handle()));
    for (index, hub) in hubs.iter().enumerate() {
        if index == 0 {
            hub.mirror.found().unwrap()
        } else {
            hub.mirror.join().unwrap()
        }
        hub.catch_up().unwrap();
    }
    (bucket, hubs)
}
