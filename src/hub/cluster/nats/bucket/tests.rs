//! A real nats-server, Debian's, on loopback.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_nats::ConnectOptions;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep};

use super::*;
use crate::hub::cluster::bucket::contract;
use crate::hub::cluster::key::ClusterKey;
use crate::hub::registry::mirrored::{Mirror, MirroredRegistry, follow};
use crate::hub::registry::sqlite::SqliteRegistry;
use crate::hub::registry::{Registry as _, RegistryCache, RegistryError};
use crate::proto::id::{Principal, Role};
use crate::proto::key::PublicKey;
use crate::proto::secret::Secret;
use crate::proto::timestamp::Timestamp;

/// A server with JetStream, which ends with the test.
struct Server {
    directory: TempDir,
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let child = spawn(directory.path(), -1);
        let ports = directory.path().join(format!("nats-server_{}.ports", child.id()));
        let mut server = Self { directory, child, port: 0 };
        let start = Instant::now();
        while server.port == 0 {
            assert!(start.elapsed() < Duration::from_secs(20), "nats-server does not start");
            let text = std::fs::read_to_string(&ports).unwrap_or_default();
            let url = text.split('"').find_map(|part| part.strip_prefix("nats://127.0.0.1:"));
            server.port = url.and_then(|port| port.parse().ok()).unwrap_or_default();
            sleep(Duration::from_millis(10)).await;
        }
        server
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn restart(&mut self) {
        self.child = spawn(self.directory.path(), self.port.into());
    }

    async fn client(&self) -> Client {
        let options = ConnectOptions::new().reconnect_delay_callback(|_| Duration::from_millis(100));
        options.connect(format!("127.0.0.1:{}", self.port)).await.unwrap()
    }
}

fn spawn(directory: &Path, port: i32) -> Child {
    let mut command = Command::new("/usr/sbin/nats-server");
    command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"]).arg(directory.join("js"));
    command.arg("--ports_file_dir").arg(directory).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("nats-server is installed: tests/run does it")
}

fn device() -> Principal {
    Principal { role: Role::Device, id: "pi..42".parse().unwrap() }
}

/// A hub that mirrors the bucket of a server.
struct Hub {
    mirror: Arc<Mirror>,
    cache: RegistryCache,
}

impl Hub {
    async fn new(server: &Server) -> Self {
        let sqlite = SqliteRegistry::open(Path::new(":memory:")).unwrap();
        let bucket = Arc::new(NatsBucket::new(server.client().await, "devstream", 1));
        let key = ClusterKey::new(&Secret::new([7; 32]));
        let mirror = Arc::new(Mirror::new(sqlite, bucket, key, Handle::current()));
        let cache = RegistryCache::new(MirroredRegistry::new(mirror.clone()));
        Self { mirror, cache }
    }

    async fn blocking(&self, work: impl FnOnce(&Mirror) -> Result<(), RegistryError> + Send + 'static) {
        let mirror = self.mirror.clone();
        spawn_blocking(move || work(&mirror)).await.unwrap().unwrap();
    }

    async fn disable(&self, disabled: bool) -> Result<(), RegistryError> {
        self.cache.change(&device(), move |registry| registry.set_disabled(&device(), disabled)).await
    }

    fn is_disabled(&self) -> Option<bool> {
        self.mirror.sqlite().find(&device()).unwrap().map(|record| record.disabled)
    }

    async fn until(&self, condition: impl Fn(&Self) -> bool) -> Duration {
        let start = Instant::now();
        while !condition(self) {
            assert!(start.elapsed() < Duration::from_secs(30), "{:?}", self.mirror.status());
            sleep(Duration::from_millis(2)).await;
        }
        start.elapsed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_a_real_server_keeps_the_contract() {
    let server = Server::start().await;
    let client = server.client().await;
    let bucket = NatsBucket::new(client.clone(), "devstream", 1);
    contract::keeps_the_contract(&bucket).await;
    // As the server's own tools see and delete values.
    let store = jetstream::new(client.clone()).get_key_value("devstream").await.unwrap();
    assert_eq!(store.get("enr.1").await.unwrap().as_deref(), Some(&b"4"[..]));
    store.delete("enr.1").await.unwrap();
    let deleted = Entry { key: "enr.1".into(), value: Bytes::new(), revision: 5 };
    assert_eq!(bucket.get("enr.1").await, Ok(Some(deleted)));
    assert_eq!(bucket.put("enr.1", "6".into(), 5).await, Ok(6));
    jetstream::new(client).delete_stream("KV_devstream").await.unwrap();
    contract::says_that_it_is_gone(&bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hubs_share_a_registry_on_a_real_server_that_is_killed_and_comes_back() {
    let mut server = Server::start().await;
    let (one, two) = (Hub::new(&server).await, Hub::new(&server).await);
    one.blocking(|mirror| {
        mirror.sqlite().enrol(&device(), &PublicKey::from_bytes([1; 32]), Timestamp(1))?;
        mirror.found()
    })
    .await;
    two.blocking(Mirror::join).await;
    let mut tasks = JoinSet::new();
    for hub in [&one, &two] {
        tasks.spawn(follow(hub.mirror.clone(), hub.cache.clone()));
    }
    two.until(|two| two.is_disabled() == Some(false) && two.mirror.status().unwrap().follows).await;
    for disabled in [true, false, true] {
        one.disable(disabled).await.unwrap();
        let took = two.until(|two| two.is_disabled() == Some(disabled)).await;
        assert!(took < Duration::from_millis(300), "{took:?}");
    }
    server.kill();
    one.until(|one| !one.mirror.status().unwrap().follows).await;
    assert_eq!(two.is_disabled(), Some(true), "reads go on");
    server.restart();
    let back = one.until(|one| one.mirror.status().unwrap().follows).await;
    assert!(back < Duration::from_secs(5), "{back:?}");
    two.disable(false).await.unwrap();
    one.until(|one| one.is_disabled() == Some(false)).await;
    jetstream::new(server.client().await).delete_stream("KV_devstream").await.unwrap();
    two.until(|two| two.mirror.status().unwrap().refuses.is_some()).await;
    assert!(matches!(two.disable(true).await, Err(RegistryError::BucketLost(_))));
    one.until(|one| one.mirror.status().unwrap().refuses.is_some()).await;
    two.blocking(|mirror| mirror.restore(false)).await;
    one.until(|one| one.mirror.status().unwrap().follows).await;
    two.disable(true).await.unwrap();
    one.until(|one| one.is_disabled() == Some(true)).await;
}
