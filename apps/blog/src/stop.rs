//! When to stop: asked once, seen by everybody.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Signals that come so soon after one another are one wish.
const ONE_WISH: Duration = Duration::from_secs(1);

/// A wish to stop that many tasks wait for; clones share it.
#[derive(Clone)]
pub(crate) struct Stop(Arc<watch::Sender<bool>>);

impl Stop {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Is asked by SIGTERM or SIGINT; who presses ctrl-c once more, a moment later, is tired of waiting.
    pub(crate) fn on_signals() -> io::Result<Self> {
        let stop = Self::new();
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let asked = stop.clone();
        tokio::spawn(async move {
            either(&mut terminate, &mut interrupt).await;
            asked.ask();
            tokio::time::sleep(ONE_WISH).await;
            if let Ok(mut again) = signal(SignalKind::interrupt()) {
                again.recv().await;
                std::process::exit(1);
            }
        });
        Ok(stop)
    }

    pub(crate) fn ask(&self) {
        self.0.send_replace(true);
    }

    pub(crate) fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves once somebody asked.
    pub(crate) async fn asked(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|asked| *asked).await;
    }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
