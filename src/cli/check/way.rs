//! From this machine to a hub that knows it: the same for operators and devices.

use std::time::{Duration, Instant};

use crate::net::client::{Arrival, Client, Enrol, Proof};
use crate::net::clock;
use crate::net::dial::{self, Trail};
use crate::net::tls::Trust;
use crate::proto::check::{Finding, Hop, Report, Verdict, clocks, expired};
use crate::proto::id::Principal;
use crate::proto::moment::Moment;
use crate::proto::refusal::{Kind, Refusal};

/// Every hop as far as the hub; what it answered if it knows this machine.
pub(super) async fn to_hub(report: &mut Report, principal: &Principal, enrol: &Enrol) -> Option<Proof> {
    let client = match enrol().await {
        Ok(client) => client,
        Err(refusal) => {
            report.push(Finding::failed(Hop::Identity, principal, &refusal));
            return None;
        }
    };
    report.push(Finding::good(Hop::Identity, principal).fact("hub", client.hub()));
    let arrival = to_door(report, &client).await?;
    let (began, at) = (clock::now(), format!("{principal} at {}", arrival.hub()));
    match arrival.prove().await {
        Ok(proof) => {
            report.push(Finding::good(Hop::Authentication, at).took(since(began)));
            report.extend(proof.time().map(|there| clocks(clock::moment(), there)));
            Some(proof)
        }
        Err(refusal) => {
            let hop = if refusal.kind == Kind::TlsInspected { Hop::Tls } else { Hop::Authentication };
            report.push(Finding::failed(hop, at, &refusal).took(since(began)));
            None
        }
    }
}

/// Every hop as far as the hub's door.
pub(super) async fn to_door<'a>(report: &mut Report, client: &'a Client) -> Option<Arrival<'a>> {
    let (mut trail, began) = (Trail::default(), clock::now());
    let arrived = client.arrive(&mut trail).await;
    let mut left = since(began);
    let count = trail.steps().len();
    for (index, step) in trail.steps().iter().enumerate() {
        let hop = hop(step.hop, client.has_proxy());
        let finding = Finding::good(hop, &step.at);
        left = left.saturating_sub(step.took.unwrap_or_default());
        report.push(match (step.took, &arrived) {
            (Some(took), Ok(arrival)) if index + 1 == count => agreed(finding.took(took), client, arrival.expires()),
            (Some(took), _) => finding.took(took),
            (None, Err(refusal)) if index + 1 == count => failed(finding.took(left), client, refusal).await,
            (None, _) => finding.judged(Verdict::Odd {
                cause: "it did not work".into(),
                advice: "the hub's next address was tried".into(),
            }),
        });
    }
    arrived.ok()
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

fn agreed(finding: Finding, client: &Client, expires: Option<Moment>) -> Finding {
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
    let verdict = if refusal.kind == Kind::ClockOrInspection {
        expired(refusal, clock::moment(), client.hubs_time().await)
    } else {
        Verdict::failed(finding.hop, refusal)
    };
    finding.judged(verdict)
}

/// How long it is by now.
pub(super) fn since(began: Instant) -> Duration {
    clock::now() - began
}
