//! `devstream hub cluster`: what makes a hub one of several works on its files, whether or not it runs.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{ask, show as other};
use crate::cli::args::{ClusterCommand, NatsArgs, OutputArgs, OwnArgs};
use crate::cli::{Failure, output, pasted_link, paths};
use crate::hub::cluster::settings::ClusterSettings;
use crate::hub::state::parts::StateParts;
use crate::hub::state::share::ClusterShare;
use crate::net::client::{Client, RequestOptions, response_refusal};
use crate::net::os::random;
use crate::net::tls::Trust;
use crate::proto::admin::{AdminRequest, AdminResponse, ClusterHub, ClusterStatus, EngineServer, SharedRegistry};
use crate::proto::cluster_link::{ClusterJoinRequest, ClusterJoinResponse, ClusterLink};
use crate::proto::http::Route;
use crate::proto::id::{Principal, Role};
use crate::proto::join::{DEFAULT_PORT, HubAddress};
use crate::proto::key::PrivateKey;
use crate::proto::refusal::Refusal;
use crate::proto::secret::{KeySeed, Secret};
use crate::proto::text;

/// The time for the NATS servers to answer a person who waits.
#[cfg(feature = "cluster")]
const NATS_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// The message where there is no link.
const NO_LINK: &str = "paste the line that `devstream hub cluster invite` printed on a hub of the cluster";

/// Runs a subcommand.
pub(super) async fn run(command: ClusterCommand, state: &Path, given: Option<&Path>) -> Result<(), Failure> {
    match command {
        ClusterCommand::Init { nats, own } => Ok(init(nats, own, state).await?),
        ClusterCommand::Join { own } => join(own, given).await,
        ClusterCommand::Leave => Ok(leave(state)?),
        ClusterCommand::Invite => Ok(print(ask(state, given, &AdminRequest::InviteHub).await?, false)?),
        ClusterCommand::Restore { force } => {
            Ok(print(ask(state, given, &AdminRequest::RestoreCluster { force }).await?, false)?)
        }
        ClusterCommand::Status(OutputArgs { json }) => {
            Ok(print(ask(state, given, &AdminRequest::ClusterStatus).await?, json)?)
        }
    }
}

async fn init(nats: NatsArgs, own: OwnArgs, state: &Path) -> anyhow::Result<()> {
    ensure!(
        !StateParts::find(state)?.is_fresh(),
        "no hub has run with the state directory {}: start one first with `devstream hub`",
        state.display()
    );
    ensure!(
        ClusterSettings::load(state)?.is_none(),
        "this hub is in a cluster already; see `devstream hub cluster status`"
    );
    for url in &nats.nats {
        check_url(url)?;
    }
    let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    check_name(&own.name)?;
    let mut settings = ClusterSettings::new(nats.nats, own.name, random::secret());
    settings.region = own.region;
    settings.credentials = nats.nats_creds.as_deref().map(read).transpose()?;
    settings.authorities = nats.nats_ca.as_deref().map(read).transpose()?;
    try_connection(&settings, state).await?;
    settings.store(state)?;
    output::eprint(
        "this hub is the first of a cluster from its next start on; next: restart it, then `devstream hub cluster invite`",
    );
    Ok(())
}

/// What is sent through the engine is authenticated, not encrypted.
fn check_url(url: &str) -> anyhow::Result<()> {
    let plain = url.strip_prefix("nats://");
    let Some(rest) = url.strip_prefix("tls://").or(plain) else {
        bail!("invalid URL of a NATS server '{url}': expected tls://HOST[:PORT]");
    };
    ensure!(!rest.contains('@'), "a URL is visible to every user of the machine: give credentials by --nats-creds");
    let address = HubAddress::parse(rest, DEFAULT_PORT).map_err(|_| anyhow!("invalid URL of a NATS server '{url}'"))?;
    let is_loopback =
        address.host == "localhost" || address.host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    ensure!(
        plain.is_none() || is_loopback,
        "nats:// is not encrypted, so it is for this machine's own servers alone: use tls://{rest}"
    );
    Ok(())
}

fn check_name(name: &str) -> anyhow::Result<()> {
    HubAddress::parse(name, DEFAULT_PORT).map(drop).map_err(|error| anyhow!("--name: {error}"))
}

#[cfg(feature = "cluster")]
async fn try_connection(settings: &ClusterSettings, state: &Path) -> anyhow::Result<()> {
    use crate::hub::cluster::nats::Nats;
    let nats = Nats::connect(&settings.servers(state)?, &settings.name).await?;
    let connected = nats.wait_connected(NATS_TIMEOUT).await;
    connected.map_err(|_| {
        anyhow!("no NATS server answers at {}: check the URLs, --nats-creds and --nats-ca", settings.nats.join(", "))
    })
}

#[cfg(not(feature = "cluster"))]
#[expect(clippy::unused_async, reason = "as the one that connects")]
async fn try_connection(_: &ClusterSettings, _: &Path) -> anyhow::Result<()> {
    bail!("this program was built without the feature `cluster`")
}

async fn join(own: OwnArgs, given: Option<&Path>) -> Result<(), Failure> {
    let state = paths::user_hub_state(given)?;
    check_name(&own.name).map_err(Failure::Usage)?;
    let typed = pasted_link::read("Paste the link and press Enter:", NO_LINK)?;
    let typed = typed.trim().rsplit(char::is_whitespace).next().unwrap_or_default();
    let link: ClusterLink = typed.parse().map_err(|error| Failure::Usage(anyhow!("{error}")))?;
    if !StateParts::find(&state).is_ok_and(|parts| parts.is_fresh()) {
        let why = "its identities would be lost; give another --state-dir, or move it away";
        return Err(Failure::Usage(anyhow!("there is a hub in {} already: {why}", state.display())));
    }
    let share = redeem(&link).await?;
    share.install(&state, link.pin, |settings| settings.of_another(own.name, own.region))?;
    output::eprint(&format!(
        "this machine has a hub of the cluster of {}; next: start it as the others are, with the same --hostname: devstream hub",
        link.hub
    ));
    Ok(())
}

/// Asks the hub that made the link, once: it hands the secrets out to whoever is first.
async fn redeem(link: &ClusterLink) -> Result<ClusterShare, Failure> {
    let principal =
        Principal { role: Role::Service, id: "hub".to_owned().try_into().context("the name of a hub that joins")? };
    let key = Arc::new(PrivateKey::from_seed(&KeySeed::new(random::bytes())));
    let client = Client::new(link.hub.clone(), &Trust::Pin(link.pin), principal, key).context("cannot ask the hub")?;
    let request = ClusterJoinRequest { invitation: Secret::new(*link.code.hash().bytes()) };
    let body = serde_json::to_vec(&request).context("cannot ask the hub")?.into();
    let response = client.request(&Route::ClusterJoin, RequestOptions { body, ..RequestOptions::default() }).await;
    let response = response.map_err(Refusal::from).map_err(Failure::Refused)?;
    if response.status() != http::StatusCode::OK {
        let refusal = response_refusal(&response);
        let why = "the link was used, or is older than an hour; make another one with `devstream hub cluster invite`";
        return Err(Failure::Other(anyhow!("{}: {why}", refusal.message())));
    }
    let reply: ClusterJoinResponse = serde_json::from_slice(response.body()).context("the hub sent no invitation")?;
    let sealed = URL_SAFE_NO_PAD.decode(&reply.sealed).context("the hub sent no invitation")?;
    Ok(ClusterShare::unseal(&link.code, &sealed)?)
}

fn leave(state: &Path) -> anyhow::Result<()> {
    ensure!(ClusterSettings::load(state)?.is_some(), "this hub is alone");
    ClusterSettings::remove(state)?;
    output::eprint("this hub is alone from its next start on, with the identities that it has; next: restart it");
    Ok(())
}

fn print(response: AdminResponse, as_json: bool) -> anyhow::Result<()> {
    if let AdminResponse::ClusterLink { link, until } = response {
        output::eprint(&format!(
            "Run this on the new hub's machine, with a --name of its own, and paste the line below; it works once, until {until}:"
        ));
        output::eprint("devstream hub cluster join --name HOST");
        output::print(&link);
        return Ok(());
    }
    if let AdminResponse::Cluster(status) = response {
        if as_json {
            output::print(&serde_json::to_string_pretty(&status)?);
        } else {
            show(&status);
        }
        return Ok(());
    }
    other::print_answer(response, as_json, false)
}

fn show(status: &ClusterStatus) {
    let rows = status.hubs.iter().map(|hub: &ClusterHub| {
        let address = if hub.is_this { format!("{} (this)", hub.address) } else { hub.address.to_string() };
        let heard = if hub.is_this { "-".into() } else { format!("{:.1} s ago", hub.heard_ms as f64 / 1000.0) };
        let region = hub.region.clone().unwrap_or_else(|| "-".into());
        let numbers = [hub.devices.to_string(), hub.streams.to_string()];
        let [devices, streams] = numbers;
        vec![address, hub.state.clone(), hub.version.clone(), region, hub.since.to_string(), devices, streams, heard]
    });
    output::print_table(&["HUB", "STATE", "VERSION", "REGION", "SINCE", "DEVICES", "STREAMS", "HEARD"], rows);
    show_servers(&status.servers);
    if let Some(SharedRegistry { entries, lag, follows, since, last_error, refuses, .. }) = &status.registry {
        let state = match (follows, lag) {
            (false, _) => format!("does not follow the others since {since}"),
            (true, 0) => "is up to date".to_owned(),
            (true, lag) => format!("is {} behind", text::count(*lag, "change")),
        };
        output::eprint(&format!("the registry here, of {}, {state}", text::count(*entries, "entry")));
        refuses.iter().chain(last_error.iter().filter(|_| refuses.is_none())).for_each(|why| output::warning(why));
    }
    if let Some(seconds) = status.isolated_seconds {
        let since = text::count(seconds, "second");
        output::warning(&format!("no NATS server can be reached since {since}: {}", status.nats.join(", ")));
    }
}

fn show_servers(servers: &[EngineServer]) {
    if servers.is_empty() {
        return;
    }
    let rows = servers.iter().map(|EngineServer { name, version, is_connected, synced }| {
        let name = if *is_connected { format!("{name} (in use)") } else { name.clone() };
        let disk = match synced {
            Some(true) => "before it confirms",
            Some(false) => "minutes later",
            None => "-",
        };
        vec![name, version.clone(), disk.to_owned()]
    });
    output::print_line("");
    output::print_table(&["NATS SERVER", "VERSION", "WRITES TO DISK"], rows);
}
