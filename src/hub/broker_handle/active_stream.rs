//! A joined stream, for the tasks that observe or end it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::hub::admission::relief::{Awaited, HeldBytes, Progress};
use crate::net::liveness::Liveness;
use crate::net::os::send_queues::Ends;
use crate::net::tunnel::relay::{Backlog, Backlogs, ByteCounters, WaitingBytes};
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
    /// The stream ends for its memory.
    is_freed: AtomicBool,
    /// The connections of the device and of the service.
    connections: OnceLock<[EndConnection; 2]>,
    /// The progress of the device's and the service's reading, then of their sending, as seen last.
    progress: Mutex<[Option<Progress>; 4]>,
}

/// The connection of one end of a stream.
#[derive(Debug)]
pub(in crate::hub) struct EndConnection {
    /// Its addresses, as the kernel lists them.
    pub(in crate::hub) ends: Option<Ends>,
    pub(in crate::hub) liveness: Arc<Liveness>,
}

impl ActiveStream {
    /// A stream that goes on with the counters of an earlier connection.
    pub(super) fn with_counters(counters: Arc<ByteCounters>, waiting: &Arc<WaitingBytes>) -> Self {
        Self { counters, backlogs: Backlogs::new(waiting), ..Self::default() }
    }

    /// Sets the connections of the device and of the service.
    pub(in crate::hub) fn set_connections(&self, connections: [EndConnection; 2]) {
        let _ = self.connections.set(connections);
    }

    /// Ends the stream for a reason.
    pub(super) fn end(&self, reason: Refusal) {
        let _ = self.reason.set(reason);
        self.cancel.cancel();
    }

    /// Has the stream free its memory soon when it ends.
    pub(super) fn free(&self) {
        self.is_freed.store(true, Ordering::Relaxed);
    }

    /// Reports whether the stream is to free its memory soon.
    pub(in crate::hub) fn is_freed(&self) -> bool {
        self.is_freed.load(Ordering::Relaxed)
    }

    /// Returns the reason for which the hub ended the stream.
    pub(in crate::hub) fn end_reason(&self) -> Refusal {
        self.reason.get().cloned().unwrap_or_else(|| RefusalKind::Draining.into())
    }

    /// Notes how far the ends have come that something waits for. What was written and is not in the kernel's queue was
    /// taken.
    pub(super) fn note_queues(&self, lengths: &HashMap<Ends, u64>, now: Instant) {
        let Some(connections) = self.connections.get() else { return };
        let taken = self.readings().map(|(backlog, _)| backlog.waiting()).into_iter().zip(connections);
        let taken = taken.map(|(waiting, connection)| {
            let length = connection.ends.and_then(|ends| lengths.get(&ends)).copied().unwrap_or_default();
            waiting.map(|waiting| waiting.written().saturating_sub(length))
        });
        let sent = connections.iter().map(|connection| Some(connection.liveness.incomplete()).filter(|sent| *sent > 0));
        for (progress, moved) in self.progress.lock().iter_mut().zip(taken.chain(sent)) {
            *progress = moved.map(|moved| match *progress {
                // A message after the one before is as good as all of it.
                Some(before) if moved >= before.moved() => before.look(moved, now),
                _ => Progress::new(moved, now),
            });
        }
    }

    /// Returns what is held until the stream's ends go on. One that was never looked at may be doing so.
    pub(super) fn held(&self, now: Instant) -> Option<HeldBytes> {
        let progress = *self.progress.lock();
        let unread =
            self.readings().map(|(backlog, role)| (role, Awaited::Reading, backlog.waiting().map(|it| it.bytes)));
        let unsent = self.connections.get().into_iter().flatten().zip([Role::Device, Role::Service]);
        let unsent = unsent.map(|(connection, role)| {
            (role, Awaited::Sending, Some(connection.liveness.incomplete()).filter(|sent| *sent > 0))
        });
        let held = unread.into_iter().chain(unsent).zip(progress).filter_map(|((end, awaited, bytes), progress)| {
            let behind = progress.map_or(Duration::ZERO, |progress| progress.behind(now));
            let watched = progress.map_or(Duration::ZERO, |progress| progress.watched(now));
            Some(HeldBytes { bytes: bytes?, end, awaited, behind, watched })
        });
        // A stream of which one end goes on is not at rest.
        held.reduce(|one, other| HeldBytes {
            bytes: one.bytes + other.bytes,
            watched: one.watched.max(other.watched),
            ..if one.behind < other.behind { one } else { other }
        })
    }

    fn readings(&self) -> [(&Backlog, Role); 2] {
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
        let [device, service] = [Some(ends), None].map(|ends| EndConnection { ends, liveness: liveness.clone() });
        active.set_connections([device, service]);
        assert_eq!(active.held(clock::now()), None);
        let script = async {
            sleep(20 * SECOND).await;
            let held = active.held(clock::now()).expect("a message waits");
            assert_eq!((held.bytes, held.end), (300, Role::Device));
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
