//! Waits until a subscription has caught up: one look for all who wait, after each change.

use crate::connection::Role;
use crate::freshness::Target;
use crate::handle::Log;
use crate::sqlite::thread::in_one_long_hop;
use consign_core::{BoxFuture, Error, Freshness, Receipt, Result};
use sqlx::SqliteConnection;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

/// How long it is waited without another word.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Between two looks, at least; and at least this many times what the last one took.
const REST: (Duration, u32) = (Duration::from_millis(1), 9);
/// Whether somebody is still there who waits is asked this often, without a change.
const LOOK_AT_LEAST: Duration = Duration::from_secs(1);
/// The connection is kept for so long after the last one has gone.
const LINGER: Duration = Duration::from_secs(10);

/// Waits until a subscription has caught up; from the facade's `caught_up`.
#[must_use = "it looks when it is awaited"]
pub struct CatchUp<'a> {
    log: &'a Log,
    target: Target,
    timeout: Duration,
}

/// Who waits in this process.
#[derive(Debug, Default)]
pub(crate) struct CatchUps {
    waiters: Mutex<Waiters>,
    /// Somebody has come.
    came: Notify,
}

#[derive(Debug, Default)]
struct Waiters {
    come: Vec<Waiter>,
    /// A task looks for all of them.
    is_served: bool,
}

#[derive(Debug)]
struct Waiter {
    target: Target,
    tells: watch::Sender<Seen>,
}

/// What the last look has found.
#[derive(Debug)]
enum Seen {
    /// None was made.
    Nothing,
    Fresh(Freshness),
    Failed(Error),
}

impl Seen {
    fn is_final(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Fresh(freshness) => !matches!(freshness, Freshness::TimedOut { .. }),
            Self::Failed(_) => true,
        }
    }
}

impl<'a> CatchUp<'a> {
    pub(crate) fn new(log: &'a Log, subscription: &str, receipt: Option<&Receipt>) -> Self {
        Self { log, target: Target::new(subscription, receipt), timeout: TIMEOUT }
    }

    /// How long to wait at most; 5 s without this. With zero it looks once.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    async fn wait(self) -> Result<Freshness> {
        let since = Instant::now();
        loop {
            let seen = self.log.catch_ups().stand(self.log, self.target.clone())?;
            let left = self.timeout.saturating_sub(since.elapsed());
            // `None`: the task that looked has gone with its runtime.
            if let Some(answer) = answer(seen, left).await {
                return answer;
            }
        }
    }
}

impl<'a> IntoFuture for CatchUp<'a> {
    type Output = Result<Freshness>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.wait())
    }
}

impl fmt::Debug for CatchUp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, timeout, .. } = self;
        f.debug_struct("CatchUp").field("target", target).field("timeout", timeout).finish()
    }
}

async fn answer(mut seen: watch::Receiver<Seen>, left: Duration) -> Option<Result<Freshness>> {
    // However short the time, it is looked once.
    seen.wait_for(|seen| !matches!(seen, Seen::Nothing)).await.ok()?;
    if let Ok(ended) = tokio::time::timeout(left, seen.wait_for(Seen::is_final)).await {
        ended.ok()?;
    }
    match &*seen.borrow() {
        Seen::Nothing => None,
        Seen::Fresh(freshness) => Some(Ok(*freshness)),
        Seen::Failed(error) => Some(Err(error.again())),
    }
}

impl CatchUps {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stand(&self, log: &Log, target: Target) -> Result<watch::Receiver<Seen>> {
        let runtime = Handle::try_current().map_err(|source| {
            let message = "cannot wait for a subscription: there is no runtime to wait in";
            Error::new("stopped", message).caused_by(source)
        })?;
        let (tells, seen) = watch::channel(Seen::Nothing);
        let mut waiters = self.lock();
        waiters.come.push(Waiter { target, tells });
        if !std::mem::replace(&mut waiters.is_served, true) {
            runtime.spawn(Serving::new(log).serve());
        }
        self.came.notify_one();
        Ok(seen)
    }
}

/// Looks for all who wait. Dropped with its runtime, it lets go of them, and they come again.
struct Serving {
    log: Log,
    waiters: Vec<Waiter>,
    reads: Option<SqliteConnection>,
    is_done: bool,
}

impl Serving {
    fn new(log: &Log) -> Self {
        Self { log: log.clone(), waiters: Vec::new(), reads: None, is_done: false }
    }

    async fn serve(mut self) {
        let log = self.log.clone();
        let mut changes = log.changes();
        loop {
            if !self.take_waiters() {
                if self.is_over().await {
                    return;
                }
                continue;
            }
            let started = Instant::now();
            self.look().await;
            tokio::time::sleep(REST.0.max(started.elapsed() * REST.1)).await;
            if !self.waiters.is_empty() {
                tokio::select! {
                    () = changes.next() => {}
                    () = log.catch_ups().came.notified() => {}
                    () = tokio::time::sleep(LOOK_AT_LEAST) => {}
                }
            }
        }
    }

    /// Takes who has come, and lets go of who has gone; `false`: nobody is there.
    fn take_waiters(&mut self) -> bool {
        self.waiters.append(&mut self.log.catch_ups().lock().come);
        self.waiters.retain(|waiter| !waiter.tells.is_closed());
        !self.waiters.is_empty()
    }

    /// Waits for somebody to come; `true`: nobody did, and the next one is served by another.
    async fn is_over(&mut self) -> bool {
        let catch_ups = self.log.catch_ups();
        let come = async {
            while catch_ups.lock().come.is_empty() {
                catch_ups.came.notified().await;
            }
        };
        let _nobody = tokio::time::timeout(LINGER, come).await;
        let mut waiters = catch_ups.lock();
        waiters.is_served = !waiters.come.is_empty();
        self.is_done = !waiters.is_served;
        self.is_done
    }

    async fn look(&mut self) {
        let seen = match self.look_at_all().await {
            Ok(seen) => seen,
            Err(error) => {
                self.reads = None;
                self.waiters.iter().map(|_| Err(error.again())).collect()
            }
        };
        for (waiter, seen) in self.waiters.iter().zip(seen) {
            waiter.tells.send_replace(seen.map_or_else(Seen::Failed, Seen::Fresh));
        }
        self.waiters.retain(|waiter| !waiter.tells.borrow().is_final());
    }

    async fn look_at_all(&mut self) -> Result<Vec<Result<Freshness>>> {
        if self.reads.is_none() {
            self.reads = Some(self.log.connections().open(Role::Reads).await?);
        }
        let (reads, waiters) = (self.reads.as_mut().expect("opened above"), &mut self.waiters);
        let look = |db: &rusqlite::Connection| {
            // One moment for all that is looked at; its end takes nothing back.
            let _moment = db.unchecked_transaction()?;
            waiters.iter_mut().map(|waiter| waiter.target.look(db)).collect()
        };
        in_one_long_hop(reads, "look how far a subscription is", look).await
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Who came after it was done is served by another.
        if !self.is_done {
            let mut waiters = self.log.catch_ups().lock();
            waiters.come.clear();
            waiters.is_served = false;
        }
    }
}
