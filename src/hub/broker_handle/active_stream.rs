//! A joined stream, for the tasks that observe or end it.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::hub::admission::relief::Reader;
use crate::net::os::send_queues::Ends;
use crate::net::tunnel::relay::{Backlog, Backlogs, ByteCounters};
use crate::proto::id::Role;
use crate::proto::refusal::{Refusal, RefusalKind};

/// A joined stream.
#[derive(Debug, Default)]
pub(in crate::hub) struct ActiveStream {
    /// Bytes relayed so far, across interruptions.
    pub counters: Arc<ByteCounters>,
    /// What waits for its ends.
    pub backlogs: Backlogs,
    /// Cancelled to end the stream.
    pub cancel: CancellationToken,
    /// The reason, if the hub ended the stream.
    reason: OnceLock<Refusal>,
    /// The connections of the device and of the service.
    connections: OnceLock<[Option<Ends>; 2]>,
    /// The ends' progress, as seen last, where something waits for them.
    readers: Mutex<[Option<Reader>; 2]>,
}

/// Bytes that wait for an end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnreadBytes {
    pub(super) bytes: u64,
    /// The end.
    pub(super) reader: Role,
    /// The time by which it is behind.
    pub(super) behind: Duration,
}

impl ActiveStream {
    /// A stream that goes on with the counters of an earlier connection.
    pub(super) fn with_counters(counters: Arc<ByteCounters>) -> Self {
        Self { counters, ..Self::default() }
    }

    /// Sets the connections of the device and of the service.
    pub(in crate::hub) fn set_connections(&self, connections: [Option<Ends>; 2]) {
        let _ = self.connections.set(connections);
    }

    /// Ends the stream for a reason.
    pub(super) fn end(&self, reason: Refusal) {
        let _ = self.reason.set(reason);
        self.cancel.cancel();
    }

    /// Returns the reason for which the hub ended the stream.
    pub(in crate::hub) fn end_reason(&self) -> Refusal {
        self.reason.get().cloned().unwrap_or_else(|| RefusalKind::Draining.into())
    }

    /// Notes what the kernel holds for the ends that something waits for: what was written and is not there was taken.
    pub(super) fn note_queues(&self, lengths: &HashMap<Ends, u64>, now: Instant) {
        let Some(connections) = self.connections.get() else { return };
        let mut readers = self.readers.lock();
        for ((reader, connection), (backlog, _)) in readers.iter_mut().zip(connections).zip(self.ends()) {
            let length = connection.and_then(|ends| lengths.get(&ends)).copied().unwrap_or_default();
            *reader = backlog.waiting().map(|waiting| {
                let taken = waiting.written().saturating_sub(length);
                reader.map_or_else(|| Reader::new(taken, now), |before| before.look(taken, now))
            });
        }
    }

    /// Returns what waits for the stream's ends. One for whom the kernel's queue was never looked at may be reading.
    pub(super) fn held(&self, now: Instant) -> Option<UnreadBytes> {
        let readers = *self.readers.lock();
        let waiting = self.ends().into_iter().zip(readers).filter_map(|((backlog, role), reader)| {
            let behind = reader.map_or(Duration::ZERO, |reader| reader.behind(now));
            Some(UnreadBytes { bytes: backlog.waiting()?.bytes, reader: role, behind })
        });
        // A stream of which one end reads is not at rest.
        waiting.reduce(|one, other| UnreadBytes {
            bytes: one.bytes + other.bytes,
            ..if one.behind < other.behind { one } else { other }
        })
    }

    fn ends(&self) -> [(&Backlog, Role); 2] {
        [(&self.backlogs.to_device, Role::Device), (&self.backlogs.to_service, Role::Service)]
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::AsyncWriteExt as _;
    use tokio::time::sleep;

    use super::*;
    use crate::net::liveness::LivenessIo;
    use crate::net::os::clock;

    /// The kernel takes nothing from the hub meanwhile: it still has much for the reader.
    #[tokio::test(start_paused = true)]
    async fn a_reader_is_behind_by_what_it_leaves_in_the_kernels_queue() {
        const SECOND: Duration = Duration::from_secs(1);
        let (mut sink, liveness) = LivenessIo::new(tokio::io::sink());
        sink.write_all(&[0; 100_000]).await.unwrap();
        let active = ActiveStream::default();
        let ends = ((Ipv4Addr::LOCALHOST, 1).into(), (Ipv4Addr::LOCALHOST, 2).into());
        active.set_connections([Some(ends), None]);
        assert_eq!(active.held(clock::now()), None);
        let script = async {
            sleep(20 * SECOND).await;
            let held = active.held(clock::now()).expect("a message waits");
            assert_eq!((held.bytes, held.reader), (300, Role::Device));
            assert_eq!(held.behind, Duration::ZERO, "nobody has looked at the queue");
            let mut behind = Vec::new();
            for length in [90_000, 90_000, 90_000, 80_000, 10_000, 10_000] {
                active.note_queues(&HashMap::from([(ends, length)]), clock::now());
                behind.push(active.held(clock::now()).expect("it still waits").behind.as_secs());
                sleep(SECOND).await;
            }
            assert_eq!(behind, [0, 1, 2, 1, 0, 1]);
        };
        tokio::select! {
            () = active.backlogs.to_device.during(100, &liveness, std::future::pending()) => {}
            () = script => {}
        }
        assert_eq!(active.held(clock::now()), None, "it was sent, or the stream has ended");
    }
}
