//! Starts what is subscribed, and ends it in order.

use crate::heartbeat;
use crate::stop::{Stopper, stop};
use crate::subscription::{Shared, Subscription};
use consign_core::{BoxFuture, Driver, Ledger, Result};
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Runs subscriptions in tasks of this process.
///
/// # Errors
/// What cannot work is refused, with a sentence that says what to change.
pub async fn start<L: Ledger, D: Driver>(
    ledger: L,
    driver: D,
    subscriptions: Vec<Subscription<L, D>>,
) -> Result<Running> {
    let (ledger, driver) = (Arc::new(ledger), Arc::new(driver));
    let mut ids = Vec::new();
    for subscription in &subscriptions {
        subscription.check(&ledger).await?;
        ids.push(ledger.subscribe(&subscription.describe()?).await?);
    }
    let (stopper, stop) = stop();
    let (me, is) = watch::channel(ledger.join(&ids).await?);
    let mut tasks = JoinSet::new();
    for (subscription, of) in subscriptions.into_iter().zip(&ids) {
        let (ledger, driver) = (Arc::clone(&ledger), Arc::clone(&driver));
        let shared = Shared { ledger, driver, stop: stop.clone(), me: is.clone() };
        tasks.spawn(subscription.run(*of, shared));
    }
    let mut beats = JoinSet::new();
    beats.spawn(heartbeat::beat(Arc::clone(&ledger), ids, me, stop));
    let leave = Box::new(move || -> BoxFuture<'static, Result> {
        Box::pin(async move { ledger.leave().await })
    });
    Ok(Running { stopper, tasks, beats, leave })
}

type Leave = Box<dyn FnOnce() -> BoxFuture<'static, Result> + Send + Sync>;

/// The running workers. Dropping it stops them at once, as a crash would: nothing is lost, what was
/// not committed is done again.
#[must_use = "keep it, and end with `shutdown().await`"]
pub struct Running {
    stopper: Stopper,
    tasks: JoinSet<()>,
    beats: JoinSet<()>,
    leave: Leave,
}

impl Running {
    /// Finishes the batches that are under way, hands the partitions over, and leaves.
    ///
    /// # Errors
    /// That it left could not be written; others take over when its lock is free.
    pub async fn shutdown(mut self) -> Result {
        self.stopper.stop();
        while self.tasks.join_next().await.is_some() {}
        self.beats.shutdown().await;
        (self.leave)().await
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}
