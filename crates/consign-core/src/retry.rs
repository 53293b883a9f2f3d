//! How often a message is tried, and how long it waits in between.

use std::time::Duration;

/// Exponents beyond this change nothing: the cap is long reached.
const DOUBLINGS_MAX: u32 = 31;

/// How often a message is tried, and how long it waits in between.
///
/// The wait before the n-th retry is drawn evenly from 0 to `first * 2^(n-1)`, at most `cap` ("full
/// jitter": those who failed together do not come back together).
///
/// Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
///
/// ```
/// use consign_core::Retry;
/// use std::time::Duration;
///
/// let retry = Retry::exponential(Duration::from_secs(1), Duration::from_secs(300)).max_attempts(8);
/// assert_eq!(retry.wait(1, 1.0), Duration::from_secs(1));
/// assert_eq!(retry.wait(4, 0.5), Duration::from_secs(4));
/// assert!(retry.is_last(8));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    first: Duration,
    cap: Duration,
    attempts_max: u32,
}

impl Retry {
    /// Waits about `first`, then about twice as long each time, `cap` at most; ten attempts in all.
    #[must_use]
    pub fn exponential(first: Duration, cap: Duration) -> Self {
        Self { first, cap: cap.max(first), attempts_max: 10 }
    }

    /// Tries a message so often in all (at least once); then it becomes a dead letter.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.attempts_max = attempts.max(1);
        self
    }

    /// How long to wait after `attempt` (the first is 1) has failed; `jitter` is drawn from 0 to 1.
    #[must_use]
    pub fn wait(&self, attempt: u32, jitter: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(DOUBLINGS_MAX);
        let longest = self.first.saturating_mul(1 << doublings).min(self.cap);
        longest.mul_f64(jitter.clamp(0.0, 1.0))
    }

    /// Asks whether no attempt follows this one.
    #[must_use]
    pub fn is_last(&self, attempt: u32) -> bool {
        attempt >= self.attempts_max
    }
}

impl Default for Retry {
    /// From a second to five minutes, ten attempts.
    fn default() -> Self {
        Self::exponential(Duration::from_secs(1), Duration::from_mins(5))
    }
}

/// What becomes of the messages behind one that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Later messages of its key wait behind it, in order; other keys flow.
    #[default]
    ParkKey,
    /// Its whole partition waits, as on Kafka; also while a message runs alone since it may have
    /// killed its process, for about three commits each.
    Block,
    /// Nobody waits: it comes out of order.
    Skip,
}

impl Order {
    /// Asks whether later messages of a key wait behind one that failed.
    #[doc(hidden)]
    #[must_use]
    pub fn parks(self) -> bool {
        self == Self::ParkKey
    }
}
