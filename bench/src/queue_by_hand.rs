//! A queue by hand: rusqlite, a hundred messages a transaction, a row for each that is done.

use crate::messages::Written;
use crate::{Result, database};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const BATCH: i64 = 100;
const SETUP: &str = "create table if not exists hand_done (
    number integer not null, place integer not null, primary key (number, place)
) strict, without rowid";
const READ: &str = "select position, id, kind, version, key, headers, payload, published_at
    from consign_log where position >= ?1 and position < ?2 order by position limit ?3";
const COUNT: &str = "insert into author_counts (author_id, articles) values (?1, 1)
    on conflict (author_id) do update set articles = articles + 1";

/// The loop that somebody who knows SQLite would write for one worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct QueueByHand {
    pub(crate) database: PathBuf,
}

impl QueueByHand {
    /// Answers how many messages it handled.
    pub(crate) fn run(self) -> Result<u64> {
        let db = database::by_hand(&self.database, "normal")?;
        db.execute_batch(SETUP)?;
        let partitions = "select number from consign_partition
            where topic = (select id from consign_topic where name = 'written')";
        let mut partitions = db.prepare(partitions)?;
        let numbers = partitions.query_map([], |row| row.get(0))?;
        let mut next = numbers.map(|number| Ok((number?, 0))).collect::<Result<Vec<_>>>()?;
        let mut handled = 0;
        loop {
            let mut now = 0;
            for (number, next) in &mut next {
                now += handle(&db, *number, next)?;
            }
            if now == 0 {
                return Ok(handled);
            }
            handled += now;
        }
    }
}

/// Handles the next messages of a partition.
fn handle(db: &Connection, number: i64, next: &mut i64) -> Result<u64> {
    let mut read = db.prepare_cached(READ)?;
    let mut done = db.prepare_cached("insert into hand_done (number, place) values (?1, ?2)")?;
    let mut count = db.prepare_cached(COUNT)?;
    db.prepare_cached("begin immediate")?.execute([])?;
    let mut handled = 0;
    let mut rows = read.query(params![number << 44 | *next, (number + 1) << 44, BATCH])?;
    while let Some(row) = rows.next()? {
        let written: Written = serde_json::from_slice(row.get_ref(6)?.as_blob()?)?;
        let place = row.get::<_, i64>(0)? & ((1 << 44) - 1);
        done.execute([number, place])?;
        count.execute([written.author_id])?;
        *next = place + 1;
        handled += 1;
    }
    drop(rows);
    db.prepare_cached("commit")?.execute([])?;
    Ok(handled)
}
