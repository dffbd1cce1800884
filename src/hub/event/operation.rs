//! The kinds of events.

/// The kind of an event; its word is the log's `operationName`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// The hub listens.
    HubStarted,
    /// The hub ends, as it was told to.
    HubStopped,
    /// A device's control connection was registered.
    DeviceConnected,
    /// A device's control connection ended.
    DeviceDisconnected,
    /// A device's control connection was replaced by another with the same id.
    DeviceDisplaced,
    /// A service requested a stream. The word is Azure's.
    Invoke,
    /// Both legs were joined.
    StreamOpened,
    /// A leg's connection was lost, and both legs are awaited.
    StreamInterrupted,
    /// Both legs are back.
    StreamResumed,
    /// An open stream ended.
    StreamClosed,
    /// The hub's operator ended a stream.
    StreamKilled,
    /// An authentication failed, or a stream token was wrong.
    Authenticate,
    /// A source was banned or throttled after repeated failures.
    SourcePenalised,
    /// A machine joined.
    Join,
    /// An identity was added.
    IdentityAdded,
    /// An identity was disabled, enabled, rescoped or given another key.
    IdentityChanged,
    /// An identity was removed.
    IdentityRemoved,
    /// An enrolment key was created.
    EnrolmentAdded,
    /// An enrolment key was revoked.
    EnrolmentRemoved,
    /// An invitation for one more hub of the cluster was made.
    HubInvited,
    /// A hub has joined the cluster with an invitation.
    HubJoined,
    /// A value that the cluster's registry had lost was put again.
    RegistryHealed,
    /// Lines of the activity log could not be written.
    ActivityLost,
}

impl Operation {
    /// All of them.
    const ALL: [Self; 23] = [
        Self::HubStarted,
        Self::HubStopped,
        Self::DeviceConnected,
        Self::DeviceDisconnected,
        Self::DeviceDisplaced,
        Self::Invoke,
        Self::StreamOpened,
        Self::StreamInterrupted,
        Self::StreamResumed,
        Self::StreamClosed,
        Self::StreamKilled,
        Self::Authenticate,
        Self::SourcePenalised,
        Self::Join,
        Self::IdentityAdded,
        Self::IdentityChanged,
        Self::IdentityRemoved,
        Self::EnrolmentAdded,
        Self::EnrolmentRemoved,
        Self::HubInvited,
        Self::HubJoined,
        Self::RegistryHealed,
        Self::ActivityLost,
    ];

    /// Returns the operation of this word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.word() == word)
    }

    /// Returns the log's `operationName`.
    pub fn word(self) -> &'static str {
        match self {
            Self::HubStarted => "hubStarted",
            Self::HubStopped => "hubStopped",
            Self::DeviceConnected => "deviceConnected",
            Self::DeviceDisconnected => "deviceDisconnected",
            Self::DeviceDisplaced => "deviceDisplaced",
            Self::Invoke => "invoke",
            Self::StreamOpened => "streamOpened",
            Self::StreamInterrupted => "streamInterrupted",
            Self::StreamResumed => "streamResumed",
            Self::StreamClosed => "streamClosed",
            Self::StreamKilled => "streamKilled",
            Self::Authenticate => "authenticate",
            Self::SourcePenalised => "sourcePenalised",
            Self::Join => "join",
            Self::IdentityAdded => "identityAdded",
            Self::IdentityChanged => "identityChanged",
            Self::IdentityRemoved => "identityRemoved",
            Self::EnrolmentAdded => "enrolmentAdded",
            Self::EnrolmentRemoved => "enrolmentRemoved",
            Self::HubInvited => "hubInvited",
            Self::HubJoined => "hubJoined",
            Self::RegistryHealed => "registryHealed",
            Self::ActivityLost => "activityLost",
        }
    }
}
