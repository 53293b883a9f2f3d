//! Messages of a queue that end, in the transaction of their effects: done marks, the cursor's
//! move, and rows for those that were not applied.

use crate::cursor::{self, Counts, CursorRow, Move};
use crate::topics::TopicRow;
use crate::{dead_letter, subscription, waiting};
use consign_core::{
    Epoch, Fate, Key, Offset, Partition, Settle, Settled, SubscriptionId, Unfinished,
};
use rusqlite::{Connection, params};
use std::collections::BTreeSet;

/// The epoch is looked at in the statement itself: a late owner marks nothing.
const MARK: &str = "INSERT INTO consign_done (subscription, partition, log_offset)
    SELECT ?1, ?2, value FROM json_each(?3)
    WHERE EXISTS (SELECT 1 FROM consign_cursor WHERE subscription = ?1 AND partition = ?2
                  AND epoch = ?4 AND next_offset <= value)
    ON CONFLICT DO NOTHING";
const UNMARK: &str = "DELETE FROM consign_done
    WHERE subscription = ?1 AND partition = ?2 AND log_offset < ?3";
const MARKS: &str = "SELECT log_offset FROM consign_done
    WHERE subscription = ?1 AND partition = ?2 ORDER BY log_offset";
const SUSPECTS_BELOW: &str = "SELECT nullif(suspect, 0) FROM consign_cursor
    WHERE subscription = ?1 AND partition = ?2";
pub(crate) const LAST_SUSPECT: &str = "SELECT max(log_offset) FROM consign_retry this
    WHERE subscription = ?1 AND partition = ?2 AND suspect = 1 AND NOT EXISTS (
        SELECT 1 FROM consign_parked_key WHERE subscription = ?1 AND partition = ?2
           AND key = this.key AND paused)";

/// Settles one subscription's messages, and says how many have come to their end; what is not
/// [`Settled::All`] must be rolled back.
pub(crate) fn settle(
    db: &Connection,
    of: SubscriptionId,
    topic: TopicRow,
    parts: &[Settle],
    kinds: &[String],
    now: i64,
) -> rusqlite::Result<(Settled, usize)> {
    let (mut fenced, mut unparked, mut messages) = (Vec::new(), Vec::new(), 0);
    for part in parts {
        match settle_part(db, CursorRow::new(of, topic, part.partition), part, now)? {
            Some((keys, finished)) => {
                unparked.extend(keys.into_iter().map(|key| (part.partition, key)));
                messages += (finished + part.again.len()).saturating_sub(left_waiting(part));
            }
            None => fenced.push(part.partition),
        }
    }
    if !fenced.is_empty() {
        return Ok((Settled::Fenced(fenced), messages));
    }
    // A process that started meanwhile may have named a kind that is about to be skipped here.
    let named = subscription::kinds(db, of)?;
    if named != kinds {
        return Ok((Settled::Kinds(named), messages));
    }
    for part in parts {
        let row = CursorRow::new(of, topic, part.partition);
        row.count_skipped(db, &part.skipped, now)?;
    }
    Ok((Settled::All(unparked), messages))
}

/// How many messages of a settlement do not end with it: they wait, perhaps again.
fn left_waiting(part: &Settle) -> usize {
    let waits = |fate: &Fate| matches!(fate, Fate::Retry { .. } | Fate::Parked);
    let aside = part.aside.iter().filter(|(_, fate)| waits(fate)).count();
    let again = part.again.iter().filter(|(_, fate)| fate.as_ref().is_some_and(waits)).count();
    aside + again
}

/// Settles in one partition; answers the keys that are parked no more, and how many messages of
/// the log are finished now. `None`: somebody else owns it, or has settled one of these.
fn settle_part(
    db: &Connection,
    row: CursorRow,
    part: &Settle,
    now: i64,
) -> rusqlite::Result<Option<(BTreeSet<Key>, usize)>> {
    let Some(mut counts) = mark(db, row, part)? else { return Ok(None) };
    let finished = usize::try_from(counts.applied).unwrap_or(0);
    if !put_aside(db, row, &part.aside, &mut counts, now)? {
        return Ok(None);
    }
    let Some(keys) = end_waiting(db, row, &part.again, &mut counts, now)? else {
        return Ok(None);
    };
    let to = Move { epoch: part.epoch, from: part.from, to: part.to };
    Ok(row.advance(db, to, counts, now)?.then_some((keys, finished)))
}

/// Marks what is finished above the cursor's new place, and removes the marks below it.
fn mark(db: &Connection, row: CursorRow, part: &Settle) -> rusqlite::Result<Option<Counts>> {
    let below = if part.to > part.from { unmark(db, row, part.to)? } else { 0 };
    let marked = part.marks.len();
    if marked > 0 && insert_marks(db, row, &part.marks, part.epoch)? < marked {
        return Ok(None);
    }
    let passed = (part.to.0 - part.from.0).cast_signed();
    let skipped = cursor::total(&part.skipped).cast_signed();
    let (below, marked) = (count(below), count(marked));
    // What was passed without a mark, and what is marked, is finished now.
    let finished = passed - skipped - below + marked;
    Ok(Some(Counts { applied: finished, marked: marked - below, ..Counts::default() }))
}

fn insert_marks(
    db: &Connection,
    row: CursorRow,
    marks: &[Offset],
    epoch: Epoch,
) -> rusqlite::Result<usize> {
    let offsets = json(marks.iter().copied());
    let epoch = epoch.0.cast_signed();
    db.prepare_cached(MARK)?.execute(params![row.subscription, row.partition, offsets, epoch])
}

fn unmark(db: &Connection, row: CursorRow, to: Offset) -> rusqlite::Result<usize> {
    let to = to.0.cast_signed();
    db.prepare_cached(UNMARK)?.execute(params![row.subscription, row.partition, to])
}

/// Writes a row for each message of the log that was not applied; `false`: one has a row already.
fn put_aside(
    db: &Connection,
    row: CursorRow,
    aside: &[(Offset, Fate)],
    counts: &mut Counts,
    now: i64,
) -> rusqlite::Result<bool> {
    let mut in_order = aside.iter().collect::<Vec<_>>();
    in_order.sort_unstable_by_key(|(offset, _)| *offset);
    for (offset, fate) in in_order {
        counts.applied -= 1;
        let is_written = match fate {
            Fate::Retry { attempt, due, error, parks, is_suspect } => {
                counts.waiting += 1;
                let next = waiting::Next::new(*attempt, *due, error, *is_suspect);
                waiting::insert(db, row, *offset, &next, now)?
                    && (!parks || waiting::park_key_of(db, row, *offset, now)?)
            }
            Fate::Parked => {
                counts.waiting += 1;
                waiting::insert_behind(db, row, *offset, now)?
                    && waiting::park_key_of(db, row, *offset, now)?
            }
            Fate::Dead { attempts, reason, error } => {
                counts.dead += 1;
                let death = dead_letter::Death::new(*attempts, *reason, error);
                dead_letter::insert(db, row, *offset, &death, now)?
            }
            Fate::Discarded(_) => {
                counts.discarded += 1;
                true
            }
        };
        if !is_written {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Ends, or puts off again, messages that had waited; their rows' removal is the ledger of these
/// attempts, so each must be there.
fn end_waiting(
    db: &Connection,
    row: CursorRow,
    again: &[(Offset, Option<Fate>)],
    counts: &mut Counts,
    now: i64,
) -> rusqlite::Result<Option<BTreeSet<Key>>> {
    if again.is_empty() {
        return Ok(Some(BTreeSet::new()));
    }
    let applied = again.iter().filter(|(_, fate)| fate.is_none()).map(|(offset, _)| *offset);
    let applied = applied.collect::<Vec<_>>();
    let mut keys = Vec::new();
    if waiting::remove(db, row, &applied, &mut keys)? < applied.len() {
        return Ok(None);
    }
    counts.applied += count(applied.len());
    counts.waiting -= count(applied.len());
    for (offset, fate) in again.iter().filter_map(|(at, fate)| Some((*at, fate.as_ref()?))) {
        if !end_one(db, row, offset, fate, counts, &mut keys, now)? {
            return Ok(None);
        }
    }
    waiting::go_on(db, row, keys, now).map(Some)
}

fn end_one(
    db: &Connection,
    row: CursorRow,
    offset: Offset,
    fate: &Fate,
    counts: &mut Counts,
    keys: &mut Vec<Key>,
    now: i64,
) -> rusqlite::Result<bool> {
    match fate {
        Fate::Retry { attempt, due, error, parks, is_suspect } => {
            let next = waiting::Next::new(*attempt, *due, error, *is_suspect);
            Ok(waiting::put_off(db, row, offset, &next, now)?
                && (!parks || waiting::park_key_of(db, row, offset, now)?))
        }
        Fate::Parked => waiting::put_behind(db, row, offset, now),
        Fate::Dead { attempts, reason, error } => {
            counts.dead += 1;
            counts.waiting -= 1;
            let death = dead_letter::Death::new(*attempts, *reason, error);
            Ok(dead_letter::insert_waiting(db, row, offset, &death, now)?
                && waiting::remove(db, row, &[offset], keys)? == 1)
        }
        Fate::Discarded(_) => {
            counts.discarded += 1;
            counts.waiting -= 1;
            Ok(waiting::remove(db, row, &[offset], keys)? == 1)
        }
    }
}

/// What a new owner of these partitions must know.
pub(crate) fn unfinished(
    db: &Connection,
    of: SubscriptionId,
    topic: TopicRow,
    partitions: &[Partition],
) -> rusqlite::Result<Vec<Unfinished>> {
    let look = |partition: &Partition| {
        let row = CursorRow::new(of, topic, *partition);
        let place = [row.subscription, row.partition];
        let mut marks = db.prepare_cached(MARKS)?;
        let marks = marks.query_map(place, |row| Ok(Offset(row.get::<_, i64>(0)?.cast_unsigned())));
        let offset = |select: &str| -> rusqlite::Result<Option<Offset>> {
            let found: Option<i64> =
                db.prepare_cached(select)?.query_row(place, |row| row.get(0))?;
            Ok(found.map(|offset| Offset(offset.cast_unsigned())))
        };
        Ok(Unfinished {
            partition: *partition,
            marks: marks?.collect::<rusqlite::Result<_>>()?,
            parked: waiting::parked_keys(db, row)?,
            suspects_below: offset(SUSPECTS_BELOW)?,
            last_suspect: offset(LAST_SUSPECT)?,
        })
    };
    partitions.iter().map(look).collect()
}

/// Offsets as `json_each` takes them.
pub(crate) fn json(offsets: impl Iterator<Item = Offset>) -> String {
    serde_json::Value::from(offsets.map(|offset| offset.0).collect::<Vec<_>>()).to_string()
}

pub(crate) fn count(items: usize) -> i64 {
    i64::try_from(items).expect("fewer than a log holds")
}
