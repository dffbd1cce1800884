//! A stop signal for many threads.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

#[derive(Default)]
pub(crate) struct StopSignal {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl StopSignal {
    /// Sets the signal.
    pub(crate) fn set(&self) {
        *self.is_set.lock().unwrap() = true;
        self.changed.notify_all();
    }

    /// Waits for the signal, at most this long; returns whether it is set.
    pub(crate) fn wait_for(&self, time: Duration) -> bool {
        *self.changed.wait_timeout_while(self.is_set.lock().unwrap(), time, |is_set| !*is_set).unwrap().0
    }
}

/// Sets the signal when it is dropped, so that the other threads of a scope end where one fails.
pub(crate) struct StopOnDrop<'a>(pub(crate) &'a StopSignal);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.set();
    }
}
