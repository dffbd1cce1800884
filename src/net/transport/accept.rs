//! The accept loop of every listener.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use tokio::time::sleep;

use crate::net::tasks::Tasks;
use crate::proto::backoff::{Backoff, Jitter};

/// The accept backoff when the system is out of file descriptors: they come back as connections end, so the loop
/// neither spins nor stays idle for long.
const BACKOFF_BASE: Duration = Duration::from_millis(10);
const BACKOFF_CAP: Duration = Duration::from_secs(1);

/// Accepts connections until dropped and gives each a task of its own: no peer delays the next one. A connection for
/// which `handle` returns `None` is closed. After an error, which `on_error` reports, the loop backs off.
pub async fn accept_loop<C, A, F>(
    accept: impl Fn() -> A,
    tasks: &Tasks,
    on_error: impl Fn(&io::Error),
    handle: impl Fn(C) -> Option<F>,
) -> Infallible
where
    A: Future<Output = io::Result<C>>,
    F: Future<Output = ()> + Send + 'static,
{
    let mut backoff = Backoff::new(BACKOFF_BASE, BACKOFF_CAP, Jitter::None);
    loop {
        match accept().await {
            Ok(connection) => {
                backoff.reset();
                if let Some(task) = handle(connection) {
                    tasks.spawn(task);
                }
            }
            Err(error) => {
                on_error(&error);
                sleep(backoff.next_delay(0)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::pending;
    use std::sync::{Arc, Mutex};

    use tokio::time::timeout;

    use super::*;
    use crate::net::os::clock;

    #[tokio::test(start_paused = true)]
    async fn errors_back_off_up_to_a_second_and_a_connection_resets_the_delay() {
        let (tasks, served, start) = (Tasks::default(), Arc::new(Mutex::new(0)), clock::now());
        let (attempts, failures) = (RefCell::new(0), RefCell::new(Vec::new()));
        let accept = || async {
            let attempt = attempts.replace_with(|attempts| *attempts + 1);
            match attempt {
                0 | 10 => Ok(attempt),
                12 => pending().await,
                _ => Err(io::Error::other("no descriptors")),
            }
        };
        let on_error = |_: &io::Error| failures.borrow_mut().push(clock::now().duration_since(start).as_millis());
        let handle = |attempt| {
            let served = served.clone();
            (attempt > 0).then_some(async move { *served.lock().unwrap() += 1 })
        };
        assert!(timeout(Duration::from_secs(60), accept_loop(accept, &tasks, on_error, handle)).await.is_err());
        tasks.wait().await;
        assert_eq!(*failures.borrow(), [0, 10, 30, 70, 150, 310, 630, 1270, 2270, 3270]);
        assert_eq!(*served.lock().unwrap(), 1, "the first was rejected");
    }
}
