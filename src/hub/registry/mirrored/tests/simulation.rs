//! Three hubs and a bucket with faults, from a seed: whatever happens, all end with the same, and no revocation that a hub
//! confirmed comes undone.

use std::collections::HashMap;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::hub::cluster::bucket::memory::Faults;
use crate::hub::registry::calls::{call, contents};
use crate::hub::registry::portable::{Denial, Subject};

const HUBS: usize = 3;
const STEPS: usize = 80;
const SEEDS: u64 = 150;

struct World {
    runner: TestRunner,
    bucket: MemoryBucket,
    hubs: [Hub; HUBS],
    /// The identities whose rights a hub has confirmed to have taken, and nobody has given back knowing that.
    denied: HashMap<usize, Denial>,
    log: Vec<String>,
}

impl World {
    fn new(seed: u64, runtime: &Runtime) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let (bucket, hubs) = cluster(runtime);
        let runner = TestRunner::new_with_rng(Config::default(), rng);
        Self { runner, bucket, hubs, denied: HashMap::new(), log: Vec::new() }
    }

    fn draw(&mut self, limit: usize) -> usize {
        (0..limit).new_tree(&mut self.runner).unwrap().current()
    }

    fn step(&mut self, now: i64) {
        let hub = self.draw(HUBS);
        match self.draw(20) {
            0 => {
                let count = 1 + self.draw(4);
                self.log.push(format!("lost {count}"));
                self.bucket.lose(count);
            }
            1 => self.bucket.set_faults(Faults { unconfirmed: 1, ..Faults::default() }),
            2 => {
                self.bucket.set_faults(Faults { refused: 40, ..Faults::default() });
                self.hurry();
            }
            3 if self.draw(6) == 0 => {
                self.log.push("emptied".into());
                self.bucket.wipe();
            }
            4..9 => self.catch_up(hub),
            _ => self.call(hub, now),
        }
        self.bucket.set_faults(Faults::default());
    }

    /// Has refused changes fail at once.
    fn hurry(&self) {
        for hub in &self.hubs {
            hub.mirror.state().not_reached("a test", crate::net::os::clock::now() - std::time::Duration::from_secs(60));
        }
    }

    /// Has a hub compare, and its operator restore a bucket that was emptied or lost its marker.
    fn catch_up(&self, hub: usize) {
        match self.hubs[hub].catch_up() {
            Ok(()) => {}
            Err(RegistryError::BucketLost(BucketLoss::Wiped)) => self.hubs[hub].mirror.restore(false).unwrap(),
            Err(error) => panic!("{error}"),
        }
    }

    fn denial(&self, hub: usize, who: usize) -> (Denial, u64) {
        let value = self.hubs[hub].mirror.sqlite().mirrored(&Subject::Identity(principal(who))).unwrap();
        value.map_or((Denial::None, 0), |(value, _)| (value.content.denial(), value.revocations))
    }

    fn call(&mut self, hub: usize, now: i64) {
        let call = call().new_tree(&mut self.runner).unwrap().current();
        let Some(who) = call.subject() else {
            let _ = call.make(&self.hubs[hub].registry, now);
            return;
        };
        let before = self.denial(hub, who);
        let done = call.make(&self.hubs[hub].registry, now);
        let after = self.denial(hub, who);
        self.log.push(format!("{now} hub {hub}: {call:?} {before:?} {after:?} {done:?}"));
        // A hub that had seen it, or that learned of it by this call, has given back what was taken.
        let has_seen = before.0 > Denial::None || after.1 > before.1;
        if after.0 == Denial::None && has_seen && done.is_ok() {
            self.denied.remove(&who);
        }
        if after.0 > before.0 && done.is_ok() {
            self.denied.insert(who, after.0);
        }
    }

    /// Lets every hub compare until nothing changes any more.
    fn settle(&self) {
        for _ in 0..4 {
            (0..HUBS).for_each(|hub| self.catch_up(hub));
        }
    }

    fn check(&self, seed: u64) {
        let said = contents(&self.hubs[0].registry);
        for hub in &self.hubs[1..] {
            assert_eq!(said, contents(&hub.registry), "seed {seed}\n{}", self.log.join("\n"));
        }
        for (who, denial) in &self.denied {
            let found = self.denial(0, *who).0;
            assert!(found >= *denial, "seed {seed}: {} {found:?}\n{}", principal(*who), self.log.join("\n"));
        }
        let values = self.hubs[0].mirror.sqlite().values().unwrap();
        for entry in self.bucket.entries() {
            if let Some(subject) = Subject::of_key(&entry.key) {
                let value = self.hubs[0].mirror.read(&entry).unwrap().unwrap();
                let ours = values.iter().find(|ours| ours.subject == subject).map(|ours| &ours.value);
                assert_eq!(ours, Some(&value), "seed {seed}: {subject}");
            }
        }
    }
}

#[test]
fn whatever_a_bucket_loses_all_hubs_end_with_the_same_and_no_revocation_comes_undone() {
    let runtime = runtime();
    for seed in 0..SEEDS {
        let mut world = World::new(seed, &runtime);
        for now in 0..STEPS {
            world.step(now.try_into().unwrap());
        }
        world.settle();
        world.check(seed);
    }
}
