//! Two sealed pairs back to back.

mod machines;
mod wakeups;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{
    AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, empty, sink, split,
};
use tokio::time::timeout;

use super::{Sealed, SealedReader, SealedWriter, SessionView, seal};
use crate::net::e2e::config::{Expected, SessionEnd, Sessions};
use crate::net::e2e::leaf::Leaf;
use crate::net::e2e::peers::FirstUse;
use crate::proto::e2e::StreamBinding;
use crate::proto::id::{Principal, Role};
use crate::proto::key::PrivateKey;
use crate::proto::limits::{EARLY_DATA_WAIT, FULL_MESSAGE_BYTES};
use crate::proto::secret::KeySeed;

/// The buffer of a pipe, in bytes: small, so that everything blocks often.
const PIPE: usize = 1000;
const LONG: Duration = Duration::from_secs(60 * 60);

fn key(seed: u8) -> Arc<PrivateKey> {
    Arc::new(PrivateKey::from_seed(&KeySeed::new([seed; 32])))
}

fn leaf(role: Role, id: &str, seed: u8) -> Leaf {
    Leaf::self_signed(&Principal { role, id: id.to_owned().try_into().unwrap() }, key(seed)).unwrap()
}

fn binding(device: &str, service: &str, stream: Option<&str>) -> StreamBinding {
    StreamBinding {
        device: device.parse().unwrap(),
        service: service.parse().unwrap(),
        stream: stream.map(|name| name.parse().unwrap()),
    }
}

/// One end: its application's pipe, and the halves that the pump has.
pub(in crate::net) struct End {
    pub(in crate::net) application: DuplexStream,
    pub(in crate::net) reader: SealedReader<ReadHalf<DuplexStream>>,
    pub(in crate::net) writer: SealedWriter<WriteHalf<DuplexStream>>,
    pub(in crate::net) view: SessionView,
}

impl End {
    fn new(end: SessionEnd) -> Self {
        let (application, local) = duplex(PIPE);
        let Sealed { reader, writer, session: view } = seal(split(local), end, Arc::default(), EARLY_DATA_WAIT);
        view.start_deadline();
        Self { application, reader, writer, view }
    }

    fn device(leaf: &Leaf, expected: Expected) -> Self {
        Self::new(Sessions::default().device_end(leaf, expected, Arc::new(FirstUse::default())).unwrap())
    }

    fn service(leaf: &Leaf, expected: Expected) -> Self {
        Self::new(Sessions::default().service_end(leaf, expected, Arc::new(FirstUse::default())).unwrap())
    }
}

/// The ends of a stream of `alice` to `pi-42`, each of which knows the other's key or meets it for the first time.
pub(in crate::net) fn ends(known: bool) -> (End, End) {
    let stream = || binding("pi-42", "alice", None);
    let known = |seed: u8| known.then(|| vec![key(seed).public()]);
    (
        End::service(&leaf(Role::Service, "alice", 1), Expected::device(stream(), known(2))),
        End::device(&leaf(Role::Device, "pi-42", 2), Expected::service(stream(), false, known(1))),
    )
}

/// The sessions of the ends of a stream of `alice` to `pi-42`, who know each other.
fn session_ends() -> [SessionEnd; 2] {
    let (sessions, stream) = (Sessions::default(), || binding("pi-42", "alice", None));
    let known = |seed| Some(vec![key(seed).public()]);
    let alice = leaf(Role::Service, "alice", 1);
    let service = sessions.service_end(&alice, Expected::device(stream(), known(2)), Arc::new(FirstUse::default()));
    let pi = leaf(Role::Device, "pi-42", 2);
    let expected = Expected::service(stream(), false, known(1));
    let device = Sessions::default().device_end(&pi, expected, Arc::new(FirstUse::default()));
    [service.unwrap(), device.unwrap()]
}

/// The ends of a stream of `alice` to `pi-42`, who knows another key of hers.
pub(in crate::net) fn ends_of_another_alice() -> (End, End) {
    let stream = || binding("pi-42", "alice", None);
    (
        End::service(&leaf(Role::Service, "alice", 1), Expected::device(stream(), None)),
        End::device(&leaf(Role::Device, "pi-42", 2), Expected::service(stream(), false, Some(vec![key(9).public()]))),
    )
}

/// What a hub does to a direction of a stream.
#[derive(Debug, Clone, Copy)]
enum Hub {
    /// Carries pieces of at most this size.
    Honest(usize),
    /// Ends the stream after this many bytes.
    Cuts(usize),
    /// Changes a bit of the byte at this position.
    Changes(usize),
    /// Leaves out the byte at this position.
    Drops(usize),
    /// Repeats the byte at this position.
    Repeats(usize),
}

/// Carries one direction of a stream as a pump does: each piece is flushed before the next is read. Returns the number of bytes
/// that were sent.
async fn carry(
    from: &mut SealedReader<ReadHalf<DuplexStream>>,
    to: &mut SealedWriter<WriteHalf<DuplexStream>>,
    hub: Hub,
) -> io::Result<usize> {
    let (mut buffer, mut carried) = (vec![0; if let Hub::Honest(size) = hub { size } else { 512 }], 0);
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await.map(|()| carried);
        }
        let mut bytes = buffer[..read].to_vec();
        let within = |position: usize| position.checked_sub(carried).filter(|index| *index < read);
        match hub {
            Hub::Cuts(length) => bytes.truncate(length.saturating_sub(carried)),
            Hub::Changes(position) => within(position).into_iter().for_each(|index| bytes[index] ^= 1),
            Hub::Drops(position) => within(position).into_iter().for_each(|index| _ = bytes.remove(index)),
            Hub::Repeats(position) => within(position).into_iter().for_each(|index| bytes.insert(index, bytes[index])),
            Hub::Honest(_) => {}
        }
        to.write_all(&bytes).await?;
        to.flush().await?;
        if bytes.len() < read && matches!(hub, Hub::Cuts(_)) {
            return to.shutdown().await.map(|()| carried);
        }
        carried += read;
    }
}

/// Sends bytes and ends its direction; returns what it received until the other direction ended, or its connection broke.
async fn exchange(application: DuplexStream, bytes: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = split(application);
    let send = async {
        writer.write_all(bytes).await?;
        writer.shutdown().await
    };
    let mut all = Vec::new();
    let _ = tokio::join!(send, reader.read_to_end(&mut all));
    all
}

/// Runs a stream. An error of either direction, and one that waits for the rest of a record for an hour, closes both local
/// connections. Returns the bytes carried up and down, and what the
/// applications at the service and at the device received.
async fn run(
    (mut service, mut device): (End, End),
    (up, down): (&[u8], &[u8]),
    [at_up, at_down]: [Hub; 2],
) -> (io::Result<(usize, usize)>, Vec<u8>, Vec<u8>) {
    let carried = async move {
        let both = async {
            tokio::try_join!(
                carry(&mut service.reader, &mut device.writer, at_up),
                carry(&mut device.reader, &mut service.writer, at_down),
            )
        };
        timeout(LONG, both).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
    };
    tokio::join!(carried, exchange(service.application, up), exchange(device.application, down))
}

fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|index| ((index * 31 + seed) >> 3) as u8).collect()
}

#[tokio::test(start_paused = true)]
async fn both_directions_carry_all_bytes_and_end_independently_whatever_the_size_of_messages() {
    for (size, length) in [(1, 3000), (100, 100_000), (65_528, 3_000_000)] {
        let (up, down) = (pattern(length, 1), pattern(length / 3, 2));
        let (carried, at_service, at_device) = run(ends(size > 1), (&up, &down), [Hub::Honest(size); 2]).await;
        carried.unwrap();
        assert!(at_service == down && at_device == up, "wrong bytes arrived");
    }
}

/// The bytes of a short stream each way.
const UP: &[u8] = b"what the operator types";
const DOWN: &[u8] = b"what the device shows";

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_cut_off_or_altered_at_any_byte_breaks_and_delivers_no_wrong_one() {
    let (carried, ..) = run(ends(true), (UP, DOWN), [Hub::Honest(512); 2]).await;
    let (up, down) = carried.unwrap();
    let faults: [fn(usize) -> Hub; 4] = [Hub::Cuts, Hub::Changes, Hub::Drops, Hub::Repeats];
    let mut ignored = 0;
    for fault in faults {
        let ups = (0..up).map(|position| [fault(position), Hub::Honest(512)]);
        for hub in ups.chain((0..down).map(|position| [Hub::Honest(512), fault(position)])) {
            let (carried, at_service, at_device) = run(ends(true), (UP, DOWN), hub).await;
            assert!(DOWN.starts_with(&at_service) && UP.starts_with(&at_device), "{hub:?}");
            if carried.is_ok() {
                assert!(at_service == DOWN && at_device == UP, "{hub:?} went unnoticed");
                ignored += 1;
            }
        }
    }
    // A receiver ignores the type and the version in the headers of encrypted records (RFC 8446 section 5.2), the version
    // before (section 5.1), and what follows the end.
    assert!(ignored <= 20, "{ignored} changes did not matter");
}

#[tokio::test(start_paused = true)]
async fn ends_that_are_not_who_the_stream_is_for_exchange_nothing() {
    let (alice, bob) = (|| leaf(Role::Service, "alice", 1), || leaf(Role::Service, "bob", 3));
    let (pi_42, pi_43) = (|| leaf(Role::Device, "pi-42", 2), || leaf(Role::Device, "pi-43", 4));
    let known = |seeds: &[u8]| Some(seeds.iter().map(|seed| key(*seed).public()).collect::<Vec<_>>());
    let stream = |name| binding("pi-42", "alice", name);
    let wanted = || Expected::device(stream(None), known(&[2]));
    let asked = || Expected::service(stream(None), false, known(&[1]));
    let cases = [
        ("another device with its own key", End::service(&alice(), wanted()), End::device(&pi_43(), asked())),
        (
            "another key as the device, where one is known",
            End::service(&alice(), wanted()),
            End::device(&leaf(Role::Device, "pi-42", 9), asked()),
        ),
        (
            "another device, where none is known",
            End::service(&alice(), Expected::device(stream(None), None)),
            End::device(&pi_43(), asked()),
        ),
        ("another service", End::service(&bob(), wanted()), End::device(&pi_42(), asked())),
        (
            "another key as the service",
            End::service(&leaf(Role::Service, "alice", 9), wanted()),
            End::device(&pi_42(), asked()),
        ),
        (
            "a service as the device",
            End::service(&alice(), wanted()),
            End::device(&leaf(Role::Service, "pi-42", 2), asked()),
        ),
        (
            "a device as the service",
            End::service(&leaf(Role::Device, "alice", 1), wanted()),
            End::device(&pi_42(), asked()),
        ),
        (
            "another stream",
            End::service(&alice(), Expected::device(stream(Some("web")), known(&[2]))),
            End::device(&pi_42(), Expected::service(stream(Some("ssh")), false, known(&[1]))),
        ),
        (
            "another name for the same service",
            End::service(&alice(), wanted()),
            End::device(&pi_42(), Expected::service(binding("pi-42", "bob", None), false, known(&[1]))),
        ),
    ];
    for (who, service, device) in cases {
        let views = [service.view.clone(), device.view.clone()];
        let (carried, at_service, at_device) = run((service, device), (UP, DOWN), [Hub::Honest(512); 2]).await;
        assert!(carried.is_err(), "{who}");
        assert!(at_service.is_empty() && at_device.is_empty(), "{who}");
        assert!(views.iter().any(|view| view.failure().is_some()), "{who}");
    }
}

/// An application's input that notes the length of each write.
#[derive(Default)]
struct Writes(Vec<usize>);

impl AsyncWrite for Writes {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.push(bytes.len());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn the_records_of_a_message_are_one_write_to_the_application() {
    let sent = vec![7; 4 * FULL_MESSAGE_BYTES];
    let [service, device] = session_ends();
    let mut service = seal((sent.as_slice(), sink()), service, Arc::default(), EARLY_DATA_WAIT);
    let mut device = seal((empty(), Writes::default()), device, Arc::default(), EARLY_DATA_WAIT);
    let (mut message, mut messages) = (vec![0; FULL_MESSAGE_BYTES], 0);
    loop {
        let read = service.reader.read(&mut message).await.unwrap();
        if read == 0 {
            break;
        }
        messages += 1;
        device.writer.write_all(&message[..read]).await.unwrap();
        device.writer.flush().await.unwrap();
        if messages == 1 {
            let read = device.reader.read(&mut message).await.unwrap();
            service.writer.write_all(&message[..read]).await.unwrap();
        }
    }
    let writes = device.writer.local.0;
    assert_eq!(writes.iter().sum::<usize>(), sent.len());
    assert!(writes.len() < messages, "{writes:?}");
}
