//! The private admin socket: requests of the hub's own user, and of root.
//!
//! In: one JSON request per connection. Out: its response. `identities` changes the registry and applies the changes to
//! connections, `cluster` invites further hubs.

mod cluster;
mod identities;

use std::cmp::Reverse;
use std::io;
use std::sync::Arc;

use super::handlers::cluster::end_stream_here;
use super::handlers::gather::{self, Gathered};
use super::registry::RegistryError;
use super::shared::Shared;
use super::status::status;
use crate::net::os::local_socket::{self, LocalListener, LocalStream};
use crate::net::tasks::Tasks;
use crate::net::transport::accept::accept_loop;
use crate::proto::admin::{AdminRequest, AdminResponse, OtherHubStatuses};
use crate::proto::id::{Principal, StreamId};

/// The user of this machine who sent a request, for the activity log; `None` if the system does not say.
type By = Option<String>;

/// Serves the socket until dropped.
pub(super) async fn run(shared: Arc<Shared>, listener: LocalListener, tasks: Tasks) {
    let handle = |stream| {
        let shared = shared.clone();
        Some(async move { serve(&shared, stream).await })
    };
    let on_error = |error: &io::Error| shared.admission.accept_failed(error);
    match accept_loop(|| listener.accept(), &tasks, on_error, handle).await {}
}

async fn serve(shared: &Shared, stream: LocalStream) {
    let by = local_socket::peer_user(&stream);
    if let Err(error) = local_socket::serve(stream, |request| handle(shared, request, by)).await {
        tracing::debug!(target: "hub", %error, "admin request failed");
    }
}

/// Handles a request of this user.
async fn handle(shared: &Shared, request: AdminRequest, by: By) -> AdminResponse {
    let before = shared.activity.changes();
    let result = match request {
        AdminRequest::Show => Ok(AdminResponse::Hub(shared.endpoints.info.clone())),
        AdminRequest::Add { principal, scope, link_seconds } => {
            identities::add(shared, principal, scope, link_seconds, by).await
        }
        AdminRequest::Rotate { principal, overlap_seconds, link_seconds } => {
            identities::rotate(shared, principal, overlap_seconds, link_seconds, by).await
        }
        AdminRequest::Rescope { service, change } => identities::rescope(shared, service, change, by).await,
        AdminRequest::Enable { principal, enabled } => identities::enable(shared, principal, enabled, by).await,
        AdminRequest::List { role } => identities::list(shared, role).await,
        AdminRequest::ShowIdentity { principal } => identities::show(shared, principal).await,
        AdminRequest::Remove { principal } => identities::remove(shared, principal, by).await,
        AdminRequest::Enrol { principal, key } => identities::enrol(shared, principal, key, by).await,
        AdminRequest::Keys { principal } => identities::keys(shared, principal).await,
        AdminRequest::AddEnrolment { devices, uses, seconds } => {
            identities::add_enrolment(shared, devices, uses, seconds, by).await
        }
        AdminRequest::ListEnrolments => identities::enrolments(shared).await,
        AdminRequest::RemoveEnrolment { id } => identities::remove_enrolment(shared, id, by).await,
        AdminRequest::Streams => Ok(streams(shared).await),
        AdminRequest::EndStream { stream } => Ok(end_stream(shared, stream, by).await),
        AdminRequest::HubLog { hub, page } => Ok(match gather::log(shared, hub, page).await {
            Ok(page) => AdminResponse::HubLog(Box::new(page)),
            Err(reason) => AdminResponse::Failed { reason },
        }),
        AdminRequest::Status => status(shared).await.map(|status| AdminResponse::Status(Box::new(status))),
        AdminRequest::OtherHubs => Ok(other_hubs(shared).await),
        AdminRequest::InviteHub => Ok(cluster::invite(shared, by)),
        AdminRequest::ClusterStatus => Ok(cluster::status(shared).await),
        AdminRequest::RestoreCluster { force } => cluster::restore(shared, force, by).await,
    };
    let is_recorded = shared.activity.changes_synced(before).await;
    match result {
        Ok(AdminResponse::Done { what }) if !is_recorded => {
            AdminResponse::Done { what: format!("{what}; {NOT_RECORDED}") }
        }
        result => result.unwrap_or_else(|error| AdminResponse::Failed { reason: error_with_advice(&error) }),
    }
}

/// The warning about a change that was made all the same.
const NOT_RECORDED: &str =
    "the activity log has no line of it on its disk: see whether that is full, or does not respond";

/// Adds to an error what to do about it.
fn error_with_advice(error: &RegistryError) -> String {
    match error {
        RegistryError::AlreadyJoined(Principal { role, id }) => {
            let rotate = format!("to move it to another machine, run `devstream hub {role} rotate {id}`");
            format!("{error}; {rotate}; a further machine needs a name of its own")
        }
        RegistryError::Unknown(Principal { role, .. }) => {
            format!("{error}; list them with `devstream hub {role} list`")
        }
        RegistryError::UnknownEnrolment(_) => format!("{error}; list them with `devstream hub enroll list`"),
        RegistryError::DiffersInCase(_)
        | RegistryError::UnknownKey(_)
        | RegistryError::StoredByAnother(_)
        | RegistryError::ScopeTooLarge
        | RegistryError::Unreachable(_)
        | RegistryError::BucketLost(_)
        | RegistryError::Founded
        | RegistryError::NotFounded
        | RegistryError::Contended
        | RegistryError::Store(_)
        | RegistryError::OldCopy { .. } => error.to_string(),
    }
}

async fn other_hubs(shared: &Shared) -> AdminResponse {
    let Gathered { all, silent } = gather::statuses(shared).await;
    AdminResponse::OtherHubs(OtherHubStatuses { other_hubs: all, silent_hubs: silent })
}

async fn streams(shared: &Shared) -> AdminResponse {
    let mut streams = shared.streams.broker.all_streams();
    streams.iter_mut().for_each(|stream| stream.hub = shared.own_address().cloned());
    let Gathered { all, silent } = gather::streams(shared).await;
    streams.extend(all);
    streams.sort_by_key(|stream| Reverse(stream.age_seconds));
    AdminResponse::Streams { streams, silent }
}

async fn end_stream(shared: &Shared, stream: StreamId, by: By) -> AdminResponse {
    if end_stream_here(shared, stream, by.clone()) || gather::end_stream(shared, stream, by.as_deref()).await {
        return AdminResponse::Done { what: format!("stream {stream} was ended") };
    }
    AdminResponse::Failed { reason: format!("no stream {stream}; list them with `devstream hub streams`") }
}
