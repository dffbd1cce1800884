//! Invitations of further hubs, and the state of the cluster.

use std::time::Duration;

use super::By;
use crate::hub::cluster::invitations::VALIDITY;
use crate::hub::cluster::node::Node;
use crate::hub::cluster::settings::ClusterSettings;
use crate::hub::cluster::view::members::Heartbeat;
use crate::hub::cluster::view::placement::MemberState;
use crate::hub::event::{Event, Operation};
use crate::hub::registry::RegistryError;
use crate::hub::registry::mirrored::{Mirror, MirrorStatus};
use crate::hub::shared::Shared;
use crate::hub::state::share::ClusterShare;
use crate::net::os::{clock, random};
use crate::proto::admin::{AdminResponse, ClusterHub, ClusterStatus, SharedRegistry};
use crate::proto::cluster_link::ClusterLink;

/// The time in which the engine's servers reply. A person waits for it only where one of them does not.
const SERVERS_TIMEOUT: Duration = Duration::from_millis(500);

/// The reply of a hub that is alone.
fn alone() -> AdminResponse {
    let reason = "this hub is alone; `devstream hub cluster init` makes it the first of several";
    AdminResponse::Failed { reason: reason.into() }
}

/// Makes an invitation and returns its link.
pub(super) fn invite(shared: &Shared, by: By) -> AdminResponse {
    let Some(node) = &shared.cluster else { return alone() };
    let code = random::secret::<32>();
    let sealed = ClusterShare::read(&shared.config.state).and_then(|share| share.seal(&code));
    let sealed = match sealed {
        Ok(sealed) => sealed,
        Err(error) => return AdminResponse::Failed { reason: format!("{error:#}") },
    };
    node.invitations.add(&code.hash(), sealed, clock::now());
    shared.activity.record(Event { by, ..Event::new(Operation::HubInvited, "created") });
    let link = ClusterLink { hub: node.address.clone(), pin: shared.endpoints.info.pin, code };
    AdminResponse::ClusterLink { link: link.reveal(), until: clock::now_utc().after(VALIDITY) }
}

/// Puts this hub's registry into the cluster's bucket.
pub(super) async fn restore(shared: &Shared, force: bool, by: By) -> Result<AdminResponse, RegistryError> {
    let Some(mirror) = shared.mirror.clone() else { return Ok(alone()) };
    let restoring = tokio::task::spawn_blocking(move || mirror.restore(force)).await;
    restoring.unwrap_or_else(|error| Err(RegistryError::Store(error.to_string())))?;
    let reason = "the whole of it, from this hub".into();
    shared.activity.record(Event { reason, by, ..Event::new(Operation::RegistryHealed, "restored") });
    Ok(AdminResponse::Done { what: "the registry of the cluster is this hub's; changes are made again".into() })
}

fn registry(mirror: &Mirror) -> Option<SharedRegistry> {
    let MirrorStatus { entries, revision, lag, follows, refuses, last_error, since } = mirror.status().ok()?;
    Some(SharedRegistry { entries, revision, lag, follows, since, last_error, refuses })
}

/// Reports every hub that is known, this one first.
pub(super) async fn status(shared: &Shared) -> AdminResponse {
    let Some(node) = &shared.cluster else { return alone() };
    let mut hubs = vec![this_hub(shared, node)];
    let mut others: Vec<ClusterHub> = node.with_members(|members| {
        members.beats(clock::now()).map(|(beat, silent, state)| other_hub(beat, silent, state)).collect()
    });
    others.sort_by_key(|hub| hub.address.to_string());
    hubs.extend(others);
    let isolated_since = node.with_members(|members| members.isolated_since());
    let isolated_seconds = isolated_since.map(|since| clock::now().saturating_duration_since(since).as_secs());
    let registry = shared.mirror.as_deref().and_then(registry);
    let settings = ClusterSettings::load(&shared.config.state).ok().flatten();
    let nats = settings.map(|settings| settings.nats).unwrap_or_default();
    let servers = node.link().servers(SERVERS_TIMEOUT).await;
    AdminResponse::Cluster(Box::new(ClusterStatus { hubs, registry, nats, servers, isolated_seconds }))
}

fn this_hub(shared: &Shared, node: &Node) -> ClusterHub {
    let state = if shared.streams.is_draining() { MemberState::Draining } else { MemberState::Live };
    ClusterHub {
        id: node.id(),
        address: node.address.clone(),
        state: word(state).into(),
        is_this: true,
        version: shared.endpoints.info.version.clone(),
        region: node.members().region,
        since: shared.started_at,
        devices: shared.streams.broker.devices_online(),
        streams: shared.streams.broker.streams(),
        revision: shared.mirror.as_ref().map_or(0, |mirror| mirror.revision()),
        heard_ms: 0,
    }
}

fn other_hub(beat: &Heartbeat, silent: Duration, state: MemberState) -> ClusterHub {
    ClusterHub {
        id: beat.hub,
        address: beat.address.clone(),
        state: word(state).into(),
        is_this: false,
        version: beat.version.clone(),
        region: beat.region.clone(),
        since: beat.since,
        devices: beat.devices,
        streams: beat.streams,
        revision: beat.revision,
        heard_ms: u64::try_from(silent.as_millis()).unwrap_or(u64::MAX),
    }
}

fn word(state: MemberState) -> &'static str {
    match state {
        MemberState::Live => "live",
        MemberState::Draining => "draining",
        MemberState::Dead => "dead",
    }
}
