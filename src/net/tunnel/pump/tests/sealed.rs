//! Pumps whose local sides are sealed end to end.

use super::memory::{echo, used_up};
use super::*;
use crate::net::tunnel::seal::tests::{ends, ends_of_another_alice};

/// Runs `applications` at the ends of a sealed stream, where the service's other streams use its memory up: its windows are
/// tiny then. Returns the ends of the pumps, and what the applications return.
async fn sealed<O>(
    protocol: StreamProtocol,
    applications: impl AsyncFnOnce(DuplexStream, DuplexStream) -> O,
) -> (Ending, Ending, O) {
    let (runtime, _others) = used_up();
    let settings = [Settings { runtime, ..Settings::default() }, Settings::default()];
    let (near, far) = sockets();
    let (service, device) = ends(true);
    let tunnel = |socket| Tunnel::new(socket, Some(protocol), None);
    let near = pump((service.reader, service.writer), tunnel(near), settings[0].context(NoRejoin));
    let far = pump((device.reader, device.writer), tunnel(far), settings[1].context(NoRejoin));
    let all = async { tokio::join!(near, far, applications(service.application, device.application)) };
    let ((near, _), (far, _), output) = timeout(LONG, all).await.expect("a stream hangs");
    (near.ending, far.ending, output)
}

#[tokio::test(start_paused = true)]
async fn both_directions_deliver_all_bytes_at_tiny_windows() {
    for protocol in StreamProtocol::ALL {
        let (up, down) = (pattern(1_000_000, 1), pattern(2_000_000, 2));
        let applications = async |a, b| tokio::join!(exchange(a, up.clone()), exchange(b, down.clone()));
        let (near, far, (at_near, at_far)) = sealed(protocol, applications).await;
        assert!(at_near == down && at_far == up, "wrong bytes arrived");
        assert_eq!((near, far), (Ending::Clean, Ending::Clean));
    }
}

#[tokio::test(start_paused = true)]
async fn an_application_that_writes_before_it_reads_on_is_not_deadlocked() {
    for protocol in StreamProtocol::ALL {
        let bytes = pattern(2_000_000, 1);
        let applications = async |a, b| tokio::join!(echo(a), exchange(b, bytes.clone()));
        let (near, far, ((), echoed)) = sealed(protocol, applications).await;
        assert!(echoed == bytes, "wrong bytes arrived");
        assert_eq!((near, far), (Ending::Clean, Ending::Clean));
    }
}

/// What is acknowledged has been taken by the application: a reader that stalls holds the writer back, through both sessions.
#[tokio::test(start_paused = true)]
async fn a_stalled_reader_holds_the_writer_back_for_an_hour() {
    let (near, far) = sockets();
    let (service, device) = ends(true);
    let settings = [Settings::default(), Settings::default()];
    let tunnel = |socket| Tunnel::new(socket, Some(StreamProtocol::V1), None);
    let near = pump((service.reader, service.writer), tunnel(near), settings[0].context(NoRejoin));
    let far = pump((device.reader, device.writer), tunnel(far), settings[1].context(NoRejoin));
    let (mut writer, mut reader) = (service.application, device.application);
    let bytes = pattern(1_000_000, 1);
    let work = async { tokio::join!(near, far) };
    let mut work = pin!(work);
    let stalled = timeout(LONG, async { tokio::join!(writer.write_all(&bytes), &mut work) }).await;
    assert!(stalled.is_err(), "nobody reads, and all was taken");
    let sent = settings[0].counters.sent.load(Ordering::Relaxed);
    let delivered = settings[0].counters.delivered.load(Ordering::Relaxed);
    assert!(sent <= INITIAL_WINDOW + 4 * PIPE as u64, "{sent} bytes were taken");
    assert!(delivered <= 4 * PIPE as u64, "{delivered} bytes count as delivered");
    let mut first = vec![0; 100_000];
    tokio::select! {
        read = timeout(LONG, reader.read_exact(&mut first)) => {
            assert!(matches!(read, Ok(Ok(_))) && first == bytes[..first.len()]);
        }
        _ = &mut work => panic!("the stream ended"),
    }
}

/// The session's own alert says why a stream ends, and not the close that comes in the same packet.
#[tokio::test(start_paused = true)]
async fn an_alert_that_comes_together_with_the_close_is_read() {
    let settings = Settings::default();
    let (near, mut far) = sockets();
    let (service, mut device) = ends_of_another_alice();
    let tunnel = Tunnel::new(near, Some(StreamProtocol::V1), None);
    let near = pump((service.reader, service.writer), tunnel, settings.context(NoRejoin));
    let device_at_far = async {
        let mut sealed = vec![0; 16 * 1024];
        let refused = loop {
            let Ok(Incoming::Bytes(bytes)) = far.reader.next().await else { continue };
            if device.writer.write_all(&bytes).now_or_never().is_none_or(|written| written.is_err()) {
                break true;
            }
            let read = device.reader.read(&mut sealed).await.unwrap();
            far.writer.bytes(Bytes::copy_from_slice(&sealed[..read])).await.unwrap();
            far.writer.flush().await.unwrap();
        };
        let alert = device.reader.read(&mut sealed).await.unwrap();
        assert!(refused && alert > 0 && device.view.failure().is_some());
        far.writer.buffer_bytes(Bytes::copy_from_slice(&sealed[..alert])).await.unwrap();
        far.writer.close(CLOSE_RESET, "reset").await.unwrap();
        // And nobody is there any more.
        drop(far);
    };
    let ((outcome, _), ()) = tokio::join!(near, device_at_far);
    let refusal = service.view.outcome(outcome).refusal;
    assert_eq!(refusal.map(|refusal| refusal.kind), Some(RefusalKind::AnotherPeerKey));
}
