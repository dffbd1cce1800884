//! A bucket in JetStream's key-value store, laid out as its tools expect: a stream whose subjects are the keys, with the last
//! messages of each. Nothing that a server of version 2.9 lacks is used.

use std::error::Error;
use std::sync::atomic::Ordering;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::push::{Ordered, OrderedConfig};
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{
    Config, ConsumerError, ConsumerErrorKind, DiscardPolicy, LastRawMessageError, LastRawMessageErrorKind, StorageType,
    Stream as JetStreamStream,
};
use async_nats::jetstream::{Context, ErrorCode, Message};
use async_nats::{Client, HeaderMap, HeaderValue, header, jetstream};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt as _, iter};

use crate::hub::cluster::bucket::{Bucket, BucketError, BucketState, Entry, Update, WatchResult};

/// The last values of a key that are kept: more than there are hubs that change one identity at the same moment. The order of such
/// values says which of them was the first.
const KEPT_VALUES: i64 = 8;

/// A bucket of a NATS server or cluster.
pub struct NatsBucket {
    client: Client,
    context: Context,
    /// The name of its stream.
    stream: String,
    /// What a key's subject begins with.
    prefix: String,
    /// The number of servers that store it.
    replicas: usize,
}

impl NatsBucket {
    /// Names a bucket, which need not exist. A name has letters, digits, `-` and `_`.
    pub fn new(client: Client, name: &str, replicas: usize) -> Self {
        let (stream, prefix) = (format!("KV_{name}"), format!("$KV.{name}."));
        Self { context: jetstream::new(client.clone()), client, stream, prefix, replicas }
    }

    async fn stream(&self) -> Result<JetStreamStream<()>, BucketError> {
        self.context.get_stream_no_info(&self.stream).await.map_err(unreachable)
    }

    /// Puts a value if it is the first after the one with this revision. Servers before 2.10 that replicate a stream also store one
    /// that came while another one was on its way, and confirm both: the order in which they are stored decides.
    async fn put_message(&self, key: &str, value: Bytes, expected: u64) -> Result<u64, BucketError> {
        let published = self.publish(key, value.clone(), expected).await;
        if let Err(BucketError::Unreachable(_) | BucketError::Missing) = published {
            return published;
        }
        // Of a conflict an earlier attempt may be the cause, whose confirmation was lost.
        let Some(first) = self.first_after(key, expected).await? else { return Err(BucketError::Conflict) };
        if first.value == value {
            return Ok(first.revision);
        }
        let last = self.get_message(key).await?.filter(|last| last.value == value);
        if let Some(last) = last
            && let Err(error) = self.publish(key, first.value, last.revision).await
        {
            tracing::debug!(target: "cluster", %error, "whoever was last puts the value again that was first");
        }
        Err(BucketError::Conflict)
    }

    /// Returns the first value of a key after this revision.
    async fn first_after(&self, key: &str, revision: u64) -> Result<Option<Entry>, BucketError> {
        let subject = format!("{}{key}", self.prefix);
        found(key, self.stream().await?.get_first_raw_message_by_subject(&subject, revision + 1).await)
    }

    async fn publish(&self, key: &str, value: Bytes, expected: u64) -> Result<u64, BucketError> {
        let subject = format!("{}{key}", self.prefix);
        let mut headers = HeaderMap::new();
        headers.insert(header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(expected));
        let sent = self.context.publish_with_headers(subject, headers, value).await;
        let confirmed = sent.map_err(|error| put_failed(&error))?.await;
        confirmed.map(|confirmed| confirmed.sequence).map_err(|error| put_failed(&error))
    }

    async fn get_message(&self, key: &str) -> Result<Option<Entry>, BucketError> {
        let subject = format!("{}{key}", self.prefix);
        found(key, self.stream().await?.get_last_raw_message_by_subject(&subject).await)
    }

    async fn messages(&self, after: u64) -> Result<(Ordered, bool), BucketError> {
        let deliver_policy = match after {
            0 => DeliverPolicy::LastPerSubject,
            after => DeliverPolicy::ByStartSequence { start_sequence: after + 1 },
        };
        let config = OrderedConfig {
            deliver_subject: self.client.new_inbox(),
            filter_subject: format!("{}>", self.prefix),
            deliver_policy,
            ..Default::default()
        };
        let consumer = self.stream().await?.create_consumer(config).await.map_err(watch_failed)?;
        let is_listed = consumer.cached_info().num_pending == 0;
        Ok((consumer.messages().await.map_err(unreachable)?, is_listed))
    }

    async fn watch_messages(&self, after: u64) -> Result<BoxStream<'static, WatchResult>, BucketError> {
        let (messages, mut is_listed) = self.messages(after).await?;
        let prefix = self.prefix.clone();
        let start = iter(is_listed.then_some(Ok(Update::Listed)));
        let updates = messages.flat_map(move |message| {
            let update = message.map_err(unreachable).and_then(|message| entry(&prefix, &message));
            let (update, pending) = match update {
                Ok((entry, pending)) => (Ok(Update::Entry(entry)), pending),
                Err(error) => (Err(error), u64::MAX),
            };
            let is_last = !is_listed && pending == 0;
            is_listed |= is_last;
            iter([Some(update), is_last.then_some(Ok(Update::Listed))].into_iter().flatten())
        });
        Ok(start.chain(updates).boxed())
    }
}

/// Returns a message's entry and the number of those that wait behind it.
fn entry(prefix: &str, message: &Message) -> Result<(Entry, u64), BucketError> {
    let info = message.info().map_err(|error| BucketError::Unreachable(error.to_string()))?;
    let key = message.subject.strip_prefix(prefix).unwrap_or_default().to_owned();
    Ok((Entry { key, value: message.payload.clone(), revision: info.stream_sequence }, info.pending))
}

fn found(key: &str, message: Result<StreamMessage, LastRawMessageError>) -> Result<Option<Entry>, BucketError> {
    match message {
        Ok(message) => Ok(Some(Entry { key: key.into(), value: message.payload, revision: message.sequence })),
        Err(error) => match error.kind() {
            LastRawMessageErrorKind::NoMessageFound => Ok(None),
            LastRawMessageErrorKind::JetStream(cause) if cause.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                Err(BucketError::Missing)
            }
            LastRawMessageErrorKind::InvalidSubject
            | LastRawMessageErrorKind::JetStream(_)
            | LastRawMessageErrorKind::Other => Err(unreachable(error)),
        },
    }
}

fn unreachable(error: impl Error) -> BucketError {
    BucketError::Unreachable(error.to_string())
}

/// The error of a call that fails where there is no such stream.
fn failed(error: impl Error + 'static) -> BucketError {
    if code_of(&error) == Some(ErrorCode::STREAM_NOT_FOUND) { BucketError::Missing } else { unreachable(error) }
}

fn watch_failed(error: ConsumerError) -> BucketError {
    match error.kind() {
        ConsumerErrorKind::JetStream(cause) if cause.error_code() == ErrorCode::STREAM_NOT_FOUND => {
            BucketError::Missing
        }
        ConsumerErrorKind::JetStream(_)
        | ConsumerErrorKind::TimedOut
        | ConsumerErrorKind::Request
        | ConsumerErrorKind::InvalidConsumerType
        | ConsumerErrorKind::InvalidName
        | ConsumerErrorKind::Other => unreachable(error),
    }
}

fn put_failed(error: &PublishError) -> BucketError {
    let is_conflict = error.kind() == PublishErrorKind::WrongLastSequence
        // A later server's word for the same, while another put of the key is on its way.
        || code_of(error) == Some(ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT);
    if is_conflict { BucketError::Conflict } else { unreachable(error) }
}

/// Returns the code that JetStream gave, which is among the causes of an error.
fn code_of(error: &(dyn Error + 'static)) -> Option<ErrorCode> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<jetstream::Error>() {
            return Some(found.error_code());
        }
        cause = error.source();
    }
    None
}

impl Bucket for NatsBucket {
    fn create(&self) -> BoxFuture<'_, Result<(), BucketError>> {
        let config = Config {
            name: self.stream.clone(),
            subjects: vec![format!("{}>", self.prefix)],
            max_messages_per_subject: KEPT_VALUES,
            discard: DiscardPolicy::New,
            storage: StorageType::File,
            num_replicas: self.replicas,
            deny_delete: true,
            allow_rollup: true,
            ..Default::default()
        };
        Box::pin(async { self.context.get_or_create_stream(config).await.map(drop).map_err(unreachable) })
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, BucketError>> {
        Box::pin(self.get_message(key))
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, expected: u64) -> BoxFuture<'a, Result<u64, BucketError>> {
        Box::pin(self.put_message(key, value, expected))
    }

    fn watch(&self, after: u64) -> BoxFuture<'_, Result<BoxStream<'static, WatchResult>, BucketError>> {
        Box::pin(self.watch_messages(after))
    }

    fn state(&self) -> BoxFuture<'_, Result<BucketState, BucketError>> {
        Box::pin(async {
            let info = self.stream().await?.get_info().await.map_err(failed)?;
            Ok(BucketState {
                revision: info.state.last_sequence,
                keys: info.state.subjects_count,
                leader: info.cluster.and_then(|cluster| cluster.leader),
                connections: self.client.statistics().connects.load(Ordering::Relaxed),
            })
        })
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests;
