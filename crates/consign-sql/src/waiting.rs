//! Messages that wait: for their next attempt, or behind an earlier message of their key.
//!
//! Of a parked key only the head, the first in the log, has a time; what follows comes when it is
//! gone.

use crate::cursor::CursorRow;
use crate::publish::micros;
use crate::settle::json;
use consign_core::{Key, Offset, fingerprint};
use rusqlite::{Connection, params};
use std::collections::BTreeSet;
use std::time::SystemTime;

/// Bytes of an error's text that are kept.
const ERROR_BYTES_MAX: usize = 4 * 1024;

const INSERT: &str = "INSERT INTO consign_retry
    (subscription, partition, log_offset, id, attempt, due_at, suspect, last_error, fingerprint,
     failed_at, kind, version, key, headers, payload, published_at)
    SELECT ?1, ?2, ?3, id, ?4, ?5, ?6, ?7, ?8, ?9, kind, version, key, headers, payload,
        published_at
    FROM consign_log WHERE position = ?10 ON CONFLICT DO NOTHING";
const INSERT_BEHIND: &str = "INSERT INTO consign_retry
    (subscription, partition, log_offset, id, attempt, due_at, kind, version, key, headers, payload,
     published_at)
    SELECT ?1, ?2, ?3, id, 1,
        CASE WHEN EXISTS (SELECT 1 FROM consign_retry before WHERE before.subscription = ?1
                AND before.partition = ?2 AND before.key = log.key
                AND before.log_offset < ?3) THEN NULL ELSE ?4 END,
        kind, version, key, headers, payload, published_at
    FROM consign_log log WHERE position = ?5 ON CONFLICT DO NOTHING";
const PUT_OFF: &str = "UPDATE consign_retry SET attempt = ?4, due_at = ?5, suspect = ?6,
        last_error = ?7, fingerprint = ?8, failed_at = coalesce(failed_at, ?9)
    WHERE subscription = ?1 AND partition = ?2 AND log_offset = ?3";
const PUT_BEHIND: &str = "UPDATE consign_retry AS this SET due_at =
        CASE WHEN EXISTS (SELECT 1 FROM consign_retry before WHERE before.subscription = ?1
                AND before.partition = ?2 AND before.key = this.key
                AND before.log_offset < this.log_offset) THEN NULL ELSE ?4 END
    WHERE subscription = ?1 AND partition = ?2 AND log_offset = ?3";
const REMOVE: &str = "DELETE FROM consign_retry
    WHERE subscription = ?1 AND partition = ?2
      AND log_offset IN (SELECT value FROM json_each(?3))
    RETURNING key";
const PARK: &str = "INSERT INTO consign_parked_key (subscription, partition, key, parked_at)
    SELECT subscription, partition, key, ?4 FROM consign_retry
    WHERE subscription = ?1 AND partition = ?2 AND log_offset = ?3 AND key IS NOT NULL
    ON CONFLICT DO NOTHING";
pub(crate) const NEXT: &str = "UPDATE consign_retry SET due_at = ?4
    WHERE subscription = ?1 AND partition = ?2 AND due_at IS NULL
      AND log_offset = (SELECT min(log_offset) FROM consign_retry
                        WHERE subscription = ?1 AND partition = ?2 AND key = ?3)";
pub(crate) const UNPARK: &str = "DELETE FROM consign_parked_key
    WHERE subscription = ?1 AND partition = ?2 AND key = ?3 AND paused = 0
      AND NOT EXISTS (SELECT 1 FROM consign_retry
                      WHERE subscription = ?1 AND partition = ?2 AND key = ?3)";
const COME_NOW: &str = "UPDATE consign_retry SET due_at = ?4
    WHERE subscription = ?1 AND partition = ?2 AND log_offset = ?3 AND due_at > ?4";
const EDIT: &str = "UPDATE consign_retry SET payload = ?4
    WHERE subscription = ?1 AND partition = ?2 AND log_offset = ?3";
const PAUSE: &str =
    "INSERT INTO consign_parked_key (subscription, partition, key, parked_at, paused)
    VALUES (?1, ?2, ?3, ?4, 1) ON CONFLICT DO UPDATE SET paused = 1";
const RESUME: &str = "UPDATE consign_parked_key SET paused = 0
    WHERE subscription = ?1 AND partition = ?2 AND key = ?3 AND paused = 1";
const PARKED: &str = "SELECT key FROM consign_parked_key
    WHERE subscription = ?1 AND partition = ?2 ORDER BY key";

/// The attempt to be made next, and why the last one failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Next<'a> {
    attempt: u32,
    due: SystemTime,
    error: &'a str,
    is_suspect: bool,
}

impl<'a> Next<'a> {
    pub(crate) fn new(attempt: u32, due: SystemTime, error: &'a str, is_suspect: bool) -> Self {
        Self { attempt, due, error: shortened(error), is_suspect }
    }
}

/// The beginning of an error's text.
pub(crate) fn shortened(error: &str) -> &str {
    &error[..error.floor_char_boundary(ERROR_BYTES_MAX)]
}

/// Lets a message of the log wait for its next attempt; `false`: it waits already.
pub(crate) fn insert(
    db: &Connection,
    row: CursorRow,
    offset: Offset,
    next: &Next<'_>,
    now: i64,
) -> rusqlite::Result<bool> {
    let inserted = db.prepare_cached(INSERT)?.execute(params![
        row.subscription,
        row.partition,
        offset.0.cast_signed(),
        next.attempt,
        micros(next.due),
        next.is_suspect,
        next.error,
        fingerprint(next.error),
        now,
        row.position(offset),
    ])?;
    Ok(inserted == 1)
}

/// Lets a message of the log wait behind the earlier ones of its key, or, if they have just gone,
/// for nothing; `false`: it waits already.
pub(crate) fn insert_behind(
    db: &Connection,
    row: CursorRow,
    offset: Offset,
    now: i64,
) -> rusqlite::Result<bool> {
    let (at, position) = (offset.0.cast_signed(), row.position(offset));
    let given = params![row.subscription, row.partition, at, now, position];
    Ok(db.prepare_cached(INSERT_BEHIND)?.execute(given)? == 1)
}

/// Lets a message that waits wait for another attempt; `false`: it does not wait any more.
pub(crate) fn put_off(
    db: &Connection,
    row: CursorRow,
    offset: Offset,
    next: &Next<'_>,
    now: i64,
) -> rusqlite::Result<bool> {
    let updated = db.prepare_cached(PUT_OFF)?.execute(params![
        row.subscription,
        row.partition,
        offset.0.cast_signed(),
        next.attempt,
        micros(next.due),
        next.is_suspect,
        next.error,
        fingerprint(next.error),
        now,
    ])?;
    Ok(updated == 1)
}

/// Lets a message that waits wait behind the earlier ones of its key, or for nothing.
pub(crate) fn put_behind(
    db: &Connection,
    row: CursorRow,
    offset: Offset,
    now: i64,
) -> rusqlite::Result<bool> {
    let given = params![row.subscription, row.partition, offset.0.cast_signed(), now];
    Ok(db.prepare_cached(PUT_BEHIND)?.execute(given)? == 1)
}

/// Removes messages that wait, and says how many there were; their keys are added to `keys`.
pub(crate) fn remove(
    db: &Connection,
    row: CursorRow,
    offsets: &[Offset],
    keys: &mut Vec<Key>,
) -> rusqlite::Result<usize> {
    if offsets.is_empty() {
        return Ok(0);
    }
    let mut remove = db.prepare_cached(REMOVE)?;
    let offsets = json(offsets.iter().copied());
    let mut removed = remove.query(params![row.subscription, row.partition, offsets])?;
    let mut count = 0;
    while let Some(row) = removed.next()? {
        count += 1;
        keys.extend(key(row, 0)?);
    }
    Ok(count)
}

/// Parks the key of a message that waits; `true` even where it has none.
pub(crate) fn park_key_of(
    db: &Connection,
    row: CursorRow,
    offset: Offset,
    now: i64,
) -> rusqlite::Result<bool> {
    let given = params![row.subscription, row.partition, offset.0.cast_signed(), now];
    db.prepare_cached(PARK)?.execute(given).map(|_| true)
}

/// Lets the next message of each of these keys come, and answers those of which none is left:
/// they are parked no more.
pub(crate) fn go_on(
    db: &Connection,
    row: CursorRow,
    keys: impl IntoIterator<Item = Key>,
    now: i64,
) -> rusqlite::Result<BTreeSet<Key>> {
    let mut unparked = keys.into_iter().collect::<BTreeSet<_>>();
    let mut error = None;
    unparked.retain(|key| match go_on_one(db, row, key, now) {
        Ok(is_unparked) => is_unparked,
        Err(source) => {
            error = Some(source);
            false
        }
    });
    error.map_or(Ok(unparked), Err)
}

fn go_on_one(db: &Connection, row: CursorRow, key: &Key, now: i64) -> rusqlite::Result<bool> {
    let (of, partition, key) = (row.subscription, row.partition, key.as_bytes());
    db.prepare_cached(NEXT)?.execute(params![of, partition, key, now])?;
    Ok(db.prepare_cached(UNPARK)?.execute(params![of, partition, key])? == 1)
}

/// Ends the wait of a message that has a time; `false`: it has none, or is due.
pub(crate) fn come_now(
    db: &Connection,
    row: CursorRow,
    offset: Offset,
    now: i64,
) -> rusqlite::Result<bool> {
    let given = params![row.subscription, row.partition, offset.0.cast_signed(), now];
    Ok(db.prepare_cached(COME_NOW)?.execute(given)? == 1)
}

/// Replaces the payload of a message that waits; `false`: it does not wait any more.
pub(crate) fn edit(
    db: &Connection,
    row: CursorRow,
    offset: Offset,
    payload: &[u8],
) -> rusqlite::Result<bool> {
    let given = params![row.subscription, row.partition, offset.0.cast_signed(), payload];
    Ok(db.prepare_cached(EDIT)?.execute(given)? == 1)
}

/// Holds a key back until it is resumed.
pub(crate) fn pause_key(
    db: &Connection,
    row: CursorRow,
    key: &[u8],
    now: i64,
) -> rusqlite::Result<bool> {
    let given = params![row.subscription, row.partition, key, now];
    Ok(db.prepare_cached(PAUSE)?.execute(given)? == 1)
}

/// Lets a key that was paused go on; `false`: it was not.
pub(crate) fn resume_key(
    db: &Connection,
    row: CursorRow,
    key: &Key,
    now: i64,
) -> rusqlite::Result<bool> {
    let given = params![row.subscription, row.partition, key.as_bytes()];
    let is_resumed = db.prepare_cached(RESUME)?.execute(given)? == 1;
    go_on_one(db, row, key, now)?;
    Ok(is_resumed)
}

/// The keys whose messages wait.
pub(crate) fn parked_keys(db: &Connection, row: CursorRow) -> rusqlite::Result<Vec<Key>> {
    let mut select = db.prepare_cached(PARKED)?;
    let keys = select.query_map([row.subscription, row.partition], |row| key(row, 0))?;
    keys.filter_map(Result::transpose).collect()
}

/// Reads a message's key.
pub(crate) fn key(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Option<Key>> {
    let key = row.get_ref(at)?.as_blob_or_null()?.map(|key| Key::new(key.to_vec())).transpose();
    key.map_err(|source| {
        let source = Box::new(source);
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Blob, source)
    })
}
