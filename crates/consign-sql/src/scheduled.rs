//! Messages that are not due yet, and how they come into the log.

use crate::due::time;
use crate::publish::{OFFSET_BITS, Publisher, micros, take_offsets};
use crate::topics::{self, TopicRow};
use crate::unique::Holder;
use crate::waiting;
use consign_core::{Draft, Key, MessageId};
use rusqlite::{Connection, Row, params};
use std::collections::HashMap;
use std::time::SystemTime;
use uuid::Uuid;

/// Bytes of payload that one transaction moves, about.
const BYTES_MAX: i64 = 4 << 20;

const INSERT: &str = "INSERT INTO consign_scheduled
    (deliver_at, topic, id, unique_name, kind, version, key, headers, payload)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
pub(crate) const NEXT: &str = "SELECT min(deliver_at) FROM consign_scheduled";
pub(crate) const DUE: &str = "SELECT nth, topic, key, length(payload), unique_name, kind, id
    FROM consign_scheduled WHERE deliver_at <= ?1 ORDER BY deliver_at, nth LIMIT ?2";
const PROMOTE: &str = "INSERT INTO consign_log
    (position, id, kind, version, key, headers, payload, published_at)
    SELECT ?2, id, kind, version, key, headers, payload, ?3 FROM consign_scheduled WHERE nth = ?1";
const REMOVE: &str = "DELETE FROM consign_scheduled WHERE nth = ?1";
/// Of a partition, the first of so many offsets that were just taken.
const FIRST: &str = "SELECT next_offset - ?2 FROM consign_partition WHERE number = ?1";

/// Stores a message until it is due.
pub(crate) fn insert(
    db: &Connection,
    topic: TopicRow,
    draft: &Draft,
    id: MessageId,
    due: SystemTime,
) -> rusqlite::Result<()> {
    let row = params![
        micros(due),
        topic.id,
        id.0.as_bytes(),
        draft.unique.as_ref().map(|unique| unique.name.as_bytes()),
        draft.kind.name,
        draft.kind.version,
        draft.key.as_ref().map(Key::as_bytes),
        (!draft.headers.is_empty()).then_some(&draft.headers[..]),
        &draft.payload[..],
    ];
    db.prepare_cached(INSERT)?.execute(row).map(drop)
}

/// When the next message is due.
pub(crate) fn next(db: &Connection) -> rusqlite::Result<Option<SystemTime>> {
    let next = db.prepare_cached(NEXT)?.query_row([], |row| row.get::<_, Option<i64>>(0));
    next.map(|next| next.map(time))
}

/// A message that is due.
struct Due {
    nth: i64,
    topic: i64,
    key: Option<Key>,
    bytes: i64,
    /// The name that it holds, its kind and its id.
    unique: Option<(Key, String, MessageId)>,
}

/// Moves at most `max` messages that are due into the log, in a transaction that holds the write
/// lock: it is that which makes it once.
pub(crate) fn promote(
    db: &Connection,
    publisher: &Publisher,
    max: usize,
    now: SystemTime,
) -> rusqlite::Result<usize> {
    let due = due(db, max, now)?;
    if due.is_empty() {
        return Ok(0);
    }
    let topics = topics::load(db)?.into_iter().map(|(_, row)| (row.id, row));
    let topics = topics.collect::<HashMap<_, _>>();
    let place = |due: &Due| {
        let topic = *topics.get(&due.topic).ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        Ok((topic, topic.number(publisher.partition(topic, due.key.as_ref()))))
    };
    let places = due.iter().map(place).collect::<rusqlite::Result<Vec<_>>>()?;
    let mut offsets = HashMap::new();
    for (number, taken) in take_offsets(db, places.iter().map(|(_, number)| *number))? {
        let first = db.prepare_cached(FIRST)?;
        offsets.insert(number, first_of(first, number, taken.count)?);
    }
    let (mut promote, mut remove) = (db.prepare_cached(PROMOTE)?, db.prepare_cached(REMOVE)?);
    for (due, (topic, number)) in due.iter().zip(places) {
        let offset = offsets.get_mut(&number).expect("taken above");
        let position = number << OFFSET_BITS | *offset;
        *offset += 1;
        promote.execute(params![due.nth, position, micros(now)])?;
        remove.execute([due.nth])?;
        if let Some((name, kind, id)) = &due.unique {
            Holder::of(topic, kind, name).place(db, *id, position)?;
        }
    }
    Ok(due.len())
}

fn first_of(
    mut first: rusqlite::CachedStatement<'_>,
    number: i64,
    count: i64,
) -> rusqlite::Result<i64> {
    first.query_row([number, count], |row| row.get(0))
}

fn due(db: &Connection, max: usize, now: SystemTime) -> rusqlite::Result<Vec<Due>> {
    let limit = i64::try_from(max).unwrap_or(i64::MAX);
    let mut select = db.prepare_cached(DUE)?;
    let mut rows = select.query(params![micros(now), limit])?;
    let (mut all, mut bytes) = (Vec::new(), 0);
    while bytes < BYTES_MAX
        && let Some(row) = rows.next()?
    {
        let due = read(row)?;
        bytes += due.bytes;
        all.push(due);
    }
    Ok(all)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Due> {
    let name = waiting::key(row, 4)?;
    let unique = name.map(|name| {
        let id = MessageId(Uuid::from_slice(row.get_ref(6)?.as_blob()?).unwrap_or_default());
        Ok::<_, rusqlite::Error>((name, row.get(5)?, id))
    });
    Ok(Due {
        nth: row.get(0)?,
        topic: row.get(1)?,
        key: waiting::key(row, 2)?,
        bytes: row.get(3)?,
        unique: unique.transpose()?,
    })
}
