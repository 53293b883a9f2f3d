//! What is asked for from outside: rows that the owner of a partition executes, under its epoch.
//!
//! Nobody else touches what a worker has in hand. A row says how far it has come, so that a large
//! one goes on piece by piece, at its rate, by whoever owns the partition then.

use crate::cursor::{Counts, CursorRow};
use crate::settle::count;
use crate::topics::TopicRow;
use crate::{dead_letter, waiting};
use consign_core::{Epoch, Key, Offset, Partition, SubscriptionId};
use rusqlite::{Connection, Row, params};

/// Messages that are touched in one go, at most: it holds the write lock.
const PIECE_MAX: usize = 200;
/// Rows that are looked at in one go, at most, without the lock.
const LOOK_MAX: usize = 10_000;
/// Commands of a partition that are in work at once.
const COMMANDS_MAX: usize = 100;
/// What a rate has not used is lost after this: a second, in microseconds.
const SECOND: i64 = 1_000_000;

pub(crate) const OPEN: &str =
    "SELECT id, request, verb, message, key, payload, fingerprint, reason, kind,
        until_letter, after_offset, rate
    FROM consign_command WHERE subscription = ?1 AND partition = ?2 AND done_at IS NULL
    ORDER BY id LIMIT ?3";
pub(crate) const LETTERS: &str = "SELECT log_offset, id <= ?4 AND (?5 IS NULL OR message = ?5)
        AND (?6 IS NULL OR fingerprint = ?6) AND (?7 IS NULL OR reason = ?7)
        AND (?8 IS NULL OR kind = ?8)
    FROM consign_dead_letter WHERE subscription = ?1 AND partition = ?2 AND log_offset > ?3
    ORDER BY log_offset";
pub(crate) const WAITING: &str = "SELECT log_offset, (?4 IS NULL OR id = ?4)
        AND (?5 IS NULL OR fingerprint = ?5) AND ?6 IS NULL AND (?7 IS NULL OR kind = ?7)
    FROM consign_retry WHERE subscription = ?1 AND partition = ?2 AND log_offset > ?3
    ORDER BY log_offset";
const LETTER_OF: &str = "SELECT log_offset FROM consign_dead_letter
    WHERE message = ?3 AND subscription = ?1 AND partition = ?2 ORDER BY log_offset";
const WAITING_OF: &str = "SELECT log_offset FROM consign_retry
    WHERE subscription = ?1 AND id = ?3 AND partition = ?2 ORDER BY log_offset";
const FREE_AT: &str = "SELECT max(free_at) FROM consign_command WHERE request = ?1";
const CAME_TO: &str = "UPDATE consign_command
    SET after_offset = ?2, touched = touched + ?3, free_at = ?4, done_at = ?5 WHERE id = ?1";

/// What may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Redrive,
    Discard,
    Edit,
    RetryNow,
    PauseKey,
    ResumeKey,
}

impl Verb {
    const ALL: [Self; 6] =
        [Self::Redrive, Self::Discard, Self::Edit, Self::RetryNow, Self::PauseKey, Self::ResumeKey];

    /// The word that is stored.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Redrive => "redrive",
            Self::Discard => "discard",
            Self::Edit => "edit",
            Self::RetryNow => "retry-now",
            Self::PauseKey => "pause-key",
            Self::ResumeKey => "resume-key",
        }
    }

    fn looks_at_letters(self) -> bool {
        matches!(self, Self::Redrive | Self::Discard | Self::Edit)
    }
}

/// What is asked for in one partition.
struct Command {
    id: i64,
    request: Vec<u8>,
    /// `None`: a newer library wrote it; it stays for one that knows it.
    verb: Option<Verb>,
    message: Option<Vec<u8>>,
    key: Option<Key>,
    payload: Option<Vec<u8>>,
    fingerprint: Option<String>,
    reason: Option<String>,
    kind: Option<String>,
    until_letter: i64,
    after_offset: i64,
    rate: Option<i64>,
}

/// What one call may still do.
struct Left {
    messages: usize,
    rows: usize,
}

/// A command, and the messages that it comes to next.
pub(crate) struct Piece {
    command: Command,
    verb: Verb,
    partition: Partition,
    row: CursorRow,
    letters: Vec<Offset>,
    waiting: Vec<Offset>,
    /// What was looked at.
    after_offset: i64,
    is_last: bool,
}

/// Looks, without the write lock, at what is to be done now in these partitions.
pub(crate) fn pieces(
    db: &Connection,
    of: SubscriptionId,
    topic: TopicRow,
    owned: &[(Partition, Epoch)],
    now: i64,
) -> rusqlite::Result<Vec<Piece>> {
    let (mut pieces, mut left) = (Vec::new(), Left { messages: PIECE_MAX, rows: LOOK_MAX });
    for (partition, _) in owned {
        let row = CursorRow::new(of, topic, *partition);
        for command in open(db, row)? {
            if left.messages == 0 || left.rows == 0 {
                return Ok(pieces);
            }
            pieces.extend(piece(db, row, *partition, command, &mut left, now)?);
        }
    }
    Ok(pieces)
}

fn open(db: &Connection, row: CursorRow) -> rusqlite::Result<Vec<Command>> {
    let mut select = db.prepare_cached(OPEN)?;
    let given = [row.subscription, row.partition, count(COMMANDS_MAX)];
    select.query_map(given, command)?.collect()
}

fn command(row: &Row<'_>) -> rusqlite::Result<Command> {
    let verb: String = row.get(2)?;
    Ok(Command {
        id: row.get(0)?,
        request: row.get(1)?,
        verb: Verb::ALL.into_iter().find(|known| known.as_str() == verb),
        message: row.get(3)?,
        key: waiting::key(row, 4)?,
        payload: row.get(5)?,
        fingerprint: row.get(6)?,
        reason: row.get(7)?,
        kind: row.get(8)?,
        until_letter: row.get(9)?,
        after_offset: row.get(10)?,
        rate: row.get(11)?,
    })
}

/// `None`: its rate lets none go now, or this library does not know it.
fn piece(
    db: &Connection,
    row: CursorRow,
    partition: Partition,
    command: Command,
    left: &mut Left,
    now: i64,
) -> rusqlite::Result<Option<Piece>> {
    let Some(verb) = command.verb else { return Ok(None) };
    let max = allowed(db, &command, now)?.0.min(left.messages);
    if max == 0 {
        return Ok(None);
    }
    let (letters, waiting) = (Vec::new(), Vec::new());
    let after_offset = command.after_offset;
    let mut piece =
        Piece { command, verb, partition, row, letters, waiting, after_offset, is_last: true };
    // One message is looked for under the lock: a command before this one may have moved it.
    if piece.command.message.is_none() && piece.command.key.is_none() {
        piece.look_for_all(db, max, left)?;
    } else {
        left.messages -= 1;
    }
    Ok(Some(piece))
}

/// How many messages a command may touch now, and since when that counts.
fn allowed(db: &Connection, command: &Command, now: i64) -> rusqlite::Result<(usize, i64)> {
    let Some(rate) = command.rate else { return Ok((PIECE_MAX, now)) };
    let mut select = db.prepare_cached(FREE_AT)?;
    let free_at: i64 = select.query_row([&command.request], |row| row.get(0))?;
    let since = free_at.max(now - SECOND);
    let allowed = (now - since).max(0).saturating_mul(rate) / SECOND;
    Ok((usize::try_from(allowed).unwrap_or(0).min(PIECE_MAX), since))
}

impl Piece {
    fn look_for_message(&mut self, db: &Connection) -> rusqlite::Result<()> {
        if self.command.message.is_none() {
            return Ok(());
        }
        if self.verb.looks_at_letters() {
            self.letters = self.offsets_of(db, LETTER_OF)?;
        }
        if self.verb != Verb::Redrive {
            self.waiting = self.offsets_of(db, WAITING_OF)?;
        }
        Ok(())
    }

    fn offsets_of(&self, db: &Connection, select: &str) -> rusqlite::Result<Vec<Offset>> {
        let mut select = db.prepare_cached(select)?;
        let given = params![self.row.subscription, self.row.partition, self.command.message];
        select.query_map(given, |row| row.get(0).map(offset))?.collect()
    }

    /// All that the command means, in the order of the log, from where it has come to.
    fn look_for_all(
        &mut self,
        db: &Connection,
        max: usize,
        left: &mut Left,
    ) -> rusqlite::Result<()> {
        let Command { message, fingerprint, reason, kind, until_letter, .. } = &self.command;
        let (of, partition, after) = (self.row.subscription, self.row.partition, self.after_offset);
        let is_letters = self.verb.looks_at_letters();
        let mut select = db.prepare_cached(if is_letters { LETTERS } else { WAITING })?;
        let rows = if is_letters {
            let until = until_letter;
            select.query(params![of, partition, after, until, message, fingerprint, reason, kind])
        } else {
            select.query(params![of, partition, after, message, fingerprint, reason, kind])
        };
        let (mut rows, mut found) = (rows?, Vec::new());
        while let Some(row) = rows.next()? {
            if left.rows == 0 || found.len() == max {
                self.is_last = false;
                break;
            }
            left.rows -= 1;
            self.after_offset = row.get(0)?;
            if row.get::<_, bool>(1)? {
                found.push(offset(self.after_offset));
            }
        }
        left.messages -= found.len();
        *(if is_letters { &mut self.letters } else { &mut self.waiting }) = found;
        Ok(())
    }

    /// Leaves what the others of the same request have used up of its rate meanwhile.
    fn keep(&mut self, max: usize) {
        let found =
            if self.verb.looks_at_letters() { &mut self.letters } else { &mut self.waiting };
        if self.command.rate.is_some() && found.len() > max {
            found.truncate(max);
            let came_to = found.last().map(|offset| offset.0.cast_signed());
            self.after_offset = came_to.unwrap_or(self.command.after_offset);
            self.is_last = false;
        }
    }
}

fn offset(stored: i64) -> Offset {
    Offset(stored.cast_unsigned())
}

/// Does what was found, where the epoch is the newest still; answers what has changed.
pub(crate) fn carry_out(
    db: &Connection,
    owned: &[(Partition, Epoch)],
    pieces: Vec<Piece>,
    now: i64,
) -> rusqlite::Result<Vec<Partition>> {
    let mut changed = Vec::new();
    for mut piece in pieces {
        let epoch = owned.iter().find(|(partition, _)| *partition == piece.partition);
        if piece.row.epoch(db)? != epoch.map(|(_, epoch)| *epoch) {
            continue;
        }
        let (max, since) = allowed(db, &piece.command, now)?;
        piece.look_for_message(db)?;
        piece.keep(max);
        let touched = touch(db, &piece, now)?;
        if touched > 0 && changed.last() != Some(&piece.partition) {
            changed.push(piece.partition);
        }
        came_to(db, &piece, touched, since, now)?;
    }
    Ok(changed)
}

/// Touches the messages of a piece, and says how many there were.
fn touch(db: &Connection, piece: &Piece, now: i64) -> rusqlite::Result<i64> {
    let (row, command) = (piece.row, &piece.command);
    let mut counts = Counts::default();
    let mut touched = match (piece.verb, &command.key) {
        (Verb::PauseKey, Some(key)) => i64::from(waiting::pause_key(db, row, key.as_bytes(), now)?),
        (Verb::ResumeKey, Some(key)) => i64::from(waiting::resume_key(db, row, key, now)?),
        _ => 0,
    };
    for offset in &piece.letters {
        touched += i64::from(touch_letter(db, piece, *offset, &mut counts, now)?);
    }
    for offset in &piece.waiting {
        touched += i64::from(touch_waiting(db, piece, *offset, &mut counts, now)?);
    }
    if counts != Counts::default() {
        row.count(db, counts)?;
    }
    Ok(touched)
}

fn touch_letter(
    db: &Connection,
    piece: &Piece,
    offset: Offset,
    counts: &mut Counts,
    now: i64,
) -> rusqlite::Result<bool> {
    let (row, payload) = (piece.row, piece.command.payload.as_deref());
    match piece.verb {
        Verb::Redrive => {
            let is_revived = dead_letter::revive(db, row, offset, now)?;
            counts.dead -= i64::from(is_revived);
            counts.waiting += i64::from(is_revived);
            Ok(is_revived)
        }
        Verb::Discard => {
            let is_removed = dead_letter::remove(db, row, offset)?;
            counts.dead -= i64::from(is_removed);
            counts.discarded += i64::from(is_removed);
            Ok(is_removed)
        }
        Verb::Edit => dead_letter::edit(db, row, offset, payload.unwrap_or_default()),
        Verb::RetryNow | Verb::PauseKey | Verb::ResumeKey => Ok(false),
    }
}

fn touch_waiting(
    db: &Connection,
    piece: &Piece,
    offset: Offset,
    counts: &mut Counts,
    now: i64,
) -> rusqlite::Result<bool> {
    let (row, payload) = (piece.row, piece.command.payload.as_deref());
    match piece.verb {
        Verb::Discard => {
            let mut keys = Vec::new();
            let is_removed = waiting::remove(db, row, &[offset], &mut keys)? == 1;
            waiting::go_on(db, row, keys, now)?;
            counts.waiting -= i64::from(is_removed);
            counts.discarded += i64::from(is_removed);
            Ok(is_removed)
        }
        Verb::Edit => waiting::edit(db, row, offset, payload.unwrap_or_default()),
        Verb::RetryNow => waiting::come_now(db, row, offset, now),
        Verb::Redrive | Verb::PauseKey | Verb::ResumeKey => Ok(false),
    }
}

/// Writes the answer: how many were touched, and how far it has come.
fn came_to(
    db: &Connection,
    piece: &Piece,
    touched: i64,
    since: i64,
    now: i64,
) -> rusqlite::Result<()> {
    let rate = piece.command.rate.unwrap_or(1).max(1);
    let free_at = since + touched * SECOND / rate;
    let done_at = piece.is_last.then_some(now);
    let given = params![piece.command.id, piece.after_offset, touched, free_at, done_at];
    db.prepare_cached(CAME_TO)?.execute(given).map(drop)
}
