//! Which topics there are, and where their partitions stand among all partitions.

use consign_core::{Error, PARTITIONS_MAX, Partition, Result, Topic};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Partitions of a topic that nobody asked to have another number of them.
pub(crate) const PARTITIONS: u16 = 8;

/// A topic's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopicRow {
    pub(crate) id: i64,
    pub(crate) partitions: u16,
    first_number: i64,
}

impl TopicRow {
    /// The partition's place among all partitions of the database.
    pub(crate) fn number(self, partition: Partition) -> i64 {
        self.first_number + i64::from(partition.0)
    }

    /// The partition at a place.
    pub(crate) fn partition(self, number: i64) -> Partition {
        Partition(u16::try_from(number - self.first_number).unwrap_or(u16::MAX))
    }
}

/// Topics whose rows are known to be committed: they never change.
#[derive(Debug, Default)]
pub(crate) struct Topics(Mutex<HashMap<Topic, TopicRow>>);

impl Topics {
    pub(crate) fn get(&self, topic: &Topic) -> Option<TopicRow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(topic).copied()
    }

    /// To be called when the transaction that found or created them has committed.
    pub(crate) fn remember(&self, found: impl IntoIterator<Item = (Topic, TopicRow)>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
    }
}

/// Reads all topics.
pub(crate) fn load(db: &Connection) -> rusqlite::Result<Vec<(Topic, TopicRow)>> {
    let mut select = db.prepare("SELECT name, id, partitions, first_number FROM consign_topic")?;
    let rows = select.query_map([], |row| Ok((row.get::<_, String>(0)?, read(row, 1)?)))?;
    let known = rows.map(|row| row.map(|(name, row)| Some((Topic::new(&name).ok()?, row))));
    known.filter_map(Result::transpose).collect()
}

/// Finds a topic, or creates it, in a transaction that writes.
pub(crate) fn find_or_create(
    db: &Connection,
    topic: &Topic,
    partitions: u16,
) -> rusqlite::Result<TopicRow> {
    let select = "SELECT id, partitions, first_number FROM consign_topic WHERE name = ?1";
    let found = db.query_row(select, [topic.as_str()], |row| read(row, 0)).optional()?;
    found.map_or_else(|| create(db, topic, partitions), Ok)
}

/// Keeps the topics whose rows are there still, so that they will be when the transaction commits.
pub(crate) fn keep_committed(
    db: &Connection,
    topics: &mut Vec<(Topic, TopicRow)>,
) -> rusqlite::Result<()> {
    let mut there = load(db)?;
    there.retain(|there| topics.iter().any(|found| found == there));
    *topics = there;
    Ok(())
}

fn create(db: &Connection, topic: &Topic, partitions: u16) -> rusqlite::Result<TopicRow> {
    let last = "SELECT coalesce(max(number) + 1, 0) FROM consign_partition";
    let first_number: i64 = db.query_row(last, [], |row| row.get(0))?;
    let insert = "INSERT INTO consign_topic (name, partitions, first_number) VALUES (?1, ?2, ?3)";
    db.execute(insert, params![topic.as_str(), partitions, first_number])?;
    let row = TopicRow { id: db.last_insert_rowid(), partitions, first_number };
    let insert = "INSERT INTO consign_partition (number, topic, partition) VALUES (?1, ?2, ?3)";
    let mut insert = db.prepare(insert)?;
    for partition in (0..partitions).map(Partition) {
        insert.execute(params![row.number(partition), row.id, partition.0])?;
    }
    Ok(row)
}

fn read(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<TopicRow> {
    Ok(TopicRow { id: row.get(at)?, partitions: row.get(at + 1)?, first_number: row.get(at + 2)? })
}

/// Refuses a number of partitions that a topic cannot have.
pub(crate) fn check_partitions(topic: &Topic, partitions: u16) -> Result {
    if (1..=PARTITIONS_MAX).contains(&partitions) {
        return Ok(());
    }
    let message =
        format!("topic {topic} cannot have {partitions} partitions: 1 to {PARTITIONS_MAX}");
    Err(Error::new("bad-partitions", message))
}

/// Refuses a topic that stands with another number of partitions than is asked for.
pub(crate) fn check_same(topic: &Topic, asked: u16, row: TopicRow) -> Result {
    if row.partitions == asked {
        return Ok(());
    }
    let found = row.partitions;
    let message = format!(
        "topic {topic} has {found} partitions, and {asked} are asked for: ask for {found}, or \
         name another topic (a key's messages stay in their partition)"
    );
    Err(Error::new("other-partitions", message))
}
