//! From this machine to a hub that knows it: the same for operators and devices.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::reporter::Telling;
use crate::net::client::{Client, ClientFactory, Probe};
use crate::net::clock;
use crate::net::dial::{self, DialStep, DialTrace};
use crate::net::tls::Trust;
use crate::proto::admin::DeviceStatus;
use crate::proto::check::{Finding, Hop, Verdict, clocks, expired};
use crate::proto::id::Principal;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::timestamp::Timestamp;

/// Every hop as far as the hub; the devices that it knows, if it knows this machine as a service.
pub(super) async fn to_hub(
    telling: &Telling,
    principal: &Principal,
    client_factory: &ClientFactory,
) -> Option<Vec<DeviceStatus>> {
    telling.begin(Hop::Identity, principal);
    let client = match client_factory().await {
        Ok(client) => client,
        Err(refusal) => {
            telling.push(Finding::failed(Hop::Identity, principal, &refusal));
            return None;
        }
    };
    telling.push(Finding::good(Hop::Identity, principal).fact("hub", client.hub()));
    let probe = to_door(telling, &client).await?;
    let (began, at) = (clock::now(), format!("{principal} at {}", probe.hub()));
    telling.begin(Hop::Authentication, &at);
    match probe.authenticate().await {
        Ok(proof) => {
            telling.push(Finding::good(Hop::Authentication, at).took(since(began)));
            if let Some(there) = proof.time {
                telling.push(clocks(clock::now_utc(), there));
            }
            Some(proof.devices)
        }
        Err(refusal) => {
            let hop = if refusal.kind == RefusalKind::TlsInspected { Hop::Tls } else { Hop::Authentication };
            telling.push(Finding::failed(hop, at, &refusal).took(since(began)));
            None
        }
    }
}

/// Every hop as far as the hub's door.
pub(super) async fn to_door<'a>(telling: &Telling, client: &'a Client) -> Option<Probe<'a>> {
    let steps = Steps { telling, through_proxy: client.has_proxy(), last: Mutex::default() };
    let tell = |step: &DialStep| steps.see(step);
    let arrived = client.probe(&mut DialTrace::with_observer(&tell)).await;
    let last = steps.last.into_inner().unwrap_or_else(PoisonError::into_inner);
    match (last, arrived) {
        (Some((finding, _)), Ok(probe)) => {
            telling.push(agreed(finding, client, probe.certificate_expiry()));
            Some(probe)
        }
        (Some((finding, refusal)), Err(all)) => {
            telling.push(failed(finding, client, &refusal.unwrap_or(all)).await);
            None
        }
        (None, Ok(probe)) => Some(probe),
        (None, Err(refusal)) => {
            telling.push(Finding::failed(Hop::Dns, client.hub(), &refusal));
            None
        }
    }
}

/// The hops of a way as they are taken.
struct Steps<'a> {
    telling: &'a Telling,
    through_proxy: bool,
    /// The one that the way may have ended with: at the hub's door, or because it failed.
    last: Mutex<Option<(Finding, Option<Refusal>)>>,
}

impl Steps<'_> {
    fn see(&self, step: &DialStep) {
        let hop = hop(step.hop, self.through_proxy);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(took) = step.elapsed else {
            if let Some((finding, refusal)) = last.take() {
                self.telling.push(passed_over(finding, refusal));
            }
            return self.telling.begin(hop, &step.target);
        };
        let finding = Finding::good(hop, &step.target).took(took);
        if hop == Hop::Tls || step.refusal.is_some() {
            *last = Some((finding, step.refusal.clone()));
        } else {
            self.telling.push(finding);
        }
    }
}

fn passed_over(finding: Finding, refusal: Option<Refusal>) -> Finding {
    let Some(refusal) = refusal else { return finding };
    finding.judged(Verdict::Odd { cause: refusal.message(), advice: "the hub's next address is tried".into() })
}

/// The proxy's own hops come before it is asked for the way.
fn hop(hop: dial::Hop, through_proxy: bool) -> Hop {
    match (hop, through_proxy) {
        (dial::Hop::Name, false) => Hop::Dns,
        (dial::Hop::Name, true) => Hop::ProxyDns,
        (dial::Hop::Tcp, false) => Hop::Tcp,
        (dial::Hop::Tcp, true) => Hop::ProxyTcp,
        (dial::Hop::Proxy, _) => Hop::Proxy,
        (dial::Hop::Tls, _) => Hop::Tls,
    }
}

fn agreed(finding: Finding, client: &Client, expires: Option<Timestamp>) -> Finding {
    let trust = match client.trust() {
        Trust::Pin(_) => "the hub's pin",
        Trust::Public => "public authorities",
        Trust::File(_) => "--ca",
    };
    let finding = finding.fact("trust", trust);
    match expires {
        Some(expires) => finding.fact("expires", expires),
        None => finding,
    }
}

/// A certificate that is not valid by this clock may be by the hub's.
async fn failed(finding: Finding, client: &Client, refusal: &Refusal) -> Finding {
    let verdict = if refusal.kind == RefusalKind::ClockOrInspection {
        expired(refusal, clock::now_utc(), client.hub_time().await)
    } else {
        Verdict::failed(finding.hop, refusal)
    };
    finding.judged(verdict)
}

/// How long it is by now.
pub(super) fn since(began: Instant) -> Duration {
    clock::now() - began
}
