//! Writes messages into the log: at once, in the transaction they tell of.

use crate::topics::{self, PARTITIONS, TopicRow, Topics};
use consign_core::{
    Draft, MessageId, Offset, Partition, Published, RoundRobin, Topic, partition_of,
};
use rusqlite::{Connection, Statement, params};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::{ContextV7, Timestamp, Uuid};

/// Bits of a position that are the offset; the partition's number stands above them.
pub(crate) const OFFSET_BITS: u32 = 44;

const INSERT: &str = "INSERT INTO consign_log
    (position, id, kind, version, key, headers, payload, published_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
/// The same, and nothing at all on a connection whose commit may be lost in a power cut.
const INSERT_IF_DURABLE: &str = "INSERT INTO consign_log
    (position, id, kind, version, key, headers, payload, published_at)
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
    WHERE (SELECT synchronous FROM pragma_synchronous) >= 2";
const TAKE_OFFSETS: &str = "UPDATE consign_partition SET next_offset = next_offset + ?1
    WHERE number = ?2 RETURNING next_offset - ?1";

/// Whose transaction it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Ours: FULL, as it was opened.
    Ours,
    /// Somebody else's: looked at in the insert itself.
    Checked,
}

/// Gives messages their ids, times and partitions.
#[derive(Debug)]
pub(crate) struct Publisher {
    topics: Topics,
    keyless: RoundRobin,
    ids: Mutex<ContextV7>,
}

/// What a transaction has published so far.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) ids: Vec<MessageId>,
    pub(crate) published: Vec<Published>,
    /// To be remembered when the transaction has committed.
    pub(crate) topics: HashMap<Topic, TopicRow>,
}

/// Why the log did not take a message.
#[derive(Debug)]
pub(crate) enum Refused {
    Failed(rusqlite::Error),
    /// The connection would lose it in a power cut.
    NotDurable,
}

impl From<rusqlite::Error> for Refused {
    fn from(source: rusqlite::Error) -> Self {
        Self::Failed(source)
    }
}

impl Publisher {
    pub(crate) fn new(topics: Topics) -> Self {
        Self { topics, keyless: RoundRobin::default(), ids: Mutex::new(ContextV7::new()) }
    }

    pub(crate) fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Writes `drafts` in the open transaction of `db`: two statements a partition and message.
    pub(crate) fn append(
        &self,
        db: &Connection,
        drafts: &[Draft],
        now: SystemTime,
        durability: Durability,
    ) -> Result<Outcome, Refused> {
        let mut outcome = Outcome::default();
        let places = self.places(db, drafts, &mut outcome)?;
        let mut next = take_offsets(db, &places)?;
        let mut insert = db.prepare(match durability {
            Durability::Ours => INSERT,
            Durability::Checked => INSERT_IF_DURABLE,
        })?;
        for (draft, (number, partition)) in drafts.iter().zip(places) {
            let offset = next.get_mut(&number).expect("taken above");
            let id = self.id(now);
            if write(&mut insert, draft, number << OFFSET_BITS | *offset, id, now)? == 0 {
                return Err(Refused::NotDurable);
            }
            outcome.ids.push(id);
            outcome.published.push(Published {
                topic: draft.topic.clone(),
                partition,
                offset: Offset(offset.cast_unsigned()),
            });
            *offset += 1;
        }
        Ok(outcome)
    }

    fn places(
        &self,
        db: &Connection,
        drafts: &[Draft],
        outcome: &mut Outcome,
    ) -> rusqlite::Result<Vec<(i64, Partition)>> {
        let place = |draft: &Draft| {
            let topic = self.topic(db, &draft.topic, outcome)?;
            let partition = match &draft.key {
                Some(key) => partition_of(key, topic.partitions),
                None => self.keyless.next(topic.partitions),
            };
            Ok((topic.number(partition), partition))
        };
        drafts.iter().map(place).collect()
    }

    fn topic(
        &self,
        db: &Connection,
        topic: &Topic,
        outcome: &mut Outcome,
    ) -> rusqlite::Result<TopicRow> {
        if let Some(row) = self.topics.get(topic).or_else(|| outcome.topics.get(topic).copied()) {
            return Ok(row);
        }
        let row = topics::find_or_create(db, topic, PARTITIONS)?;
        outcome.topics.insert(topic.clone(), row);
        Ok(row)
    }

    fn id(&self, now: SystemTime) -> MessageId {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = Timestamp::from_unix(&*ids, since.as_secs(), since.subsec_nanos());
        MessageId(Uuid::new_v7(stamp))
    }
}

/// Takes as many offsets of each partition as messages go there; answers each one's first.
fn take_offsets(
    db: &Connection,
    places: &[(i64, Partition)],
) -> rusqlite::Result<BTreeMap<i64, i64>> {
    let mut counts = BTreeMap::<i64, i64>::new();
    for (number, _) in places {
        *counts.entry(*number).or_default() += 1;
    }
    let mut take = db.prepare(TAKE_OFFSETS)?;
    let first = |(number, count)| Ok((number, take.query_row([count, number], |row| row.get(0))?));
    counts.into_iter().map(first).collect()
}

fn write(
    insert: &mut Statement<'_>,
    draft: &Draft,
    position: i64,
    id: MessageId,
    now: SystemTime,
) -> rusqlite::Result<usize> {
    insert.execute(params![
        position,
        id.0.as_bytes(),
        draft.kind.name,
        draft.kind.version,
        draft.key.as_ref().map(consign_core::Key::as_bytes),
        (!draft.headers.is_empty()).then_some(&draft.headers[..]),
        &draft.payload[..],
        micros(now),
    ])
}

/// A time as it is stored: microseconds since 1970.
pub(crate) fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
