//! `devstream rdp`: a service-proxy on a local port, and a remote desktop client that connects to it.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::future::OptionFuture;
use tokio::process::{Child, Command as Program};
use tokio::time::timeout;

use crate::cli::args::{Rdp, ServiceProxy};
use crate::cli::config::role_settings::service_proxy;
use crate::cli::identity::ensure_service_identity;
use crate::cli::output::stream_monitor::StreamMonitor;
use crate::cli::preflight::{self, DeviceCheck};
use crate::cli::profile::Profile;
use crate::cli::signals::Signals;
use crate::cli::status::server::StatusServer;
use crate::cli::{Failure, output, roles};
use crate::net::os::orphans::{self, OwnChild};
use crate::net::shutdown::Shutdown;
use crate::proto::forward::Forward;
use crate::proto::refusal::RefusalKind;
use crate::proxy::{self, ServiceProxy as Proxy};

/// The time for the stream to end by itself after the client has exited.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// The range of ports, below the ephemeral ports of operating systems.
const STABLE_PORTS: Range<u16> = 20_000..32_000;

/// A remote desktop client: its program, and the arguments before the file.
struct Client {
    program: &'static str,
    before: &'static [&'static str],
    /// The argument after the file, to which the device's id is appended: the name expected in the desktop's
    /// certificate instead of 127.0.0.1.
    named: Option<&'static str>,
    /// The lowest exit status of a failure; lower ones tell how a session ended.
    failure: i32,
}

/// FreeRDP, whose exit statuses up to 127 are the protocol's reasons for an end, such as a logoff, and from 128 on
/// failures.
#[cfg(not(windows))]
const fn free_rdp(program: &'static str) -> Client {
    Client { program, before: &[], named: Some("/cert:name:"), failure: 128 }
}

/// `open` waits for the application with -W.
#[cfg(target_os = "macos")]
const CLIENTS: [Client; 3] =
    [free_rdp("xfreerdp3"), free_rdp("xfreerdp"), Client { program: "open", before: &["-W"], named: None, failure: 1 }];
#[cfg(windows)]
const CLIENTS: [Client; 1] = [Client { program: "mstsc", before: &[], named: None, failure: 1 }];
#[cfg(not(any(target_os = "macos", windows)))]
const CLIENTS: [Client; 2] = [free_rdp("xfreerdp3"), free_rdp("xfreerdp")];

pub(in crate::cli) async fn run(rdp: Rdp) -> Result<(), Failure> {
    ensure_service_identity(rdp.profile.as_ref()).await?;
    let signals = Signals::catch()?;
    let connected = Arc::<AtomicBool>::default();
    let shutdown = Shutdown::default();
    let (bound, status_server, check) = match bind(&rdp, stable_port(&rdp), (&connected, &shutdown)).await {
        Ok(bound) => bound,
        // Another session with the same device uses that port.
        Err(_) => bind(&rdp, 0, (&connected, &shutdown)).await?,
    };
    let check = ask(check, &rdp).await?;
    let (address, to) = bound.addresses().into_iter().next().context("no local port is open")?;
    output::role_message("rdp", &format!("{to} on {address}"));
    preflight::show_encryption("rdp", bound.config().plain);
    let directory = tempfile::tempdir().context("cannot create a temporary directory")?;
    let file = directory.path().join(format!("{}.rdp", rdp.device));
    std::fs::write(&file, settings(address)).with_context(|| format!("cannot write {}", file.display()))?;
    let started = if rdp.no_client { None } else { start(&file, &rdp)? };
    if started.is_none() {
        advise(rdp.no_client, address, &file);
    }
    let work = status_server.serve_while(&shutdown, Box::pin(serve(bound, (started, &connected), shutdown.clone())));
    let work = preflight::beside(async { OptionFuture::from(check.map(DeviceCheck::run)).await.unwrap_or(()) }, work);
    Ok(signals.run_with_shutdown(&shutdown, work).await??)
}

/// Fails before a client shows an error of its own, unless the hub does not say that the stream would be refused.
/// Returns what is still to be checked.
async fn ask(check: DeviceCheck, rdp: &Rdp) -> Result<Option<DeviceCheck>, Failure> {
    match check.ask().await {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some(check)),
        Err(refusal) if refusal.kind == RefusalKind::StreamNotOffered => {
            Err(Failure::Advised(refusal, offer_advice(rdp)))
        }
        // Whoever starts a client later may bring the device online before.
        Err(_) if rdp.no_client => Ok(Some(check)),
        Err(refusal) => Err(Failure::with_advice(refusal, check.advice)),
    }
}

/// Words how the device comes to offer its desktop.
fn offer_advice(Rdp { device, stream, .. }: &Rdp) -> String {
    let forward = match format!("{stream}=3389").parse::<Forward>() {
        Ok(forward) if forward.has_default_name() => "3389".to_owned(),
        _ => format!("{stream}=3389"),
    };
    format!(
        "offer it: on {device}, start `devstream device-agent` with --forward {forward} as well; or choose a name that it \
         offers with --stream NAME"
    )
}

/// Serves until a shutdown, or until the client exits, by itself or at a Ctrl-C that both received.
async fn serve(
    bound: Proxy,
    (started, connected): (Option<Started>, &AtomicBool),
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let mut serving = Box::pin(bound.serve(shutdown.clone()));
    let Some(Started { client, _own, mut child }) = started else {
        serving.await;
        return Ok(());
    };
    let done = tokio::select! {
        () = &mut serving => return Ok(()),
        status = child.wait() => ended(&client, status, connected.load(Ordering::Relaxed)),
    };
    let done = if shutdown.drain.is_cancelled() { Ok(()) } else { done };
    // Not `request()`: after a Ctrl-C that would be the second request, which cuts the stream off.
    shutdown.drain.cancel();
    if timeout(CLOSE_GRACE, &mut serving).await.is_err() {
        shutdown.now.cancel();
        serving.await;
    }
    done
}

/// Listens on this port, and records the first connection.
async fn bind(
    rdp: &Rdp,
    port: u16,
    (connected, shutdown): (&Arc<AtomicBool>, &Shutdown),
) -> Result<(Proxy, StatusServer, DeviceCheck), Failure> {
    let (settings, connected) = (proxy_settings(rdp, port)?, connected.clone());
    let monitor = Arc::new(StreamMonitor::new(None, settings.advice(false), shutdown.clone()));
    let note = move |event: &proxy::Event| {
        if matches!(event, proxy::Event::Requested(_)) {
            connected.store(true, Ordering::Relaxed);
        }
    };
    roles::bind_proxy(settings, "rdp", (monitor, note)).await
}

/// Returns the device's port on this machine, always the same: clients store certificates by address and port, and ask
/// when one changes.
fn stable_port(rdp: &Rdp) -> u16 {
    let profile = rdp.profile.as_ref().map_or("", Profile::as_str);
    let name = [profile, rdp.device.as_str(), rdp.stream.as_str()].join("/");
    let sum = name.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    STABLE_PORTS.start + (sum % u32::from(STABLE_PORTS.end - STABLE_PORTS.start)) as u16
}

/// Returns the settings of the service-proxy, with those from the environment and the file.
fn proxy_settings(rdp: &Rdp, port: u16) -> Result<ServiceProxy, Failure> {
    let local = format!("--local=127.0.0.1:{port}={}", rdp.stream);
    let with_value = |(flag, value): &(&str, Option<String>)| match value {
        Some(value) => format!("{flag}={value}"),
        None => (*flag).to_owned(),
    };
    let session: Vec<_> = rdp.session.flags()?.iter().map(with_value).collect();
    let flags = ["--device", rdp.device.as_str(), &local].into_iter().chain(session.iter().map(String::as_str));
    service_proxy(rdp.profile.as_ref(), &flags.collect::<Vec<_>>())
}

/// Returns an .rdp file, mstsc's format, which other clients read as well.
fn settings(address: SocketAddr) -> String {
    // Authentication level 2 warns if the desktop cannot be authenticated.
    format!("full address:s:{address}\r\nprompt for credentials:i:1\r\nauthentication level:i:2\r\n")
}

/// A client that is running.
struct Started {
    client: Client,
    child: Child,
    _own: OwnChild,
}

/// Starts the first client that is installed; it is killed when this program exits.
fn start(file: &Path, rdp: &Rdp) -> anyhow::Result<Option<Started>> {
    for client in CLIENTS {
        let mut program = Program::new(client.program);
        program.args(client.before).arg(file).args(client.named.map(|named| format!("{named}{}", rdp.device)));
        program.args(&rdp.arguments).stdin(Stdio::inherit()).kill_on_drop(true);
        match orphans::spawn(&mut program) {
            Ok((_own, child)) => {
                output::eprint(&format!("rdp: started {}", client.program));
                return Ok(Some(Started { client, child, _own }));
            }
            // PermissionDenied also comes of a directory in PATH that this user may not search.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot run {}", client.program)),
        }
    }
    Ok(None)
}

fn advise(requested: bool, address: SocketAddr, file: &Path) {
    let file = file.display();
    if requested {
        output::print(&format!("{address}\n{file}"));
        return output::eprint("rdp: serving until Ctrl-C");
    }
    let names = CLIENTS.map(|client| client.program).join(", ");
    output::warning(&format!(
        "rdp: no client is installed ({names}); install the package freerdp3-x11 or freerdp2-x11"
    ));
    output::warning(&format!("rdp: open {file} with another client, or connect it to {address}; Ctrl-C stops"));
}

fn ended(client: &Client, status: io::Result<ExitStatus>, connected: bool) -> anyhow::Result<()> {
    let status = status.with_context(|| format!("cannot wait for {}", client.program))?;
    if status.code().is_none_or(|code| code >= client.failure) {
        bail!("{} failed ({status})", client.program);
    }
    if !connected {
        bail!("{} exited without connecting ({status}): check that there is a display", client.program);
    }
    Ok(())
}
