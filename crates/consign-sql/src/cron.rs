//! When the last tick of each cron was due.

use crate::due::time;
use crate::publish::micros;
use consign_core::CronName;
use rusqlite::{Connection, OptionalExtension, params};
use std::time::SystemTime;

/// Who comes with other times begins now; with the same, goes on.
const NAME: &str = "INSERT INTO consign_cron (name, times, last_due) VALUES (?1, ?2, ?3)
    ON CONFLICT (name) DO UPDATE
    SET times = excluded.times, last_due = max(last_due, excluded.last_due)
    WHERE times <> excluded.times";
const LAST: &str = "SELECT last_due FROM consign_cron WHERE name = ?1";
const MOVE: &str =
    "UPDATE consign_cron SET last_due = ?3 WHERE name = ?1 AND last_due = ?2 AND ?3 > ?2";

pub(crate) fn name(
    db: &Connection,
    name: &CronName,
    times: &str,
    now: SystemTime,
) -> rusqlite::Result<SystemTime> {
    db.execute(NAME, params![name.as_str(), times, micros(now)])?;
    db.query_row(LAST, [name.as_str()], |row| row.get(0)).map(time)
}

pub(crate) fn last(db: &Connection, name: &CronName) -> rusqlite::Result<Option<SystemTime>> {
    let last = db.prepare_cached(LAST)?.query_row([name.as_str()], |row| row.get(0)).optional();
    last.map(|last| last.map(time))
}

/// Takes the ticks up to `to`; `false`: somebody else has.
pub(crate) fn take(
    db: &Connection,
    name: &CronName,
    from: SystemTime,
    to: SystemTime,
) -> rusqlite::Result<bool> {
    let moved = db.execute(MOVE, params![name.as_str(), micros(from), micros(to)])?;
    Ok(moved == 1)
}
