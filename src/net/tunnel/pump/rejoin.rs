//! Rejoining: a new WebSocket for a stream whose last one was lost.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{sleep_until, timeout, timeout_at};

use super::{PumpContext, Tunnel};
use crate::net::os::clock;
use crate::net::os::random;
use crate::proto::limits::REJOIN_PERMIT_TIME;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::resume::ResumeCredential;
use crate::proto::stream::rejoin::{RejoinAction, RejoinTimer};

/// Opens a new WebSocket for an interrupted stream.
pub trait Rejoin<T>: Sync {
    /// Makes one attempt to rejoin the stream at the hub.
    fn rejoin(&self, resume_credential: &ResumeCredential) -> impl Future<Output = Result<Tunnel<T>, Refusal>> + Send;
}

/// Rejoins a stream, in as many attempts as its grace period allows. A change of the network starts a new attempt at
/// once.
pub(super) async fn rejoin_stream<T, J: Rejoin<T>>(
    resume_credential: &ResumeCredential,
    rejoin_timer: &mut RejoinTimer,
    context: &PumpContext<'_, J>,
) -> Result<Tunnel<T>, Refusal> {
    let mut network = context.network.clone();
    let mut last = String::new();
    loop {
        match rejoin_timer.poll(clock::now()) {
            RejoinAction::GiveUp => return Err(Refusal::new(RefusalKind::NotResumed, last)),
            RejoinAction::WaitUntil(deadline) => tokio::select! {
                () = sleep_until(deadline.into()) => {}
                () = network.changed() => rejoin_timer.retry_now(clock::now()),
                () = context.stop.requested() => return Err(context.stop.refusals().0),
            },
            RejoinAction::Attempt => {
                let deadline = rejoin_timer.deadline().unwrap_or_else(clock::now);
                let result = tokio::select! {
                    result = timeout_at(deadline.into(), Box::pin(attempt(resume_credential, context))) => result,
                    // The attempt in progress uses the previous network.
                    () = network.changed() => continue,
                    () = context.stop.requested() => return Err(context.stop.refusals().0),
                };
                let Ok(result) = result else { continue };
                match result {
                    Ok(tunnel) => {
                        if let Some(resume_credential) = &tunnel.resume_credential {
                            rejoin_timer.set_grace(resume_credential.grace);
                        }
                        return Ok(tunnel);
                    }
                    Err(refusal) if ends_stream(refusal.kind) => return Err(final_refusal(refusal)),
                    Err(refusal) => {
                        last = refusal.message();
                        rejoin_timer.on_connection_lost(clock::now(), Duration::ZERO, random::u64());
                    }
                }
            }
        }
    }
}

/// Makes one attempt, once the client's limit of concurrent rejoins allows it. A hub of a cluster holds its response until the other
/// end is there: attempts that wait for that do not keep others back, among which may be those that the other end waits for.
async fn attempt<T, J: Rejoin<T>>(
    resume_credential: &ResumeCredential,
    context: &PumpContext<'_, J>,
) -> Result<Tunnel<T>, Refusal> {
    let permit = context.runtime.rejoin_permit().await.ok_or(RefusalKind::PeerGone)?;
    let mut rejoin = pin!(context.rejoin.rejoin(resume_credential));
    if let Ok(result) = timeout(REJOIN_PERMIT_TIME, &mut rejoin).await {
        return result;
    }
    drop(permit);
    rejoin.await
}

/// Reports whether another attempt, or one at another hub, would be refused in the same way.
pub(in crate::net) fn ends_stream(kind: RefusalKind) -> bool {
    matches!(
        kind,
        RefusalKind::AuthenticationFailed
            | RefusalKind::NotResumed
            | RefusalKind::Disabled
            | RefusalKind::AccessEnded
            | RefusalKind::NotPermitted
            | RefusalKind::KeyReplaced
            | RefusalKind::StreamKilled
            | RefusalKind::NotRead
            | RefusalKind::UnknownDevice
            | RefusalKind::IncompatibleVersion
            | RefusalKind::AlreadyEnded
            | RefusalKind::PeerGone
            | RefusalKind::BadRequest
    )
}

/// Names the possible causes of a refused token, which the hub does not tell apart.
fn final_refusal(refusal: Refusal) -> Refusal {
    if refusal.kind == RefusalKind::AuthenticationFailed {
        let causes =
            "the hub no longer has the stream: it was closed, its other end is gone, or this identity was revoked";
        return Refusal::new(RefusalKind::NotResumed, causes);
    }
    refusal
}
