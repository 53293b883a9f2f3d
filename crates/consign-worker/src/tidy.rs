//! Upkeep of a projection that is read as a queue: beside its handlers, which run on.

use crate::effect::Subject;
use crate::upkeep::{self, Due};
use consign_core::{Ledger, Projection, Tx, Upkeep};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How often it is looked whether a quiet queue is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Knows when upkeep is due; handlers tell what they have applied.
#[derive(Debug, Default)]
pub(crate) struct Tidy {
    due: Mutex<Due>,
    told: Notify,
}

impl Tidy {
    /// Tells of what was done to the read model.
    pub(crate) fn tell(&self, what: impl FnOnce(&mut Due)) {
        self.with(what);
        self.told.notify_one();
    }

    fn with<T>(&self, look: impl FnOnce(&mut Due) -> T) -> T {
        look(&mut self.due.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tidies whenever it is due, until the end is asked for.
    pub(crate) async fn run<L, P>(&self, ledger: &L, subject: &Subject<P>)
    where
        L: Ledger,
        P: Projection<Tx<L::Connection>>,
    {
        let mut stop = subject.stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stop.asked() => return,
                () = self.told.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            while !stop.is_asked() && self.with(|due| due.is_due(true)) {
                let upkeep = upkeep::run(ledger, subject).await.unwrap_or_else(|error| {
                    tracing::warn!(subscription = subject.name, ?error, "upkeep comes later");
                    Upkeep::Done
                });
                self.with(|due| due.done(upkeep));
            }
        }
    }
}
