//! What is not due yet, and what is due again and again, recorded in the application's database.

use crate::{CronName, Draft, Ledger, Result};
use std::future::Future;
use std::time::SystemTime;

/// What schedules ask of a ledger.
///
/// # What an implementation must do
/// * A message leaves the schedule and comes into the log in one transaction, once, whoever else
///   promotes at the same time; and that transaction is on disk when it has committed.
/// * [`ScheduleLedger::tick`] moves the time of the last tick in the transaction of its messages,
///   by compare-and-set, and never back.
pub trait ScheduleLedger: Ledger {
    /// When the next message is due, be that past or ahead. Only reads.
    fn next_due(&self) -> impl Future<Output = Result<Option<SystemTime>>> + Send;

    /// Moves messages that are due into the log, the earliest first, and those of one time in the
    /// order they were published; so many as one transaction should take. Answers how many.
    fn promote(&self) -> impl Future<Output = Result<usize>> + Send;

    /// Names a cron, and what its times are; answers when its last tick was due. A new one, and one
    /// whose times have changed, begins now.
    fn name_cron(
        &self,
        name: &CronName,
        times: &str,
    ) -> impl Future<Output = Result<SystemTime>> + Send;

    /// When the last tick of a cron was due that has a name here. Only reads.
    fn last_tick(&self, name: &CronName)
    -> impl Future<Output = Result<Option<SystemTime>>> + Send;

    /// Publishes the ticks that were due after `from` and up to `to`; `false`: others have, so look
    /// when the last one was.
    fn tick(
        &self,
        name: &CronName,
        from: SystemTime,
        to: SystemTime,
        ticks: Vec<Draft>,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// The time now, by the clock of this ledger.
    fn time(&self) -> SystemTime;
}
