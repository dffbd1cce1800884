//! A bell that everybody waits for, each as long as it likes.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

#[derive(Default)]
pub(crate) struct StopSignal {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl StopSignal {
    /// From now on, it has is_set.
    pub(crate) fn set(&self) {
        *self.is_set.lock().unwrap() = true;
        self.changed.notify_all();
    }

    /// Waits so long; whether it rang meanwhile or before.
    pub(crate) fn wait_for(&self, time: Duration) -> bool {
        *self.changed.wait_timeout_while(self.is_set.lock().unwrap(), time, |is_set| !*is_set).unwrap().0
    }
}
