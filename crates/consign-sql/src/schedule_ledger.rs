//! What is not due yet, and what is due again and again, as core's `ScheduleLedger`.

use crate::ledger::SqlLedger;
use crate::publish::{Durability, Outcome};
use crate::sqlite::thread::{in_one_hop, in_one_long_hop};
use crate::writer::WorkerTransaction;
use crate::{cron, scheduled};
use consign_core::{CronName, Draft, Result, ScheduleLedger, SubscriptionId};
use rusqlite::Connection;
use std::time::SystemTime;

/// Messages that one transaction moves into the log, at most.
const PROMOTED_MAX: usize = 1_000;
/// Stands for all that is scheduled where batch sizes are learnt; rows are numbered from 1.
const SCHEDULE: SubscriptionId = SubscriptionId(0);

impl ScheduleLedger for SqlLedger {
    async fn next_due(&self) -> Result<Option<SystemTime>> {
        self.read("look when the next message is due", scheduled::next).await
    }

    async fn promote(&self) -> Result<usize> {
        let writers = self.log().writers();
        let max = writers.messages(SCHEDULE).min(PROMOTED_MAX);
        let (publisher, now) = (self.log().publisher(), self.time());
        let mut tx = writers.begin_durable().await?;
        let promote = |db: &Connection| scheduled::promote(db, publisher, max, now);
        match in_one_long_hop(&mut tx, "move what is due into the log", promote).await {
            Ok(promoted @ 1..) => {
                tx.takes(SCHEDULE, promoted);
                tx.commit().await?;
                self.log().committed([]);
                Ok(promoted)
            }
            nothing => {
                tx.rollback().await;
                nothing
            }
        }
    }

    async fn name_cron(&self, name: &CronName, times: &str) -> Result<SystemTime> {
        let now = self.time();
        let tx = self.log().writers().begin_durable().await?;
        self.write_in(tx, "name a cron", |db| cron::name(db, name, times, now)).await
    }

    async fn last_tick(&self, name: &CronName) -> Result<Option<SystemTime>> {
        self.read("look at a cron", |db| cron::last(db, name)).await
    }

    async fn tick(
        &self,
        name: &CronName,
        from: SystemTime,
        to: SystemTime,
        ticks: Vec<Draft>,
    ) -> Result<bool> {
        let mut tx = self.log().writers().begin_durable().await?;
        match self.tick_in(&mut tx, name, (from, to), ticks).await {
            Ok(Some(Outcome { topics, .. })) => {
                tx.commit().await?;
                self.log().committed(topics);
                Ok(true)
            }
            nothing => {
                tx.rollback().await;
                nothing.map(|_| false)
            }
        }
    }

    fn time(&self) -> SystemTime {
        self.log().clock().now()
    }
}

impl SqlLedger {
    async fn tick_in(
        &self,
        tx: &mut WorkerTransaction,
        name: &CronName,
        (from, to): (SystemTime, SystemTime),
        ticks: Vec<Draft>,
    ) -> Result<Option<Outcome>> {
        if !in_one_hop(tx, "take a tick", |db| cron::take(db, name, from, to)).await? {
            return Ok(None);
        }
        self.log().append(tx, ticks, Durability::Ours).await.map(Some)
    }
}
