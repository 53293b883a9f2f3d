//! Where worker processes stand still and why: written by them, seldom, for those who look.

use crate::topics::TopicRow;
use consign_core::{Standstill, SubscriptionId, WorkerId};
use rusqlite::{Connection, Row, params};

/// Stands for all partitions.
const ALL: i64 = -1;

const BEGINS: &str =
    "INSERT INTO consign_standstill (subscription, worker, partition, cause, since)
    VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET cause = excluded.cause";
const ENDS: &str = "DELETE FROM consign_standstill
    WHERE subscription = ?1 AND worker = ?2 AND partition = ?3";
const ALL_OF_THEM: &str = "SELECT standstill.subscription, worker, number.partition, cause, since
    FROM consign_standstill standstill
    LEFT JOIN consign_partition number ON number.number = standstill.partition
    ORDER BY since, standstill.partition";

/// A process that stands still.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) subscription: i64,
    pub(crate) worker: Vec<u8>,
    /// `None`: everywhere.
    pub(crate) partition: Option<u16>,
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
    for Standstill { partition, cause } in changes {
        let number = partition.map_or(ALL, |partition| topic.number(partition));
        match cause {
            Some(cause) => {
                db.execute(BEGINS, params![of.0, me.0.as_bytes(), number, cause, now])?
            }
            None => db.execute(ENDS, params![of.0, me.0.as_bytes(), number])?,
        };
    }
    Ok(())
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
        let (subscription, worker, partition) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Found { subscription, worker, partition, cause: row.get(3)?, since: row.get(4)? })
    };
    select.query_map([], found)?.collect()
}
