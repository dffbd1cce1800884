//! What every bucket does, the one in memory and a server's.

use futures_util::stream::{BoxStream, StreamExt as _};

use super::{Bucket, BucketError, Entry, Update, WatchResult};

fn entry(key: &str, value: &'static str, revision: u64) -> Entry {
    Entry { key: key.into(), value: value.into(), revision }
}

async fn take(updates: &mut BoxStream<'static, WatchResult>, count: usize) -> Vec<Update> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(updates.next().await.unwrap().unwrap());
    }
    taken
}

/// Tries a new bucket.
pub(in crate::hub) async fn keeps_the_contract(bucket: &dyn Bucket) {
    bucket.create().await.unwrap();
    bucket.create().await.unwrap();
    assert_eq!(take(&mut bucket.watch(0).await.unwrap(), 1).await, [Update::Listed], "empty");
    assert_eq!(bucket.get("id.d.pi").await, Ok(None));
    assert_eq!(bucket.put("id.d.pi", "1".into(), 7).await, Err(BucketError::Conflict));
    assert_eq!(bucket.put("id.d.pi", "1".into(), 0).await, Ok(1));
    assert_eq!(bucket.put("id.d.pi", "x".into(), 0).await, Err(BucketError::Conflict));
    assert_eq!(bucket.put("id.d.a=2E=2Eb", "2".into(), 0).await, Ok(2));
    assert_eq!(bucket.put("enr.1", "3".into(), 2).await, Err(BucketError::Conflict), "another key's revision");
    assert_eq!(bucket.put("id.d.pi", "3".into(), 1).await, Ok(3));
    assert_eq!(bucket.put("id.d.pi", "x".into(), 1).await, Err(BucketError::Conflict));
    assert_eq!(bucket.get("id.d.pi").await, Ok(Some(entry("id.d.pi", "3", 3))));
    let mut all = bucket.watch(0).await.unwrap();
    let mut later = bucket.watch(2).await.unwrap();
    let [two, three] = [entry("id.d.a=2E=2Eb", "2", 2), entry("id.d.pi", "3", 3)].map(Update::Entry);
    assert_eq!(take(&mut all, 3).await, [two, three.clone(), Update::Listed]);
    assert_eq!(take(&mut later, 2).await, [three, Update::Listed]);
    assert_eq!(bucket.put("enr.1", "4".into(), 0).await, Ok(4));
    for watch in [&mut all, &mut later] {
        assert_eq!(take(watch, 1).await, [Update::Entry(entry("enr.1", "4", 4))]);
    }
    let state = bucket.state().await.unwrap();
    assert_eq!((state.revision, state.keys, state.connections), (4, 3, 1));
}

/// Tries a bucket that is gone.
pub(in crate::hub) async fn says_that_it_is_gone(bucket: &dyn Bucket) {
    assert_eq!(bucket.state().await, Err(BucketError::Missing));
    assert_eq!(bucket.get("a").await, Err(BucketError::Missing));
    assert!(matches!(bucket.watch(0).await.err(), Some(BucketError::Missing)));
    assert!(bucket.put("a", "1".into(), 0).await.is_err());
}
