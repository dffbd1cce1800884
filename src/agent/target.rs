//! Reaching a forward's target, and naming what went wrong if it cannot be reached.

use std::io;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::net::transport::socket;
use crate::proto::forward::{Forward, HostPort};
use crate::proto::limits::TARGET_TIMEOUT;
use crate::proto::refusal::{Refusal, RefusalKind};

/// Connects to the target, whichever of its addresses answers.
pub async fn connect(forward: &Forward) -> Result<TcpStream, Refusal> {
    let named = HostPort(&forward.host, forward.port);
    match timeout(TARGET_TIMEOUT, first(forward)).await {
        Ok(Ok(stream)) => {
            socket::tune(&stream);
            socket::reset_on_drop(&stream);
            Ok(stream)
        }
        Ok(Err(error)) => Err(Refusal::new(kind(&error), format!("{named}: {error}"))),
        Err(_) => Err(Refusal::new(RefusalKind::TargetTimedOut, format!("{named}: {} s", TARGET_TIMEOUT.as_secs()))),
    }
}

async fn first(forward: &Forward) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the name has no address");
    for address in lookup_host((forward.host.as_str(), forward.port)).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn kind(error: &io::Error) -> RefusalKind {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        RefusalKind::TargetRefused
    } else if error.kind() == io::ErrorKind::TimedOut {
        RefusalKind::TargetTimedOut
    } else {
        RefusalKind::TargetUnreachable
    }
}
