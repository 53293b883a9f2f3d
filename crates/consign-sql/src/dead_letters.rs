//! Dead letters and parked keys, for who looks at them: a page at a time, the newest first.

use crate::due::{envelope, time};
use crate::handle::Log;
use crate::request::Selection;
use crate::sqlite::thread::in_one_long_hop;
use crate::waiting;
use consign_core::{Envelope, Key, MessageId, Result};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use std::time::SystemTime;
use uuid::Uuid;

const COLUMNS: &str = "letter.id, subscription.name, topic.name, letter.message, letter.kind,
    letter.key, letter.attempts, letter.reason, letter.last_error, letter.fingerprint,
    letter.published_at, letter.first_failed_at, letter.died_at";
/// Each outer row finds its one subscription and topic by their keys.
const FROM: &str = "FROM consign_dead_letter letter
    CROSS JOIN consign_subscription subscription ON subscription.id = letter.subscription
    CROSS JOIN consign_topic topic ON topic.id = subscription.topic";
const PARKED: &str = "SELECT parked.key, parked.parked_at, parked.paused,
        (SELECT id FROM consign_retry head WHERE head.subscription = parked.subscription
            AND head.partition = parked.partition AND head.key = parked.key
            ORDER BY head.log_offset LIMIT 1)
    FROM consign_parked_key parked
    WHERE parked.subscription = (SELECT id FROM consign_subscription WHERE name = ?1)
    ORDER BY parked.partition, parked.key LIMIT ?2";

/// Which dead letters are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetters {
    /// Of this subscription; of all where none is named.
    pub subscription: Option<String>,
    /// These of them.
    pub which: Selection,
    /// Those that died before this one: the last of the page before.
    pub before: Option<i64>,
}

/// A message that was given up, without its payload.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Grows in the order of death.
    pub id: i64,
    /// Who gave it up.
    pub subscription: String,
    /// Where it was published.
    pub topic: String,
    /// The message's own id.
    pub message: MessageId,
    /// The stored name of its type.
    pub kind: String,
    /// What it keeps its order by.
    pub key: Option<Key>,
    /// The attempts that were made.
    pub attempts: u32,
    /// Why it was given up: the word of a [`consign_core::Reason`].
    pub reason: String,
    /// What the last attempt said.
    pub error: String,
    /// The same without its values: letters that failed alike say the same.
    pub fingerprint: String,
    /// When it was published.
    pub published_at: SystemTime,
    /// When an attempt failed for the first time.
    pub first_failed_at: SystemTime,
    /// When it was given up.
    pub died_at: SystemTime,
}

/// A key whose messages wait.
#[derive(Clone, Debug)]
pub struct ParkedKey {
    /// The key.
    pub key: Key,
    /// Since when.
    pub parked_at: SystemTime,
    /// Somebody paused it.
    pub is_paused: bool,
    /// The message that the others wait behind.
    pub behind: Option<MessageId>,
}

impl Log {
    /// A page of dead letters, the newest first, at most `max`.
    ///
    /// One subscription, one fingerprint or both are found by an index; a reason or a kind is
    /// looked for one letter after the other.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn dead_letters(&self, wanted: &DeadLetters, max: usize) -> Result<Vec<DeadLetter>> {
        let mut reads = self.open_reads().await?;
        in_one_long_hop(&mut reads, "list dead letters", |db| page(db, wanted, max)).await
    }

    /// One dead letter, with its message.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn dead_letter(&self, id: i64) -> Result<Option<(DeadLetter, Envelope)>> {
        let mut reads = self.open_reads().await?;
        in_one_long_hop(&mut reads, "show a dead letter", |db| show(db, id)).await
    }

    /// The keys of a subscription whose messages wait, at most `max`.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn parked_keys(&self, subscription: &str, max: usize) -> Result<Vec<ParkedKey>> {
        let mut reads = self.open_reads().await?;
        in_one_long_hop(&mut reads, "list parked keys", |db| parked(db, subscription, max)).await
    }
}

fn page(db: &Connection, wanted: &DeadLetters, max: usize) -> rusqlite::Result<Vec<DeadLetter>> {
    let Some((select, given)) = query(db, wanted, max)? else { return Ok(Vec::new()) };
    let mut select = db.prepare(&select)?;
    select.query_map(params_from_iter(given), letter)?.collect()
}

/// The statement of just these conditions, so that it is planned for them; `None`: there is no
/// such subscription.
pub(crate) fn query(
    db: &Connection,
    wanted: &DeadLetters,
    max: usize,
) -> rusqlite::Result<Option<(String, Vec<Value>)>> {
    let Selection { message, fingerprint, reason, kind } = &wanted.which;
    let mut of = None;
    if let Some(name) = &wanted.subscription {
        let select = "SELECT id FROM consign_subscription WHERE name = ?1";
        of = db.query_row(select, [name], |row| row.get::<_, i64>(0)).optional()?;
        if of.is_none() {
            return Ok(None);
        }
    }
    let conditions = [
        ("letter.id <", wanted.before.map(Value::from)),
        ("letter.subscription =", of.map(Value::from)),
        ("letter.message =", message.map(|message| message.0.as_bytes().to_vec().into())),
        ("letter.fingerprint =", fingerprint.clone().map(Value::from)),
        ("letter.reason =", reason.map(|reason| reason.as_str().to_owned().into())),
        ("letter.kind =", kind.clone().map(Value::from)),
    ];
    let (mut select, mut given) = (format!("SELECT {COLUMNS} {FROM} WHERE 1"), Vec::new());
    for (condition, value) in conditions {
        if let Some(value) = value {
            given.push(value);
            select = format!("{select} AND {condition} ?{}", given.len());
        }
    }
    given.push(Value::from(i64::try_from(max).unwrap_or(i64::MAX)));
    Ok(Some((format!("{select} ORDER BY letter.id DESC LIMIT ?{}", given.len()), given)))
}

fn show(db: &Connection, id: i64) -> rusqlite::Result<Option<(DeadLetter, Envelope)>> {
    let select = format!(
        "SELECT {COLUMNS}, letter.message, letter.kind, letter.version, letter.key, letter.headers,
         letter.payload, letter.published_at {FROM} WHERE letter.id = ?1"
    );
    db.query_row(&select, [id], |row| Ok((letter(row)?, envelope(row, 13)?))).optional()
}

fn letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        id: row.get(0)?,
        subscription: row.get(1)?,
        topic: row.get(2)?,
        message: message(row.get_ref(3)?.as_blob()?),
        kind: row.get(4)?,
        key: waiting::key(row, 5)?,
        attempts: row.get(6)?,
        reason: row.get(7)?,
        error: row.get(8)?,
        fingerprint: row.get(9)?,
        published_at: time(row.get(10)?),
        first_failed_at: time(row.get(11)?),
        died_at: time(row.get(12)?),
    })
}

fn message(id: &[u8]) -> MessageId {
    MessageId(Uuid::from_slice(id).unwrap_or_default())
}

fn parked(db: &Connection, subscription: &str, max: usize) -> rusqlite::Result<Vec<ParkedKey>> {
    let mut select = db.prepare(PARKED)?;
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let rows = select.query_map(params![subscription, max], |row| {
        let behind = row.get_ref(3)?.as_blob_or_null()?.map(message);
        let (parked_at, is_paused) = (time(row.get(1)?), row.get(2)?);
        Ok(waiting::key(row, 0)?.map(|key| ParkedKey { key, parked_at, is_paused, behind }))
    })?;
    rows.filter_map(Result::transpose).collect()
}
