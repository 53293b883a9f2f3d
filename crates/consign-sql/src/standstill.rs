//! Where worker processes stand still and why: written by them, seldom, for those who look.

use crate::topics::TopicRow;
use consign_core::{Partition, Standing, Standstill, SubscriptionId, WorkerId};
use rusqlite::{Connection, Row, params};

/// In the place of a partition's number: all of them …
const ALL: i64 = -1;
/// … or none, and messages wait for a limit.
const LIMIT: i64 = -2;

const BEGINS: &str =
    "INSERT INTO consign_standstill (subscription, worker, partition, cause, since)
    VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET cause = excluded.cause";
const ENDS: &str = "DELETE FROM consign_standstill
    WHERE subscription = ?1 AND worker = ?2 AND partition = ?3";
const ALL_OF_THEM: &str = "SELECT standstill.subscription, worker, standstill.partition,
        number.partition, cause, since
    FROM consign_standstill standstill
    LEFT JOIN consign_partition number ON number.number = standstill.partition
    ORDER BY since, standstill.partition";

/// A process that stands still.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) subscription: i64,
    pub(crate) worker: Vec<u8>,
    pub(crate) what: Standing,
    pub(crate) cause: String,
    pub(crate) since: i64,
}

/// Writes what has changed; what stood still before does so since then.
pub(crate) fn write(
    db: &Connection,
    of: SubscriptionId,
    topic: TopicRow,
    me: WorkerId,
    changes: &[Standstill],
    now: i64,
) -> rusqlite::Result<()> {
    for Standstill { what, cause } in changes {
        let number = match what {
            Standing::All => ALL,
            Standing::Limit => LIMIT,
            Standing::Partition(partition) => topic.number(*partition),
        };
        match cause {
            Some(cause) => {
                db.execute(BEGINS, params![of.0, me.0.as_bytes(), number, cause, now])?
            }
            None => db.execute(ENDS, params![of.0, me.0.as_bytes(), number])?,
        };
    }
    Ok(())
}

/// Forgets what a worker wrote of a subscription.
pub(crate) fn end(db: &Connection, of: SubscriptionId, me: WorkerId) -> rusqlite::Result<()> {
    let delete = "DELETE FROM consign_standstill WHERE subscription = ?1 AND worker = ?2";
    db.execute(delete, params![of.0, me.0.as_bytes()]).map(drop)
}

/// Forgets what workers wrote that left or died.
pub(crate) fn bury(db: &Connection) -> rusqlite::Result<()> {
    let delete = "DELETE FROM consign_standstill
                  WHERE worker NOT IN (SELECT id FROM consign_worker)";
    db.execute(delete, []).map(drop)
}

/// All of them, the oldest first.
pub(crate) fn all(db: &Connection) -> rusqlite::Result<Vec<Found>> {
    let mut select = db.prepare_cached(ALL_OF_THEM)?;
    let found = |row: &Row<'_>| {
        let what = match (row.get(2)?, row.get::<_, Option<u16>>(3)?) {
            (LIMIT, _) => Standing::Limit,
            (_, Some(partition)) => Standing::Partition(Partition(partition)),
            (_, None) => Standing::All,
        };
        let (subscription, worker) = (row.get(0)?, row.get(1)?);
        Ok(Found { subscription, worker, what, cause: row.get(4)?, since: row.get(5)? })
    };
    select.query_map([], found)?.collect()
}
