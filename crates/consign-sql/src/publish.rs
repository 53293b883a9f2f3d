//! Writes messages into the log: at once, in the transaction they tell of.

use crate::sqlite::inside::is_writing;
use crate::topics::{self, PARTITIONS, TopicRow, Topics};
use crate::{scheduled, unique};
use consign_core::{
    Draft, Key, MessageId, Offset, Partition, Published, RoundRobin, Topic, partition_of,
};
use rusqlite::{Connection, Statement, params};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::{ContextV7, Timestamp, Uuid};

/// Bits of a position that are the offset; the partition's number stands above them.
pub(crate) const OFFSET_BITS: u32 = 44;
pub(crate) const OFFSET_MAX: i64 = (1 << OFFSET_BITS) - 1;

/// Without an offset it is the first of so many as were just taken: to be told it by the UPDATE
/// itself, with RETURNING, costs three times the UPDATE.
const INSERT: &str = "INSERT INTO consign_log
    (position, id, kind, version, key, headers, payload, published_at)
    VALUES (?1 | coalesce(?2,
            (SELECT next_offset - ?4 FROM consign_partition WHERE number = ?3)),
        ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
/// The same, and nothing at all on a connection whose commit may be lost in a power cut.
const INSERT_IF_DURABLE: &str = "INSERT INTO consign_log
    (position, id, kind, version, key, headers, payload, published_at)
    SELECT ?1 | coalesce(?2,
            (SELECT next_offset - ?4 FROM consign_partition WHERE number = ?3)),
        ?5, ?6, ?7, ?8, ?9, ?10, ?11
    WHERE (SELECT synchronous FROM pragma_synchronous) >= 2";
const TAKE_OFFSETS: &str = "UPDATE consign_partition SET next_offset = next_offset + ?1
    WHERE number = ?2";

const IS_WRITTEN: &str = "SELECT 1 FROM consign_log WHERE id = ?5 AND position =
    (SELECT partition.number << ?3 | ?4 FROM consign_partition partition
     JOIN consign_topic topic ON topic.id = partition.topic
     WHERE topic.name = ?1 AND partition.partition = ?2)";

/// Whose transaction it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Ours: FULL, as it was opened.
    Ours,
    /// Somebody else's: looked at first, and in the insert itself.
    Checked,
}

/// Gives messages their ids, times and partitions.
#[derive(Debug)]
pub(crate) struct Publisher {
    topics: Topics,
    keyless: RoundRobin,
    ids: Mutex<ContextV7>,
}

/// What became of drafts.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Of a repeat, the first one's.
    pub(crate) ids: Vec<MessageId>,
    /// `None`: it is not due yet, or is a repeat.
    pub(crate) published: Vec<Option<Published>>,
    /// To be remembered when the transaction has committed.
    pub(crate) topics: HashMap<Topic, TopicRow>,
}

/// A message that comes into the log now.
struct AtOnce<'d> {
    nth: usize,
    draft: &'d Draft,
    topic: TopicRow,
    partition: Partition,
}

/// Why the log did not take a message, with nothing written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refused {
    /// It would commit at once, apart from what it tells of.
    NoTransaction,
    /// The connection would lose it in a power cut.
    NotDurable,
    /// The transaction has only read so far: to write, it may have to wait.
    NoLock,
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
    ) -> rusqlite::Result<Result<Outcome, Refused>> {
        if let Some(refused) = look(db, durability)? {
            return Ok(Err(refused));
        }
        let mut outcome = Outcome::default();
        let at_once = self.sort_out(db, drafts, now, &mut outcome)?;
        let mut taken = take_offsets(db, at_once.iter().map(AtOnce::number))?;
        let mut insert = db.prepare_cached(match durability {
            Durability::Ours => INSERT,
            Durability::Checked => INSERT_IF_DURABLE,
        })?;
        for message in &at_once {
            let (id, number) = (outcome.ids[message.nth], message.number());
            let taken = taken.get_mut(&number).expect("taken above");
            if write(&mut insert, message.draft, number, *taken, id, now)? == 0 {
                return Ok(Err(Refused::NotDurable));
            }
            let position = db.last_insert_rowid();
            let offset = position & OFFSET_MAX;
            taken.next = Some(offset + 1);
            outcome.published[message.nth] = Some(message.published(offset));
            if let Some(unique) = &message.draft.unique {
                let holder =
                    unique::Holder::of(message.topic, message.draft.kind.name, &unique.name);
                holder.place(db, id, position)?;
            }
        }
        Ok(Ok(outcome))
    }

    /// Gives all their ids; answers those that come into the log now.
    fn sort_out<'d>(
        &self,
        db: &Connection,
        drafts: &'d [Draft],
        now: SystemTime,
        outcome: &mut Outcome,
    ) -> rusqlite::Result<Vec<AtOnce<'d>>> {
        let mut at_once = Vec::with_capacity(drafts.len());
        for (nth, draft) in drafts.iter().enumerate() {
            let topic = self.topic(db, &draft.topic, outcome)?;
            let id = self.id(now);
            let first = unique::take(db, topic, draft, id, now)?;
            outcome.ids.push(first.unwrap_or(id));
            outcome.published.push(None);
            if first.is_some() {
                continue;
            }
            if let Some(due) = draft.due_after(now) {
                scheduled::insert(db, topic, draft, id, due)?;
            } else {
                let partition = self.partition(topic, draft.key.as_ref());
                at_once.push(AtOnce { nth, draft, topic, partition });
            }
        }
        Ok(at_once)
    }

    /// The partition of the next message with this key.
    pub(crate) fn partition(&self, topic: TopicRow, key: Option<&Key>) -> Partition {
        match key {
            Some(key) => partition_of(key, topic.partitions),
            None => self.keyless.next(topic.partitions),
        }
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

impl AtOnce<'_> {
    fn number(&self) -> i64 {
        self.topic.number(self.partition)
    }

    fn published(&self, offset: i64) -> Published {
        let (topic, partition) = (self.draft.topic.clone(), self.partition);
        Published { topic, partition, offset: Offset(offset.cast_unsigned()) }
    }
}

/// Looks at somebody's transaction before anything is taken in it.
fn look(db: &Connection, durability: Durability) -> rusqlite::Result<Option<Refused>> {
    if db.is_autocommit() {
        return Ok(Some(Refused::NoTransaction));
    }
    if durability == Durability::Ours {
        return Ok(None);
    }
    // First of all: to read would begin a snapshot, and SQLite waits for no lock from within one.
    if !is_writing(db) {
        return Ok(Some(Refused::NoLock));
    }
    let durable = "SELECT synchronous >= 2 FROM pragma_synchronous";
    let is_durable = db.query_row(durable, [], |row| row.get::<_, bool>(0))?;
    Ok((!is_durable).then_some(Refused::NotDurable))
}

/// Keeps of what a transaction published the messages that are in the log still.
pub(crate) fn keep_written(
    db: &Connection,
    written: &mut Vec<(MessageId, Published)>,
) -> rusqlite::Result<()> {
    let mut select = db.prepare(IS_WRITTEN)?;
    let mut is_written = |(id, at): &(MessageId, Published)| {
        let (partition, offset) = (at.partition.0, at.offset.0.cast_signed());
        let at = params![at.topic.as_str(), partition, OFFSET_BITS, offset, id.0.as_bytes()];
        select.exists(at)
    };
    let mut kept = Vec::with_capacity(written.len());
    for one in written.drain(..) {
        if is_written(&one)? {
            kept.push(one);
        }
    }
    *written = kept;
    Ok(())
}

/// Offsets of one partition.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    pub(crate) count: i64,
    /// Known as soon as the first of them has been given to a message.
    next: Option<i64>,
}

/// Takes as many offsets of each partition as messages go there.
pub(crate) fn take_offsets(
    db: &Connection,
    numbers: impl Iterator<Item = i64>,
) -> rusqlite::Result<BTreeMap<i64, Taken>> {
    let mut all = BTreeMap::<i64, Taken>::new();
    for number in numbers {
        all.entry(number).or_default().count += 1;
    }
    let mut take = db.prepare_cached(TAKE_OFFSETS)?;
    for (number, taken) in &all {
        if take.execute([taken.count, *number])? == 0 {
            return Err(rusqlite::Error::QueryReturnedNoRows);
        }
    }
    Ok(all)
}

fn write(
    insert: &mut Statement<'_>,
    draft: &Draft,
    number: i64,
    taken: Taken,
    id: MessageId,
    now: SystemTime,
) -> rusqlite::Result<usize> {
    insert.execute(params![
        number << OFFSET_BITS,
        taken.next,
        number,
        taken.count,
        id.0.as_bytes(),
        draft.kind.name,
        draft.kind.version,
        draft.key.as_ref().map(Key::as_bytes),
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
