//! Lists of all hubs of a cluster, for people: what does not answer in time is named.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tokio::time::sleep;

use crate::hub::cluster::link::LinkError;
use crate::hub::cluster::messages::{HubReply, HubRequest};
use crate::hub::cluster::node::Node;
use crate::hub::shared::Shared;
use crate::net::os::clock;
use crate::proto::admin::{HubStatus, LogPage, LogRequest, Presence, StreamStatus};
use crate::proto::id::{DeviceId, HubId, Principal, StreamId};
use crate::proto::join::HubAddress;

/// The time for one part of a list: a person waits.
const PART_TIMEOUT: Duration = Duration::from_secs(2);

/// The pause before a hub that does not listen is asked again to deny an identity.
const ABSENT_PAUSE: Duration = Duration::from_millis(200);

/// The parts of a hub's list: half a million devices.
const MAX_PARTS: usize = 1000;

/// What all hubs have, and the hubs that did not answer.
pub(in crate::hub) struct Gathered<T> {
    pub(in crate::hub) all: T,
    pub(in crate::hub) silent: Vec<HubAddress>,
}

/// Returns the devices that are connected to other hubs.
pub(in crate::hub) async fn devices(shared: &Shared) -> Gathered<HashMap<DeviceId, Presence>> {
    gather(shared, |node, hub, address| {
        let part = async move |after: Option<&(DeviceId, Presence)>| {
            let request = HubRequest::Devices { after: after.map(|(id, _)| id.clone()) };
            let reply = node.request(hub, request, PART_TIMEOUT).await?;
            let HubReply::Devices { devices, more } = reply else { return Err(not_understood()) };
            let of_hub = |presence| Presence { hub: Some(address.clone()), ..presence };
            Ok((devices.into_iter().map(|device| (device.id, of_hub(device.presence))).collect(), more))
        };
        Box::pin(all_parts(part))
    })
    .await
}

/// Returns the presence of one device that is not connected to this hub.
pub(in crate::hub) async fn device(shared: &Shared, device: &DeviceId) -> Gathered<Option<Presence>> {
    let found: Gathered<HashMap<_, _>> = gather(shared, |node, hub, address| {
        let request = HubRequest::Device { device: device.clone() };
        Box::pin(async move {
            let HubReply::Devices { devices, .. } = node.request(hub, request, PART_TIMEOUT).await? else {
                return Err(not_understood());
            };
            let of_hub = |presence| Presence { hub: Some(address.clone()), ..presence };
            Ok(devices.into_iter().map(|device| (device.id, of_hub(device.presence))).collect())
        })
    })
    .await;
    Gathered { all: found.all.into_values().next(), silent: found.silent }
}

/// Returns the status of the other hubs, by their addresses. Those that are dead count as silent.
pub(in crate::hub) async fn statuses(shared: &Shared) -> Gathered<Vec<HubStatus>> {
    let mut gathered: Gathered<Vec<HubStatus>> = gather(shared, |node, hub, address| {
        Box::pin(async move {
            let reply = node.request(hub, HubRequest::Status, PART_TIMEOUT).await?;
            let HubReply::Status { status } = reply else { return Err(not_understood()) };
            Ok(vec![HubStatus { address: Some(address), ..*status }])
        })
    })
    .await;
    gathered.all.sort_by_key(|hub| hub.address.as_ref().map(ToString::to_string));
    if let Some(node) = &shared.cluster {
        gathered.silent.extend(node.with_members(|members| members.dead().cloned().collect::<Vec<_>>()));
    }
    gathered
}

/// Returns the streams of other hubs.
pub(in crate::hub) async fn streams(shared: &Shared) -> Gathered<Vec<StreamStatus>> {
    gather(shared, |node, hub, address| {
        let part = async move |after: Option<&StreamStatus>| {
            let request = HubRequest::Streams { after: after.map(|stream| stream.id) };
            let reply = node.request(hub, request, PART_TIMEOUT).await?;
            let HubReply::Streams { streams, more } = reply else { return Err(not_understood()) };
            let of_hub = |stream| StreamStatus { hub: Some(address.clone()), ..stream };
            Ok((streams.into_iter().map(of_hub).collect(), more))
        };
        Box::pin(all_parts(part))
    })
    .await
}

/// Has all other hubs deny an identity at once, ahead of the change in the registry. Returns the hubs that have confirmed it.
pub(in crate::hub) async fn deny(shared: &Shared, principal: &Principal) -> Gathered<Vec<HubAddress>> {
    let revision = shared.mirror.as_ref().map_or(0, |mirror| mirror.revision());
    gather(shared, |node, hub, address| {
        let request = HubRequest::Deny { principal: principal.clone(), revision };
        Box::pin(async move {
            let until = clock::now() + PART_TIMEOUT;
            loop {
                match node.request(hub, request.clone(), PART_TIMEOUT).await {
                    Ok(HubReply::Done) => return Ok(vec![address]),
                    Ok(_) => return Err(not_understood()),
                    // It may live, and be about to connect to the engine again.
                    Err(LinkError::NobodyListens) if clock::now() < until => sleep(ABSENT_PAUSE).await,
                    Err(error) => return Err(error),
                }
            }
        })
    })
    .await
}

/// Ends a stream of another hub for the operator; `false` if none has it.
pub(in crate::hub) async fn end_stream(shared: &Shared, stream: StreamId, by: Option<&str>) -> bool {
    let ended: Gathered<Vec<()>> = gather(shared, |node, hub, _| {
        let request = HubRequest::EndStream { stream, by: by.map(str::to_owned) };
        Box::pin(async move {
            let reply = node.request(hub, request, PART_TIMEOUT).await?;
            Ok(matches!(reply, HubReply::Done).then_some(()).into_iter().collect())
        })
    })
    .await;
    !ended.all.is_empty()
}

/// Returns a page of another hub's activity log, or why there is none.
pub(in crate::hub) async fn log(shared: &Shared, hub: HubId, page: Box<LogRequest>) -> Result<LogPage, String> {
    let Some(node) = &shared.cluster else { return Err("this hub is alone".into()) };
    match node.request(hub, HubRequest::Log(page), PART_TIMEOUT).await {
        Ok(HubReply::Log(page)) => Ok(*page),
        Ok(HubReply::Refused { reason }) => Err(reason.detail.into()),
        Ok(_) => Err(not_understood().to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Asks all hubs that live, at the same time.
async fn gather<I, T: Default + Extend<I>>(
    shared: &Shared,
    list: impl Fn(Arc<Node>, HubId, HubAddress) -> BoxFuture<'static, Result<Vec<I>, LinkError>>,
) -> Gathered<T> {
    let mut gathered = Gathered { all: T::default(), silent: Vec::new() };
    let Some(node) = &shared.cluster else { return gathered };
    let hubs: Vec<_> = node
        .with_members(|members| members.alive().filter_map(|hub| Some((hub, members.address(hub)?.clone()))).collect());
    let lists = join_all(hubs.iter().map(|(hub, address)| list(node.clone(), *hub, address.clone()))).await;
    for ((_, address), list) in hubs.iter().zip(lists) {
        match list {
            Ok(list) => gathered.all.extend(list),
            Err(error) => {
                tracing::debug!(target: "cluster", %error, "{address} has sent no list");
                gathered.silent.push(address.clone());
            }
        }
    }
    gathered
}

/// Asks for a list in parts, each from the last item of the one before.
async fn all_parts<I>(
    part: impl AsyncFn(Option<&I>) -> Result<(Vec<I>, bool), LinkError>,
) -> Result<Vec<I>, LinkError> {
    let mut all = Vec::new();
    for _ in 0..MAX_PARTS {
        let (items, more) = part(all.last()).await?;
        all.extend(items);
        if !more {
            break;
        }
    }
    Ok(all)
}

fn not_understood() -> LinkError {
    LinkError::Unreachable("the hub does not know the question: it runs an earlier version".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_list_in_parts_is_whole_and_one_that_breaks_off_is_an_error() {
        let of_ten = async |after: Option<&u32>| {
            let next = after.map_or(0, |last| last + 1);
            Ok(((next..next + 3).filter(|item| *item < 10).collect(), next + 3 < 10))
        };
        assert_eq!(all_parts(of_ten).await.unwrap(), (0..10).collect::<Vec<_>>());
        let broken = async |after: Option<&u32>| match after {
            None => Ok((vec![0], true)),
            Some(_) => Err(LinkError::NobodyListens),
        };
        assert!(all_parts(broken).await.is_err(), "a part of a list must not look whole");
        let endless = async |_: Option<&u32>| Ok((vec![0], true));
        assert_eq!(all_parts(endless).await.unwrap().len(), MAX_PARTS);
    }
}
