//! Throttling of log messages that may recur thousands of times.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::net::os::clock;

/// The usual shortest time between two messages: frequent enough to notice, and a terminal stays readable.
const INTERVAL: Duration = Duration::from_secs(10);

/// The throttle of one message; records when it was last logged.
#[derive(Debug)]
pub struct LogThrottle {
    interval: Duration,
    last_logged: Mutex<Option<Instant>>,
}

impl Default for LogThrottle {
    fn default() -> Self {
        Self::with_interval(INTERVAL)
    }
}

impl LogThrottle {
    /// Creates one with this shortest time between two messages.
    pub fn with_interval(interval: Duration) -> Self {
        Self { interval, last_logged: Mutex::default() }
    }

    /// Reports whether the message is due, and if so records it as logged now.
    pub fn should_log(&self) -> bool {
        let mut last_logged = self.last_logged.lock();
        let now = clock::now();
        let due = last_logged.is_none_or(|last_logged| now.saturating_duration_since(last_logged) >= self.interval);
        if due {
            *last_logged = Some(now);
        }
        due
    }
}
