//! Where a subscription continues: moved by compare-and-set, in the effect's own transaction.

use crate::subscription;
use crate::topics::TopicRow;
use consign_core::{Advance, Advanced};
use rusqlite::{Connection, Statement, params};

const MOVE: &str = "UPDATE consign_cursor
    SET next_offset = ?1, passed = passed + ?2, updated_at = ?3
    WHERE subscription = ?4 AND partition = ?5 AND epoch = ?6 AND next_offset = ?7";
const SKIP: &str = "INSERT INTO consign_skipped
    (subscription, partition, kind, total, first_at, last_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)
    ON CONFLICT DO UPDATE SET total = total + excluded.total, last_at = excluded.last_at";

/// Moves the cursors of one subscription; what is not [`Advanced::All`] must be rolled back.
pub(crate) fn advance(
    db: &Connection,
    topic: TopicRow,
    moves: &[Advance],
    kinds: &[String],
    now: i64,
) -> rusqlite::Result<Advanced> {
    let mut update = db.prepare(MOVE)?;
    let mut fenced = Vec::new();
    for advance in moves {
        if !is_moved(&mut update, topic, advance, now)? {
            fenced.push(advance.partition);
        }
    }
    if !fenced.is_empty() {
        return Ok(Advanced::Fenced(fenced));
    }
    let Some(first) = moves.first() else { return Ok(Advanced::All) };
    // A process that started meanwhile may have named a kind that is about to be skipped here.
    let named = subscription::kinds(db, first.subscription)?;
    if named != kinds {
        return Ok(Advanced::Kinds(named));
    }
    count_skipped(db, topic, moves, now)?;
    Ok(Advanced::All)
}

fn is_moved(
    update: &mut Statement<'_>,
    topic: TopicRow,
    advance: &Advance,
    now: i64,
) -> rusqlite::Result<bool> {
    let moved = update.execute(params![
        advance.to.0.cast_signed(),
        advance.messages.cast_signed(),
        now,
        advance.subscription.0,
        topic.number(advance.partition),
        advance.epoch.0.cast_signed(),
        advance.from.0.cast_signed(),
    ])?;
    Ok(moved == 1)
}

fn count_skipped(
    db: &Connection,
    topic: TopicRow,
    moves: &[Advance],
    now: i64,
) -> rusqlite::Result<()> {
    for advance in moves {
        let number = topic.number(advance.partition);
        for (kind, count) in &advance.skipped {
            let count = count.cast_signed();
            db.execute(SKIP, params![advance.subscription.0, number, &**kind, count, now])?;
        }
    }
    Ok(())
}
