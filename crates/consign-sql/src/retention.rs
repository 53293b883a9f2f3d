//! Removes messages that nobody needs any more: in bulk, seldom, in a worker's turn.

use crate::owner::micros;
use crate::publish::OFFSET_BITS;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A message is kept for so long at least, whoever has read it.
const AGE_MIN: Duration = Duration::from_hours(7 * 24);
/// A subscription that no process has named for so long is retired: it holds nothing back.
pub(crate) const RETIRED_AFTER: Duration = Duration::from_hours(7 * 24);
/// How often a process looks whether something is to be removed.
const EVERY: Duration = Duration::from_mins(1);
/// Messages that are removed in one transaction, at least and at most.
const PIECE: (i64, i64) = (10, 1_000);
/// It holds the write lock for about so long.
const HOLD: Duration = Duration::from_millis(2);
/// Messages of a partition that are looked at to tell how large it is.
const SAMPLES: i64 = 16;
/// Bytes of a row besides what the publisher gave.
const ROW_BYTES: i64 = 48;

const SILENT: &str = "SELECT id FROM consign_subscription WHERE named_at <= ?1";
const PARTITIONS: &str = "SELECT number, topic, first_offset, next_offset FROM consign_partition
    WHERE next_offset > first_offset ORDER BY number";
/// What is asked to be rebuilt may need the log from its start.
const HELD: &str = "SELECT min(CASE WHEN s.rebuild = 'asked' THEN 0
        ELSE coalesce(c.next_offset, 0) END)
    FROM consign_subscription s
    LEFT JOIN consign_cursor c ON c.subscription = s.id AND c.partition = ?1
    WHERE s.topic = ?2 AND NOT (s.named_at <= ?3
        AND EXISTS (SELECT 1 FROM json_each(?4) WHERE value = s.id))";
const YOUNG: &str = "SELECT position FROM consign_log
    WHERE position >= ?1 AND position < ?2 AND published_at > ?3 ORDER BY position LIMIT 1";
const BYTES: &str = "SELECT length(payload) + coalesce(length(headers), 0)
        + coalesce(length(key), 0) + length(kind) FROM consign_log WHERE position = ?1";
const FIRST: &str = "SELECT first_offset FROM consign_partition WHERE number = ?1";
const DELETE: &str = "DELETE FROM consign_log WHERE position >= ?1 AND position < ?2";
const SET_FIRST: &str = "UPDATE consign_partition SET first_offset = ?2 WHERE number = ?1";
const LEFT_BEHIND: &str = "SELECT c.subscription, s.name, c.next_offset FROM consign_cursor c
    JOIN consign_subscription s ON s.id = c.subscription
    WHERE c.partition = ?1 AND c.next_offset < ?2 AND s.topic = ?3";
const UNMARK: &str = "DELETE FROM consign_done
    WHERE subscription = ?1 AND partition = ?2 AND log_offset < ?3";
/// What it has missed counts as before its start, so that its counts still add up. Whoever owned the
/// partition is fenced.
const MISS: &str = "UPDATE consign_cursor SET next_offset = ?3, passed = passed + ?3 - next_offset,
        started_offset = started_offset + ?3 - next_offset - ?4, marked = marked - ?4,
        missed = missed + ?3 - next_offset - ?4, epoch = epoch + 1, owner = NULL, suspect = 0
    WHERE subscription = ?1 AND partition = ?2";

/// What a process remembers between two looks.
#[derive(Debug)]
pub(crate) struct Retention {
    bytes_max: Option<u64>,
    looked_at: Option<i64>,
    /// This look is the first of its minute.
    is_new: bool,
    /// More may be left than one transaction removes.
    has_more: bool,
    /// What retired subscriptions have lost since it was last said.
    missed: BTreeMap<String, i64>,
    /// Not named for long at the last look, and, of these, those that had not been at the one
    /// before, either: a machine that slept for a week gives each process a minute to name them.
    silent: BTreeSet<i64>,
    retired: BTreeSet<i64>,
    /// How far each partition is too large, by its last look.
    too_large: BTreeMap<i64, i64>,
    piece: i64,
}

/// Messages of one partition that nobody needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    partition: i64,
    topic: i64,
    from: i64,
    to: i64,
}

/// A partition that holds messages.
struct Part {
    number: i64,
    topic: i64,
    first: i64,
    next: i64,
}

impl Retention {
    pub(crate) fn new(bytes_max: Option<u64>) -> Self {
        Self {
            bytes_max,
            looked_at: None,
            is_new: false,
            has_more: false,
            missed: BTreeMap::new(),
            silent: BTreeSet::new(),
            retired: BTreeSet::new(),
            too_large: BTreeMap::new(),
            piece: PIECE.1 / 4,
        }
    }

    /// Asks whether it is time to look. An error is not repeated before the next time.
    pub(crate) fn is_due(&mut self, now: i64) -> bool {
        let is_recent = |at: i64| (at..at + micros(EVERY)).contains(&now);
        self.is_new = !self.looked_at.is_some_and(is_recent);
        if self.is_new {
            self.looked_at = Some(now);
        }
        std::mem::take(&mut self.has_more) || self.is_new
    }

    /// Looks, without the write lock, for messages that nobody needs.
    pub(crate) fn look(&mut self, db: &Connection, now: i64) -> rusqlite::Result<Option<Piece>> {
        let parts = partitions(db)?;
        if self.is_new {
            self.retire(db, now)?;
            self.measure(db, &parts)?;
        }
        for part in parts {
            let piece = self.piece_of(db, &part, now)?;
            if piece.is_some() {
                return Ok(piece);
            }
        }
        self.say_missed();
        Ok(None)
    }

    fn say_missed(&mut self) {
        for (subscription, messages) in std::mem::take(&mut self.missed) {
            warn_of_missed(&subscription, messages, false);
        }
    }

    fn retire(&mut self, db: &Connection, now: i64) -> rusqlite::Result<()> {
        let mut select = db.prepare(SILENT)?;
        let silent = select.query_map([now - micros(RETIRED_AFTER)], |row| row.get(0))?;
        let silent = silent.collect::<rusqlite::Result<BTreeSet<i64>>>()?;
        self.retired = silent.intersection(&self.silent).copied().collect();
        self.silent = silent;
        Ok(())
    }

    /// Finds how far each partition is too large: all of them by the same part.
    fn measure(&mut self, db: &Connection, parts: &[Part]) -> rusqlite::Result<()> {
        self.too_large.clear();
        let Some(max) = self.bytes_max else { return Ok(()) };
        let sizes =
            parts.iter().map(|part| part.bytes(db)).collect::<rusqlite::Result<Vec<_>>>()?;
        let total = u128::from(sizes.iter().sum::<u64>());
        let Some(excess) = total.checked_sub(u128::from(max)) else { return Ok(()) };
        for part in parts {
            let messages = u128::from((part.next - part.first).unsigned_abs());
            let excess = (messages * excess).div_ceil(total.max(1));
            let excess = i64::try_from(excess).unwrap_or(i64::MAX);
            self.too_large.insert(part.number, part.first + excess);
        }
        Ok(())
    }

    fn piece_of(&self, db: &Connection, part: &Part, now: i64) -> rusqlite::Result<Option<Piece>> {
        let Part { number, topic, first, next } = *part;
        let end = next.min(first + self.piece).min(self.held(db, number, topic, now)?);
        if end <= first {
            return Ok(None);
        }
        let too_large = self.too_large.get(&number).copied().unwrap_or(first);
        let aged = aged(db, number, (first, end), now)?;
        let to = aged.max(too_large.min(end));
        Ok((to > first).then_some(Piece { partition: number, topic, from: first, to }))
    }

    /// Where the first of the living subscriptions stands.
    fn held(&self, db: &Connection, number: i64, topic: i64, now: i64) -> rusqlite::Result<i64> {
        let retired = serde_json::Value::from(self.retired.iter().copied().collect::<Vec<_>>());
        let silent_since = now - micros(RETIRED_AFTER);
        let given = params![number, topic, silent_since, retired.to_string()];
        let held: Option<i64> = db.prepare_cached(HELD)?.query_row(given, |row| row.get(0))?;
        Ok(held.unwrap_or(i64::MAX))
    }

    /// Removes what was found, if it is still as it was; answers what retired subscriptions lost.
    pub(crate) fn delete(
        &self,
        db: &Connection,
        piece: Piece,
        now: i64,
    ) -> rusqlite::Result<Vec<(String, i64)>> {
        let Piece { partition, topic, from, to } = piece;
        let first: i64 = db.prepare_cached(FIRST)?.query_row([partition], |row| row.get(0))?;
        if first != from || self.held(db, partition, topic, now)? < to {
            return Ok(Vec::new());
        }
        let position = partition << OFFSET_BITS;
        db.prepare_cached(DELETE)?.execute([position | from, position | to])?;
        db.prepare_cached(SET_FIRST)?.execute([partition, to])?;
        left_behind(db, piece)
    }

    /// Learns how many messages it may remove at once.
    pub(crate) fn deleted(&mut self, piece: Piece, missed: Vec<(String, i64)>, took: Duration) {
        self.has_more = true;
        for (subscription, messages) in missed {
            *self.missed.entry(subscription).or_default() += messages;
        }
        let messages = u128::from((piece.to - piece.from).unsigned_abs());
        let next = messages * HOLD.as_micros() / took.as_micros().max(1);
        // A small piece at the end of all says little about larger ones.
        let next = i64::try_from(next).unwrap_or(PIECE.1).min(self.piece * 2);
        self.piece = next.clamp(PIECE.0, PIECE.1);
    }
}

/// Says loudly that a subscription has lost messages.
pub(crate) fn warn_of_missed(subscription: &str, messages: i64, is_back: bool) {
    let back = if is_back { ", and is back" } else { "" };
    tracing::warn!(
        subscription,
        messages,
        "no process has named it for {} days{back}: it was retired, and these messages were removed \
         before it read them; if it keeps a read model, rebuild it",
        RETIRED_AFTER.as_secs() / 86_400
    );
}

fn partitions(db: &Connection) -> rusqlite::Result<Vec<Part>> {
    let part = |row: &rusqlite::Row<'_>| {
        let (number, topic) = (row.get(0)?, row.get(1)?);
        Ok(Part { number, topic, first: row.get(2)?, next: row.get(3)? })
    };
    db.prepare_cached(PARTITIONS)?.query_map([], part)?.collect()
}

/// Up to where all messages of a stretch are old enough.
fn aged(db: &Connection, number: i64, (from, end): (i64, i64), now: i64) -> rusqlite::Result<i64> {
    let position = number << OFFSET_BITS;
    let given = [position | from, position | end, now - micros(AGE_MIN)];
    let young = db.prepare_cached(YOUNG)?.query_row(given, |row| row.get::<_, i64>(0));
    Ok(young.optional()?.map_or(end, |young| young & ((1 << OFFSET_BITS) - 1)))
}

impl Part {
    /// About how many bytes its messages have.
    fn bytes(&self, db: &Connection) -> rusqlite::Result<u64> {
        let (messages, position) = (self.next - self.first, self.number << OFFSET_BITS);
        let samples = messages.min(SAMPLES);
        let mut select = db.prepare_cached(BYTES)?;
        let mut sum = 0;
        for nth in 0..samples {
            let offset = self.first + nth * messages / samples;
            let bytes = select.query_row([position | offset], |row| row.get::<_, i64>(0));
            sum += bytes.optional()?.unwrap_or(0) + ROW_BYTES;
        }
        let bytes = i128::from(sum) * i128::from(messages) / i128::from(samples.max(1));
        Ok(u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}

/// Lets the cursors of retired subscriptions go on behind what was removed.
fn left_behind(db: &Connection, piece: Piece) -> rusqlite::Result<Vec<(String, i64)>> {
    let Piece { partition, topic, to, .. } = piece;
    let mut select = db.prepare_cached(LEFT_BEHIND)?;
    let found = select
        .query_map([partition, to, topic], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let found = found.collect::<rusqlite::Result<Vec<(i64, String, i64)>>>()?;
    let mut missed = Vec::new();
    for (of, subscription, next) in found {
        let marked = db.prepare_cached(UNMARK)?.execute([of, partition, to])?;
        let marked = i64::try_from(marked).expect("fewer than a log holds");
        db.prepare_cached(MISS)?.execute([of, partition, to, marked])?;
        missed.push((subscription, to - next - marked));
    }
    Ok(missed)
}
