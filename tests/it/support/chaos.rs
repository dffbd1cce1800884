//! A seeded TCP proxy on loopback that breaks what it carries: in front of a hub it is a bad network.
//!
//! Faults hit a connection that is up ([`Chaos::hit_one`]), all of them ([`Chaos::hit_all`]), all and every new one
//! ([`Chaos::hit_everything`]), or random ones again and again ([`Chaos::storm`]). Which connection a seed means
//! depends on nothing but the seed and the order in which the connections came.

mod direction;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::direction::{Rules, carry};
use super::ports;

/// A direction: up is from the client to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
    Both,
}

/// A fault of a connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    /// RST to both ends.
    Cut,
    /// FIN, though the sender has not ended; what it still sends is dropped.
    Close(Direction),
    /// FIN at the next boundary of a TLS record.
    Truncate(Direction),
    /// Everything sent is dropped, ends and resets too. Healed with bytes lost, the connection is cut.
    BlackHole(Direction),
    /// Nothing is read and nothing written: TCP holds the senders back. Healed, it goes on with nothing lost.
    Freeze(Direction),
    /// Each way; the jitter comes on top and changes no order.
    Delay { delay: Duration, jitter: Duration },
    /// Limits each direction to this many bytes per second.
    Trickle(u64),
    /// Flips one bit of the next bytes.
    Corrupt(Direction),
}

/// A running one; gone when dropped, with its connections.
pub(crate) struct Chaos {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Runtime,
}

/// Faults at random until stopped or dropped.
pub(crate) struct Storm {
    task: JoinHandle<()>,
    hits: Arc<Mutex<Vec<(u64, Fault)>>>,
}

impl Chaos {
    /// Listens on a port that the system chooses, in front of this `HOST:PORT`, which may come and go.
    pub(crate) fn in_front_of(address: &str) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", ports::reserve()))).unwrap();
        let bound = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let (accepting, handle, target) = (shared.clone(), runtime.handle().clone(), address.to_owned());
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if accepting.refuses.load(Ordering::Relaxed) {
                    reset(&client);
                    continue;
                }
                let link = accepting.link();
                handle.spawn(run(accepting.clone(), link, client, target.clone()));
            }
        });
        Self { address: bound, shared, runtime }
    }

    /// Address to connect to.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Number of connections accepted so far.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.lock().count
    }

    /// Number of open connections that were neither cut nor closed by a fault.
    pub(crate) fn live(&self) -> usize {
        self.shared.lock().live.len()
    }

    /// Forwards this many TLS records more, counted over all connections and both directions, and cuts the connection
    /// of the last one after it; of the first one before it if the number is 0.
    pub(crate) fn cut_after(&self, records: u64) {
        *self.shared.fuse.lock().unwrap() = Some(records);
    }

    /// Reports whether the cut of [`Chaos::cut_after`] is still to come, and revokes it.
    pub(crate) fn revoke_cut(&self) -> bool {
        self.shared.fuse.lock().unwrap().take().is_some()
    }

    /// Number of bytes forwarded.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Hits one of the connections without a fault, and returns its number, counted from 0 in the
    /// order of accepting.
    pub(crate) fn hit_one(&self, seed: u64, fault: Fault) -> Option<u64> {
        self.shared.hit_one(seed, fault).map(|link| link.number)
    }

    /// Hits the connection of this number, if it is up.
    pub(crate) fn hit(&self, number: u64, fault: Fault) -> bool {
        let link = self.shared.lock().live.get(&number).cloned();
        link.inspect(|link| self.shared.hit(link, fault)).is_some()
    }

    /// Hits every connection there is now, and gives their number.
    pub(crate) fn hit_all(&self, fault: Fault) -> usize {
        self.shared.hit_all(fault)
    }

    /// Hits every connection, those to come as well until [`Chaos::heal`].
    pub(crate) fn hit_everything(&self, fault: Fault) {
        self.shared.lock().lasting.push(fault);
        self.shared.hit_all(fault);
    }

    /// Resets new connections until [`Chaos::heal`].
    pub(crate) fn refuse(&self) {
        self.shared.refuses.store(true, Ordering::Relaxed);
    }

    /// Ends all faults. Cut or closed connections stay so.
    pub(crate) fn heal(&self) {
        self.shared.refuses.store(false, Ordering::Relaxed);
        let live: Vec<_> = {
            let mut table = self.shared.lock();
            table.lasting.clear();
            table.live.values().cloned().collect()
        };
        live.iter().for_each(|link| self.shared.heal(link));
    }

    /// Hits a random connection with one of these faults after every pause; each connection is healed after `lasting`.
    pub(crate) fn storm(&self, seed: u64, pause: Duration, lasting: Duration, faults: &[Fault]) -> Storm {
        let hits = Arc::new(Mutex::new(Vec::new()));
        let (shared, faults, noted) = (self.shared.clone(), faults.to_vec(), hits.clone());
        let task = self.runtime.spawn(async move {
            let mut healing = JoinSet::new();
            let mut next = Instant::now();
            for step in 0.. {
                next += pause;
                sleep_until(next).await;
                while healing.try_join_next().is_some() {}
                let random = splitmix64(seed.wrapping_add(step));
                let fault = faults[pick(random, faults.len())];
                if let Some(link) = shared.hit_one(splitmix64(random), fault) {
                    noted.lock().unwrap().push((link.number, fault));
                    let (shared, until) = (shared.clone(), Instant::now() + lasting);
                    healing.spawn(async move {
                        sleep_until(until).await;
                        shared.heal(&link);
                    });
                }
            }
        });
        Storm { task, hits }
    }
}

impl Storm {
    /// The hits so far: connection and fault.
    pub(crate) fn hits(&self) -> Vec<(u64, Fault)> {
        self.hits.lock().unwrap().clone()
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Default)]
struct Shared {
    table: Mutex<Table>,
    refuses: AtomicBool,
    bytes: AtomicU64,
    /// Records until a connection is cut.
    fuse: Mutex<Option<u64>>,
}

#[derive(Default)]
struct Table {
    count: u64,
    live: BTreeMap<u64, Arc<Link>>,
    lasting: Vec<Fault>,
}

/// A proxied connection.
#[derive(Default)]
struct Link {
    number: u64,
    /// Up and down.
    rules: [watch::Sender<Rules>; 2],
    cut: CancellationToken,
    /// Something was dropped: the ends cannot go on with each other.
    lost: AtomicBool,
    /// One end closed, and the other has not been notified.
    left: AtomicBool,
}

impl Shared {
    /// Counts a record against [`Chaos::cut_after`]: whether it passes, and whether its connection is cut then.
    fn count_record(&self) -> (bool, bool) {
        let mut fuse = self.fuse.lock().unwrap();
        match *fuse {
            None => (true, false),
            Some(left) => {
                *fuse = left.checked_sub(1).filter(|left| *left > 0);
                (left > 0, left <= 1)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap()
    }

    /// Adds a connection, with the faults that apply to all.
    fn link(&self) -> Arc<Link> {
        let mut table = self.lock();
        let number = table.count;
        let link = Arc::new(Link { number, ..Link::default() });
        table.count += 1;
        if table.lasting.iter().all(|fault| !link.hit(*fault)) {
            table.live.insert(number, link.clone());
        }
        link
    }

    fn hit_one(&self, seed: u64, fault: Fault) -> Option<Arc<Link>> {
        let healthy: Vec<_> = self.lock().live.values().filter(|link| link.is_healthy()).cloned().collect();
        let link = healthy.get(pick(splitmix64(seed), healthy.len()))?;
        self.hit(link, fault);
        Some(link.clone())
    }

    fn hit_all(&self, fault: Fault) -> usize {
        let live: Vec<_> = self.lock().live.values().cloned().collect();
        live.iter().for_each(|link| self.hit(link, fault));
        live.len()
    }

    fn hit(&self, link: &Link, fault: Fault) {
        if link.hit(fault) {
            self.lock().live.remove(&link.number);
        }
    }

    fn heal(&self, link: &Link) {
        if link.lost.load(Ordering::Relaxed) {
            self.hit(link, Fault::Cut);
        }
        link.rules.iter().for_each(|rules| rules.send_modify(Rules::heal));
        let lasting = self.lock().lasting.clone();
        lasting.into_iter().for_each(|fault| self.hit(link, fault));
    }
}

impl Link {
    /// Applies the fault; reports whether it ended the connection.
    fn hit(&self, fault: Fault) -> bool {
        if fault == Fault::Cut {
            self.cut.cancel();
        }
        for (rules, direction) in self.rules.iter().zip([Direction::Up, Direction::Down]) {
            rules.send_modify(|rules| rules.apply(fault, direction));
        }
        matches!(fault, Fault::Cut | Fault::Close(Direction::Both) | Fault::Truncate(Direction::Both))
    }

    /// Notes that one end closed in a black hole; once both have, the connection is dropped.
    fn end_left(&self) {
        self.lost.store(true, Ordering::Relaxed);
        if self.left.swap(true, Ordering::Relaxed) {
            self.cut.cancel();
        }
    }

    fn is_healthy(&self) -> bool {
        self.rules.iter().all(|rules| rules.borrow().is_healthy())
    }
}

/// Carries one connection to its end.
async fn run(shared: Arc<Shared>, link: Arc<Link>, mut client: TcpStream, target: String) {
    match TcpStream::connect(target).await {
        Err(_) => reset(&client),
        Ok(mut server) => {
            for stream in [&client, &server] {
                let _ = stream.set_nodelay(true);
            }
            let broken = {
                let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
                tokio::select! {
                    ended = async { tokio::try_join!(
                        carry(from_client, to_server, (&link, 0), &shared),
                        carry(from_server, to_client, (&link, 1), &shared),
                    ) } => ended.is_err(),
                    () = link.cut.cancelled() => true,
                }
            };
            if broken {
                [&client, &server].into_iter().for_each(reset);
            }
        }
    }
    shared.lock().live.remove(&link.number);
}

/// Makes dropping the stream send an RST.
fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Steele, Lea and Flood's SplitMix64: neighbouring seeds give numbers that have nothing in common.
fn splitmix64(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn pick(random: u64, among: usize) -> usize {
    usize::try_from(random % among.max(1) as u64).unwrap()
}
