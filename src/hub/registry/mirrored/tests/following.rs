//! The follower on a paused clock.

use std::time::Duration;

use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep};

use super::*;
use crate::hub::cluster::bucket::memory::Faults;
use crate::hub::registry::calls::{Call, code_hash, contents};
use crate::hub::registry::portable::Subject;
use crate::net::os::clock;

/// Two hubs that follow a bucket.
struct Following {
    bucket: MemoryBucket,
    one: Arc<Hub>,
    two: Arc<Hub>,
    /// The cache of the second.
    cache: RegistryCache,
    _tasks: JoinSet<()>,
}

impl Following {
    async fn new() -> Self {
        let bucket = MemoryBucket::new();
        let [one, two] = [(), ()].map(|()| Arc::new(Hub::new(&bucket, &Handle::current())));
        let mut tasks = JoinSet::new();
        let mirrors = (one.mirror.clone(), two.mirror.clone());
        spawn_blocking(move || mirrors.0.found().and_then(|()| mirrors.1.join())).await.unwrap().unwrap();
        let cache = two.cache();
        tasks.spawn(follow(one.mirror.clone(), one.cache()));
        tasks.spawn(follow(two.mirror.clone(), cache.clone()));
        let following = Self { bucket, one, two, cache, _tasks: tasks };
        until(|| following.two.mirror.status().unwrap().follows && following.one.mirror.status().unwrap().follows)
            .await;
        following
    }

    /// Makes a call at the first hub.
    async fn call(&self, call: Call) -> Result<(), RegistryError> {
        let one = self.one.clone();
        spawn_blocking(move || call.make(&one.registry, 1)).await.unwrap()
    }

    async fn until_equal(&self) {
        until(|| contents(&self.one.registry) == contents(&self.two.registry)).await;
    }
}

/// Waits until something is so; returns how long that took.
async fn until(condition: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "it does not come");
        sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn another_hubs_change_is_taken_at_once_and_the_cache_forgets_the_identity() {
    let following = Following::new().await;
    following.call(Call::Add(0, 1)).await.unwrap();
    until(|| following.two.value(0).is_some()).await;
    assert!(!following.cache.find(&principal(0)).await.unwrap().unwrap().disabled);
    let changes = following.cache.changes(&principal(0));
    following.call(Call::SetDisabled(0, true)).await.unwrap();
    let took = until(|| changes.has_changed().unwrap()).await;
    assert!(took < Duration::from_millis(50), "{took:?}");
    assert!(following.cache.find(&principal(0)).await.unwrap().unwrap().disabled);
    assert_eq!(following.two.reports(), ["changed Some(false) Some(true)"]);
    assert_eq!(following.one.reports(), [""; 0], "its own");
    let status = following.two.mirror.status().unwrap();
    assert_eq!((status.revision, status.lag, status.entries, status.refuses), (3, 0, 1, None));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_hangs_is_replaced_half_a_second_after_another_hub_is_ahead() {
    let following = Following::new().await;
    following.call(Call::Add(0, 1)).await.unwrap();
    following.until_equal().await;
    for round in 0..3 {
        following.bucket.hang_watches();
        let watches = following.bucket.watches();
        following.call(Call::SetDisabled(0, round % 2 == 0)).await.unwrap();
        sleep(Duration::from_secs(2)).await;
        assert_ne!(contents(&following.one.registry), contents(&following.two.registry), "nobody says so");
        following.two.mirror.poll(following.one.mirror.revision());
        assert!(following.two.mirror.status().unwrap().lag > 0);
        let start = Instant::now();
        following.until_equal().await;
        let took = start.elapsed();
        assert!((450..600).contains(&took.as_millis()), "{took:?}");
        assert!(following.bucket.watches() <= watches + 2, "one each");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hub_notices_by_its_own_change_that_its_watch_hangs() {
    let following = Following::new().await;
    following.bucket.hang_watches();
    following.call(Call::Add(0, 1)).await.unwrap();
    let mirror = &following.one.mirror;
    let took = until(|| mirror.revision() > 1 && mirror.status().unwrap().revision == mirror.revision()).await;
    assert!(took < Duration::from_millis(600), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn once_the_engine_is_back_the_mirror_follows_within_seconds() {
    let following = Following::new().await;
    following.call(Call::Add(0, 1)).await.unwrap();
    following.until_equal().await;
    following.bucket.set_faults(Faults { away: true, ..Faults::default() });
    // The bucket has another value meanwhile, which nobody told.
    until(|| !following.two.mirror.status().unwrap().follows).await;
    let status = following.two.mirror.status().unwrap();
    assert!(status.refuses.is_some() && status.last_error.is_some_and(|error| error.contains("away")));
    sleep(Duration::from_secs(50)).await;
    following.bucket.set_faults(Faults::default());
    let back = until(|| following.two.mirror.status().unwrap().follows).await;
    assert!(back < Duration::from_secs(5), "{back:?}");
    assert_eq!(following.two.mirror.status().unwrap().refuses, None);
    following.call(Call::SetDisabled(0, true)).await.unwrap();
    following.until_equal().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_bucket_lost_while_it_is_followed_is_put_again() {
    let following = Following::new().await;
    following.call(Call::Add(0, 1)).await.unwrap();
    following.call(Call::SetDisabled(0, true)).await.unwrap();
    following.until_equal().await;
    following.bucket.lose(1);
    let healed = until(|| following.bucket.entries().last().unwrap().revision == 3).await;
    assert!(healed < Duration::from_secs(12), "{healed:?}");
    until(|| following.one.mirror.status().unwrap().lag == 0).await;
    let reports = [following.one.reports(), following.two.reports()].concat();
    assert!(reports.iter().any(|report| report == "healed device pi"), "{reports:?}");
    assert_eq!(following.two.value(0).as_deref(), Some("0 keys, disabled: true"));
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_emptied_while_it_is_followed_is_noticed_and_followed_again_once_restored() {
    let following = Following::new().await;
    following.call(Call::Add(0, 1)).await.unwrap();
    following.until_equal().await;
    following.bucket.wipe();
    until(|| following.two.mirror.status().unwrap().refuses.is_some()).await;
    until(|| following.one.mirror.status().unwrap().refuses.is_some()).await;
    let refused = following.call(Call::Add(2, 1)).await;
    assert!(matches!(refused, Err(RegistryError::BucketLost(BucketLoss::Wiped))), "{refused:?}");
    let mirror = following.two.mirror.clone();
    spawn_blocking(move || mirror.restore(false)).await.unwrap().unwrap();
    until(|| following.one.mirror.status().unwrap().follows).await;
    following.call(Call::Add(2, 1)).await.unwrap();
    following.until_equal().await;
    assert_eq!(following.two.reports()[0], "lost: it was emptied");
}

impl Following {
    /// Puts the value with which the first hub would disable an identity.
    fn put_disabled(&self, who: usize) {
        let subject = Subject::Identity(principal(who));
        let trial = self.one.mirror.sqlite().trial(|changes| changes.set_disabled(&principal(who), true)).unwrap();
        let json = trial.changed[0].value.to_json().unwrap();
        self.bucket.set(&subject.key(), self.one.mirror.sign(&subject.key(), &json));
    }

    /// Makes a change of the first identity at the second hub, which the engine never answers.
    async fn change_in_vain(&self) -> Instant {
        let work = |registry: &dyn Registry| registry.rotate(&principal(0), &code_hash(3), Duration::ZERO);
        let begun = self.cache.change(&principal(0), work).await;
        assert!(matches!(begun, Err(RegistryError::Unreachable(_))), "{begun:?}");
        Instant::now()
    }

    async fn is_disabled(&self, who: usize) -> bool {
        self.cache.find(&principal(who)).await.unwrap().unwrap().disabled
    }

    /// Has puts hang, and changes give up after four seconds.
    async fn hanging() -> Self {
        let following = Self::new().await;
        for who in [0, 2, 4] {
            following.call(Call::Add(who, 1)).await.unwrap();
        }
        following.until_equal().await;
        following.bucket.set_faults(Faults { hangs: true, ..Faults::default() });
        following.two.mirror.state().not_reached("a test", clock::now() - Duration::from_secs(6));
        following
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_waits_for_the_engine_holds_up_neither_reads_nor_other_identities() {
    let following = Following::hanging().await;
    let other = async {
        following.put_disabled(2);
        while !following.is_disabled(2).await {
            sleep(Duration::from_millis(5)).await;
        }
        Instant::now()
    };
    let (given_up, taken) = tokio::join!(following.change_in_vain(), other);
    assert!(taken < given_up);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_waits_for_its_turn_is_taken_though_the_watch_is_replaced_meanwhile() {
    let following = Following::hanging().await;
    let other = async {
        following.put_disabled(0);
        following.put_disabled(2);
        while !following.is_disabled(2).await {
            sleep(Duration::from_millis(5)).await;
        }
        following.bucket.hang_watches();
        following.put_disabled(4);
        following.two.mirror.poll(following.bucket.entries().last().unwrap().revision);
        while !following.is_disabled(4).await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::join!(following.change_in_vain(), other);
    until(|| following.two.value(0).is_some_and(|value| value.contains("true"))).await;
}
