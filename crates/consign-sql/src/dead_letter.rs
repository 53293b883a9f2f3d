//! Messages that were given up.

use crate::cursor::CursorRow;
use crate::waiting::shortened;
use consign_core::{Offset, Reason, fingerprint};
use rusqlite::{Connection, params};

const INSERT: &str = "INSERT INTO consign_dead_letter
    (subscription, partition, log_offset, message, attempts, reason, last_error, fingerprint,
     first_failed_at, died_at, kind, version, published_at, key, headers, payload)
    SELECT ?1, ?2, ?3, id, ?4, ?5, ?6, ?7, ?8, ?8, kind, version, published_at, key, headers,
        payload
    FROM consign_log WHERE position = ?9 ON CONFLICT DO NOTHING";
const INSERT_WAITING: &str = "INSERT INTO consign_dead_letter
    (subscription, partition, log_offset, message, attempts, reason, last_error, fingerprint,
     first_failed_at, died_at, kind, version, published_at, key, headers, payload)
    SELECT ?1, ?2, ?3, id, ?4, ?5, ?6, ?7, coalesce(failed_at, ?8), ?8, kind, version,
        published_at, key, headers, payload
    FROM consign_retry WHERE subscription = ?1 AND partition = ?2 AND log_offset = ?3
    ON CONFLICT DO NOTHING";
/// What killed a process may do so again: it runs alone. Behind an earlier one of its key it waits.
const REVIVE: &str = "INSERT INTO consign_retry
    (subscription, partition, log_offset, id, attempt, due_at, suspect, last_error, fingerprint,
     failed_at, kind, version, key, headers, payload, published_at)
    SELECT subscription, partition, log_offset, message, 1,
        CASE WHEN EXISTS (SELECT 1 FROM consign_retry before WHERE before.subscription = ?1
                AND before.partition = ?2 AND before.key = letter.key
                AND before.log_offset < ?3) THEN NULL ELSE ?4 END,
        reason = 'killed', last_error, fingerprint, first_failed_at, kind, version, key, headers,
        payload, published_at
    FROM consign_dead_letter letter
    WHERE subscription = ?1 AND partition = ?2 AND log_offset = ?3";
/// Others of its key wait too: they drain in the order of the log.
const PARK_IF_SHARED: &str = "INSERT INTO consign_parked_key
    (subscription, partition, key, parked_at)
    SELECT subscription, partition, key, ?4 FROM consign_retry this
    WHERE subscription = ?1 AND partition = ?2 AND log_offset = ?3 AND key IS NOT NULL
      AND EXISTS (SELECT 1 FROM consign_retry other WHERE other.subscription = ?1
                  AND other.partition = ?2 AND other.key = this.key AND other.log_offset <> ?3)
    ON CONFLICT DO NOTHING";
const REMOVE: &str = "DELETE FROM consign_dead_letter
    WHERE subscription = ?1 AND partition = ?2 AND log_offset = ?3";
const EDIT: &str = "UPDATE consign_dead_letter SET payload = ?4
    WHERE subscription = ?1 AND partition = ?2 AND log_offset = ?3";

/// How a message died.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Death<'a> {
    attempts: u32,
    reason: Reason,
    error: &'a str,
}

impl<'a> Death<'a> {
    pub(crate) fn new(attempts: u32, reason: Reason, error: &'a str) -> Self {
        Self { attempts, reason, error: shortened(error) }
    }
}

/// Gives up a message of the log; `false`: it is dead already.
pub(crate) fn insert(
    db: &Connection,
    row: CursorRow,
    offset: Offset,
    death: &Death<'_>,
    now: i64,
) -> rusqlite::Result<bool> {
    let inserted = db.prepare_cached(INSERT)?.execute(params![
        row.subscription,
        row.partition,
        offset.0.cast_signed(),
        death.attempts,
        death.reason.as_str(),
        death.error,
        fingerprint(death.error),
        now,
        row.position(offset),
    ])?;
    Ok(inserted == 1)
}

/// Gives up a message that waits, whose row is still there; `false`: it is not.
pub(crate) fn insert_waiting(
    db: &Connection,
    row: CursorRow,
    offset: Offset,
    death: &Death<'_>,
    now: i64,
) -> rusqlite::Result<bool> {
    let inserted = db.prepare_cached(INSERT_WAITING)?.execute(params![
        row.subscription,
        row.partition,
        offset.0.cast_signed(),
        death.attempts,
        death.reason.as_str(),
        death.error,
        fingerprint(death.error),
        now,
    ])?;
    Ok(inserted == 1)
}

/// Lets a dead letter be tried again, from its first attempt; its row becomes the one that waits,
/// so that a second time finds nothing.
pub(crate) fn revive(
    db: &Connection,
    row: CursorRow,
    offset: Offset,
    now: i64,
) -> rusqlite::Result<bool> {
    let at = offset.0.cast_signed();
    let given = params![row.subscription, row.partition, at, now];
    if db.prepare_cached(REVIVE)?.execute(given)? == 0 {
        return Ok(false);
    }
    db.prepare_cached(PARK_IF_SHARED)?.execute(given)?;
    remove(db, row, offset)
}

/// Drops a dead letter; `false`: there is none.
pub(crate) fn remove(db: &Connection, row: CursorRow, offset: Offset) -> rusqlite::Result<bool> {
    let given = params![row.subscription, row.partition, offset.0.cast_signed()];
    Ok(db.prepare_cached(REMOVE)?.execute(given)? == 1)
}

/// Replaces a dead letter's payload; `false`: there is none.
pub(crate) fn edit(
    db: &Connection,
    row: CursorRow,
    offset: Offset,
    payload: &[u8],
) -> rusqlite::Result<bool> {
    let given = params![row.subscription, row.partition, offset.0.cast_signed(), payload];
    Ok(db.prepare_cached(EDIT)?.execute(given)? == 1)
}
