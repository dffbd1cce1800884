//! Many devices in one process: the agent itself, as tasks.

use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant};

use devstream::agent;
use devstream::agent::config::{AccessPolicy, AgentConfig};
use devstream::net::client::{Client, ClientFactory, RequestOptions, StoredAt};
use devstream::net::os::clock;
use devstream::net::os::random;
use devstream::net::shutdown::Shutdown;
use devstream::net::tls::Trust;
use devstream::net::tunnel::pump::TransportOptions;
use devstream::proto::admin::HubStatus;
use devstream::proto::http::Route;
use devstream::proto::id::{DeviceId, Principal, Role};
use devstream::proto::join::{JoinLink, JoinRequest};
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
        let clients = runtime.block_on(join_all(&link, name, count));
        for client in clients {
            runtime.spawn(agent::run(config(client), Shutdown::default()));
        }
        Self { count, _runtime: runtime }
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

async fn join_all(link: &JoinLink, name: &str, count: usize) -> Vec<Client> {
    let (mut joining, mut joined) = (JoinSet::new(), Vec::new());
    for number in 0..count {
        if joining.len() == JOINING_AT_ONCE {
            joined.extend(joining.join_next().await.expect("some are joining"));
        }
        joining.spawn(join(link.clone(), format!("{name}-{number}").parse().expect("an id")));
    }
    joined.extend(joining.join_all().await);
    joined
}

async fn join(link: JoinLink, device: DeviceId) -> Client {
    let key = PrivateKey::from_seed(&random::secret());
    let body = encode(&JoinRequest { code: link.code, key: key.public(), proof: None });
    let principal = Principal { role: Role::Device, id: device.into() };
    let trust = Trust::Pin(link.pin.expect("a pin"));
    let client = Client::new(link.hub, &trust, principal, Arc::new(key)).expect("a client");
    let answer = client.request(&Route::Join, RequestOptions { body: body.into(), ..RequestOptions::default() }).await;
    let answer = answer.expect("the hub answers");
    assert!(answer.status().is_success(), "{answer:?}");
    client
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
