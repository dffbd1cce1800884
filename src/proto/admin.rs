//! What is said on the hub's private admin socket: one JSON line asks, one answers.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::id::{DeviceId, Principal, Role, ServiceName, StreamId, StreamName};
use super::join::{HubAddress, Pin};
use super::key::PublicKey;
use super::refusal::Detail;
use super::scope::{Glob, Scope, ScopeChange};
use super::timestamp::Timestamp;

/// Asked by the hub's own user.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum AdminRequest {
    /// What is this hub?
    Show,
    /// Make an identity, or a new join code for one that has not joined.
    Add {
        /// Which.
        principal: Principal,
        /// What a service may reach.
        #[serde(default)]
        scope: Scope,
        /// How long the join code holds.
        link_seconds: u64,
    },
    /// Make a join code with which an identity gets a new key.
    Rotate {
        /// Which.
        principal: Principal,
        /// How long the old key is good beside the new one.
        overlap_seconds: u64,
        /// How long the join code holds.
        link_seconds: u64,
    },
    /// Change what a service may reach.
    Rescope {
        /// Which.
        service: ServiceName,
        /// How.
        change: ScopeChange,
    },
    /// Let an identity in, or no longer.
    Enable {
        /// Which.
        principal: Principal,
        /// Whether it may come in.
        enabled: bool,
    },
    /// Every identity of one kind.
    List {
        /// Which kind.
        role: Role,
    },
    /// One identity.
    ShowIdentity {
        /// Which.
        principal: Principal,
    },
    /// Forget an identity; its connections end.
    Remove {
        /// Which.
        principal: Principal,
    },
    /// A role run by the hub's own user enrols itself.
    Enrol {
        /// As whom.
        principal: Principal,
        /// With which key.
        key: PublicKey,
    },
    /// Make a secret with which many devices join.
    AddEnrolment {
        /// Which ids they may have.
        devices: Glob,
        /// How many of them.
        uses: u32,
        /// How long the secret holds.
        seconds: u64,
    },
    /// Every such secret.
    ListEnrolments,
    /// Make one void. The devices that joined with it stay.
    RemoveEnrolment {
        /// Its number.
        id: u64,
    },
    /// Every stream.
    Streams,
    /// End a stream.
    EndStream {
        /// Which.
        stream: StreamId,
    },
    /// How is this hub?
    Status,
}

/// The hub's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum AdminResponse {
    /// To [`AdminRequest::Show`] and [`AdminRequest::Enrol`].
    Hub(HubInfo),
    /// To [`AdminRequest::Add`], [`AdminRequest::Rotate`] and [`AdminRequest::AddEnrolment`].
    Link {
        /// The join link, code included.
        link: String,
        /// Until when its code holds.
        until: Timestamp,
        /// The number of the enrolment key, if it is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        enrolment: Option<u64>,
    },
    /// To [`AdminRequest::List`] and [`AdminRequest::ShowIdentity`].
    Identities {
        /// In order of their ids.
        identities: Vec<Identity>,
    },
    /// To [`AdminRequest::ListEnrolments`].
    Enrolments {
        /// In the order they were made.
        enrolments: Vec<Enrolment>,
    },
    /// To [`AdminRequest::Streams`].
    Streams {
        /// The oldest first.
        streams: Vec<StreamStatus>,
    },
    /// To [`AdminRequest::Status`].
    Status(Box<HubStatus>),
    /// It is done.
    Done,
    /// It is not done.
    Failed {
        /// Why, and what to do.
        reason: String,
    },
}

/// A hub as its user sees it; `az iot hub devicestream show` gave the `streamingEndpoints`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HubInfo {
    /// What other machines call it.
    pub hostname: String,
    /// Where streams go.
    pub streaming_endpoints: Vec<String>,
    /// Of its certificate authority.
    pub pin: Pin,
    /// Where it listens, as reached from this machine.
    pub local: HubAddress,
    /// Its version.
    pub version: String,
}

/// An identity as `list` and `show` give it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Which.
    #[serde(flatten)]
    pub principal: Principal,
    /// Whether it is let in.
    pub enabled: bool,
    /// Whether it has a key.
    pub joined: bool,
    /// Its keys, the newest first.
    pub keys: Vec<KeyStatus>,
    /// When it was added.
    pub created: Timestamp,
    /// The number of the enrolment key it joined with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolment: Option<u64>,
    /// When it was last connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// A device's presence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online: Option<Presence>,
    /// A service's scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
}

/// A key of an identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyStatus {
    /// Its fingerprint.
    pub fingerprint: String,
    /// When it was added.
    pub added: Timestamp,
    /// When it ends, if it was replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A connected device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    /// From when on.
    pub since: Timestamp,
    /// Where it connected from.
    pub address: SocketAddr,
    /// Its agent's version.
    pub version: Detail,
    /// What it offers.
    pub forwards: Vec<StreamName>,
    /// How long a ping and its answer took, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_us: Option<u64>,
}

/// A device as a service that may reach it sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceStatus {
    /// Which.
    pub id: DeviceId,
    /// When it was last connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// Its presence, with the forwards that the service may ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online: Option<Presence>,
}

/// A secret with which many devices join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Enrolment {
    /// Its number.
    pub id: u64,
    /// Which ids they may have.
    pub devices: Glob,
    /// How many may join.
    pub uses: u32,
    /// How many have.
    pub used: u32,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it holds.
    pub until: Timestamp,
}

/// A stream, from its request on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamStatus {
    /// Which.
    pub id: StreamId,
    /// To which device.
    pub device: DeviceId,
    /// For which of its forwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<StreamName>,
    /// Whose.
    pub service: ServiceName,
    /// From where.
    pub source: SocketAddr,
    /// How far it has come: `waiting`, `asked`, `accepted`, `open` or `interrupted`.
    pub state: String,
    /// How long ago it was asked for, in seconds.
    pub age_seconds: u64,
    /// Bytes to the device.
    pub bytes_to_device: u64,
    /// Bytes to the service.
    pub bytes_to_service: u64,
}

/// A hub's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateReport {
    /// Where it comes from: `own`, `pem` or `acme`.
    pub source: String,
    /// The host names it is good for.
    #[serde(default)]
    pub names: Vec<String>,
    /// When it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// When it ends.
    pub not_after: Timestamp,
    /// Whole days until then.
    pub days_left: i64,
    /// Why the newest attempt to replace it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// How a hub is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HubStatus {
    /// Its version.
    pub version: String,
    /// What other machines call it.
    pub hostname: String,
    /// Its process.
    pub process: u32,
    /// When it was started.
    pub since: Timestamp,
    /// Whether it takes no new streams because it is about to end.
    pub draining: bool,
    /// Devices that are known.
    pub devices: u64,
    /// Devices that are online.
    pub online: u64,
    /// Services that are known.
    pub services: u64,
    /// Streams that are open, and those still being made.
    pub streams: u64,
    /// Connections that have not proved who they are.
    pub unauthenticated_connections: u64,
    /// Resident memory, in bytes.
    pub memory_bytes: u64,
    /// What memory is held to, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
    /// Open file descriptors.
    pub descriptors: u64,
    /// How many there may be.
    pub descriptor_limit: u64,
    /// How its connections react to a congested network, if the system tells: `bbr` where it is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub congestion_control: Option<String>,
    /// The certificate that strangers are shown.
    pub certificate: CertificateReport,
    /// Lines that the activity log lost.
    pub activity_lost: u64,
    /// What is not as it should be.
    pub warnings: Vec<String>,
}

impl HubStatus {
    /// Its file descriptors, of how many, for a person. A system that limits them also counts them.
    pub fn descriptors_of(&self) -> String {
        match self.descriptor_limit {
            u64::MAX => "no limit".into(),
            limit => format!("{} of {limit}", self.descriptors),
        }
    }
}
