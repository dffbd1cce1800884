//! The private admin socket: what the hub's own user asks of it.

mod identities;
mod status;

use super::Shared;
use super::registry::RegistryError;
use crate::net::os::local_socket::{self, LocalStream};
use crate::proto::admin::{AdminRequest, AdminResponse};
use crate::proto::id::{Principal, StreamId};

/// Answers one connection.
pub(super) async fn serve(shared: &Shared, stream: LocalStream) {
    if let Err(error) = local_socket::serve(stream, |request| handle(shared, request)).await {
        tracing::debug!(target: "hub", %error, "an admin request failed");
    }
}

async fn handle(shared: &Shared, request: AdminRequest) -> AdminResponse {
    let result = match request {
        AdminRequest::Show => Ok(AdminResponse::Hub(shared.info.clone())),
        AdminRequest::Add { principal, scope, link_seconds } => {
            identities::add(shared, principal, scope, link_seconds).await
        }
        AdminRequest::Rotate { principal, overlap_seconds, link_seconds } => {
            identities::rotate(shared, principal, overlap_seconds, link_seconds).await
        }
        AdminRequest::Rescope { service, change } => identities::rescope(shared, service, change).await,
        AdminRequest::Enable { principal, enabled } => identities::enable(shared, principal, enabled).await,
        AdminRequest::List { role } => identities::list(shared, role).await,
        AdminRequest::ShowIdentity { principal } => identities::show(shared, principal).await,
        AdminRequest::Remove { principal } => identities::remove(shared, principal).await,
        AdminRequest::Enrol { principal, key } => identities::enrol(shared, principal, key).await,
        AdminRequest::AddEnrolment { devices, uses, seconds } => {
            identities::add_enrolment(shared, devices, uses, seconds).await
        }
        AdminRequest::ListEnrolments => identities::enrolments(shared).await,
        AdminRequest::RemoveEnrolment { id } => identities::remove_enrolment(shared, id).await,
        AdminRequest::Streams => Ok(AdminResponse::Streams { streams: shared.broker.all_streams() }),
        AdminRequest::EndStream { stream } => Ok(end_stream(shared, stream)),
        AdminRequest::Status => status::status(shared).await,
    };
    result.unwrap_or_else(|error| AdminResponse::Failed { reason: error_with_advice(&error) })
}

/// The error, and what to do about it.
fn error_with_advice(error: &RegistryError) -> String {
    match error {
        RegistryError::AlreadyJoined(Principal { role, id }) => {
            format!("{error}; `devstream hub {role} rotate {id}` prints a link with which another machine takes over")
        }
        RegistryError::Unknown(Principal { role, .. }) => {
            format!("{error}; `devstream hub {role} list` shows those there are")
        }
        RegistryError::UnknownEnrolment(_) => format!("{error}; `devstream hub enroll list` shows those there are"),
        RegistryError::ScopeTooLarge | RegistryError::Store(_) => error.to_string(),
    }
}

fn end_stream(shared: &Shared, stream: StreamId) -> AdminResponse {
    if !shared.broker.has_stream(stream) {
        let reason = format!("there is no stream {stream}; `devstream hub streams` shows those there are");
        return AdminResponse::Failed { reason };
    }
    shared.broker.kill_stream(stream);
    AdminResponse::Done
}
