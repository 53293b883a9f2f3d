//! The wish that everything ends in order.

use consign_core::{Error, Result};
use std::time::Duration;
use tokio::sync::watch;

/// What is under way when the end is asked for goes on for this long.
const GRACE: Duration = Duration::from_secs(1);

/// Asks for the end; dropped, it asks too.
#[derive(Debug)]
pub(crate) struct Stopper(watch::Sender<bool>);

/// Sees that the end is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

pub(crate) fn stop() -> (Stopper, Stop) {
    let (asks, asked) = watch::channel(false);
    (Stopper(asks), Stop(asked))
}

impl Stopper {
    pub(crate) fn stop(&self) {
        let _ = self.0.send(true);
    }
}

impl Stop {
    pub(crate) fn is_asked(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until the end is asked for.
    pub(crate) async fn asked(&mut self) {
        let _ = self.0.wait_for(|asked| *asked).await;
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
