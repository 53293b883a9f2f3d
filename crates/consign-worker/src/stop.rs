//! The wish that everything ends in order.

use tokio::sync::watch;

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
        *self.0.borrow()
    }

    /// Waits until the end is asked for.
    pub(crate) async fn asked(&mut self) {
        let _ = self.0.wait_for(|asked| *asked).await;
    }
}
