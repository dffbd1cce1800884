//! One stream of the proxy: opened, carried between its local connection and the device, and reported to the observer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;

use super::opener::{EarlyOptions, OpenedTunnel, Opener};
use super::{Event, StreamInfo};
use crate::net::os::clock;
use crate::net::transport::socket;
use crate::net::tunnel::pump::{Counters, Outcome, StreamEvent, Tunnel};
use crate::net::tunnel::seal::{LocalSide, SessionView};
use crate::net::tunnel::stream::{Stream, pair};
use crate::proto::id::{DeviceId, StreamName};
use crate::proto::limits::{BUSY_STREAMS, EARLY_DATA_WAIT};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::stream::Ending;

/// The longest wait for the first bytes of a sealed stream, which come as soon as the application's have, or did not.
const SEALED_EARLY_WAIT: Duration = Duration::from_millis(50);

/// An open that takes longer waited for its device, which may have enrolled meanwhile.
const KEYS_MAY_CHANGE: Duration = Duration::from_secs(1);

/// Serves one local connection.
pub(super) async fn serve(
    opener: &Opener,
    mut tcp: TcpStream,
    from: SocketAddr,
    number: u64,
    name: Option<StreamName>,
) {
    let (info, on_event) = (stream_info(opener, number, Some(from), name.as_ref()), &opener.config.observer);
    match open_and_carry(opener, name.as_ref(), tcp.split(), &info).await {
        Ok(Outcome { ending, refusal }) => {
            if ending == Ending::Clean {
                socket::close_gracefully(tcp).await;
            }
            on_event(Event::Ended(info, ending, refusal));
        }
        Err(refusal) => {
            // Resets the local connection before the event is reported.
            drop(tcp);
            on_event(Event::Refused(info, refusal));
        }
    }
}

/// Carries one stream between a pair of pipes and the device.
pub(super) async fn pipe<R, W>(
    opener: &Opener,
    name: Option<StreamName>,
    pipes: (R, W),
) -> Result<(), (Ending, Refusal)>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (info, on_event) = (stream_info(opener, 1, None, name.as_ref()), &opener.config.observer);
    match open_and_carry(opener, name.as_ref(), pipes, &info).await {
        Ok(Outcome { ending, refusal }) => {
            on_event(Event::Ended(info, ending, refusal.clone()));
            match ending {
                // An application that closes its pipes has ended the session as it meant to.
                Ending::Clean | Ending::LocalReset => Ok(()),
                Ending::PeerReset | Ending::Broken => {
                    Err((ending, refusal.unwrap_or_else(|| RefusalKind::PeerGone.into())))
                }
            }
        }
        Err(refusal) => {
            on_event(Event::Refused(info, refusal.clone()));
            Err((Ending::Broken, refusal))
        }
    }
}

/// Opens a stream for a program, which sends these bytes first, and returns it with its session and the work of carrying it.
pub(super) async fn open(
    opener: Opener,
    name: Option<&StreamName>,
    first: &[u8],
) -> Result<(Stream, Option<SessionView>, impl Future<Output = ()> + Send + 'static), Refusal> {
    let (stream, local) = pair();
    let ((reader, writer), owner) = local.into_parts();
    let counters = Arc::new(Counters::default());
    // What no request carries is read after it, before what the program writes.
    let first = io::Cursor::new(Bytes::copy_from_slice(first));
    let (local, opened) = open_local(&opener, name, (first.chain(reader), writer), &counters, Duration::ZERO).await?;
    let session = local.session();
    let work = async move {
        let OpenedTunnel { tunnel, resume_target, slot, .. } = opened;
        let context = opener.pump_context(resume_target, &counters, &|_| {});
        let (_, socket) = local.drive(owner, tunnel, context).await;
        opener.put_back(socket, slot, &counters);
    };
    Ok((stream, session, work))
}

/// Opens a stream for a local side, sealed unless plain streams were asked for. A device that does not say that it encrypts
/// the stream gets none. A session that was lost before anything of the application went with it is begun once more.
async fn open_local<R, W>(
    opener: &Opener,
    name: Option<&StreamName>,
    local: (R, W),
    counters: &Arc<Counters>,
    early_wait: Duration,
) -> Result<(LocalSide<R, W>, OpenedTunnel), Refusal>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut local = local;
    for is_last in [false, true] {
        let started_at = clock::now();
        let session = opener.session(name).await?;
        let mut side = LocalSide::new(local, session, counters, early_wait);
        let opened = match &mut side {
            LocalSide::Plain((reader, _)) => {
                opener.open(name, reader, EarlyOptions { wait: early_wait, session: None }).await
            }
            LocalSide::Sealed(sealed) => {
                let early = EarlyOptions { wait: SEALED_EARLY_WAIT, session: Some(&sealed.session) };
                opener.open(name, &mut sealed.reader, early).await
            }
        };
        match (side, opened) {
            // The device takes a ticket once, which nothing of the application depends on.
            (LocalSide::Sealed(sealed), Err(refusal))
                if !is_last && refusal.kind == RefusalKind::LostWhileOpening && !sealed.session.has_sent_early() =>
            {
                local = sealed.into_local();
            }
            (_, Err(refusal)) => return Err(refusal),
            (LocalSide::Sealed(sealed), Ok(opened)) if !opened.end_to_end => return Err(sealed.session.not_begun()),
            (LocalSide::Sealed(sealed), Ok(_))
                if !is_last
                    && (started_at.elapsed() > KEYS_MAY_CHANGE || !sealed.session.expects_anybody())
                    && opener.expects_another(&sealed).await? =>
            {
                local = sealed.into_local();
            }
            (side, Ok(opened)) => return Ok((side, opened)),
        }
    }
    Err(RefusalKind::LostWhileOpening.into())
}

/// A stream's name in messages: `pi-42/ssh`, or `pi-42` for the device's default.
pub(super) fn label(device: &DeviceId, name: Option<&StreamName>) -> String {
    name.map_or_else(|| device.to_string(), |name| format!("{device}/{name}"))
}

fn stream_info(opener: &Opener, number: u64, from: Option<SocketAddr>, name: Option<&StreamName>) -> Arc<StreamInfo> {
    let to = label(&opener.config.device, name);
    Arc::new(StreamInfo { number, from, to, counters: Arc::default() })
}

/// Opens a stream and carries it. The caller reports its end, since the local connection is closed first.
async fn open_and_carry<R, W>(
    opener: &Opener,
    name: Option<&StreamName>,
    local: (R, W),
    info: &Arc<StreamInfo>,
) -> Result<Outcome, Refusal>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let on_event = &opener.config.observer;
    on_event(Event::Requested(info.clone()));
    // Of its own, or the stream would have the room for it as long as it lasts.
    let (local, opened) = Box::pin(open_local(opener, name, local, &info.counters, EARLY_DATA_WAIT)).await?;
    on_event(Event::Accepted(info.clone()));
    if local.session().is_none() {
        on_event(Event::Opened(info.clone()));
    }
    let (outcome, has_begun) = carry(opener, local, opened, info).await;
    match outcome.refusal {
        // Nothing was carried.
        Some(refusal) if !has_begun && refusal.kind.is_of_session() => Err(refusal),
        refusal => Ok(Outcome { refusal, ..outcome }),
    }
}

/// Carries the stream's bytes until both directions have ended, and keeps its connection on standby if it may be
/// reused. Reports whether the device was authorised, if it had to be.
async fn carry<R, W>(
    opener: &Opener,
    local: LocalSide<R, W>,
    opened: OpenedTunnel,
    info: &Arc<StreamInfo>,
) -> (Outcome, bool)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let has_begun = AtomicBool::new(local.session().is_none());
    let on_event = |event| {
        let info = info.clone();
        (opener.config.observer)(match event {
            StreamEvent::SessionOpened => {
                has_begun.store(true, Ordering::Relaxed);
                Event::Opened(info)
            }
            StreamEvent::Draining(left) => Event::Draining(info, left),
            StreamEvent::Interrupted(why) => Event::Interrupted(info, why),
            StreamEvent::Resumed(after) => Event::Resumed(info, after),
        });
    };
    let pump_context = opener.pump_context(opened.resume_target, &info.counters, &on_event);
    let on_standby = local.session().filter(|_| !opened.tunnel.early.sent.is_empty());
    let tunnel = Tunnel { hold_release: opener.standbys.carrying() >= BUSY_STREAMS, ..opened.tunnel };
    let (outcome, socket) = local.pump(tunnel, pump_context).await;
    if let Some(session) = on_standby {
        let trips = if session.is_early_accepted() { "one round trip" } else { "two round trips" };
        tracing::debug!(target: "service-proxy", "{} #{}: its first bytes took {trips}", info.to, info.number);
    }
    opener.put_back(socket, opened.slot, &info.counters);
    (outcome, has_begun.into_inner())
}
