//! Where a subscription continues: moved by compare-and-set, in the effect's own transaction.

use crate::publish::OFFSET_BITS;
use crate::subscription;
use crate::topics::TopicRow;
use consign_core::{Advance, Advanced, Epoch, Offset, Partition, SubscriptionId};
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::Arc;

const MOVE: &str = "UPDATE consign_cursor
    SET next_offset = ?1, passed = passed + ?1 - ?2, updated_at = ?3,
        suspect = CASE WHEN suspect > ?1 THEN suspect ELSE 0 END,
        applied = applied + ?4, marked = marked + ?5, dead = dead + ?6, waiting = waiting + ?7,
        discarded = discarded + ?8
    WHERE subscription = ?9 AND partition = ?10 AND epoch = ?11 AND next_offset = ?2";
const COUNT: &str = "UPDATE consign_cursor
    SET applied = applied + ?1, marked = marked + ?2, dead = dead + ?3, waiting = waiting + ?4,
        discarded = discarded + ?5
    WHERE subscription = ?6 AND partition = ?7";
const SKIP: &str = "INSERT INTO consign_skipped
    (subscription, partition, kind, total, first_at, last_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)
    ON CONFLICT DO UPDATE SET total = total + excluded.total, last_at = excluded.last_at";

/// Names the cursor of a subscription in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CursorRow {
    pub(crate) subscription: i64,
    /// Among all partitions of the database.
    pub(crate) partition: i64,
}

/// A move from one place to another, under an epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move {
    pub(crate) epoch: Epoch,
    pub(crate) from: Offset,
    pub(crate) to: Offset,
}

/// What became of messages: how much each of a cursor's counts changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) applied: i64,
    pub(crate) marked: i64,
    pub(crate) dead: i64,
    pub(crate) waiting: i64,
    pub(crate) discarded: i64,
}

impl CursorRow {
    pub(crate) fn new(of: SubscriptionId, topic: TopicRow, partition: Partition) -> Self {
        Self { subscription: of.0, partition: topic.number(partition) }
    }

    /// Where a message of this partition stands in the log.
    pub(crate) fn position(self, offset: Offset) -> i64 {
        self.partition << OFFSET_BITS | offset.0.cast_signed()
    }

    /// Moves the cursor, if it stands where it must and the epoch is the newest.
    ///
    /// # Panics
    /// Where it would move back.
    pub(crate) fn advance(
        self,
        db: &Connection,
        to: Move,
        counts: Counts,
        now: i64,
    ) -> rusqlite::Result<bool> {
        assert!(to.from <= to.to, "a cursor never moves back: from {} to {}", to.from, to.to);
        let moved = db.prepare_cached(MOVE)?.execute(params![
            to.to.0.cast_signed(),
            to.from.0.cast_signed(),
            now,
            counts.applied,
            counts.marked,
            counts.dead,
            counts.waiting,
            counts.discarded,
            self.subscription,
            self.partition,
            to.epoch.0.cast_signed(),
        ])?;
        Ok(moved == 1)
    }

    /// Counts what was done on request, without a move.
    pub(crate) fn count(self, db: &Connection, counts: Counts) -> rusqlite::Result<()> {
        let Counts { applied, marked, dead, waiting, discarded } = counts;
        let given =
            params![applied, marked, dead, waiting, discarded, self.subscription, self.partition];
        db.prepare_cached(COUNT)?.execute(given).map(drop)
    }

    /// The newest epoch; `None` before the first cursor.
    pub(crate) fn epoch(self, db: &Connection) -> rusqlite::Result<Option<Epoch>> {
        let select = "SELECT epoch FROM consign_cursor WHERE subscription = ?1 AND partition = ?2";
        let mut select = db.prepare_cached(select)?;
        let epoch = |row: &rusqlite::Row<'_>| Ok(Epoch(row.get::<_, i64>(0)?.cast_unsigned()));
        select.query_row([self.subscription, self.partition], epoch).optional()
    }

    /// Counts messages that were passed since nobody names their kind.
    pub(crate) fn count_skipped(
        self,
        db: &Connection,
        skipped: &[(Arc<str>, u64)],
        now: i64,
    ) -> rusqlite::Result<()> {
        for (kind, total) in skipped {
            let given =
                params![self.subscription, self.partition, &**kind, total.cast_signed(), now];
            db.prepare_cached(SKIP)?.execute(given)?;
        }
        Ok(())
    }
}

/// How many messages were passed since nobody names their kind.
pub(crate) fn total(skipped: &[(Arc<str>, u64)]) -> u64 {
    skipped.iter().map(|(_, total)| total).sum()
}

/// Moves the cursors of one stream; what is not [`Advanced::All`] must be rolled back.
pub(crate) fn advance(
    db: &Connection,
    topic: TopicRow,
    moves: &[Advance],
    kinds: &[String],
    now: i64,
) -> rusqlite::Result<Advanced> {
    let mut fenced = Vec::new();
    for advance in moves {
        let row = CursorRow::new(advance.subscription, topic, advance.partition);
        let to = Move { epoch: advance.epoch, from: advance.from, to: advance.to };
        let applied = advance.messages - total(&advance.skipped);
        let counts = Counts { applied: applied.cast_signed(), ..Counts::default() };
        if !row.advance(db, to, counts, now)? {
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
    for advance in moves {
        let row = CursorRow::new(advance.subscription, topic, advance.partition);
        row.count_skipped(db, &advance.skipped, now)?;
    }
    Ok(Advanced::All)
}
