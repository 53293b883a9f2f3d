//! Messages that waited, and whose time has come.

use crate::cursor::CursorRow;
use crate::topics::TopicRow;
use crate::waiting;
use bytes::Bytes;
use consign_core::{Due, Envelope, MessageId, Offset, Partition, SubscriptionId, Waiting};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// Bytes of payload that are handed out in one go; a first message that is larger comes alone.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Of a key only the first in the log may come, and nothing of a key that somebody paused.
pub(crate) const HEADS: &str = "SELECT due_at, log_offset, parked.key
    FROM consign_retry head LEFT JOIN consign_parked_key parked
      ON parked.subscription = ?1 AND parked.partition = ?2 AND parked.key = head.key
    WHERE head.subscription = ?1 AND head.partition = ?2 AND head.due_at <= ?3
      AND (parked.key IS NULL OR (parked.paused = 0 AND NOT EXISTS (
           SELECT 1 FROM consign_retry before WHERE before.subscription = ?1
             AND before.partition = ?2 AND before.key = head.key
             AND before.log_offset < head.log_offset)))
    ORDER BY head.due_at LIMIT ?4";
pub(crate) const NEXT: &str = "SELECT min(due_at) FROM consign_retry
    WHERE subscription = ?1 AND partition = ?2 AND due_at > ?3";
const ONE: &str = "SELECT log_offset, attempt, due_at, suspect, id, kind, version, key, headers,
        payload, published_at
    FROM consign_retry WHERE subscription = ?1 AND partition = ?2 AND log_offset = ?3";
pub(crate) const CHAIN: &str =
    "SELECT log_offset, attempt, due_at, suspect, id, kind, version, key, headers,
        payload, published_at
    FROM consign_retry WHERE subscription = ?1 AND partition = ?2 AND key = ?3
    ORDER BY log_offset LIMIT ?4";

/// The first message of a chain.
struct Head {
    due_at: i64,
    partition: Partition,
    log_offset: i64,
    parked: Option<Vec<u8>>,
}

/// What is due in these partitions, the oldest first.
pub(crate) fn due(
    db: &Connection,
    of: SubscriptionId,
    topic: TopicRow,
    partitions: &[Partition],
    max: usize,
    now: i64,
) -> rusqlite::Result<Due> {
    let (mut heads, mut next) = (Vec::new(), None);
    for partition in partitions {
        let row = CursorRow::new(of, topic, *partition);
        heads_of(db, row, *partition, max, now, &mut heads)?;
        next = earliest(next, next_of(db, row, now)?);
    }
    heads.sort_by_key(|head| head.due_at);
    let (mut due, mut bytes) = (Due::default(), 0);
    for head in heads {
        if due.chains.len() == max || bytes >= BYTES_MAX {
            next = earliest(next, Some(head.due_at));
            break;
        }
        let row = CursorRow::new(of, topic, head.partition);
        due.chains.push(chain(db, row, &head, max, now, &mut bytes)?);
    }
    due.next = next.map(time);
    Ok(due)
}

fn earliest(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}

/// One more than `max`, so that the rest is known of.
fn heads_of(
    db: &Connection,
    row: CursorRow,
    partition: Partition,
    max: usize,
    now: i64,
    heads: &mut Vec<Head>,
) -> rusqlite::Result<()> {
    let limit = i64::try_from(max.saturating_add(1)).unwrap_or(i64::MAX);
    let mut select = db.prepare_cached(HEADS)?;
    let found = select.query_map(params![row.subscription, row.partition, now, limit], |row| {
        let (due_at, log_offset, parked) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Head { due_at, partition, log_offset, parked })
    })?;
    for head in found {
        heads.push(head?);
    }
    Ok(())
}

fn next_of(db: &Connection, row: CursorRow, now: i64) -> rusqlite::Result<Option<i64>> {
    let mut select = db.prepare_cached(NEXT)?;
    select.query_row([row.subscription, row.partition, now], |row| row.get(0))
}

/// A message, and those of its key that come after it, until one has to wait or must run alone.
fn chain(
    db: &Connection,
    row: CursorRow,
    head: &Head,
    max: usize,
    now: i64,
    bytes: &mut usize,
) -> rusqlite::Result<Vec<Waiting>> {
    let Some(key) = &head.parked else {
        let mut select = db.prepare_cached(ONE)?;
        let place = params![row.subscription, row.partition, head.log_offset];
        let one = select.query_row(place, |row| waiting(row, head.partition)).optional()?;
        *bytes += one.as_ref().map_or(0, |one| one.envelope.payload.len());
        return Ok(one.into_iter().collect());
    };
    let mut select = db.prepare_cached(CHAIN)?;
    let limit = i64::try_from(max).unwrap_or(i64::MAX);
    let mut rows = select.query(params![row.subscription, row.partition, key, limit])?;
    let mut chain = Vec::new();
    while let Some(row) = rows.next()? {
        let waits = row.get::<_, Option<i64>>(2)?.is_some_and(|due| due > now);
        let one = waiting(row, head.partition)?;
        if !chain.is_empty() && (waits || one.is_suspect || *bytes >= BYTES_MAX) {
            break;
        }
        let is_alone = one.is_suspect;
        *bytes += one.envelope.payload.len();
        chain.push(one);
        if is_alone {
            break;
        }
    }
    Ok(chain)
}

fn waiting(row: &Row<'_>, partition: Partition) -> rusqlite::Result<Waiting> {
    Ok(Waiting {
        partition,
        offset: Offset(row.get::<_, i64>(0)?.cast_unsigned()),
        attempt: row.get(1)?,
        is_suspect: row.get(3)?,
        envelope: envelope(row, 4)?,
    })
}

/// Reads id, kind, version, key, headers, payload and time of a message.
pub(crate) fn envelope(row: &Row<'_>, at: usize) -> rusqlite::Result<Envelope> {
    let headers = row.get_ref(at + 4)?.as_blob_or_null()?.unwrap_or_default();
    Ok(Envelope {
        id: MessageId(Uuid::from_slice(row.get_ref(at)?.as_blob()?).unwrap_or_default()),
        kind: row.get_ref(at + 1)?.as_str()?.into(),
        version: row.get(at + 2)?,
        key: waiting::key(row, at + 3)?,
        headers: Bytes::copy_from_slice(headers),
        payload: Bytes::copy_from_slice(row.get_ref(at + 5)?.as_blob()?),
        published_at: time(row.get(at + 6)?),
    })
}

/// A time as it was stored.
pub(crate) fn time(stored: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(stored.unsigned_abs())
}
