//! What could be done now and is not: whether all is quiet, as one look at the database says.

use crate::due::{HEADS, time};
use crate::handle::Log;
use crate::publish::micros;
use crate::sqlite::thread::in_one_long_hop;
use crate::{scheduled, status};
use consign_core::Result;
use rusqlite::{Connection, params};
use std::time::SystemTime;

const WAITING: &str = "SELECT c.subscription, c.partition FROM consign_cursor c
    JOIN consign_subscription s ON s.id = c.subscription
    WHERE s.name = ?1 AND c.waiting > 0";
const ASKED: &str = "SELECT EXISTS (SELECT 1 FROM consign_command c
    JOIN consign_subscription s ON s.id = c.subscription
    WHERE s.name = ?1 AND c.done_at IS NULL AND c.free_at <= ?2)";
const CRONS: &str = "SELECT name, times, last_due FROM consign_cron ORDER BY name";

/// What there is to do at the time of the look.
#[derive(Clone, Debug, Default)]
pub struct Outstanding {
    /// Of each subscription that has something to do, its name and why it is not done.
    pub subscriptions: Vec<(String, String)>,
    /// A message is due, and has not come into the log.
    pub is_promotion_due: bool,
    /// The crons: their names, patterns with zones, and when the last tick was due.
    pub crons: Vec<(String, String, SystemTime)>,
}

impl Log {
    /// Looks what could be done now, by the clock of this log. What was paused has nothing to do.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn outstanding(&self) -> Result<Outstanding> {
        let (mut reads, now) = (self.open_reads().await?, micros(self.clock().now()));
        in_one_long_hop(&mut reads, "look what is to be done", |db| look(db, now)).await
    }
}

/// All of one moment: what one subscription hands to the next is seen with either of them.
fn look(db: &Connection, now: i64) -> rusqlite::Result<Outstanding> {
    let _moment = db.unchecked_transaction()?;
    let mut found = Outstanding::default();
    for status in status::all(db, now)? {
        if status.paused.is_none() && (status.lag > 0 || has_more(db, &status.name, now)?) {
            let cause = status.cause.unwrap_or_else(|| "it is at work".to_owned());
            let what =
                format!("{} messages to pass, {} waiting: {cause}", status.lag, status.waiting);
            found.subscriptions.push((status.name, what));
        }
    }
    found.is_promotion_due = scheduled::next(db)?.is_some_and(|due| due <= time(now));
    let mut crons = db.prepare(CRONS)?;
    let cron = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, time(row.get(2)?)));
    found.crons = crons.query_map([], cron)?.collect::<rusqlite::Result<_>>()?;
    Ok(found)
}

/// Beside the log: what has waited for its time, and what was asked for.
fn has_more(db: &Connection, name: &str, now: i64) -> rusqlite::Result<bool> {
    if db.query_row(ASKED, params![name, now], |row| row.get(0))? {
        return Ok(true);
    }
    let (mut waiting, mut heads) = (db.prepare(WAITING)?, db.prepare(HEADS)?);
    let mut waiting = waiting.query([name])?;
    while let Some(row) = waiting.next()? {
        let (of, partition): (i64, i64) = (row.get(0)?, row.get(1)?);
        if heads.exists(params![of, partition, now, 1])? {
            return Ok(true);
        }
    }
    Ok(false)
}
