//! Publishes the ticks of one cron, as one of the processes that do.

use super::cron::Planned;
use crate::backoff::Backoff;
use crate::stop::Stop;
use consign_core::{Result, ScheduleLedger};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The clock is looked at so often, at least: it may be set, and a machine may sleep.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One cron at work.
pub(crate) struct Ticker<L> {
    cron: Planned,
    ledger: Arc<L>,
    stop: Stop,
    /// When the last tick was due, as far as is known here.
    last: SystemTime,
}

impl<L: ScheduleLedger> Ticker<L> {
    /// Names the cron: it begins now, or goes on.
    pub(crate) async fn new(cron: Planned, ledger: Arc<L>, stop: Stop) -> Result<Self> {
        let last = ledger.name_cron(&cron.name, &cron.times.to_string()).await?;
        Ok(Self { cron, ledger, stop, last })
    }

    pub(crate) fn name(&self) -> String {
        self.cron.name.to_string()
    }

    /// Publishes each tick when it is due, until the end is asked for.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::default();
        while !self.stop.is_asked() {
            let Err(error) = self.step().await else {
                backoff = Backoff::default();
                continue;
            };
            let (cron, wait) = (&self.cron.name, backoff.failed());
            tracing::warn!(%cron, ?error, "a tick was not published, again in {wait:?}");
            self.stop.sleep(wait).await;
        }
    }

    async fn step(&mut self) -> Result {
        let now = self.ledger.time();
        let Some((last, ticks)) = self.cron.due(self.last, now) else {
            let wait = self.cron.times.after(self.last).map(|due| due.duration_since(now));
            self.stop.sleep(wait.and_then(Result::ok).unwrap_or(LOOK_EVERY).min(LOOK_EVERY)).await;
            return Ok(());
        };
        // Whoever comes later only reads; what makes it one tick is the compare-and-set.
        let found = self.found().await?;
        let known = std::mem::replace(&mut self.last, found);
        if found != known {
            return Ok(());
        }
        let messages = self.cron.messages(&ticks)?;
        let tick = self.ledger.tick(&self.cron.name, known, last, messages);
        if self.stop.grace(tick).await? {
            self.last = last;
            let (cron, ticks) = (&self.cron.name, ticks.len());
            tracing::debug!(%cron, ticks, "ticked");
        }
        Ok(())
    }

    async fn found(&self) -> Result<SystemTime> {
        match self.ledger.last_tick(&self.cron.name).await? {
            Some(last) => Ok(last),
            // Somebody has deleted its row.
            None => self.ledger.name_cron(&self.cron.name, &self.cron.times.to_string()).await,
        }
    }
}
