//! The check of a stream's end-to-end session.

use std::time::Duration;

use tokio::time::timeout;

use super::advice::hop_of;
use super::finding::{Finding, Verdict};
use super::hop::Hop;
use super::hub_path::elapsed_since;
use super::reporter::Reporter;
use crate::net::e2e::facts::SessionFacts;
use crate::net::os::clock;
use crate::net::tunnel::seal::SessionView;
use crate::proto::fleet::Validity;
use crate::proto::known::Origin;
use crate::proto::limits::SESSION_TIMEOUT;
use crate::proto::refusal::Refusal;
use crate::proto::timestamp::Timestamp;

/// The limit on the wait for a session, beyond its own.
const MARGIN: Duration = Duration::from_secs(1);

/// Finds out how a stream is encrypted that was asked for at this time.
pub(super) async fn end_to_end(
    reporter: &Reporter,
    at: &str,
    session: Option<&SessionView>,
    asked: Timestamp,
) -> Finding {
    reporter.begin(Hop::EndToEnd, at);
    let Some(session) = session else {
        return Finding::good(Hop::EndToEnd, at).with_verdict(Verdict::Warning {
            cause: "not encrypted end to end: --plain; the hub can read and change what the stream carries".into(),
            advice: "drop --plain if the device's agent is devstream's".into(),
        });
    };
    let started = clock::now();
    let opened = timeout(SESSION_TIMEOUT + MARGIN, session.opened()).await;
    let opened = opened.unwrap_or_else(|_| Err(session.not_begun()));
    found(at, &opened, asked).took(elapsed_since(started))
}

fn found(at: &str, opened: &Result<SessionFacts, Refusal>, asked: Timestamp) -> Finding {
    let facts = match opened {
        Ok(facts) => facts,
        Err(refusal) => return Finding::failed(hop_of(refusal.kind), at, refusal),
    };
    let SessionFacts { key, certificate, cipher, key_exchange, is_post_quantum, .. } = facts;
    let post_quantum = if *is_post_quantum { " (post-quantum)" } else { "" };
    let finding = Finding::good(Hop::EndToEnd, at).fact("key", key.short()).fact("known", how_known(facts, asked));
    let finding = finding.fact("cipher", cipher).fact("key exchange", format!("{key_exchange}{post_quantum}"));
    match (certificate, &facts.not_stored) {
        (Some(validity), _) if validity.is_due(asked) => finding.with_verdict(Verdict::Warning {
            cause: format!("the device's certificate ends on {}", day(validity)),
            advice: "sign its key again where the fleet key is: devstream fleet sign".into(),
        }),
        (None, Some(why)) => finding.with_verdict(Verdict::Warning {
            cause: format!("the device's key could not be stored: {why}"),
            advice:
                "let this user write there, and run this check again; until then, each command trusts the key that it \
                     is shown"
                    .into(),
        }),
        _ => finding,
    }
}

/// Words how the device's key is known.
fn how_known(
    SessionFacts { known, not_stored, certificate, signed_here, .. }: &SessionFacts,
    asked: Timestamp,
) -> String {
    match (certificate, known) {
        (Some(validity), _) if *signed_here => {
            format!("by the fleet's signature, signed just now by its invitation, until {}", day(validity))
        }
        (Some(validity), _) => format!("by the fleet's signature, until {}", day(validity)),
        (None, Some(_)) if not_stored.is_some() => "to this command alone".into(),
        (None, Some(known)) if known.origin == Origin::FirstUse && known.since >= asked => {
            "by first use, just now; compare it with `devstream identity` there".into()
        }
        (None, Some(known)) => format!("{} since {}", words(known.origin), known.since),
        (None, None) => "from the hub's own registry".into(),
    }
}

/// The last day of a certificate.
fn day(validity: &Validity) -> String {
    validity.not_after.rfc3339()[..10].to_owned()
}

fn words(origin: Origin) -> &'static str {
    match origin {
        Origin::FirstUse => "by first use",
        Origin::Pinned => "by a pin",
        Origin::Succeeded => "by succession",
        Origin::Fleet => "fleet",
    }
}
