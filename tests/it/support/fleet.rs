//! Many devices in one process: the agent itself, as tasks.

use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use devstream::agent::config::{AccessPolicy, AgentConfig};
use devstream::agent::{self, Event};
use devstream::net::client::{Client, ClientFactory, RequestOptions, StoredAt};
use devstream::net::os::clock;
use devstream::net::os::random;
use devstream::net::shutdown::Shutdown;
use devstream::net::tls::Trust;
use devstream::net::transport::hub_addresses::{AddressPreference, HubAddresses};
use devstream::net::tunnel::pump::TransportOptions;
use devstream::proto::admin::HubStatus;
use devstream::proto::http::Route;
use devstream::proto::id::{DeviceId, Principal, Role};
use devstream::proto::join::{HubAddress, JoinLink, JoinRequest};
use devstream::proto::key::PrivateKey;
use devstream::proto::message::encode;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::roles::Hub;

/// Well below the hub's limit of unauthenticated connections from one source.
const JOINING_AT_ONCE: usize = 16;

/// Arguments of a fleet's hub: all agents share one address, and unauthenticated connections above half of the limit
/// are dropped at random.
pub(crate) const ONE_ADDRESS: [&str; 2] = ["--max-unauthenticated-per-source", "512"];

/// Agents, online or on their way. They end when this is dropped.
pub(crate) struct Fleet {
    count: usize,
    _runtime: Runtime,
}

/// A device that has joined, and with what.
pub(crate) struct Joined {
    client: Client,
    trust: Trust,
    key: Arc<PrivateKey>,
}

/// Agents, by number, and when they were online.
pub(crate) type Arrivals = Arc<Mutex<Vec<(usize, Instant)>>>;

/// Figures of a fleet's reconnection.
#[derive(Debug)]
pub(crate) struct Reconnect {
    /// Time from the hub's start until the last agent was online.
    pub(crate) took: Duration,
    /// The hub's memory before, with everybody online …
    pub(crate) steady: u64,
    /// … and the most that it took after its start.
    pub(crate) peak: u64,
}

impl Fleet {
    /// So many devices join, called this and a number, and their agents start.
    pub(crate) fn join(hub: &Hub, name: &str, count: usize) -> Self {
        let uses = count.to_string();
        let link: JoinLink =
            hub.link(&["enroll", "add", "--device", &format!("{name}-*"), "--uses", &uses]).parse().expect("a link");
        let runtime = Runtime::new().expect("a runtime");
        for joined in runtime.block_on(join_all(&[link], name, count)) {
            runtime.spawn(agent::run(config(joined.client), Shutdown::default()));
        }
        Self { count, _runtime: runtime }
    }

    /// So many devices join at these hubs in turn, and their agents start there; each knows the others too. Each time that
    /// one is online, its number and the time are in the list.
    pub(crate) fn across(hubs: &[Hub], name: &str, count: usize) -> (Self, Arrivals) {
        let (runtime, arrivals) = (Runtime::new().expect("a runtime"), Arrivals::default());
        let joined = runtime.block_on(join_all(&links(hubs, name, count), name, count));
        for (number, joined) in joined.into_iter().enumerate() {
            let arrived = arrivals.clone();
            let observer = move |event| {
                if let Event::Online = event {
                    arrived.lock().expect("no thread panics").push((number, clock::now()));
                }
            };
            let config = AgentConfig { observer: Arc::new(observer), ..config(knowing(&joined, hubs, number)) };
            runtime.spawn(agent::run(config, Shutdown::default()));
        }
        (Self { count, _runtime: runtime }, arrivals)
    }

    /// Waits until all of them are online.
    pub(crate) fn wait_online(&self, hub: &Hub, deadline: Duration) {
        let start = clock::now();
        loop {
            let online = hub.json::<HubStatus>(&["status"]).online;
            if online == self.count as u64 {
                return;
            }
            assert!(clock::now() - start < deadline, "{online} of {} are online after {deadline:?}", self.count);
        }
    }

    /// Kills the hub, starts it again where it was, and waits until all are back.
    pub(crate) fn reconnect(&self, hub: &mut Hub, arguments: &[&str], deadline: Duration) -> Reconnect {
        let steady = hub.process.memory().now;
        hub.process.kill();
        let start: Instant = clock::now();
        *hub = Hub::start_on(&hub.machine().clone(), hub.port, arguments);
        self.wait_online(hub, deadline);
        Reconnect { took: clock::now() - start, steady, peak: hub.process.memory().peak }
    }
}

/// A link of each hub, with which so many devices may join.
fn links(hubs: &[Hub], name: &str, count: usize) -> Vec<JoinLink> {
    let (ids, uses) = (format!("{name}-*"), count.to_string());
    let link = |hub: &Hub| hub.link(&["enroll", "add", "--device", &ids, "--uses", &uses]).parse().expect("a link");
    hubs.iter().map(link).collect()
}

/// So many identities, without agents.
pub(crate) fn identities(hubs: &[Hub], name: &str, count: usize) {
    Runtime::new().expect("a runtime").block_on(join_all(&links(hubs, name, count), name, count));
}

/// The same device, which tries the hub of this number first.
fn knowing(joined: &Joined, hubs: &[Hub], number: usize) -> Client {
    let at = |offset: usize| hubs[(number + offset) % hubs.len()].address().parse().expect("an address");
    let addresses: Vec<HubAddress> = (0..hubs.len()).map(at).collect();
    let hubs = HubAddresses::new(&addresses, AddressPreference::default()).expect("some hubs");
    Client::new(hubs, &joined.trust, joined.client.principal().clone(), joined.key.clone()).expect("a client")
}

async fn join_all(links: &[JoinLink], name: &str, count: usize) -> Vec<Joined> {
    let (mut joining, mut joined) = (JoinSet::new(), Vec::new());
    for number in 0..count {
        if joining.len() == JOINING_AT_ONCE {
            joined.extend(joining.join_next().await.expect("some are joining"));
        }
        let link = links[number % links.len()].clone();
        joining.spawn(join(link, format!("{name}-{number}").parse().expect("an id")));
    }
    joined.extend(joining.join_all().await);
    joined
}

async fn join(link: JoinLink, device: DeviceId) -> Joined {
    try_join(&link, device).await.expect("the hub takes it")
}

/// Joins with a key of its own; the error is what the hub answered, or why it did not.
pub(crate) async fn try_join(link: &JoinLink, device: DeviceId) -> Result<Joined, String> {
    let key = Arc::new(PrivateKey::from_seed(&random::secret()));
    let body = encode(&JoinRequest { code: link.code.clone(), key: key.public(), proof: None });
    let principal = Principal { role: Role::Device, id: device.into() };
    let trust = Trust::Pin(link.pin.expect("a pin"));
    let client = Client::new(link.hub.clone(), &trust, principal, key.clone()).expect("a client");
    let answer = client.request(&Route::Join, RequestOptions { body: body.into(), ..RequestOptions::default() }).await;
    let answer = answer.map_err(|error| format!("no answer: {error:?}"))?;
    if answer.status().is_success() { Ok(Joined { client, trust, key }) } else { Err(format!("{answer:?}")) }
}

fn config(client: Client) -> AgentConfig {
    let device = client.principal().id.as_str().parse().expect("an id");
    AgentConfig {
        device,
        client_factory: ClientFactory::new(move || ready(Ok(client.clone()))),
        // Elsewhere: whether a target of this machine answers, each agent would look up in the list of all sockets.
        targets: ["ssh=192.0.2.1:22".parse().expect("a forward")].into_iter().collect(),
        access_policy: AccessPolicy::default(),
        exit_when_key_refused: false,
        transport: TransportOptions::default(),
        drain: Duration::ZERO,
        find_other_agent: None,
        identity_stored_at: StoredAt::default(),
        observer: Arc::new(|_| {}),
    }
}
