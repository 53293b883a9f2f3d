//! The wish that everything ends in order.

use consign_core::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// What is under way when the end is asked for goes on for this long.
const GRACE: Duration = Duration::from_secs(1);

/// Asks for the end; dropped, it asks too.
#[derive(Debug)]
pub(crate) struct Stopper(Arc<Asked>);

/// Sees that the end is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Stop(Arc<Asked>);

/// Whoever waits is woken in the order in which they came, so that a simulation can play it again.
#[derive(Debug, Default)]
struct Asked {
    is_asked: AtomicBool,
    told: Notify,
}

pub(crate) fn stop() -> (Stopper, Stop) {
    let asked = Arc::<Asked>::default();
    (Stopper(Arc::clone(&asked)), Stop(asked))
}

impl Stopper {
    pub(crate) fn stop(&self) {
        self.0.is_asked.store(true, Ordering::SeqCst);
        self.0.told.notify_waiters();
    }
}

impl Drop for Stopper {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Stop {
    pub(crate) fn is_asked(&self) -> bool {
        self.0.is_asked.load(Ordering::SeqCst)
    }

    /// Waits until the end is asked for.
    pub(crate) async fn asked(&mut self) {
        let mut told = std::pin::pin!(self.0.told.notified());
        // It listens before it looks: nothing that is told meanwhile is missed.
        told.as_mut().enable();
        if !self.is_asked() {
            told.await;
        }
    }

    /// Sleeps, until the end is asked for at the latest.
    pub(crate) async fn sleep(&mut self, wait: Duration) {
        tokio::select! {
            biased;
            () = self.asked() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }

    /// Gives up on `work` a while after the end was asked for. For what waits for others, who may
    /// never let go; it must be cancel-safe, or not missed.
    pub(crate) async fn grace<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut stop = self.clone();
        let over = async {
            stop.asked().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            biased;
            done = work => done,
            () = over => Err(ended()),
        }
    }
}

fn ended() -> Error {
    Error::new("stopped", "the workers end, and what this waited for did not come in time")
}

#[cfg(test)]
mod tests {
    use super::stop;

    #[test]
    fn a_stopper_that_is_dropped_asks_for_the_end() {
        let (stopper, stop) = stop();
        assert!(!stop.is_asked());
        drop(stopper);
        assert!(stop.is_asked());
    }
}
