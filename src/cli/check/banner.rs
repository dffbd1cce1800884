//! What a target says first.

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

use crate::proto::check::{Banner, banner_timeout};
use crate::proto::id::StreamName;

/// More of it than this is of no use to a person.
pub(super) const BANNER_BYTES: usize = 512;

/// Its first words, within the time that such a target may take.
pub(super) async fn read_banner(target: &mut (impl AsyncRead + Unpin), name: Option<&StreamName>) -> Banner {
    let mut bytes = vec![0; BANNER_BYTES];
    match timeout(banner_timeout(name), target.read(&mut bytes)).await {
        Err(_) => Banner::Silent,
        Ok(Ok(count)) if count > 0 => {
            bytes.truncate(count);
            Banner::Received(bytes)
        }
        Ok(Ok(_) | Err(_)) => Banner::Closed,
    }
}
