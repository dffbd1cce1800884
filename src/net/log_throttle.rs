//! What is worth saying, but not for each of thousands of times.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::clock;

/// Between two times: often enough for whoever looks on, and a terminal can still be read.
const PAUSE: Duration = Duration::from_secs(10);

/// Something that is said now and then.
#[derive(Debug, Default)]
pub struct LogThrottle(Mutex<Option<Instant>>);

impl LogThrottle {
    /// Whether it is time to say it.
    pub fn is_due(&self) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        let due = said.is_none_or(|said| now.saturating_duration_since(said) >= PAUSE);
        if due {
            *said = Some(now);
        }
        due
    }
}
