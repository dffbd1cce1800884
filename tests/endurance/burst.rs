//! The burst campaign: many connections at once through one local port, beside `ssh -L` on the same path.

use std::process::ExitCode;
use std::time::Duration;

use devstream::net::os::{clock, rlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::report;
use super::support::chaos::{Chaos, Fault};
use super::support::machine::Machine;
use super::support::poll;
use super::support::process::Process;
use super::support::roles::{Agent, Hub, ServiceProxy};
use super::support::sshd::Sshd;
use super::support::targets::closed_port;

/// Connections at once.
const BURSTS: [usize; 5] = [1, 64, 200, 1000, 4000];

/// Round trips of each leg, in milliseconds.
const ROUND_TRIPS: [u64; 3] = [0, 20, 150];

/// Timeout of one connection: the default response timeout, and time for its answer.
const ANSWERED: Duration = Duration::from_secs(90);

/// The largest burst that `ssh -L` is measured at: sshd has a descriptor for each connection, and a limit of 1024.
const SSH_BURST: usize = 1000;

const QUESTION: &[u8; 6] = b"hello\n";

/// Runs the campaign: all bursts, or those of this many connections.
pub(crate) fn campaign(counts: &[String]) -> ExitCode {
    rlimit::raise_descriptors();
    let counts: Option<Vec<usize>> = counts.iter().map(|count| count.parse().ok()).collect();
    let Some(counts) = counts else {
        report("usage: tests/burst [CONNECTIONS...]");
        return ExitCode::from(2);
    };
    let counts = if counts.is_empty() { BURSTS.to_vec() } else { counts };
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
    let target = echo(&runtime);
    let mut failed = 0;
    for round_trip in ROUND_TRIPS {
        for count in &counts {
            // A path of its own for each: the first burst of a proxy is the hardest.
            let path = Path::start(target, Duration::from_millis(round_trip));
            let ours = runtime.block_on(burst(path.proxy.port, *count));
            let again = runtime.block_on(burst(path.proxy.port, *count));
            drop(path);
            failed += ours.failed + again.failed;
            let beside = (*count <= SSH_BURST).then(|| {
                let ssh = SshForward::start(target, Duration::from_millis(2 * round_trip));
                runtime.block_on(burst(ssh.port, *count))
            });
            let beside = beside.map(|ssh| format!("; ssh -L {ssh}")).unwrap_or_default();
            report(format!("{round_trip:3} ms, {count:4} at once: devstream {ours}; again {again}{beside}"));
        }
    }
    report(format!("burst: {failed} connections failed: {}", if failed == 0 { "passed" } else { "FAILED" }));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A hub with an agent and a proxy, each behind a network with this round-trip time.
struct Path {
    proxy: ServiceProxy,
    _agent: Agent,
    _networks: [Chaos; 2],
    _hub: Hub,
    _machines: [Machine; 2],
}

impl Path {
    fn start(target: u16, round_trip: Duration) -> Self {
        let hub = Hub::start(&Machine::new());
        let networks = [(); 2].map(|()| Chaos::in_front_of(&hub.address()));
        for network in &networks {
            network.hit_everything(Fault::Delay { delay: round_trip / 2, jitter: Duration::ZERO });
        }
        let machines = [hub.device_link("device"), hub.service_link("laptop")].into_iter().zip(&networks);
        let machines: Vec<_> = machines
            .map(|(link, network)| {
                let machine = Machine::new();
                machine.ask(&["join", &link.replace(&hub.address(), &network.address())]);
                machine
            })
            .collect();
        let [device, laptop] = machines.try_into().ok().expect("two machines");
        let agent = Agent::start_as(&device, "device", &[&format!("target={target}")]);
        let proxy = ServiceProxy::start_with(&laptop, "device", "0", &["-q"]);
        Self { proxy, _agent: agent, _networks: networks, _hub: hub, _machines: [device, laptop] }
    }
}

/// `ssh -L` behind a network with this round-trip time.
struct SshForward {
    port: u16,
    _client: Process,
    _network: Chaos,
    _server: Sshd,
}

impl SshForward {
    fn start(target: u16, round_trip: Duration) -> Self {
        let server = Sshd::start();
        let network = Chaos::in_front_of(&format!("127.0.0.1:{}", server.port));
        network.hit_everything(Fault::Delay { delay: round_trip / 2, jitter: Duration::ZERO });
        let (port, machine) = (closed_port(), Machine::new());
        let (_, network_port) =
            network.address().rsplit_once(':').map(|(host, port)| (host.to_owned(), port.to_owned())).unwrap();
        let mut command = server.client(&machine, "ssh");
        command.args([
            "-v",
            "-N",
            "-L",
            &format!("127.0.0.1:{port}:127.0.0.1:{target}"),
            "-p",
            &network_port,
            "127.0.0.1",
        ]);
        let client = Process::start(&mut command);
        poll("ssh's port", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Self { port, _client: client, _network: network, _server: server }
    }
}

/// The outcome of a burst: times from its start to each answer.
struct Outcome {
    answered: Vec<Duration>,
    failed: usize,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = |percent: usize| {
            let place = (self.answered.len() * percent / 100).min(self.answered.len().saturating_sub(1));
            self.answered.get(place).map_or(0.0, Duration::as_secs_f64)
        };
        write!(f, "{:.2} s p50, {:.2} s p99", at(50), at(99))?;
        if self.failed > 0 { write!(f, ", {} FAILED", self.failed) } else { Ok(()) }
    }
}

/// Opens this many connections at once, each of which is answered and then closed.
async fn burst(port: u16, count: usize) -> Outcome {
    let (mut tasks, start) = (JoinSet::new(), clock::now());
    for _ in 0..count {
        tasks.spawn(async move {
            let answered = timeout(ANSWERED, ask(port)).await.unwrap_or(Err(std::io::ErrorKind::TimedOut.into()));
            answered.map(|()| start.elapsed())
        });
    }
    let outcomes = tasks.join_all().await;
    let mut answered: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok().copied()).collect();
    answered.sort_unstable();
    Outcome { failed: count - answered.len(), answered }
}

async fn ask(port: u16) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(QUESTION).await?;
    let mut answer = [0; QUESTION.len()];
    stream.read_exact(&mut answer).await?;
    assert_eq!(answer, *QUESTION);
    Ok(())
}

/// A target that answers each connection with what it sent.
fn echo(runtime: &Runtime) -> u16 {
    let listener = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, 1], 0).into())?;
        socket.listen(4096)
    });
    let listener: TcpListener = listener.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    runtime.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            while connections.try_join_next().is_some() {}
            connections.spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    port
}
