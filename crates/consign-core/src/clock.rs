//! Time, as something that a test can hold in its hand.

use std::fmt;
use std::time::SystemTime;

/// Says what time it is.
///
/// Everything that is stored or compared with something stored asks a clock, so that a test or a
/// simulation decides what "now" is.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// The time now.
    fn now(&self) -> SystemTime;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
