//! What is worth saying, but not for each of thousands of times.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::clock;

/// Between two times: often enough for whoever looks on, and a terminal can still be read.
const INTERVAL: Duration = Duration::from_secs(10);

/// Something that is said now and then.
#[derive(Debug, Default)]
pub struct LogThrottle(Mutex<Option<Instant>>);

impl LogThrottle {
    /// Whether it is time to say it.
    pub fn should_log(&self) -> bool {
        let mut last_logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        let due = last_logged.is_none_or(|last_logged| now.saturating_duration_since(last_logged) >= INTERVAL);
        if due {
            *last_logged = Some(now);
        }
        due
    }
}
