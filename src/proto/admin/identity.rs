//! Identities and enrolment keys, as the hub's user sees them.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::proto::id::{Principal, StreamName};
use crate::proto::join::HubAddress;
use crate::proto::message::{DeadTarget, is_false};
use crate::proto::refusal::Detail;
use crate::proto::scope::{Glob, Scope};
use crate::proto::timestamp::Timestamp;

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
    #[serde(rename = "others", default, skip_serializing_if = "is_false")]
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
