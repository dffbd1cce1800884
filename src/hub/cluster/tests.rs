//! Hubs that talk over a link in memory.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};

use super::key::ClusterKey;
use super::link::LinkError;
use super::loopback::Switch;
use super::messages::{HubReply, HubRequest, Subject};
use super::node::Node;
use super::run::{HubPart, announce_end, run};
use super::view::members::{BEAT_INTERVAL, DEAD_AFTER, Heartbeat};
use super::view::other_hubs::OtherHubs;
use super::view::placement::{Placement, Presence};
use super::view::presence::{AgentConnection, MovedAway};
use crate::net::tasks::Tasks;
use crate::proto::id::{DeviceId, HubId, StreamId};
use crate::proto::secret::Secret;
use crate::proto::timestamp::Timestamp;

const WITHIN: Duration = Duration::from_secs(1);

/// A hub of a test.
struct TestHub {
    node: Arc<Node>,
    devices: Mutex<HashSet<DeviceId>>,
    moved: Mutex<Vec<DeviceId>>,
    waiting: Mutex<Vec<StreamId>>,
    waiting_elsewhere: Mutex<HashSet<StreamId>>,
    served: AtomicUsize,
    /// A request takes this long.
    delay: Mutex<Duration>,
}

impl HubPart for TestHub {
    fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            hub: self.node.id(),
            run: self.node.own.run,
            sent: self.node.stamp(),
            address: self.node.address.clone(),
            version: "1".into(),
            region: None,
            since: Timestamp(0),
            devices: 0,
            streams: 0,
            draining: false,
            leaving: false,
            revision: 0,
            news: self.node.news_sent(),
            behind: self.node.behind(),
        }
    }

    fn has_device(&self, device: &DeviceId) -> bool {
        self.devices.lock().contains(device)
    }

    fn moved_away(&self, moved: MovedAway) {
        self.moved.lock().push(moved.device);
    }

    fn devices_waiting(&self) -> Vec<StreamId> {
        self.waiting.lock().clone()
    }

    fn devices_wait_elsewhere(&self, streams: Vec<StreamId>) {
        self.waiting_elsewhere.lock().extend(streams);
    }

    fn members_changed(&self, _: OtherHubs) {}

    fn is_behind(&self, _: u64) {}

    fn serve(self: Arc<Self>, request: HubRequest) -> BoxFuture<'static, HubReply> {
        self.served.fetch_add(1, Ordering::Relaxed);
        let delay = *self.delay.lock();
        async move {
            sleep(delay).await;
            if request == HubRequest::Live { HubReply::Live } else { HubReply::NotHere }
        }
        .boxed()
    }
}

struct TestCluster {
    switch: Switch,
    hubs: Vec<Arc<TestHub>>,
    tasks: Vec<Tasks>,
}

impl TestCluster {
    async fn of(count: u8) -> Self {
        let mut cluster = Self { switch: Switch::default(), hubs: Vec::new(), tasks: Vec::new() };
        (0..count).for_each(|_| cluster.add(1));
        cluster.settle().await;
        cluster
    }

    fn add(&mut self, key: u8) {
        let number = u8::try_from(self.hubs.len()).unwrap();
        let (id, address) = (HubId::from_bytes([number; 16]), format!("h{number}.hub.test").parse().unwrap());
        let link = Arc::new(self.switch.link());
        let key = ClusterKey::new(&Secret::new([key; 32]));
        let node = Arc::new(Node::new(id, 7, address, None, (link, key)));
        let hub = Arc::new(TestHub {
            node: node.clone(),
            devices: Mutex::default(),
            moved: Mutex::default(),
            waiting: Mutex::default(),
            waiting_elsewhere: Mutex::default(),
            served: AtomicUsize::default(),
            delay: Mutex::default(),
        });
        let tasks = Tasks::default();
        tasks.spawn(run(node, hub.clone(), tasks.clone()));
        self.hubs.push(hub);
        self.tasks.push(tasks);
    }

    /// Two beats of each.
    async fn settle(&self) {
        sleep(2 * BEAT_INTERVAL).await;
    }

    fn id(&self, hub: usize) -> HubId {
        self.hubs[hub].node.id()
    }

    fn connect(&self, hub: usize, device: &str, run: u64) {
        self.hubs[hub].devices.lock().insert(device.parse().unwrap());
        self.hubs[hub].node.device_came(device.parse().unwrap(), connection(run));
    }

    fn place(&self, hub: usize, device: &str) -> Placement {
        self.hubs[hub].node.place(&device.parse().unwrap())
    }

    async fn search(&self, hub: usize, device: &str) -> Result<Option<HubId>, LinkError> {
        self.hubs[hub].node.search(&device.parse().unwrap()).await
    }

    async fn ask(&self, from: usize, to: usize, within: Duration) -> Result<HubReply, LinkError> {
        self.hubs[from].node.request(self.id(to), HubRequest::Live, within).await
    }

    fn served(&self, hub: usize) -> usize {
        self.hubs[hub].served.load(Ordering::Relaxed)
    }
}

fn connection(run: u64) -> AgentConnection {
    AgentConnection { run, address: "192.0.2.1:4711".parse().unwrap() }
}

#[tokio::test(start_paused = true)]
async fn every_hub_knows_where_a_device_is_and_one_that_comes_later_too() {
    let mut cluster = TestCluster::of(2).await;
    cluster.connect(0, "pi", 1);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(cluster.place(1, "pi"), Placement::AskHub(cluster.id(0)));
    cluster.add(1);
    cluster.settle().await;
    assert_eq!(cluster.place(2, "pi"), Placement::AskHub(cluster.id(0)));
    assert_eq!(cluster.place(2, "other"), Placement::AskAll);
    cluster.connect(2, "pi", 2);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(*cluster.hubs[0].moved.lock(), ["pi".parse().unwrap()], "it has moved");
    assert_eq!(cluster.place(1, "pi"), Placement::AskHub(cluster.id(2)));
    cluster.hubs[0].node.device_left("pi".parse().unwrap(), connection(1));
    cluster.hubs[2].node.device_left("pi".parse().unwrap(), connection(2));
    sleep(Duration::from_millis(100)).await;
    assert_eq!(cluster.hubs[1].node.find(&"pi".parse().unwrap()), Presence::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_device_of_which_nothing_was_heard_is_found_and_one_that_is_nowhere_is_known_to_be() {
    let cluster = TestCluster::of(3).await;
    assert!(cluster.search(0, "other").await.is_err(), "there may be hubs that it has not heard of");
    sleep(DEAD_AFTER).await;
    cluster.switch.lose(Subject::Presence, 1);
    cluster.connect(2, "pi", 1);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(cluster.place(0, "pi"), Placement::AskAll, "the news was lost");
    assert_eq!(cluster.search(0, "pi").await, Ok(Some(cluster.id(2))));
    assert_eq!(cluster.search(0, "other").await, Ok(None));
    cluster.switch.lose(Subject::Who, 1);
    assert!(matches!(cluster.search(0, "other").await, Err(LinkError::TimedOut(_))), "that is not 'offline'");
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_is_killed_is_dead_once_it_is_asked_or_silent_and_one_that_ends_at_once() {
    let cluster = TestCluster::of(4).await;
    cluster.connect(1, "pi", 1);
    sleep(Duration::from_millis(100)).await;
    cluster.tasks[1].abort();
    cluster.switch.kill(1);
    assert_eq!(cluster.place(0, "pi"), Placement::AskHub(cluster.id(1)));
    assert!(!cluster.hubs[0].node.is_alive(cluster.id(1)).await);
    assert_eq!(cluster.place(0, "pi"), Placement::AskAll);
    assert_eq!(cluster.place(2, "pi"), Placement::AskHub(cluster.id(1)), "nobody asked there");
    sleep(DEAD_AFTER + BEAT_INTERVAL).await;
    assert_eq!(cluster.place(2, "pi"), Placement::AskAll);
    assert_eq!(cluster.search(2, "pi").await, Ok(None));
    announce_end(&cluster.hubs[3].node, &*cluster.hubs[3]).await;
    sleep(Duration::from_millis(1)).await;
    assert!(!cluster.hubs[0].node.with_members(|members| members.is_alive(cluster.id(3))));
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_is_cut_off_calls_no_device_offline_and_hears_all_when_it_is_back() {
    let cluster = TestCluster::of(2).await;
    cluster.switch.set_connected(0, false);
    sleep(Duration::from_millis(1)).await;
    cluster.connect(1, "pi", 1);
    cluster.connect(0, "own", 1);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(cluster.place(0, "pi"), Placement::Isolated);
    assert!(cluster.hubs[0].node.with_members(|members| members.is_alive(cluster.id(1))), "silence says nothing");
    assert!(matches!(cluster.search(0, "pi").await, Err(LinkError::Unreachable(_))));
    cluster.switch.set_connected(0, true);
    cluster.settle().await;
    assert_eq!(cluster.place(0, "pi"), Placement::AskHub(cluster.id(1)));
    assert_eq!(cluster.place(1, "own"), Placement::AskHub(cluster.id(0)));
}

#[tokio::test(start_paused = true)]
async fn a_request_is_made_again_after_an_interruption_and_served_once() {
    let cluster = TestCluster::of(2).await;
    *cluster.hubs[1].delay.lock() = WITHIN / 4;
    let cut = async {
        sleep(WITHIN / 8).await;
        cluster.switch.set_connected(0, false);
        sleep(WITHIN / 4).await;
        cluster.switch.set_connected(0, true);
    };
    let (reply, ()) = tokio::join!(cluster.ask(0, 1, WITHIN), cut);
    assert!(matches!(reply, Ok(HubReply::Live)), "{reply:?}");
    assert_eq!(cluster.served(1), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_connected_to_another_server_counted_as_dead_meanwhile() {
    let cluster = TestCluster::of(2).await;
    cluster.connect(1, "pi", 1);
    sleep(Duration::from_millis(100)).await;
    cluster.switch.set_connected(1, false);
    let asked = cluster.hubs[0].node.is_alive(cluster.id(1));
    let back = async {
        sleep(Duration::from_millis(500)).await;
        cluster.switch.set_connected(1, true);
    };
    let (is_alive, ()) = tokio::join!(asked, back);
    assert!(is_alive);
    assert_eq!(cluster.place(0, "pi"), Placement::AskHub(cluster.id(1)), "its device is not called offline");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_was_displaced_got_in_before_the_first_beat_of_the_other_ones_hub() {
    let cluster = TestCluster::of(2).await;
    cluster.connect(1, "pi", 1);
    cluster.switch.set_connected(1, false);
    sleep(DEAD_AFTER + 2 * BEAT_INTERVAL).await;
    let pi = "pi".parse().unwrap();
    assert!(!cluster.hubs[0].node.is_at_dead_hub(&pi), "nothing is known of it");
    cluster.switch.lose(Subject::Beats, 4);
    cluster.switch.set_connected(1, true);
    // It tells its devices again within a second.
    sleep(Duration::from_millis(1100)).await;
    assert!(cluster.hubs[0].node.is_at_dead_hub(&pi));
    cluster.settle().await;
    assert!(!cluster.hubs[0].node.is_at_dead_hub(&pi), "it is asked");
    assert_eq!(cluster.place(0, "pi"), Placement::AskHub(cluster.id(1)));
}

#[tokio::test(start_paused = true)]
async fn every_other_hub_is_told_of_streams_that_wait_for_a_service() {
    let cluster = TestCluster::of(3).await;
    let streams: Vec<_> = (0..2500u16)
        .map(|number| StreamId::from_bytes([number.to_be_bytes(); 8].concat().try_into().unwrap()))
        .collect();
    *cluster.hubs[1].waiting.lock() = streams.clone();
    sleep(Duration::from_secs(1)).await;
    let heard = [0, 1, 2].map(|hub: usize| cluster.hubs[hub].waiting_elsewhere.lock().len());
    assert_eq!(heard, [streams.len(), 0, streams.len()]);
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_the_engine_says_is_gone_is_asked_no_second_time_elsewhere_and_its_device_is_not_offline() {
    let cluster = TestCluster::of(2).await;
    sleep(DEAD_AFTER).await;
    cluster.connect(1, "pi", 1);
    sleep(Duration::from_millis(100)).await;
    cluster.switch.set_connected(1, false);
    assert_eq!(cluster.ask(0, 1, WITHIN).await.unwrap_err(), LinkError::NobodyListens);
    assert_eq!(cluster.place(0, "pi"), Placement::Isolated, "it may be back in a moment, or somebody forged that");
    assert!(cluster.search(0, "pi").await.is_err());
    cluster.switch.set_connected(1, true);
    sleep(10 * BEAT_INTERVAL).await;
    assert_eq!(cluster.place(0, "pi"), Placement::AskHub(cluster.id(1)));
    *cluster.hubs[1].delay.lock() = WITHIN / 2;
    let cut = async {
        sleep(WITHIN / 8).await;
        cluster.switch.set_connected(0, false);
        cluster.switch.set_connected(1, false);
        sleep(WITHIN / 8).await;
        cluster.switch.set_connected(0, true);
    };
    let (reply, ()) = tokio::join!(cluster.ask(0, 1, WITHIN), cut);
    assert!(matches!(reply, Err(LinkError::Unreachable(_))), "the first question was served: {reply:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_takes_no_longer_than_its_time_also_when_it_is_made_again() {
    let cluster = TestCluster::of(2).await;
    let start = tokio::time::Instant::now();
    *cluster.hubs[1].delay.lock() = 100 * WITHIN;
    let cut = async {
        sleep(WITHIN * 3 / 4).await;
        cluster.switch.set_connected(0, false);
        sleep(WITHIN / 8).await;
        cluster.switch.set_connected(0, true);
    };
    let (reply, ()) = tokio::join!(cluster.ask(0, 1, WITHIN), cut);
    assert!(matches!(reply, Err(LinkError::TimedOut(_))));
    assert!(start.elapsed() <= WITHIN + Duration::from_millis(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn of_two_agents_one_stays_though_the_news_of_the_second_was_lost() {
    let cluster = TestCluster::of(2).await;
    cluster.connect(0, "pi", 1);
    sleep(Duration::from_millis(100)).await;
    cluster.switch.lose(Subject::Presence, 1);
    cluster.connect(1, "pi", 2);
    sleep(10 * BEAT_INTERVAL).await;
    assert_eq!(*cluster.hubs[0].moved.lock(), ["pi".parse().unwrap()]);
    let lists = cluster.switch.carried(Subject::Presence);
    sleep(60 * BEAT_INTERVAL).await;
    assert_eq!(cluster.switch.carried(Subject::Presence), lists, "told once");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_waits_for_is_cancelled() {
    let cluster = TestCluster::of(2).await;
    *cluster.hubs[1].delay.lock() = 100 * WITHIN;
    assert!(timeout(WITHIN, cluster.ask(0, 1, 100 * WITHIN)).await.is_err());
    sleep(Duration::from_millis(100)).await;
    // Its own tasks and no request.
    assert_eq!((cluster.served(1), cluster.tasks[1].count()), (1, 1));
    assert_eq!(cluster.switch.carried(Subject::Cancellations(cluster.id(1))), 1);
    assert!(matches!(cluster.ask(0, 1, WITHIN).await, Err(LinkError::TimedOut(_))));
}

#[tokio::test(start_paused = true)]
async fn what_a_hub_with_another_key_says_is_not_heard() {
    let mut cluster = TestCluster::of(2).await;
    cluster.add(2);
    cluster.settle().await;
    assert_eq!(cluster.hubs[0].node.members().others.len(), 1);
    cluster.connect(2, "pi", 1);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(cluster.hubs[0].node.find(&"pi".parse().unwrap()), Presence::Unknown);
    assert!(matches!(cluster.ask(2, 0, WITHIN).await, Err(LinkError::TimedOut(_))));
    assert_eq!(cluster.served(0), 0);
}
