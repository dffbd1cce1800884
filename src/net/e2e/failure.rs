//! Why a session failed, in words for the person at this end. They are made here alone, and never taken from the hub or the
//! peer: nobody in between can have a person trust a key.

use rustls::{AlertDescription, CertificateError, Error, OtherError};

use crate::proto::id::{Principal, Role};
use crate::proto::key::PublicKey;
use crate::proto::known::KnownPeer;
use crate::proto::refusal::{Refusal, RefusalKind};

/// The cause of a failed session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The peer presented a key that is not the one that is known.
    #[error("another key is known")]
    AnotherKey {
        /// The key that is known.
        known: PublicKey,
        /// The one that the peer presented.
        shown: PublicKey,
    },
    /// The peer is met for the first time, and its key could not be kept.
    #[error("{0}")]
    NotKept(String),
    /// The peer does not accept the key of this end.
    #[error("the other end refused this end's key")]
    RefusedByPeer,
    /// The peer sent something else than the start of a session, or nothing.
    #[error("the other end did not begin a session")]
    NotBegun,
    /// Bytes were changed, left out or added on the way, or the two ends were asked for different streams.
    #[error("{0}")]
    Altered(String),
}

impl Failure {
    /// Classifies the error of a session, which may have been open.
    #[expect(clippy::wildcard_enum_match_arm, reason = "rustls adds errors, and the others all mean the same here")]
    pub(in crate::net) fn of(error: &Error, was_open: bool) -> Self {
        use AlertDescription::{
            AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateUnknown, UnknownCA,
        };
        match error {
            Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) if cause.is::<Self>() => {
                cause.downcast_ref::<Self>().cloned().unwrap_or(Self::NotBegun)
            }
            Error::AlertReceived(
                AccessDenied | BadCertificate | CertificateExpired | CertificateRequired | CertificateUnknown
                | UnknownCA,
            ) => Self::RefusedByPeer,
            Error::InvalidMessage(_) if !was_open => Self::NotBegun,
            error => Self::Altered(error.to_string()),
        }
    }

    /// The refusal for the person at this end. `known` is what is known of the peer, and `flag` what selects this identity in
    /// `devstream trust`.
    pub fn refusal(&self, peer: &Principal, known: Option<&KnownPeer>, flag: &str) -> Refusal {
        let Principal { role, id } = peer;
        match self {
            Self::AnotherKey { known: former, shown } => {
                let since = known.map(|known| format!(" since {}", &known.since.rfc3339()[..10])).unwrap_or_default();
                let detail = format!("known{since}: {}; now: {}", former.short(), shown.short());
                Refusal::new(RefusalKind::AnotherPeerKey, format!("{id}; {detail}")).advised(format!(
                    "nothing was sent. Either the {role} was set up anew, or somebody is in between. Ask on the {role}'s machine: \
                     devstream identity. If it shows {}: devstream trust pin {role} {id} KEY{flag}, with the whole key from there",
                    shown.short()
                ))
            }
            Self::NotKept(why) => Refusal::new(RefusalKind::AnotherPeerKey, format!("{id} cannot be kept: {why}"))
                .advised(format!(
                    "remove the ones that are not needed: devstream trust list{flag}, devstream trust forget{flag}"
                )),
            Self::RefusedByPeer => Refusal::new(RefusalKind::AnotherPeerKey, format!("{id} knows another key of this machine"))
                .advised(format!(
                    "on the {role}'s machine, if this machine was set up anew: devstream trust pin {} ID KEY, with the id and the \
                     key that `devstream identity` shows here",
                    !*role
                )),
            Self::NotBegun => Refusal::new(RefusalKind::EndToEndNotBegun, id.as_str()).advised(not_begun_advice(*role)),
            Self::Altered(why) => Refusal::new(RefusalKind::StreamAltered, why),
        }
    }
}

fn not_begun_advice(peer: Role) -> &'static str {
    match peer {
        Role::Device => {
            "nothing was sent. Update devstream on the device; only if its agent is none of devstream's: --plain, with which the \
             hub can read the stream"
        }
        Role::Service => {
            "nothing was passed on. Update devstream where the stream comes from; only if that is none of devstream's: \
             device-agent --allow-plain NAME, with which the hub can read its streams"
        }
    }
}
