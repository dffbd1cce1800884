//! The messages of the hub's private admin socket: one JSON line per request, one per response.

mod cluster;
mod device;
mod log;
mod status;
mod stream;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub use self::cluster::{ClusterHub, ClusterStatus, EngineServer, SharedRegistry};
pub use self::device::{DeviceStatus, NOT_JOINED_YET, disabled_at_the_hub};
pub use self::log::{FilePosition, LogFilter, LogPage, LogPosition, LogRequest};
pub use self::status::{CertificateReport, HubStatus, OtherHubStatuses};
pub use self::stream::StreamStatus;
use super::id::{HubId, Principal, Role, ServiceName, StreamId, StreamName};
use super::join::{HubAddress, Pin};
use super::key::PublicKey;
use super::message::DeadTarget;
use super::refusal::Detail;
use super::scope::{Glob, Scope, ScopeChange};
use super::timestamp::Timestamp;

/// A request of the user that runs the hub, or of root.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum AdminRequest {
    /// Describe this hub.
    Show,
    /// Create an identity, or a new join code for one that has not joined.
    Add {
        /// The identity.
        principal: Principal,
        /// The scope of a service.
        #[serde(default)]
        scope: Scope,
        /// Lifetime of the join code, in seconds.
        link_seconds: u64,
    },
    /// Create a join code with which an identity enrols a new key.
    Rotate {
        /// The identity.
        principal: Principal,
        /// Overlap during which the old key stays valid, in seconds.
        overlap_seconds: u64,
        /// Lifetime of the join code, in seconds.
        link_seconds: u64,
    },
    /// Change the scope of a service.
    Rescope {
        /// The service.
        service: ServiceName,
        /// The change.
        change: ScopeChange,
    },
    /// Enable or disable an identity.
    Enable {
        /// The identity.
        principal: Principal,
        /// `false` closes its connections and rejects new ones.
        enabled: bool,
    },
    /// List the identities of one role.
    List {
        /// The role.
        role: Role,
    },
    /// Show one identity.
    ShowIdentity {
        /// The identity.
        principal: Principal,
    },
    /// Remove an identity and close its connections.
    Remove {
        /// The identity.
        principal: Principal,
    },
    /// Enrol a role that the hub's own user runs.
    Enrol {
        /// The identity.
        principal: Principal,
        /// Its public key.
        key: PublicKey,
    },
    /// Report the keys of an identity, for end-to-end encryption with it.
    Keys {
        /// The identity.
        principal: Principal,
    },
    /// Create an enrolment key, with which many devices join.
    AddEnrolment {
        /// The device ids it may enrol.
        devices: Glob,
        /// The number of devices it may enrol.
        uses: u32,
        /// Lifetime of the key, in seconds.
        seconds: u64,
    },
    /// List the enrolment keys.
    ListEnrolments,
    /// Revoke an enrolment key. Devices that joined with it stay.
    RemoveEnrolment {
        /// The key's number.
        id: u64,
    },
    /// List the streams.
    Streams,
    /// End a stream.
    EndStream {
        /// The stream.
        stream: StreamId,
    },
    /// Read a page of the activity log of another hub of the cluster.
    HubLog {
        /// The hub.
        hub: HubId,
        /// The page.
        page: Box<LogRequest>,
    },
    /// Report the hub's status.
    Status,
    /// Report the status of the other hubs of the cluster.
    OtherHubs,
    /// Make an invitation for one more hub of the cluster.
    InviteHub,
    /// Report the state of the cluster.
    ClusterStatus,
    /// Put this hub's registry into the cluster's bucket, which was lost.
    RestoreCluster {
        /// Also where others have founded another one since.
        force: bool,
    },
}

/// A response of the hub.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum AdminResponse {
    /// Response to [`AdminRequest::Show`] and [`AdminRequest::Enrol`].
    Hub(HubInfo),
    /// Response to [`AdminRequest::Add`], [`AdminRequest::Rotate`] and [`AdminRequest::AddEnrolment`].
    Link {
        /// The join link, code included.
        link: String,
        /// Expiry of its code.
        until: Timestamp,
        /// The host in it is the machine's own name, for want of a `--hostname`.
        #[serde(default, skip_serializing_if = "is_false")]
        name_is_guessed: bool,
        /// The hub listens on loopback addresses only.
        #[serde(default, skip_serializing_if = "is_false")]
        loopback_only: bool,
        /// Number of the enrolment key, if the link is for one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        enrolment: Option<u64>,
    },
    /// Response to [`AdminRequest::List`] and [`AdminRequest::ShowIdentity`].
    Identities {
        /// The identities, in order of their ids.
        identities: Vec<Identity>,
        /// Hubs of the cluster that did not answer: their devices are listed as offline.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        silent: Vec<HubAddress>,
    },
    /// Response to [`AdminRequest::ListEnrolments`].
    Enrolments {
        /// The enrolment keys, oldest first.
        enrolments: Vec<Enrolment>,
    },
    /// Response to [`AdminRequest::Keys`]; empty if it has not joined.
    Keys {
        /// The keys that are valid now.
        keys: Vec<PublicKey>,
    },
    /// Response to [`AdminRequest::Streams`].
    Streams {
        /// The streams, oldest first.
        streams: Vec<StreamStatus>,
        /// Hubs of the cluster that did not answer: their streams are not listed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        silent: Vec<HubAddress>,
    },
    /// Response to [`AdminRequest::HubLog`].
    HubLog(Box<LogPage>),
    /// Response to [`AdminRequest::Status`].
    Status(Box<HubStatus>),
    /// Response to [`AdminRequest::OtherHubs`].
    OtherHubs(OtherHubStatuses),
    /// Response to [`AdminRequest::InviteHub`].
    ClusterLink {
        /// The link, code included.
        link: String,
        /// Expiry of its code.
        until: Timestamp,
    },
    /// Response to [`AdminRequest::ClusterStatus`].
    Cluster(Box<ClusterStatus>),
    /// The request succeeded.
    Done {
        /// What was done, for a person.
        #[serde(default)]
        what: String,
    },
    /// The request failed.
    Failed {
        /// The cause, and what to do.
        reason: String,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// The hub as its user sees it; `az iot hub devicestream show` gave the `streamingEndpoints`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HubInfo {
    /// The name by which other machines reach it.
    pub hostname: String,
    /// The base URLs of its streaming endpoints.
    pub streaming_endpoints: Vec<String>,
    /// Pin of its certificate authority.
    pub pin: Pin,
    /// No `--hostname` was given, and the name is the machine's own: others may not resolve it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub name_is_guessed: bool,
    /// Its further `--hostname`s.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_hostnames: Vec<String>,
    /// The hub listens on loopback addresses only: other machines reach it by what forwards to it, if at all.
    #[serde(default, skip_serializing_if = "is_false")]
    pub loopback_only: bool,
    /// Its listen address, as reached from this machine.
    pub local: HubAddress,
    /// Its listen address, as bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listening: Option<SocketAddr>,
    /// Version of the program.
    pub version: String,
}

/// An identity, as `list` and `show` give it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Role and id.
    #[serde(flatten)]
    pub principal: Principal,
    /// `false` if the hub rejects it.
    pub enabled: bool,
    /// `true` once it has a key.
    pub joined: bool,
    /// Its keys, newest first.
    pub keys: Vec<KeyStatus>,
    /// Time of creation.
    pub created: Timestamp,
    /// Number of the enrolment key it joined with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolment: Option<u64>,
    /// Time of its last connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// A device that is not connected and still has open streams: its agent was told to end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ending: bool,
    /// A device's presence, if it is connected.
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
    /// The key's fingerprint.
    pub fingerprint: String,
    /// Time it was added.
    pub added: Timestamp,
    /// Expiry, once it has been replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// The presence of a connected device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    /// Time it connected.
    pub since: Timestamp,
    /// Its source address.
    pub address: SocketAddr,
    /// Version of its agent.
    pub version: Detail,
    /// The stream names it offers.
    pub forwards: Vec<StreamName>,
    /// Its first, which is meant where no name is given, is not for the service that lists it.
    #[serde(rename = "firstHidden", default, skip_serializing_if = "is_false")]
    pub first_is_hidden: bool,
    /// `true` if it may accept other names too.
    #[serde(rename = "others", default, skip_serializing_if = "super::message::is_false")]
    pub accepts_any_name: bool,
    /// Those of its forwards whose targets did not answer when it last tried them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dead_targets: Vec<DeadTarget>,
    /// Round-trip time of the last ping, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_us: Option<u64>,
    /// The hub of a cluster that it is connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<HubAddress>,
}

/// An enrolment key, with which many devices join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Enrolment {
    /// Its number.
    pub id: u64,
    /// The device ids it may enrol.
    pub devices: Glob,
    /// The number of devices it may enrol.
    pub uses: u32,
    /// The number it has enrolled.
    pub used: u32,
    /// Time of creation.
    pub created: Timestamp,
    /// Expiry.
    pub until: Timestamp,
}
