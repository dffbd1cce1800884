//! From this machine to a hub that knows it: the same for operators and devices.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::reporter::Reporter;
use crate::net::client::{Client, ClientFactory, Probe};
use crate::net::os::clock;
use crate::net::tls::Trust;
use crate::net::transport::dial::{self, DialStep, DialTrace};
use crate::proto::admin::DeviceStatus;
use crate::proto::check::{Finding, Hop, Verdict, compare_clocks, expired_certificate};
use crate::proto::id::Principal;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::timestamp::Timestamp;

/// Every hop as far as the hub; the devices that it knows, if it knows this machine as a service.
pub(super) async fn to_hub(
    reporter: &Reporter,
    principal: &Principal,
    client_factory: &ClientFactory,
) -> Option<Vec<DeviceStatus>> {
    reporter.begin(Hop::Identity, principal);
    let client = match client_factory.client().await {
        Ok(client) => client,
        Err(refusal) => {
            reporter.push(Finding::failed(Hop::Identity, principal, &refusal));
            return None;
        }
    };
    reporter.push(Finding::good(Hop::Identity, principal).fact("hub", client.hub()));
    let probe = to_tls(reporter, &client).await?;
    let (started, at) = (clock::now(), format!("{principal} at {}", probe.hub()));
    reporter.begin(Hop::Authentication, &at);
    match probe.authenticate().await {
        Ok(proof) => {
            reporter.push(Finding::good(Hop::Authentication, at).took(elapsed_since(started)));
            if let Some(there) = proof.time {
                reporter.push(compare_clocks(clock::now_utc(), there));
            }
            Some(proof.devices)
        }
        Err(refusal) => {
            let hop = if refusal.kind == RefusalKind::TlsInspected { Hop::Tls } else { Hop::Authentication };
            reporter.push(Finding::failed(hop, at, &refusal).took(elapsed_since(started)));
            None
        }
    }
}

/// Every hop as far as the hub's door.
pub(super) async fn to_tls<'a>(reporter: &Reporter, client: &'a Client) -> Option<Probe<'a>> {
    let steps = Steps { reporter, through_proxy: client.has_proxy(), last: Mutex::default() };
    let on_step = |step: &DialStep| steps.on_step(step);
    let result = client.probe(&mut DialTrace::with_observer(&on_step)).await;
    let last = steps.last.into_inner().unwrap_or_else(PoisonError::into_inner);
    match (last, result) {
        (Some((finding, _)), Ok(probe)) => {
            reporter.push(tls_completed(finding, client, probe.certificate_expiry()));
            Some(probe)
        }
        (Some((finding, refusal)), Err(all)) => {
            reporter.push(failed(finding, client, &refusal.unwrap_or(all)).await);
            None
        }
        (None, Ok(probe)) => Some(probe),
        (None, Err(refusal)) => {
            reporter.push(Finding::failed(Hop::Dns, client.hub(), &refusal));
            None
        }
    }
}

/// The hops of a way as they are taken.
struct Steps<'a> {
    reporter: &'a Reporter,
    through_proxy: bool,
    /// The one that the way may have ended with: at the hub's door, or because it failed.
    last: Mutex<Option<(Finding, Option<Refusal>)>>,
}

impl Steps<'_> {
    fn on_step(&self, step: &DialStep) {
        let hop = hop(step.hop, self.through_proxy);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(took) = step.elapsed else {
            if let Some((finding, refusal)) = last.take() {
                self.reporter.push(address_failed(finding, refusal));
            }
            return self.reporter.begin(hop, &step.target);
        };
        let finding = Finding::good(hop, &step.target).took(took);
        if hop == Hop::Tls || step.refusal.is_some() {
            *last = Some((finding, step.refusal.clone()));
        } else {
            self.reporter.push(finding);
        }
    }
}

fn address_failed(finding: Finding, refusal: Option<Refusal>) -> Finding {
    let Some(refusal) = refusal else { return finding };
    finding
        .with_verdict(Verdict::Warning { cause: refusal.message(), advice: "the hub's next address is tried".into() })
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

fn tls_completed(finding: Finding, client: &Client, expires: Option<Timestamp>) -> Finding {
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
        expired_certificate(refusal, clock::now_utc(), client.hub_time().await)
    } else {
        Verdict::failed(finding.hop, refusal)
    };
    finding.with_verdict(verdict)
}

/// How long it is by now.
pub(super) fn elapsed_since(started: Instant) -> Duration {
    clock::now() - started
}
