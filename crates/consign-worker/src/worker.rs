//! Starts what is subscribed, and ends it in order.

use crate::effect::panic_text;
use crate::heartbeat;
use crate::pulse::Pulse;
use crate::retention;
use crate::schedule::{Cron, Promoter, Ticker};
use crate::stop::{Stopper, stop};
use crate::subscription::{Shared, Subscription};
use crate::watchdog;
use consign_core::{
    BoxFuture, CronName, Driver, Error, NewSubscription, QueueLedger, Result, ScheduleLedger,
};
use futures_util::FutureExt;
use std::collections::BTreeSet;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Runs subscriptions and schedules in tasks of this process.
///
/// # Errors
/// What cannot work is refused, with a sentence that says what to change.
pub async fn start<L: QueueLedger + ScheduleLedger, D: Driver>(
    ledger: L,
    driver: D,
    subscriptions: Vec<Subscription<L, D>>,
    crons: Vec<Cron>,
) -> Result<Running> {
    let (ledger, driver) = (Arc::new(ledger), Arc::new(driver));
    let described = subscriptions.iter().map(Subscription::describe).collect::<Result<Vec<_>>>()?;
    refuse_twice(&described)?;
    let crons = crons.into_iter().map(Cron::planned).collect::<Result<Vec<_>>>()?;
    refuse_twice_due(crons.iter().map(|cron| &cron.name))?;
    let mut ids = Vec::new();
    for (subscription, described) in subscriptions.iter().zip(&described) {
        subscription.check(&ledger).await?;
        ids.push(ledger.subscribe(described).await?);
    }
    let (stopper, stop) = stop();
    let mut tickers = Vec::new();
    for cron in crons {
        tickers.push(Ticker::new(cron, Arc::clone(&ledger), stop.clone()).await?);
    }
    let (me, is) = watch::channel(ledger.join(&ids).await?);
    let mut tasks = JoinSet::new();
    let promoter = Promoter::new(Arc::clone(&ledger), driver.changes(), stop.clone());
    tasks.spawn(logged("the schedule".to_owned(), promoter.run()));
    for ticker in tickers {
        tasks.spawn(logged(ticker.name(), ticker.run()));
    }
    for ((subscription, of), described) in subscriptions.into_iter().zip(&ids).zip(described) {
        let (ledger, driver) = (Arc::clone(&ledger), Arc::clone(&driver));
        let (stop, me, pulse) = (stop.clone(), is.clone(), Pulse::default());
        let shared = Shared { ledger, driver, stop, me, pulse };
        let name = described.name.to_string();
        tasks.spawn(logged(name.clone(), watchdog::run(subscription, (name, *of), shared)));
    }
    let mut beats = JoinSet::new();
    let retention = retention::run(Arc::clone(&ledger), stop.clone());
    beats.spawn(logged("retention".to_owned(), retention));
    let beat = heartbeat::beat(Arc::clone(&ledger), ids, me, stop);
    beats.spawn(logged("the heartbeat".to_owned(), beat));
    let leave = Box::new(move || -> BoxFuture<'static, Result> {
        Box::pin(async move { ledger.leave().await })
    });
    Ok(Running { stopper, tasks, beats, leave })
}

/// Two tasks under one name would fence each other for ever.
fn refuse_twice(subscriptions: &[NewSubscription]) -> Result {
    let mut names = BTreeSet::new();
    let Some(twice) = subscriptions.iter().find(|new| !names.insert(&new.name)) else {
        return Ok(());
    };
    let message = format!(
        "the subscription {} is subscribed twice in one process: give each a name of its own",
        twice.name
    );
    Err(Error::new("subscribed-twice", message))
}

/// They would tick in turns, each at its own times.
fn refuse_twice_due<'n>(crons: impl Iterator<Item = &'n CronName>) -> Result {
    let mut names = BTreeSet::new();
    let twice = crons.into_iter().find(|name| !names.insert(*name));
    twice.map_or(Ok(()), |name| {
        let message = format!("the cron {name} is scheduled twice in one process: name one anew");
        Err(Error::new("scheduled-twice", message))
    })
}

/// A task that panics would end without a word.
async fn logged(of: String, task: impl Future<Output = ()>) {
    if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
        tracing::error!(of, "a task panicked and has ended: {}", panic_text(&*panic));
    }
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
        while self.beats.join_next().await.is_some() {}
        (self.leave)().await
    }
}

impl Running {
    /// Ends at once, as a crash would, and waits until nothing of it is left: for tests.
    #[doc(hidden)]
    pub async fn kill(mut self) {
        self.tasks.shutdown().await;
        self.beats.shutdown().await;
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}
