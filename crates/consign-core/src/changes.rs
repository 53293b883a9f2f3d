//! Waiting until something was committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Notify, watch};

/// Wakes whoever waits for messages; every waiter has one of its own.
#[derive(Clone, Debug)]
pub struct Changes {
    counter: watch::Receiver<u64>,
    waiters: Arc<Waiters>,
}

impl Changes {
    /// Listens to a counter that grows with every change, and shows in `waiters` that it waits.
    pub fn new(counter: watch::Receiver<u64>, waiters: Arc<Waiters>) -> Self {
        Self { counter, waiters }
    }

    /// Waits until something was committed since the last call (or since this was made).
    ///
    /// # Cancel safety
    /// A change that came while nobody waited is told by the next call.
    pub async fn next(&mut self) {
        let _waits = Waits::new(&self.waiters);
        if self.counter.changed().await.is_err() {
            // Whoever counted is gone: nothing will change any more.
            std::future::pending::<()>().await;
        }
    }
}

/// Who waits for a change: while nobody does, nothing needs to be watched.
#[derive(Debug, Default)]
pub struct Waiters {
    count: AtomicUsize,
    first: Notify,
}

impl Waiters {
    /// Waits until somebody waits.
    pub async fn some(&self) {
        while self.count.load(Ordering::SeqCst) == 0 {
            self.first.notified().await;
        }
    }
}

struct Waits<'a>(&'a Waiters);

impl<'a> Waits<'a> {
    fn new(waiters: &'a Waiters) -> Self {
        if waiters.count.fetch_add(1, Ordering::SeqCst) == 0 {
            waiters.first.notify_one();
        }
        Self(waiters)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::SeqCst);
    }
}
