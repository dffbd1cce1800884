//! One stream of the proxy: opened, carried between its local connection and the device, and reported to the observer.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::opener::{OpenedTunnel, Opener};
use super::{Event, StreamInfo};
use crate::net::client::standby::Standby;
use crate::net::transport::socket;
use crate::net::tunnel::pump::{Counters, Outcome, StreamEvent, Tunnel, pump};
use crate::net::tunnel::stream::{Stream, pair};
use crate::proto::id::{DeviceId, StreamName};
use crate::proto::limits::BUSY_STREAMS;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::stream::Ending;

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

/// Opens a stream for a program, and returns it with the work of carrying it. Early data is taken from the front of
/// `first`.
pub(super) async fn open(
    opener: Opener,
    name: Option<&StreamName>,
    first: &mut &[u8],
) -> Result<(Stream, impl Future<Output = ()> + Send + 'static), Refusal> {
    let OpenedTunnel { tunnel, resume_target, slot } = opener.open(name, first).await?;
    let (stream, local) = pair();
    let work = async move {
        let counters = Counters::default();
        let (_, socket) = local.drive(tunnel, opener.pump_context(resume_target, &counters, &|_| {})).await;
        if let Some((socket, slot)) = socket.zip(slot) {
            opener.standbys.put(Standby::from_parts(socket, slot, counters.total()));
        }
    };
    Ok((stream, work))
}

/// A stream's name in messages: `pi-42/ssh`, or `pi-42` for the device's default.
pub(super) fn label(device: &DeviceId, name: Option<&StreamName>) -> String {
    name.map_or_else(|| device.to_string(), |name| format!("{device}/{name}"))
}

fn stream_info(opener: &Opener, number: u64, from: Option<SocketAddr>, name: Option<&StreamName>) -> Arc<StreamInfo> {
    let to = label(&opener.config.device, name);
    Arc::new(StreamInfo { number, from, to, counters: Counters::default() })
}

/// Opens a stream and carries it. The caller reports its end, since the local connection is closed first.
async fn open_and_carry<R, W>(
    opener: &Opener,
    name: Option<&StreamName>,
    (mut reader, writer): (R, W),
    info: &Arc<StreamInfo>,
) -> Result<Outcome, Refusal>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let on_event = &opener.config.observer;
    on_event(Event::Requested(info.clone()));
    let opened = opener.open(name, &mut reader).await?;
    on_event(Event::Opened(info.clone()));
    Ok(carry(opener, (reader, writer), opened, info).await)
}

/// Carries the stream's bytes until both directions have ended, and keeps its connection on standby if it may be
/// reused.
async fn carry<R, W>(opener: &Opener, local: (R, W), opened: OpenedTunnel, info: &Arc<StreamInfo>) -> Outcome
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let on_event = |event| {
        let info = info.clone();
        (opener.config.observer)(match event {
            StreamEvent::Draining(left) => Event::Draining(info, left),
            StreamEvent::Interrupted(why) => Event::Interrupted(info, why),
            StreamEvent::Resumed(after) => Event::Resumed(info, after),
        });
    };
    let pump_context = opener.pump_context(opened.resume_target, &info.counters, &on_event);
    let tunnel = Tunnel { hold_release: opener.standbys.carrying() >= BUSY_STREAMS, ..opened.tunnel };
    let (outcome, socket) = pump(local, tunnel, pump_context).await;
    if let Some((socket, slot)) = socket.zip(opened.slot) {
        opener.standbys.put(Standby::from_parts(socket, slot, info.counters.total()));
    }
    outcome
}
