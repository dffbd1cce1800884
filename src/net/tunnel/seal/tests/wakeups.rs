//! One half of a session does not wake the other without need: it would wake another thread.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake};

use futures_util::FutureExt as _;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::sleep;

use super::{End, ends};
use crate::proto::limits::HANDSHAKE_HOLD;

#[derive(Default)]
struct Wakeups(AtomicUsize);

impl Wake for Wakeups {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Carries what is due from one end to the other; reports whether there was anything.
async fn carry(from: &mut End, to: &mut End) -> bool {
    let mut buffer = vec![0; 4096];
    let read = from.reader.read(&mut buffer).now_or_never().map_or(0, Result::unwrap);
    to.writer.write_all(&buffer[..read]).await.unwrap();
    to.writer.flush().await.unwrap();
    read > 0
}

/// The reading half waits, and would be woken here.
fn wait(end: &mut End) -> Arc<Wakeups> {
    let wakeups = Arc::<Wakeups>::default();
    let (waker, mut bytes) = (wakeups.clone().into(), [0; 100]);
    let reading = Pin::new(&mut end.reader).poll_read(&mut Context::from_waker(&waker), &mut ReadBuf::new(&mut bytes));
    assert!(reading.is_pending());
    wakeups
}

#[tokio::test(start_paused = true)]
async fn bytes_of_an_open_session_do_not_wake_the_reading_half() {
    let (mut service, mut device) = ends(true);
    service.application.write_all(b"first").await.unwrap();
    for _ in 0..4 {
        carry(&mut service, &mut device).await;
        carry(&mut device, &mut service).await;
        // What waits for bytes of the application no longer does.
        sleep(2 * HANDSHAKE_HOLD).await;
    }
    assert!(service.view.is_open() && device.view.is_open());
    let wakeups = wait(&mut device);
    service.application.write_all(b"second").await.unwrap();
    assert!(carry(&mut service, &mut device).await);
    assert_eq!(wakeups.0.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn the_start_of_a_session_wakes_the_reading_half_and_has_a_driven_stream_polled_again() {
    for is_driven in [false, true] {
        let (mut service, mut device) = ends(true);
        let (mut hello, mut polls) = (vec![0; 4096], 0);
        let length = service.reader.read(&mut hello).await.unwrap();
        let wakeups = wait(&mut device);
        let End { writer, view, .. } = &mut device;
        let work = Box::pin(poll_fn(|context| {
            polls += 1;
            if polls > 1 {
                return Poll::Ready(());
            }
            assert!(Pin::new(&mut *writer).poll_write(context, &hello[..length]).is_ready());
            Poll::Pending
        }));
        if is_driven {
            assert!(view.drive(work, || {}).now_or_never().is_some());
        } else {
            assert!(pin!(work).now_or_never().is_none());
        }
        let woken = wakeups.0.load(Ordering::Relaxed);
        assert_eq!((polls, woken), if is_driven { (2, 0) } else { (1, 1) });
    }
}
