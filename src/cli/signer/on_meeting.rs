//! What a client of this machine does with certificates: keeps its own, and signs a peer that waits for it when a stream meets
//! that.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{NotSigned, Store, deliver, sign_proven};
use crate::net::client::{Certificates, Client, SignFuture};
use crate::net::e2e::leaf::Voucher;
use crate::net::os::clock;
use crate::net::os::private_files::write_private_for_owner;
use crate::proto::bounded_map::BoundedMap;
use crate::proto::fleet::CERTIFICATE_TIME;
use crate::proto::id::Principal;
use crate::proto::invitations::Occasion;

/// Time for which a certificate that was made here counts for streams of this process: the peer takes it from the hub meanwhile.
const HANDED_OVER: Duration = Duration::from_secs(60);

/// The shortest time between two questions about the same peer that has not proved anything. A person tries again after
/// longer, and a program that opens hundreds of streams a second does not load the hub.
const ASK_INTERVAL: Duration = Duration::from_secs(3);

/// The limit on peers that are remembered; the oldest is asked about again.
const MAX_PEERS: usize = 256;

/// The days for which a certificate holds, in messages.
const DAYS: u64 = CERTIFICATE_TIME.as_secs() / (24 * 60 * 60);

/// Keeps certificates in a file, and signs with the fleet of this user.
#[derive(Debug)]
pub(in crate::cli) struct FleetCertificates {
    /// The file of the identity's own.
    own: PathBuf,
    asked: LastAnswers,
}

/// The answers about peers, each locked while the hub is asked: streams to one peer that are opened at the same time have the same
/// answer, and those to others do not wait for it.
#[derive(Debug)]
struct LastAnswers(Mutex<BoundedMap<Principal, LastAnswer>>);

/// When a peer was asked about last, and the certificate that was made then.
type LastAnswer = Arc<tokio::sync::Mutex<Option<(Instant, Option<Voucher>)>>>;

impl LastAnswers {
    /// Returns the last answer about a peer while it counts, else that of `ask`.
    async fn answer(&self, peer: &Principal, ask: impl Future<Output = Option<Voucher>>) -> Option<Voucher> {
        let last = self.last(peer);
        let mut last = last.lock().await;
        if let Some((at, voucher)) = &*last {
            let wait = if voucher.is_some() { HANDED_OVER } else { ASK_INTERVAL };
            if clock::now().saturating_duration_since(*at) < wait {
                return voucher.clone();
            }
        }
        let signed = ask.await;
        *last = Some((clock::now(), signed.clone()));
        signed
    }

    fn last(&self, peer: &Principal) -> LastAnswer {
        let mut all = self.0.lock();
        all.insert(peer.clone(), LastAnswer::default());
        all.get(peer).cloned().unwrap_or_default()
    }
}

impl FleetCertificates {
    pub(in crate::cli) fn new(own: PathBuf) -> Self {
        Self { own, asked: LastAnswers(Mutex::new(BoundedMap::new(MAX_PEERS))) }
    }

    async fn sign_on_meeting(&self, client: &Client, peer: &Principal) -> Option<Voucher> {
        let store = Store::of_user().ok().filter(Store::exists)?;
        self.asked.answer(peer, sign(&store, client, peer)).await
    }
}

impl Certificates for FleetCertificates {
    fn keep(&self, certificate: &Voucher) {
        if let Err(error) = write_private_for_owner(&self.own, &format!("{certificate}\n")) {
            let why = "this machine's certificate is not kept, and is asked for again after a restart";
            tracing::warn!(target: "end-to-end", "{why}: {error:#}");
        }
    }

    fn sign<'a>(&'a self, client: &'a Client, peer: &'a Principal) -> SignFuture<'a> {
        Box::pin(self.sign_on_meeting(client, peer))
    }
}

/// Signs a peer that waits for it, says so, and returns its certificate.
async fn sign(store: &Store, client: &Client, peer: &Principal) -> Option<Voucher> {
    let id = &peer.id;
    let signed = match sign_if_awaited(store, client, peer).await {
        Ok(signed) => signed?,
        // It may have been signed by hand, or the invitation be for the machine that replaces it.
        Err(NotSigned::NoProof) => return None,
        Err(NotSigned::EarlierHub) => {
            let by_hand = format!("devstream fleet sign {id} --role {} --key KEY", peer.role);
            tracing::warn!(target: "end-to-end", "{id}: {}; sign it by hand: {by_hand}", NotSigned::EarlierHub);
            return None;
        }
        Err(NotSigned::Failed(error)) => {
            tracing::warn!(target: "end-to-end", "{id}: cannot look for a new proof: {error:#}");
            return None;
        }
        Err(why) => {
            tracing::warn!(target: "end-to-end", "{id}: not signed: {why}");
            return None;
        }
    };
    tracing::info!(target: "end-to-end", "{id}: proof of the invitation checked; signed for {DAYS} days");
    if let Err(why) = deliver(store, client, peer, &signed).await {
        if let NotSigned::Forgotten = why {
            tracing::warn!(target: "end-to-end", "{id}: {why}");
            return None;
        }
        let later = format!("`devstream fleet sign {id} --role {}` tries again", peer.role);
        tracing::warn!(target: "end-to-end", "{id}: its certificate is not at the hub: {why}; {later}");
    }
    Some(signed.certificate)
}

async fn sign_if_awaited(store: &Store, client: &Client, peer: &Principal) -> Result<Option<super::Signed>, NotSigned> {
    if !store.awaits(peer)? {
        return Ok(None);
    }
    // What another fleet has signed is none of this one's business.
    let (keys, _) = store.load()?;
    if client.fleet_keys() != Some(keys) {
        return Ok(None);
    }
    Box::pin(sign_proven(store, client, peer, Occasion::Stream)).await.map(Some)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::pin;

    use futures_util::FutureExt as _;
    use tokio::time::sleep;

    use super::*;
    use crate::proto::id::Role;

    fn device(id: &str) -> Principal {
        Principal { role: Role::Device, id: id.parse().unwrap() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_the_hub_is_silent_about_keeps_no_stream_to_another_waiting_and_is_asked_about_once() {
        let asked = LastAnswers(Mutex::new(BoundedMap::new(MAX_PEERS)));
        let voucher = Voucher::parse("AAAA");
        let (first, other) = (device("pi-42"), device("pi-43"));
        let mut silent = pin!(asked.answer(&first, pending()));
        assert!(silent.as_mut().now_or_never().is_none());
        let mut same = pin!(asked.answer(&first, ready(voucher.clone())));
        assert!(same.as_mut().now_or_never().is_none(), "it has the first one's answer");
        assert_eq!(asked.answer(&other, ready(voucher.clone())).now_or_never(), Some(voucher.clone()));
        // What was answered counts for a while.
        assert_eq!(asked.answer(&other, ready(None)).now_or_never(), Some(voucher));
        sleep(HANDED_OVER).await;
        assert_eq!(asked.answer(&other, ready(None)).now_or_never(), Some(None));
    }
}
