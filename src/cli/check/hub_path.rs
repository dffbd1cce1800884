//! The path from this machine to its hub, and its authentication there: the same for operators and devices.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::advice::{Cause, advice};
use super::clock::{compare_clocks, expired_certificate};
use super::finding::{Finding, Verdict};
use super::hop::Hop;
use super::reporter::Reporter;
use crate::cli::args::ViaArgs;
use crate::net::client::{Client, ClientFactory, Probe, ProbeError};
use crate::net::e2e::verdict::CertificateVerdict;
use crate::net::os::clock;
use crate::net::tls::Trust;
use crate::net::transport::dial::{self, DialError, DialStep, DialTrace};
use crate::proto::admin::DeviceStatus;
use crate::proto::id::{Principal, Role};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::timestamp::Timestamp;

/// The identity, whose certificate of a fleet may be about to end.
fn identity(principal: &Principal, client: &Client) -> Finding {
    let finding = Finding::good(Hop::Identity, principal).fact("hub", client.hub());
    let cause = match client.verdict() {
        Some(CertificateVerdict::NoFleet) => return finding,
        Some(CertificateVerdict::Good(validity)) if !validity.is_due(clock::now_utc()) => return finding,
        Some(CertificateVerdict::Good(validity)) => {
            format!(
                "its certificate ends on {}; peers in the fleet refuse it then",
                &validity.not_after.rfc3339()[..10]
            )
        }
        Some(unfit) => format!("its certificate is of no use: {unfit}; peers in the fleet refuse this machine"),
        None if client.has_fleet() => "its fleet has not signed its key; peers in the fleet refuse it".into(),
        None => return finding,
    };
    let Principal { role, id } = principal;
    finding.with_verdict(Verdict::Warning {
        cause,
        advice: format!(
            "where the fleet key is: devstream fleet sign {id} --role {role}; if it did not join with an invitation, with --key KEY \
             and the key that `devstream identity` shows"
        ),
    })
}

/// Checks every hop to the hub and the authentication there. Returns the devices in reach of a service; none if a hop
/// failed.
pub(super) async fn to_hub(
    reporter: &Reporter,
    principal: &Principal,
    client_factory: &ClientFactory,
    via: &ViaArgs,
) -> Option<Vec<DeviceStatus>> {
    if let Err(refusal) = via.proxy_settings() {
        reporter.push(no_proxy(via, &refusal));
        return None;
    }
    reporter.begin(Hop::Identity, principal);
    let client = match client_factory.client().await {
        Ok(client) => client,
        Err(refusal) => {
            reporter.push(Finding::failed(Hop::Identity, principal, &refusal));
            return None;
        }
    };
    if principal.role == Role::Service {
        client.fetch_certificate().await;
    }
    reporter.push(identity(principal, &client));
    let probe = to_tls(reporter, &client, advice).await?;
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
        Err(error) => {
            reporter.push(not_authenticated(at, &error).took(elapsed_since(started)));
            None
        }
    }
}

/// Judges the settings of a proxy that cannot be used, such as a file of credentials that others may read.
fn no_proxy(via: &ViaArgs, refusal: &Refusal) -> Finding {
    let (at, advice) = match via.login_file() {
        Some(file) => {
            let file = file.display();
            (format!("--via-login {file}"), format!("have USER:PASSWORD on one line there, and run: chmod 600 {file}"))
        }
        None => ("settings".into(), "correct that, or name the proxy with --via URL".into()),
    };
    Finding::good(Hop::Proxy, at).with_verdict(Verdict::because(refusal, advice))
}

fn not_authenticated(at: String, error: &ProbeError) -> Finding {
    let (refusal, cause) = match error {
        ProbeError::NotAHub(refusal) => (refusal, Some(Cause::NotAHub)),
        ProbeError::Refused(refusal) => (refusal, None),
    };
    let hop = if refusal.kind == RefusalKind::TlsInspected { Hop::Tls } else { Hop::Authentication };
    Finding::good(hop, at).with_verdict(Verdict::failed(hop, refusal, cause))
}

/// Words the next step after a failure, from where the check runs.
type Advice = fn(Hop, RefusalKind, Option<Cause>) -> &'static str;

/// Checks every hop until TLS with the hub is established.
pub(super) async fn to_tls<'a>(reporter: &Reporter, client: &'a Client, advice: Advice) -> Option<Probe<'a>> {
    let steps = Steps { reporter, through_proxy: client.has_proxy(), last: Mutex::default() };
    let on_step = |step: &DialStep| steps.on_step(step);
    let result = client.probe(&mut DialTrace::with_observer(&on_step)).await;
    let last = steps.last.into_inner();
    match (last, result) {
        (Some((finding, _)), Ok(probe)) => {
            reporter.push(tls_completed(finding, client, probe.certificate_expiry()));
            Some(probe)
        }
        (Some((finding, error)), Err(all)) => {
            reporter.push(failed(finding, client, error.ok_or(all), advice).await);
            None
        }
        (None, Ok(probe)) => Some(probe),
        (None, Err(refusal)) => {
            let verdict = Verdict::because(&refusal, advice(Hop::Dns, refusal.kind, None).into());
            reporter.push(Finding::good(Hop::Dns, client.hub()).with_verdict(verdict));
            None
        }
    }
}

/// The observer that reports the steps of a dial.
struct Steps<'a> {
    reporter: &'a Reporter,
    through_proxy: bool,
    /// The step that may be the last: TLS, or one that failed. It is reported once that is known.
    last: Mutex<Option<(Finding, Option<DialError>)>>,
}

impl Steps<'_> {
    fn on_step(&self, step: &DialStep) {
        let hop = hop(step.hop, self.through_proxy);
        let mut last = self.last.lock();
        let Some(took) = step.elapsed else {
            if let Some((finding, error)) = last.take() {
                self.reporter.push(address_failed(finding, error));
            }
            return self.reporter.begin(hop, &step.target);
        };
        let finding = Finding::good(hop, &step.target).took(took);
        if hop == Hop::Tls || step.error.is_some() {
            *last = Some((finding, step.error.clone()));
        } else {
            self.reporter.push(finding);
        }
    }
}

fn address_failed(finding: Finding, error: Option<DialError>) -> Finding {
    let Some(DialError { refusal, .. }) = error else { return finding };
    finding.with_verdict(Verdict::Warning {
        cause: refusal.message(),
        advice: "none needed now: the hub's next address is tried".into(),
    })
}

/// Maps a step of the dial to a hop: with a proxy, name and TCP are the proxy's.
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

/// Judges the failure of the last step. A certificate that is not valid by this machine's clock may be valid by the
/// hub's.
async fn failed(finding: Finding, client: &Client, error: Result<DialError, Refusal>, advice: Advice) -> Finding {
    let (refusal, cause) = match error {
        Ok(DialError { refusal, cause }) => (refusal, Some(Cause::Dial(cause))),
        Err(refusal) => (refusal, None),
    };
    let verdict = if refusal.kind == RefusalKind::ClockOrInspection {
        expired_certificate(&refusal, clock::now_utc(), client.hub_time().await)
    } else {
        // The names that the hub has are known here alone.
        let own = refusal.advice().filter(|_| refusal.kind == RefusalKind::WrongHubName);
        let next = own.unwrap_or_else(|| advice(finding.hop, refusal.kind, cause)).to_owned();
        Verdict::because(&refusal, next)
    };
    finding.with_verdict(verdict)
}

/// Returns the time since then.
pub(super) fn elapsed_since(started: Instant) -> Duration {
    clock::now() - started
}
