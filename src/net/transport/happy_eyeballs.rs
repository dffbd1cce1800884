//! Happy eyeballs (RFC 8305): connects to the addresses of a name, alternating between families, and uses whichever
//! answers first.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};

use crate::proto::limits::{CONNECTION_ATTEMPT_DELAY, DIAL_ADDRESSES};

/// An address that could not be reached, and the error: [`io::ErrorKind::TimedOut`] if it did not answer.
pub type FailedAttempt = (SocketAddr, io::Error);

/// Connects to each address [`CONNECTION_ATTEMPT_DELAY`] after the one before, or at once when one fails. Returns the
/// first connection and abandons the other attempts; an error lists all failures. Each attempt ends after
/// `attempt_timeout`; the caller sets a deadline for the whole.
pub async fn race<T, F>(
    addresses: Vec<SocketAddr>,
    attempt_timeout: Duration,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<(T, SocketAddr), Vec<FailedAttempt>>
where
    F: Future<Output = io::Result<T>>,
{
    let mut queue = interleaved(addresses);
    queue.truncate(DIAL_ADDRESSES);
    let (mut attempts, mut failures) = (FuturesUnordered::new(), Vec::new());
    loop {
        if let Some(address) = queue.pop_front() {
            attempts.push(attempt(address, attempt_timeout, connect(address)));
        }
        tokio::select! {
            done = attempts.next() => match done {
                Some(Ok(connected)) => return Ok(connected),
                Some(Err(failed)) => failures.push(failed),
                None => return Err(failures),
            },
            () = sleep(CONNECTION_ATTEMPT_DELAY), if !queue.is_empty() => {}
        }
    }
}

async fn attempt<T>(
    address: SocketAddr,
    attempt_timeout: Duration,
    connecting: impl Future<Output = io::Result<T>>,
) -> Result<(T, SocketAddr), FailedAttempt> {
    match timeout(attempt_timeout, connecting).await {
        Ok(Ok(stream)) => Ok((stream, address)),
        Ok(Err(error)) => Err((address, explain(address, error))),
        Err(_) => {
            let message = format!("no answer in {} s", attempt_timeout.as_secs());
            Err((address, io::Error::new(io::ErrorKind::TimedOut, message)))
        }
    }
}

/// Says which of its two causes "cannot assign requested address" (EADDRNOTAVAIL) has: a UDP socket, which takes a port of
/// another kind, still connects if only the local ports are used up; that error is [`io::ErrorKind::ResourceBusy`].
fn explain(address: SocketAddr, error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::AddrNotAvailable {
        return error;
    }
    let any: IpAddr = if address.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    if UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(address)).is_ok() {
        let what =
            "no local port is free for it: too many connections to this address are open or have just been closed";
        return io::Error::new(io::ErrorKind::ResourceBusy, what);
    }
    let what = "this machine has no address from which to reach it: an interface is down, or IPv6 is off";
    io::Error::new(io::ErrorKind::AddrNotAvailable, what)
}

/// Orders addresses by alternating families, beginning with the resolver's first address, and by the resolver's order
/// within each family (RFC 8305 section 4).
fn interleaved(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == first_is_ipv6);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut all = VecDeque::new();
    loop {
        let pair = [one.next(), other.next()];
        if pair == [None, None] {
            return all;
        }
        all.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::net::os::clock;
    use crate::proto::limits::DIAL_ADDRESS_TIMEOUT;

    const SIX: [&str; 3] = ["[fd00::1]:1", "[fd00::2]:1", "[fd00::3]:1"];
    const FOUR: [&str; 2] = ["10.0.0.1:1", "10.0.0.2:1"];

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_alternate_beginning_with_the_resolvers_first_address() {
        let given = [SIX.as_slice(), &FOUR].concat();
        let expected = addresses(&[SIX[0], FOUR[0], SIX[1], FOUR[1], SIX[2]]);
        assert_eq!(interleaved(addresses(&given)), expected);
        let given = [FOUR.as_slice(), &SIX].concat();
        let expected = addresses(&[FOUR[0], SIX[0], FOUR[1], SIX[1], SIX[2]]);
        assert_eq!(interleaved(addresses(&given)), expected);
        assert!(interleaved(Vec::new()).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_address_costs_only_the_delay_before_the_next_attempt() {
        let start = clock::now();
        let good: SocketAddr = FOUR[0].parse().unwrap();
        let connect = |address| async move { if address == good { Ok(()) } else { pending().await } };
        let ((), connected) = race(addresses(&[SIX[0], SIX[1], FOUR[0]]), DIAL_ADDRESS_TIMEOUT, connect).await.unwrap();
        assert_eq!((connected, clock::now() - start), (good, CONNECTION_ATTEMPT_DELAY));
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_attempt_that_connects_first_wins() {
        let slow: SocketAddr = SIX[0].parse().unwrap();
        let connect = |address| async move {
            sleep(Duration::from_millis(if address == slow { 300 } else { 5000 })).await;
            Ok(())
        };
        assert_eq!(race(addresses(&[SIX[0], FOUR[0]]), DIAL_ADDRESS_TIMEOUT, connect).await.unwrap().1, slow);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_attempt_starts_the_next_at_once_and_all_failures_are_returned() {
        let start = clock::now();
        let connect = |address: SocketAddr| async move {
            if address.is_ipv6() { pending().await } else { Err::<(), _>(io::ErrorKind::ConnectionRefused.into()) }
        };
        let failures = race(addresses(&[FOUR[0], FOUR[1], SIX[0]]), DIAL_ADDRESS_TIMEOUT, connect).await.unwrap_err();
        assert_eq!(clock::now() - start, DIAL_ADDRESS_TIMEOUT);
        assert_eq!(
            failures.iter().map(|(address, _)| *address).collect::<Vec<_>>(),
            addresses(&[FOUR[0], FOUR[1], SIX[0]])
        );
        let last = &failures[2].1;
        assert_eq!((last.kind(), last.to_string().as_str()), (io::ErrorKind::TimedOut, "no answer in 6 s"));
        assert!(race(Vec::new(), DIAL_ADDRESS_TIMEOUT, connect).await.unwrap_err().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_limited_for_a_name_with_hundreds_of_addresses() {
        let many = (0..200).map(|n| SocketAddr::from(([10, 0, 0, n], 1))).collect();
        let connect = |_| async { Err::<(), _>(io::ErrorKind::ConnectionRefused.into()) };
        assert_eq!(race(many, DIAL_ADDRESS_TIMEOUT, connect).await.unwrap_err().len(), DIAL_ADDRESSES);
    }
}
