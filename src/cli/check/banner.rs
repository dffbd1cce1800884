//! What a target says first.

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

use crate::proto::check::{Greeting, starts_after};
use crate::proto::id::StreamName;

/// More of it than this is of no use to a person.
pub(super) const GREETING_BYTES: usize = 512;

/// Its first words, within the time that such a target may take.
pub(super) async fn listen(target: &mut (impl AsyncRead + Unpin), name: Option<&StreamName>) -> Greeting {
    let mut bytes = vec![0; GREETING_BYTES];
    match timeout(starts_after(name), target.read(&mut bytes)).await {
        Err(_) => Greeting::Silence,
        Ok(Ok(count)) if count > 0 => {
            bytes.truncate(count);
            Greeting::Said(bytes)
        }
        Ok(Ok(_) | Err(_)) => Greeting::End,
    }
}
