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
