//! `devstream demo`: all three roles in one process, over TLS on loopback, with a temporary state directory.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::args::{Demo, HubArgs};
use super::identity::LocalHub;
use super::output::advice::Advice;
use super::output::stream_monitor::{StreamMonitor, Table};
use super::signals::{Signals, StopSignals};
use super::{Failure, output};
use crate::agent;
use crate::agent::config::{AccessPolicy, AgentConfig};
use crate::agent::connect::connect;
use crate::hub::Hub;
use crate::hub::activity;
use crate::hub::broker::Settings;
use crate::hub::certificate::Source;
use crate::hub::config::{HubConfig, Limits};
use crate::net::client::{ClientFactory, StoredAt};
use crate::net::os::socket_activation::InheritedSockets;
use crate::net::shutdown::Shutdown;
use crate::net::tasks::Tasks;
use crate::net::tunnel::pump::TransportOptions;
use crate::proto::forward::{Forward, LocalForward};
use crate::proto::id::{DeviceId, Principal, Role};
use crate::proto::keepalive::IdleTimeout;
use crate::proto::limits::{RESPONSE_TIMEOUT, STANDBYS_PER_IDENTITY};
use crate::proto::refusal::Refusal;
use crate::proxy::ServiceProxy;
use crate::proxy::config::ProxyConfig;

/// The id of the demo's device.
const DEVICE: &str = "demo";

/// The drain timeout: a person ends a demo when they are done with it.
const DRAIN: Duration = Duration::from_secs(1);

/// Its device is online, and its port fixed.
const ADVICE: Advice = Advice { has_ports: false, wait_is_chosen: true };

pub(super) async fn run(demo: Demo, table: Option<Table>) -> Result<(), Failure> {
    let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
    let state = directory.path().join("hub");
    let (signals, shutdown, tasks) = (Signals::catch()?.muting_log(), Shutdown::default(), Tasks::default());
    let (forward, page) = target(demo.forward).await?;
    let hub = Box::pin(Hub::bind(hub_config(state.clone())?, InheritedSockets::default())).await?;
    for (address, _) in hub.addresses() {
        output::role_message("demo", &format!("hub on https://{address} (TLS 1.3, its own certificate authority)"));
    }
    let enrolled = |role| client_factory(&state, role);
    let device: DeviceId = DEVICE.parse().context("the demo's device id")?;
    let agent = AgentConfig {
        device: device.clone(),
        client_factory: enrolled(Role::Device)?,
        targets: [forward.clone()].into_iter().collect(),
        access_policy: AccessPolicy::default(),
        exit_when_key_refused: false,
        transport: TransportOptions::default(),
        drain: DRAIN,
        find_other_agent: None,
        identity_stored_at: StoredAt::default(),
        observer: Arc::new(|_| {}),
    };
    let monitor = StreamMonitor::new(table.clone(), ADVICE, shutdown.clone());
    let proxy = ServiceProxy::bind(ProxyConfig {
        client_factory: enrolled(Role::Service)?,
        identity_stored_at: StoredAt::default(),
        device,
        locals: vec![demo.local.clone()],
        connect_timeout: Duration::from_secs(10),
        response_timeout: RESPONSE_TIMEOUT,
        plain: false,
        transport: TransportOptions::default(),
        drain: DRAIN,
        observer: Arc::new(move |event| monitor.on_event(event)),
    });
    let proxy = proxy.await.map_err(Failure::Usage)?;
    if let Some(page) = page {
        tasks.spawn(serve_page(page));
    }
    explain(&proxy, &demo.local, &forward);
    let all = async {
        tokio::join!(hub.serve(shutdown.clone()), agent::run(agent, shutdown.clone()), proxy.serve(shutdown.clone())).0
    };
    let all = signals.run_with_shutdown(&shutdown, Box::pin(all));
    match table {
        Some(table) => StopSignals::catch()?.run_with_table(&table, all).await??,
        None => all.await??,
    };
    tasks.shutdown(Duration::ZERO).await;
    output::role_message("demo", "stopped; no files are left");
    Ok(())
}

fn hub_config(state: std::path::PathBuf) -> anyhow::Result<HubConfig> {
    Ok(HubConfig {
        listen: vec!["127.0.0.1:0".parse().context("loopback")?],
        hostnames: Vec::new(),
        certificate: Source::Own,
        allow_tls_inspection: false,
        state,
        load_balancers: Vec::new(),
        streaming: None,
        broker: Settings::default(),
        activity: activity::Settings::default(),
        drain: DRAIN,
        idle_timeout: IdleTimeout::default(),
        standbys: STANDBYS_PER_IDENTITY,
        limits: Limits::default(),
        metrics: None,
    })
}

/// Returns clients that enrol with the demo's hub, as with a hub of the same user, with keys in the demo's own
/// directory.
fn client_factory(state: &std::path::Path, role: Role) -> anyhow::Result<ClientFactory> {
    let id = DEVICE.to_owned().try_into().context("the demo's id")?;
    let local_hub = LocalHub { state: state.into(), key: state.join("keys").join(role.as_str()) };
    let principal = Principal { role, id };
    Ok(ClientFactory::new(move || {
        let (local_hub, principal) = (local_hub.clone(), principal.clone());
        let hub_args = HubArgs::none();
        let absent = Refusal::not_joined(&principal, "", None);
        async move { local_hub.client(principal, &hub_args, absent).await }
    }))
}

/// Returns the given target, else the machine's SSH server, else a built-in page with its listener.
async fn target(given: Option<Forward>) -> anyhow::Result<(Forward, Option<TcpListener>)> {
    let ssh: Forward = "22".parse().context("port 22")?;
    if let Some(forward) = given {
        return Ok((forward, None));
    }
    let probe = timeout(Duration::from_secs(1), connect(&ssh));
    if let Ok(Ok(_)) = probe.await {
        return Ok((ssh, None));
    }
    let page = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot serve the built-in page")?;
    let forward = format!("http={}", page.local_addr()?.port()).parse().context("the page's port")?;
    Ok((forward, Some(page)))
}

fn explain(proxy: &ServiceProxy, local: &LocalForward, forward: &Forward) {
    for (address, to) in proxy.addresses() {
        let (host, port) = (address.ip(), address.port());
        output::role_message("demo", &format!("device-agent '{DEVICE}' offers {forward}"));
        output::role_message("demo", &format!("service-proxy: {to} on {address}"));
        output::eprint("");
        output::eprint("Try it, in another terminal:");
        output::eprint(&match forward.name.as_str() {
            "ssh" => format!("    ssh -p {port} localhost"),
            "http" => format!("    curl http://{host}:{port}/"),
            _ => format!("    connect to {host}:{port}"),
        });
    }
    output::eprint("\nOn real machines:");
    output::eprint("    devstream hub                                          # where both sides can reach it");
    output::eprint("    devstream device-agent --forward 22                    # on the device");
    let port = if local.port == 0 { 2222 } else { local.port };
    output::eprint(&format!("    devstream service-proxy --device ID --local {port}       # on your laptop"));
    output::eprint("(across machines, each joins once with the command that `devstream hub device add ID` or");
    output::eprint(" `devstream hub service add NAME --device ID` prints)\n\nCtrl-C ends the demo.");
}

const PAGE: &str = "This page came through devstream: curl, service-proxy, TLS, hub, TLS, device-agent, here.\n";

/// The limit on a request's head, whose content is ignored.
const HEAD_BYTES: usize = 8 * 1024;

/// Serves the page to curl and browsers, one connection at a time.
async fn serve_page(listener: TcpListener) {
    while let Ok((connection, _)) = listener.accept().await {
        if let Ok(Err(error)) = timeout(Duration::from_secs(10), show_page(connection)).await {
            tracing::debug!(%error, "could not serve the page");
        }
    }
}

async fn show_page(mut connection: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while head.len() < HEAD_BYTES && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if connection.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    let length = PAGE.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    connection.write_all(head.as_bytes()).await?;
    connection.write_all(PAGE.as_bytes()).await?;
    connection.shutdown().await
}
