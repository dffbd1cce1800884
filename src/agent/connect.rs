//! Connects a forward's target; failures become refusals with their cause.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpStream, lookup_host};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::net::os::listeners::is_listening;
use crate::net::transport::happy_eyeballs::{FailedAttempt, race};
use crate::net::transport::socket;
use crate::proto::forward::{Forward, HostPort};
use crate::proto::limits::TARGET_TIMEOUT;
use crate::proto::refusal::{Refusal, RefusalKind};

/// Connects to the target within [`TARGET_TIMEOUT`], its name's addresses raced by happy eyeballs (RFC 8305).
pub async fn connect(forward: &Forward) -> Result<TcpStream, Refusal> {
    let stream = connect_untuned(forward).await?;
    socket::tune(&stream);
    socket::reset_on_drop(&stream);
    Ok(stream)
}

/// Checks that something listens at the target. A listener on this machine is not connected to: it would log that, spend
/// its only turn on it, or be started for it. Elsewhere the connection is closed at once, without a reset.
pub async fn probe(forward: &Forward) -> Result<(), Refusal> {
    let local = local_addresses(forward);
    // The system's list of sockets takes milliseconds on a busy machine.
    if !local.is_empty() && spawn_blocking(move || is_listening(&local)).await.unwrap_or_default() {
        return Ok(());
    }
    connect_untuned(forward).await.map(drop)
}

/// The addresses of a target that is certainly on this machine.
fn local_addresses(forward: &Forward) -> Vec<SocketAddr> {
    match (forward.loopback_addresses(), forward.host.parse::<IpAddr>()) {
        (Some(addresses), _) => addresses.into(),
        (None, Ok(ip)) if ip.is_loopback() => vec![(ip, forward.port).into()],
        (None, _) => Vec::new(),
    }
}

async fn connect_untuned(forward: &Forward) -> Result<TcpStream, Refusal> {
    let lookup = async { Ok(lookup_host((forward.host.as_str(), forward.port)).await?.collect()) };
    match forward.loopback_addresses() {
        Some(addresses) => connect_in_order(forward, addresses, TcpStream::connect).await,
        None => resolve_and_race(forward, lookup, TcpStream::connect).await,
    }
}

/// Tries the second address only where nothing listens at the first: another program may listen there.
async fn connect_in_order<T, F>(
    forward: &Forward,
    [first, second]: [SocketAddr; 2],
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, Refusal>
where
    F: Future<Output = io::Result<T>>,
{
    match resolve_and_race(forward, async { Ok(vec![first]) }, &connect).await {
        Err(refused) if refused.kind == RefusalKind::TargetRefused => {
            resolve_and_race(forward, async { Ok(vec![second]) }, connect).await.map_err(|_| refused)
        }
        connected => connected,
    }
}

/// The deadline covers the lookup and every attempt.
async fn resolve_and_race<T, F>(
    forward: &Forward,
    lookup: impl Future<Output = io::Result<Vec<SocketAddr>>>,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, Refusal>
where
    F: Future<Output = io::Result<T>>,
{
    let target = HostPort(&forward.host, forward.port);
    let attempt = async {
        match race(lookup.await?, TARGET_TIMEOUT, connect).await {
            Ok((stream, _)) => Ok(stream),
            Err(failures) => Err(decisive_error(failures)),
        }
    };
    match timeout(TARGET_TIMEOUT, attempt).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(Refusal::new(refusal_kind(&error), format!("{target}: {error}"))),
        Err(_) => {
            let detail = format!("{target}: no answer in {} s", TARGET_TIMEOUT.as_secs());
            Err(Refusal::new(RefusalKind::TargetTimedOut, detail))
        }
    }
}

/// Kinds of failed attempts, the most telling first: the host is up, this machine has no port left, the host or a firewall
/// is silent, no route leads there.
const BY_PRECEDENCE: [RefusalKind; 4] =
    [RefusalKind::TargetRefused, RefusalKind::DeviceBusy, RefusalKind::TargetTimedOut, RefusalKind::TargetUnreachable];

/// The error of the kind that comes first in [`BY_PRECEDENCE`].
fn decisive_error(failures: Vec<FailedAttempt>) -> io::Error {
    let precedence = |error: &io::Error| BY_PRECEDENCE.iter().position(|kind| *kind == refusal_kind(error));
    let errors = failures.into_iter().map(|(_, error)| error);
    errors.min_by_key(precedence).unwrap_or_else(|| io::Error::other("the name has no address"))
}

fn refusal_kind(error: &io::Error) -> RefusalKind {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        RefusalKind::TargetRefused
    } else if error.kind() == io::ErrorKind::ResourceBusy {
        RefusalKind::DeviceBusy
    } else if error.kind() == io::ErrorKind::TimedOut {
        RefusalKind::TargetTimedOut
    } else {
        RefusalKind::TargetUnreachable
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::net::os::clock;
    use crate::proto::limits::CONNECTION_ATTEMPT_DELAY;

    const DEAD: &str = "[fd00::1]:22";
    const LIVE: &str = "10.0.0.1:22";

    /// Connects to a target with these addresses: the live one accepts or refuses at once, the dead one never answers.
    async fn connect_to(addresses: &[&str], answer: Result<(), io::ErrorKind>) -> Result<(), Refusal> {
        let live: SocketAddr = LIVE.parse().unwrap();
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let connect = |address| async move { if address == live { Ok(answer?) } else { pending().await } };
        resolve_and_race(&"ssh=target.test:22".parse().unwrap(), async { Ok(addresses) }, connect).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_whose_first_address_is_dead_connects_after_one_attempt_delay() {
        let started_at = clock::now();
        connect_to(&[DEAD, LIVE], Ok(())).await.unwrap();
        assert_eq!(clock::now() - started_at, CONNECTION_ATTEMPT_DELAY);
    }

    #[tokio::test]
    async fn the_second_loopback_address_is_tried_only_where_nothing_listens_at_the_first() {
        let forward: Forward = "22".parse().unwrap();
        let addresses = forward.loopback_addresses().unwrap();
        for (first, second, expected) in [
            (Some(io::ErrorKind::ConnectionRefused), None, Ok(1)),
            (None, None, Ok(0)),
            (Some(io::ErrorKind::ResourceBusy), None, Err(RefusalKind::DeviceBusy)),
            (
                Some(io::ErrorKind::ConnectionRefused),
                Some(io::ErrorKind::AddrNotAvailable),
                Err(RefusalKind::TargetRefused),
            ),
        ] {
            let connect = |address| async move {
                let (index, answer) = if address == addresses[0] { (0, first) } else { (1, second) };
                answer.map_or(Ok(index), |kind| Err(kind.into()))
            };
            let connected = connect_in_order(&forward, addresses, connect).await;
            assert_eq!(connected.map_err(|refusal| refusal.kind), expected, "{first:?} {second:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_without_a_live_address_times_out_within_the_limit() {
        let started_at = clock::now();
        let refusal = connect_to(&[DEAD], Ok(())).await.unwrap_err();
        assert_eq!((refusal.kind, clock::now() - started_at), (RefusalKind::TargetTimedOut, TARGET_TIMEOUT));
        assert_eq!(refusal.detail.as_str(), "target.test:22: no answer in 10 s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_connection_outranks_a_dead_address() {
        let refusal = connect_to(&[LIVE, DEAD], Err(io::ErrorKind::ConnectionRefused)).await.unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::TargetRefused);
        assert_eq!(connect_to(&[], Ok(())).await.unwrap_err().kind, RefusalKind::TargetUnreachable);
    }
}
