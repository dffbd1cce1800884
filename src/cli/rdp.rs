//! `devstream rdp`: a service-proxy on a port of its own, and a remote desktop client at it.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::{Child, Command as Program};
use tokio::time::timeout;

use super::args::{Rdp, ServiceProxy};
use super::profile::Profile;
use super::role_settings::service_proxy;
use super::signals::Signals;
use super::status_server::StatusServer;
use super::stream_monitor::StreamMonitor;
use super::{Failure, output, roles};
use crate::net::shutdown::Shutdown;
use crate::proxy::{self, ServiceProxy as Proxy};

/// The client is gone; its stream has a moment to end by itself.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// Below the ports that systems give to whoever asks for any.
const STABLE_PORTS: Range<u16> = 20_000..32_000;

/// A remote desktop client: its program, and what comes before the file.
struct Client {
    program: &'static str,
    before: &'static [&'static str],
    /// Goes after the file, with the device's name behind it: what the desktop's certificate should say, and not 127.0.0.1.
    named: Option<&'static str>,
    /// With a lower status than this, it says how a session ended that it had.
    failure: i32,
}

/// Its statuses are the protocol's reasons for an end up to 127 (a user who logs off is one), and its own failures from 128 on.
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

pub(super) async fn run(rdp: Rdp) -> Result<(), Failure> {
    let signals = Signals::catch()?;
    let connected = Arc::<AtomicBool>::default();
    let (bound, status_server) = match bind(&rdp, stable_port(&rdp), &connected).await {
        Ok(bound) => bound,
        // Another session with the same device has it.
        Err(_) => bind(&rdp, 0, &connected).await?,
    };
    let (address, to) = bound.addresses().into_iter().next().context("the local port is gone")?;
    output::role_message("rdp", &format!("{to} on {address}"));
    let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
    let file = directory.path().join(format!("{}.rdp", rdp.device));
    std::fs::write(&file, settings(address)).with_context(|| format!("cannot write {}", file.display()))?;
    let started = if rdp.no_client { None } else { start(&file, &rdp)? };
    if started.is_none() {
        advise(rdp.no_client, address, &file);
    }
    let shutdown = Shutdown::default();
    let work = status_server.serve_while(Box::pin(serve(bound, (started, &connected), shutdown.clone())));
    Ok(signals.run_with_shutdown(&shutdown, work).await??)
}

/// Until asked to end, or until the client has ended, by itself or by a Ctrl-C that both have heard.
async fn serve(
    bound: Proxy,
    (started, connected): (Option<(Client, Child)>, &AtomicBool),
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let mut serving = Box::pin(bound.serve(shutdown.clone()));
    let Some((client, mut child)) = started else {
        serving.await;
        return Ok(());
    };
    let done = tokio::select! {
        () = &mut serving => return Ok(()),
        status = child.wait() => ended(&client, status, connected.load(Ordering::Relaxed)),
    };
    let done = if shutdown.drain.is_cancelled() { Ok(()) } else { done };
    // After a Ctrl-C, asking would be asking again, which breaks the stream off.
    shutdown.drain.cancel();
    if timeout(CLOSE_GRACE, &mut serving).await.is_err() {
        shutdown.now.cancel();
        serving.await;
    }
    done
}

/// Listens on this port, and takes note once somebody has come.
async fn bind(rdp: &Rdp, port: u16, connected: &Arc<AtomicBool>) -> Result<(Proxy, StatusServer), Failure> {
    let (monitor, connected) = (Arc::new(StreamMonitor::new(None)), connected.clone());
    let note = move |event: &proxy::Event| {
        if matches!(event, proxy::Event::Requested(_)) {
            connected.store(true, Ordering::Relaxed);
        }
    };
    roles::bind_proxy(proxy_settings(rdp, port)?, "rdp", (monitor, note)).await
}

/// The device's port on this machine: clients remember a desktop's certificate by address and port, and ask when it changes.
fn stable_port(rdp: &Rdp) -> u16 {
    let profile = rdp.profile.as_ref().map_or("", Profile::as_str);
    let name = [profile, rdp.device.as_str(), rdp.stream.as_str()].join("/");
    let sum = name.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    STABLE_PORTS.start + (sum % u32::from(STABLE_PORTS.end - STABLE_PORTS.start)) as u16
}

/// The service-proxy that does this, with its own settings from the environment and the file.
fn proxy_settings(rdp: &Rdp, port: u16) -> Result<ServiceProxy, Failure> {
    let local = format!("--local=127.0.0.1:{port}={}", rdp.stream);
    service_proxy(rdp.profile.as_ref(), &["--device", rdp.device.as_str(), &local])
}

/// As mstsc writes it, and every other client reads it.
fn settings(address: SocketAddr) -> String {
    // The last is mstsc's "warn me" if the desktop cannot be authenticated.
    format!("full address:s:{address}\r\nprompt for credentials:i:1\r\nauthentication level:i:2\r\n")
}

/// The first client that there is; it ends with this program.
fn start(file: &Path, rdp: &Rdp) -> anyhow::Result<Option<(Client, Child)>> {
    for client in CLIENTS {
        let mut program = Program::new(client.program);
        program.args(client.before).arg(file).args(client.named.map(|named| format!("{named}{}", rdp.device)));
        program.args(&rdp.arguments).stdin(Stdio::inherit()).kill_on_drop(true);
        match program.spawn() {
            Ok(child) => {
                output::eprint(&format!("rdp: started {}", client.program));
                return Ok(Some((client, child)));
            }
            // So it is also called when a directory of the PATH is not this user's to look into.
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
    output::eprint(&format!(
        "rdp: there is no client here ({names}); one is in the package freerdp3-x11 or freerdp2-x11"
    ));
    output::eprint(&format!("rdp: any other client can open {file}, or connect to {address}; Ctrl-C ends"));
}

fn ended(client: &Client, status: io::Result<ExitStatus>, connected: bool) -> anyhow::Result<()> {
    let status = status.with_context(|| format!("cannot wait for {}", client.program))?;
    if status.code().is_none_or(|code| code >= client.failure) {
        bail!("{} failed ({status})", client.program);
    }
    if !connected {
        bail!("{} ended without connecting ({status}): is there a display?", client.program);
    }
    Ok(())
}
