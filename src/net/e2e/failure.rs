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
    /// The fleet that this end trusts does not vouch for the peer's key.
    #[error("the fleet does not vouch for the other end's key")]
    NotInFleet(FleetCause),
    /// The fleet that the peer trusts does not vouch for this end's key.
    #[error("the other end's fleet does not vouch for this end's key")]
    NotInPeersFleet(FleetCause),
    /// The peer sent something else than the start of a session, or nothing.
    #[error("the other end did not begin a session")]
    NotBegun,
    /// The device declined the first bytes, and a former run of its agent may have taken them.
    #[error("the first bytes may have arrived already")]
    MayHaveArrived,
    /// Bytes were changed, left out or added on the way, or the two ends were asked for different streams.
    #[error("{0}")]
    Altered(String),
}

/// Why a fleet does not vouch for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetCause {
    /// The fleet has not signed the key.
    NotSigned,
    /// The certificate has expired.
    Expired,
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
            Error::AlertReceived(AccessDenied) => Self::NotInPeersFleet(FleetCause::NotSigned),
            Error::AlertReceived(CertificateExpired) => Self::NotInPeersFleet(FleetCause::Expired),
            Error::AlertReceived(BadCertificate | CertificateRequired | CertificateUnknown | UnknownCA) => {
                Self::RefusedByPeer
            }
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
                let replace = if known.is_some_and(|known| known.origin.is_vouched()) { " --replace" } else { "" };
                Refusal::new(RefusalKind::AnotherPeerKey, format!("{id}; {detail}")).advised(format!(
                    "nothing was sent. Either the {role} was set up anew, or got a new key more than once since, or somebody is \
                     in between. Ask on the {role}'s machine: devstream identity. If it shows {}: devstream trust pin {role} \
                     {id} KEY{replace}{flag}, with the whole key from there",
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
            Self::NotInFleet(cause) => not_in_fleet(peer, *cause),
            Self::NotInPeersFleet(cause) => not_in_peers_fleet(peer, *cause),
            Self::NotBegun => Refusal::new(RefusalKind::EndToEndNotBegun, id.as_str()).advised(not_begun_advice(*role)),
            Self::MayHaveArrived => Refusal::new(
                RefusalKind::LostWhileOpening,
                format!("the agent of {id} was started meanwhile, and a former one may have the first bytes already"),
            ),
            Self::Altered(why) => Refusal::new(RefusalKind::StreamAltered, why),
        }
    }
}

/// Never names the key that the peer showed: it may be that of somebody in between, and must not be copied from here.
fn not_in_fleet(Principal { role, id }: &Principal, cause: FleetCause) -> Refusal {
    let detail = match cause {
        FleetCause::NotSigned => id.to_string(),
        FleetCause::Expired => format!("{id}; its certificate has expired, or the clock here is wrong"),
    };
    Refusal::new(RefusalKind::NotInFleet, detail).advised(format!(
        "nothing was sent. Where the fleet key is: devstream fleet sign {id} --role {role}; if it did not join with an invitation, \
         with --key KEY, which `devstream identity` shows on the {role}'s machine"
    ))
}

fn not_in_peers_fleet(Principal { role, id }: &Principal, cause: FleetCause) -> Refusal {
    let this = match cause {
        FleetCause::NotSigned => "its fleet has not signed this machine's key",
        FleetCause::Expired => "this machine's certificate has expired, or the clock there is wrong",
    };
    Refusal::worded(RefusalKind::NotInFleet, format!("{id} refused this machine: {this}")).advised(format!(
        "where the fleet key is: devstream fleet sign ID --role {}; if it did not join with an invitation, with --key KEY. Id and key \
         are what `devstream identity` shows here",
        !*role
    ))
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
