//! Moves messages into the log when they are due, as one of the processes that do.
//!
//! Any process may: that a message leaves the schedule and comes into the log in one transaction
//! makes it once. So that not all of them want the write lock at the same moment, who came too late
//! lets the others come first, and steps in only where something stays overdue. Nothing is stored for
//! that, and nothing rests on it.

use crate::backoff::Backoff;
use crate::stop::Stop;
use consign_core::{Changes, Result, ScheduleLedger};
use std::sync::Arc;
use std::time::Duration;

/// Who stands by acts when something has been due for this long …
const STAND_BY: Duration = Duration::from_millis(30);
/// … and up to so much longer, each for itself.
const STAND_BY_MORE: f64 = 0.03;
/// However much is committed meanwhile, the schedule is looked at no more often.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// It is looked at once in this while even if nothing tells of a change: a clock may be set, and a
/// machine may sleep.
const LOOK_AT_LEAST: Duration = Duration::from_secs(1);

/// The schedule at work.
pub(crate) struct Promoter<L> {
    ledger: Arc<L>,
    changes: Changes,
    stop: Stop,
    /// Others come first by this.
    stands_by: Duration,
}

/// What a look at the schedule says to do.
enum Next {
    Promote,
    Wait(Duration),
}

impl<L: ScheduleLedger> Promoter<L> {
    pub(crate) fn new(ledger: Arc<L>, changes: Changes, stop: Stop) -> Self {
        Self { ledger, changes, stop, stands_by: Duration::ZERO }
    }

    /// Promotes what is due, until the end is asked for.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::default();
        while !self.stop.is_asked() {
            let Err(error) = self.step().await else {
                backoff = Backoff::default();
                continue;
            };
            let wait = backoff.failed();
            tracing::warn!(?error, "what is due waits, and is tried again in {wait:?}");
            self.stop.sleep(wait).await;
        }
    }

    async fn step(&mut self) -> Result {
        match self.look().await? {
            Next::Promote => {
                let promoted = self.stop.grace(self.ledger.promote()).await?;
                self.stands_by = if promoted > 0 { Duration::ZERO } else { stand_by() };
            }
            Next::Wait(wait) => self.wait(wait).await,
        }
        Ok(())
    }

    async fn look(&self) -> Result<Next> {
        let Some(due) = self.ledger.next_due().await? else {
            return Ok(Next::Wait(LOOK_AT_LEAST));
        };
        let wait = (due + self.stands_by).duration_since(self.ledger.time());
        let wait = wait.unwrap_or_default();
        Ok(if wait.is_zero() { Next::Promote } else { Next::Wait(wait) })
    }

    /// Waits until something is due, or something is committed that may be due before.
    async fn wait(&mut self, wait: Duration) {
        let changes = &mut self.changes;
        let tells = async {
            tokio::time::sleep(LOOK_AGAIN).await;
            changes.next().await;
        };
        tokio::select! {
            biased;
                () = self.stop.asked() => {}
            () = tokio::time::sleep(wait.min(LOOK_AT_LEAST)) => {}
            () = tells => {}
        }
    }
}

fn stand_by() -> Duration {
    STAND_BY + Duration::from_secs_f64(STAND_BY_MORE * fastrand::f64())
}
