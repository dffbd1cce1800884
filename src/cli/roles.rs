//! Starts the three roles with the settings of the command line.

use std::io::IsTerminal as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once, OnceLock};

use anyhow::anyhow;

use super::args::{DeviceAgent, HubServe, ServiceProxy};
use super::identity::{
    StoredIdentity, client_factory, default_device_id, default_service_id, has_service_credential,
    joined_client_factory,
};
use super::output::ssh_banner::SshBanner;
use super::output::stdio;
use super::output::stream_monitor::{StreamMonitor, Table};
use super::preflight::{self, DeviceCheck};
use super::profile::Profile;
use super::signals::{HangupSignal, Signals, StopSignals};
use super::status::server::StatusServer;
use super::{Failure, output};
use crate::agent;
use crate::agent::config::{AccessPolicy, AgentConfig};
use crate::hub::{BindError, Hub};
use crate::net::client::{ClientFactory, StoredAt};
use crate::net::os::allocator::retain_freed_memory;
use crate::net::os::rlimit::raise_descriptors;
use crate::net::os::sd_notify;
use crate::net::os::socket_activation::InheritedSockets;
use crate::net::shutdown::{Reload, Shutdown};
use crate::proto::admin::HubInfo;
use crate::proto::forward::{Forward, LocalForward};
use crate::proto::id::{Principal, Role};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::status::RoleState;
use crate::proto::text;
use crate::proxy::config::ProxyConfig;
use crate::proxy::{self, ServiceProxy as Proxy};

pub(super) async fn hub(serve: HubServe, state: Option<&Path>, inherited: InheritedSockets) -> Result<(), Failure> {
    retain_freed_memory();
    raise_descriptors();
    let signals = Signals::catch()?;
    let config = serve.config(state).map_err(Failure::Usage)?;
    let hangup = HangupSignal::listen()?;
    let hub = Box::pin(Hub::bind(config, inherited)).await.map_err(not_bound)?;
    let mut listening = Vec::new();
    for (address, streams_only) in hub.addresses() {
        let listener = if streams_only { "streaming endpoint listening" } else { "listening" };
        listening.push(format!("{listener} on https://{address}"));
    }
    listening.extend(hub.monitor().map(|address| format!("metrics on http://{address}/metrics")));
    listening.iter().for_each(|line| output::role_message("hub", line));
    advise(hub.info());
    sd_notify::ready(&listening.join(", "));
    let shutdown = Shutdown::default();
    let cut = {
        let reload = hub.reload();
        let serving = hangup.run_with_reload(&reload, Box::pin(hub.serve(shutdown.clone())));
        signals.run_with_shutdown(&shutdown, serving).await??
    };
    if cut > 0 {
        output::role_message("hub", &format!("stopped; cut off {}", text::count(cut, "stream")));
    } else {
        output::role_message("hub", "stopped");
    }
    Ok(())
}

fn not_bound(error: anyhow::Error) -> Failure {
    if error.is::<BindError>() { Failure::Usage(error) } else { Failure::Other(error) }
}

/// Prints the next steps for a person who has just started a hub.
fn advise(info: &HubInfo) {
    let is_loopback = |address: IpAddr| address.is_loopback();
    let HubInfo { hostname, loopback_only, .. } = info;
    let loopback = hostname.parse().is_ok_and(is_loopback) || (hostname == "localhost" && !loopback_only);
    match (loopback, loopback_only) {
        (true, true) => {
            return output::role_message(
                "hub",
                &format!(
                    "reachable from this machine only; open it to others with --listen '[::]:{}' --hostname NAME",
                    info.local.port
                ),
            );
        }
        (true, false) => {
            let why = format!("join links have {hostname}, which is every machine itself; open it to others with");
            return output::role_message("hub", &format!("{why} --hostname NAME"));
        }
        (false, true) => {
            let why =
                format!("listens on this machine only: others reach {hostname} by what forwards to it, if at all");
            return output::role_message(
                "hub",
                &format!("{why}; open it to them with --listen '[::]:{}'", info.local.port),
            );
        }
        (false, false) => {}
    }
    if info.local.port != 443 {
        output::role_message("hub", &port_443_advice(info.local.port));
    }
    if info.name_is_guessed {
        output::role_message(
            "hub",
            &format!(
                "join links have this machine's own name, {}; if other machines do not resolve that, start the hub with \
                 --hostname NAME",
                info.hostname
            ),
        );
    }
    output::role_message(
        "hub",
        &format!(
            "other machines reach it as {}; add a device with `devstream hub device add ID`, and its operator with `devstream \
             hub service add NAME --device ID`",
            info.hostname
        ),
    );
}

/// Words how to listen on the port that most networks allow, also without root, and on the one that it has, which links
/// that were made before have.
fn port_443_advice(port: u16) -> String {
    let listen = format!("--listen '[::]:443' --listen '[::]:{port}'");
    let why = format!("many networks allow only port 443 out: start the hub with {listen}");
    if !cfg!(target_os = "linux") {
        return why;
    }
    let program = std::env::current_exe().map_or_else(|_| "devstream".into(), |path| path.display().to_string());
    format!(
        "{why}, as root, or after `sudo setcap cap_net_bind_service=+ep {program}`, or as a systemd service with `sudo \
         devstream service install hub -- {listen}`; this port serves networks that allow it"
    )
}

pub(super) async fn device_agent(agent: DeviceAgent) -> Result<(), Failure> {
    preflight::ensure_distinct(&agent.forward)?;
    // Without an id of its own, the agent is whatever this machine joins as, even later.
    let create_factory = if agent.id.is_some() { client_factory } else { joined_client_factory };
    let id = agent.id.map_or_else(|| default_device_id(&agent.hub), |id| Ok(id.into()))?;
    let principal = Principal { role: Role::Device, id };
    let endpoints = agent.forward.iter().map(|forward| format!("offers {forward}")).collect();
    let status_server = StatusServer::new("device-agent", principal.clone(), endpoints, RoleState::Connecting);
    let (status, hint_shown, offers) = (status_server.clone(), Once::new(), agent.forward.clone());
    let was_online = Arc::<AtomicBool>::default();
    let observed = was_online.clone();
    let (own, profile) = (status_server.clone(), Profile::resolve(agent.hub.profile.as_ref())?);
    let config = AgentConfig {
        device: principal.id.clone().into(),
        client_factory: status_server
            .record_hub(create_factory(principal, agent.hub).with_limits(agent.limits.limits())),
        targets: agent.forward.iter().cloned().collect(),
        access_policy: AccessPolicy {
            services: agent.allow_service,
            allow_plain: agent.allow_plain,
            command: agent.accept_command,
        },
        exit_when_key_refused: has_service_credential(),
        transport: agent.transport.options(),
        drain: agent.drain.drain_timeout,
        find_other_agent: Some(Arc::new(move || {
            let own = own.clone();
            Box::pin(async move { own.other_process().await })
        })),
        identity_stored_at: StoredAt::new(move || StoredIdentity::stored_at(&profile, Role::Device)),
        observer: Arc::new(move |event| {
            if matches!(event, agent::Event::Online) {
                observed.store(true, Ordering::Relaxed);
            }
            if matches!(event, agent::Event::Online) && std::io::stderr().is_terminal() {
                let hint = || connect_hint(&status.identity(), &offers);
                hint_shown.call_once(|| output::role_message("device-agent", &hint()));
            }
            preflight::on_target_event(&event);
            status.on_agent_event(event);
        }),
    };
    ensure_only_agent(&config.client_factory, &status_server).await?;
    config.access_policy.command.iter().for_each(|command| preflight::check_accept_command(command));
    retain_freed_memory();
    raise_descriptors();
    let signals = Signals::catch()?;
    sd_notify::ready("not yet connected");
    let shutdown = Shutdown::default();
    let work = Box::pin(agent::run(config, shutdown.clone()));
    let work = Box::pin(status_server.serve_while(&shutdown, work));
    let work = sd_notify::with_watchdog(work);
    signals.run_with_shutdown(&shutdown, work).await??;
    let since = if was_online.load(Ordering::Relaxed) { "is offline" } else { "has not been online" };
    tracing::info!(target: "device-agent", "stopped; {} {since}", status_server.identity().id);
    Ok(())
}

/// Fails before the hub is dialled if another agent of the same device runs here: the hub keeps the last, and the two
/// would take turns. One that is ending is no hindrance.
async fn ensure_only_agent(client_factory: &ClientFactory, status_server: &StatusServer) -> Result<(), Refusal> {
    // Building a client finds out the identity and the hub.
    if client_factory.client().await.is_err() {
        return Ok(());
    }
    let Some(process) = status_server.other_process().await else { return Ok(()) };
    let device = status_server.identity();
    let why = format!("an agent of {device} runs here already, process {process}");
    let next = "stop that one first, or let this one join as another device with --profile NAME";
    Err(Refusal::worded(RefusalKind::Displaced, format!("{why}; {next}")))
}

/// Words the command that reaches this device from elsewhere, for the person who has just started its agent.
fn connect_hint(device: &Principal, offers: &[Forward]) -> String {
    let id = &device.id;
    let command = match offers.first() {
        Some(first) if offers.iter().all(|offer| offer.name.as_str() != "ssh") => {
            format!("devstream service-proxy {id} --local 0={}", first.name)
        }
        Some(_) | None => format!("devstream ssh {id}"),
    };
    format!("next, on a machine that joined as a service: {command}")
}

pub(super) async fn service_proxy(proxy: ServiceProxy, table: Option<Table>) -> Result<(), Failure> {
    if proxy.stdio {
        return Box::pin(serve_stdio(proxy)).await;
    }
    let (shutdown, advice) = (Shutdown::default(), proxy.advice(true));
    let monitor = Arc::new(StreamMonitor::new(table.clone(), advice, shutdown.clone()));
    // The refusal of a key that the hub no longer accepts, and that only a restart by systemd renews.
    let refused_key: Arc<OnceLock<Refusal>> = Arc::default();
    let (exit_when_key_refused, last, stop) = (has_service_credential(), refused_key.clone(), shutdown.drain.clone());
    let stop_if_key_refused = move |event: &proxy::Event| {
        if let proxy::Event::Refused(_, refusal) = event
            && exit_when_key_refused
            && refusal.kind == RefusalKind::AuthenticationFailed
        {
            let _ = last.set(refusal.clone());
            stop.cancel();
        }
    };
    let signals = Signals::catch()?;
    retain_freed_memory();
    raise_descriptors();
    let (bound, status_server, check) =
        bind_proxy(proxy, "service-proxy", (monitor.clone(), stop_if_key_refused)).await?;
    let listening = listening(&bound);
    listening.iter().for_each(|line| output::role_message("service-proxy", line));
    preflight::show_encryption("service-proxy", bound.config().plain);
    for (address, name) in bound.streams() {
        name.iter().for_each(|name| preflight::show_url("service-proxy", name, address));
    }
    sd_notify::ready(&listening.join(", "));
    let work = status_server.serve_while(&shutdown, Box::pin(bound.serve(shutdown.clone())));
    let work = sd_notify::with_watchdog(Box::pin(preflight::beside(check.run(), Box::pin(work))));
    let work = signals.run_with_shutdown(&shutdown, work);
    match table {
        Some(table) => StopSignals::catch()?.run_with_table(&table, work).await?,
        None => work.await?,
    };
    if let Some(total) = monitor.summary() {
        tracing::info!(target: "service-proxy", "{total}");
    }
    match refused_key.get() {
        Some(refusal) => {
            output::role_message("service-proxy", "exiting; a restart loads the new key");
            Err(Failure::Refused(refusal.clone()))
        }
        None => {
            tracing::info!(target: "service-proxy", "stopped");
            Ok(())
        }
    }
}

/// Opens a proxy's local ports; returns it with the server of its status, and what to ask the hub at the start.
pub(super) async fn bind_proxy(
    proxy: ServiceProxy,
    role: &'static str,
    (monitor, on_event): (Arc<StreamMonitor>, impl Fn(&proxy::Event) + Send + Sync + 'static),
) -> Result<(Proxy, StatusServer, DeviceCheck), Failure> {
    let principal = Principal { role: Role::Service, id: default_service_id(&proxy.hub)? };
    let advice = proxy.advice(role != "rdp");
    let status_server = StatusServer::new(role, principal.clone(), Vec::new(), RoleState::Listening);
    let status = status_server.clone();
    let mut config = proxy_config(proxy, principal, move |event| {
        on_event(&event);
        status.on_proxy_event(&event);
        monitor.on_event(event);
    })?;
    config.client_factory = status_server.record_hub(config.client_factory);
    let bound = Proxy::bind(config).await.map_err(Failure::Usage)?;
    status_server.set_endpoints(listening(&bound));
    let ProxyConfig { client_factory, device, plain, .. } = bound.config().clone();
    let check = DeviceCheck { role, client_factory, advice, device, plain, streams: bound.streams() };
    Ok((bound, status_server, check))
}

fn listening(bound: &Proxy) -> Vec<String> {
    bound.addresses().iter().map(|(address, to)| format!("{to} on {address}")).collect()
}

/// Carries one stream on standard input and output.
async fn serve_stdio(proxy: ServiceProxy) -> Result<(), Failure> {
    // OpenSSH alone has host names to strip.
    let (shutdown, stream, is_ssh) = (Shutdown::default(), proxy.stream.clone(), proxy.strip.is_some());
    let principal = Principal { role: Role::Service, id: default_service_id(&proxy.hub)? };
    let status_server = StatusServer::new("service-proxy", principal.clone(), Vec::new(), RoleState::Connecting);
    let advice = proxy.advice(false);
    let (monitor, status) = (StreamMonitor::new(None, advice, shutdown.clone()), status_server.clone());
    let (opened, wait) = (Arc::<AtomicBool>::default(), proxy.connect_timeout);
    let is_open = opened.clone();
    let mut config = proxy_config(proxy, principal, move |event| {
        status.on_proxy_event(&event);
        if matches!(event, proxy::Event::Accepted(_)) {
            opened.store(true, Ordering::Relaxed);
        }
        match event {
            proxy::Event::Draining(..) | proxy::Event::Interrupted(..) | proxy::Event::Resumed(..) => {
                monitor.on_event(event)
            }
            // The program at the other end of the pipes sees these, or the refusal.
            proxy::Event::Requested(_)
            | proxy::Event::Accepted(_)
            | proxy::Event::Opened(_)
            | proxy::Event::Refused(..)
            | proxy::Event::Ended(..) => {}
        }
    })?;
    config.client_factory = status_server.record_hub(config.client_factory);
    let named = stream.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
    let at = format!("{}{named}", config.device);
    status_server.set_endpoints(vec![format!("{at} on standard input and output")]);
    let notice = preflight::waiting_notice(config.device.clone(), (wait, config.response_timeout), is_open.clone());
    let signals = Signals::catch()?;
    // `ssh` ends its ProxyCommand with SIGHUP: the stream is closed then, instead of waiting to be resumed.
    let (hangup, hung_up) = (HangupSignal::listen()?, Reload::default());
    let (input, output, pipe_error) = stdio::open();
    let output = SshBanner::watch(output, is_ssh, at, is_open);
    let mut work = Box::pin(proxy::pipe(config, stream, (input, output), &shutdown));
    let work = async {
        tokio::select! {
            done = &mut work => done,
            () = async { hung_up.requested().await; shutdown.request(); std::future::pending().await } => Ok(()),
        }
    };
    let work = Box::pin(preflight::beside(notice, work));
    let work = status_server.serve_while_delayed(hangup.run_with_reload(&hung_up, work));
    let done = signals.run_with_shutdown(&shutdown, work).await?;
    match (done, pipe_error.get()) {
        (Ok(()), Some(error)) => Err(Failure::Other(anyhow!("{error}"))),
        (done, _) => done.map_err(|(_, refusal)| Failure::with_advice(refusal, advice)),
    }
}

/// Converts the flags of a service-proxy to its settings.
pub(super) fn proxy_config(
    proxy: ServiceProxy,
    principal: Principal,
    observer: impl Fn(proxy::Event) + Send + Sync + 'static,
) -> Result<ProxyConfig, Failure> {
    let device = proxy.device().map_err(Failure::Usage)?;
    let profile = Profile::resolve(proxy.hub.profile.as_ref())?;
    let stream = proxy.stream;
    let locals = proxy.local.into_iter().map(|local| LocalForward { stream: local.stream.or(stream.clone()), ..local });
    Ok(ProxyConfig {
        client_factory: joined_client_factory(principal, proxy.hub).with_limits(proxy.limits.limits()),
        identity_stored_at: StoredAt::new(move || StoredIdentity::stored_at(&profile, Role::Service)),
        device,
        locals: locals.collect(),
        connect_timeout: proxy.connect_timeout,
        response_timeout: proxy.response_timeout,
        plain: proxy.plain,
        transport: proxy.transport.options(),
        drain: proxy.drain.drain_timeout,
        observer: Arc::new(observer),
    })
}
