//! Where a consumer shows that it moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A consumer's sign of life, for the watchdog.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pulse(Arc<Signs>);

#[derive(Debug, Default)]
struct Signs {
    beats: AtomicU64,
    rests: AtomicBool,
}

impl Pulse {
    /// It has come to something new.
    pub(crate) fn beat(&self) {
        self.0.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// Does something that may take as long as it likes.
    pub(crate) async fn resting<T>(&self, work: impl Future<Output = T>) -> T {
        self.0.rests.store(true, Ordering::Relaxed);
        let done = work.await;
        self.0.rests.store(false, Ordering::Relaxed);
        done
    }

    /// How often it has beaten; `None`: it need not, now.
    pub(crate) fn beats(&self) -> Option<u64> {
        let beats = self.0.beats.load(Ordering::Relaxed);
        (!self.0.rests.load(Ordering::Relaxed)).then_some(beats)
    }
}
