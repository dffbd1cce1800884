//! A bucket of keys and values that all hubs of a cluster share, as an engine stores it.

#[cfg(test)]
pub(in crate::hub) mod contract;
#[cfg(test)]
pub(in crate::hub) mod memory;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

/// A bucket. Each call may take as long as the engine does: callers set deadlines.
pub trait Bucket: Send + Sync {
    /// Creates the bucket, unless it exists.
    fn create(&self) -> BoxFuture<'_, Result<(), BucketError>>;

    /// Returns the present value of a key.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, BucketError>>;

    /// Stores a value and returns its revision, if the key's present revision is `expected`; 0 for none. Fails with
    /// [`BucketError::Conflict`] if it is another. After any other failure the value may have been stored.
    fn put<'a>(&'a self, key: &'a str, value: Bytes, expected: u64) -> BoxFuture<'a, Result<u64, BucketError>>;

    /// Returns the present values with revisions after this one in the order of these, then [`Update::Listed`], then each
    /// value as it is stored.
    fn watch(&self, after: u64) -> BoxFuture<'_, Result<BoxStream<'static, WatchResult>, BucketError>>;

    /// Returns the bucket's state.
    fn state(&self) -> BoxFuture<'_, Result<BucketState, BucketError>>;
}

/// What a watch yields.
pub type WatchResult = Result<Update, BucketError>;

/// A value in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// The value; empty if somebody deleted it with a tool.
    pub value: Bytes,
    /// Grows with every value that is stored in the bucket.
    pub revision: u64,
}

/// An item of a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// A value.
    Entry(Entry),
    /// All values that were there at the start have been yielded.
    Listed,
}

/// The state of a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BucketState {
    /// The revision of the last value that was stored.
    pub revision: u64,
    /// The number of keys. A key that was deleted counts on.
    pub keys: u64,
    /// The server that orders the writes. After it failed, another one may lack the last of them.
    pub leader: Option<String>,
    /// The number of connections to the engine that this hub has had: what came between two of them may have passed it by.
    pub connections: u64,
}

/// The reason why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BucketError {
    /// The key's revision is another.
    #[error("another hub has changed it")]
    Conflict,
    /// There is no such bucket.
    #[error("there is no such bucket")]
    Missing,
    /// The engine did not do it, or did not say so.
    #[error("{0}")]
    Unreachable(String),
}
