//! A bell that everybody waits for, each as long as it likes.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    /// From now on, it has rung.
    pub(crate) fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_all();
    }

    /// Waits so long; whether it rang meanwhile or before.
    pub(crate) fn rings_within(&self, time: Duration) -> bool {
        *self.changed.wait_timeout_while(self.rung.lock().unwrap(), time, |rung| !*rung).unwrap().0
    }
}
