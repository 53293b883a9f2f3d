//! What somebody asks of a subscription from outside: written down here, done by its workers.

use crate::command::Verb;
use crate::cursor::CursorRow;
use crate::handle::Log;
use crate::owner::micros as stored;
use crate::publish::micros;
use crate::sqlite::thread::in_one_hop;
use crate::topics::{self, TopicRow};
use bytes::Bytes;
use consign_core::{
    Error, Key, MessageId, PAYLOAD_BYTES_MAX, Reason, Result, SubscriptionId, partition_of,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::num::NonZeroU32;
use std::time::Duration;
use uuid::Uuid;

/// What was done is remembered for so long.
const REMEMBERED: Duration = Duration::from_hours(7 * 24);

const INSERT: &str = "INSERT INTO consign_command
    (request, subscription, partition, verb, message, key, payload, fingerprint, reason, kind,
     until_letter, rate, free_at, asked_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,
        (SELECT coalesce(max(id), 0) FROM consign_dead_letter), ?11, ?12, ?12)";
const PLACES: &str = "SELECT partition FROM consign_dead_letter
        WHERE message = ?2 AND subscription = ?1
    UNION SELECT partition FROM consign_retry WHERE subscription = ?1 AND id = ?2";
/// Counts, not rows: a subscription has a few hundred partitions at most.
const WITH_LETTERS: &str =
    "SELECT partition FROM consign_cursor WHERE subscription = ?1 AND dead > 0";
const WITH_WAITING: &str =
    "SELECT partition FROM consign_cursor WHERE subscription = ?1 AND waiting > 0";
const SET_PAUSED: &str =
    "UPDATE consign_subscription SET paused = ?2, paused_at = ?3 WHERE name = ?1";
const SET_TOPIC_PAUSED: &str = "UPDATE consign_subscription SET paused = ?2, paused_at = ?3
    WHERE topic = (SELECT id FROM consign_topic WHERE name = ?1)";
const FIND: &str = "SELECT id, topic FROM consign_subscription WHERE name = ?1";

/// Which messages are meant; all of them where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// This one.
    pub message: Option<MessageId>,
    /// Those that failed alike.
    pub fingerprint: Option<String>,
    /// Those that were given up for this reason.
    pub reason: Option<Reason>,
    /// Those of this kind.
    pub kind: Option<String>,
}

/// Names what was asked for at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Request(Uuid);

/// How far the workers have come with what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestStatus {
    /// Messages (or keys) that were touched.
    pub touched: u64,
    /// Nothing is left to do.
    pub is_done: bool,
}

/// A row to be written for each partition.
struct Asked<'a> {
    verb: Verb,
    which: &'a Selection,
    key: Option<&'a Key>,
    payload: Option<&'a [u8]>,
    rate: Option<NonZeroU32>,
}

impl Selection {
    /// One message.
    #[must_use]
    pub fn one(message: MessageId) -> Self {
        Self { message: Some(message), ..Self::default() }
    }

    /// All that failed with this fingerprint.
    #[must_use]
    pub fn alike(fingerprint: impl Into<String>) -> Self {
        Self { fingerprint: Some(fingerprint.into()), ..Self::default() }
    }
}

impl Log {
    /// Asks that dead letters be tried again, from their first attempt; at most `rate` a second.
    ///
    /// # Guarantee
    /// A letter goes back once: its row becomes the one that waits, and a second request finds
    /// nothing.
    ///
    /// # Errors
    /// `no-such-subscription`, `no-such-message`, and what SQLite says.
    pub async fn redrive(
        &self,
        subscription: &str,
        which: &Selection,
        rate: Option<NonZeroU32>,
    ) -> Result<Request> {
        let asked = Asked { rate, ..Asked::new(Verb::Redrive, which) };
        self.ask(subscription, asked).await
    }

    /// Asks that dead letters be dropped; a message that is named, even while it waits.
    ///
    /// # Errors
    /// As [`Log::redrive`].
    pub async fn discard(&self, subscription: &str, which: &Selection) -> Result<Request> {
        self.ask(subscription, Asked::new(Verb::Discard, which)).await
    }

    /// Asks that a dead letter, or a message that waits, have another payload.
    ///
    /// # Errors
    /// As [`Log::redrive`], and `payload-too-large`.
    pub async fn edit(
        &self,
        subscription: &str,
        message: MessageId,
        payload: Bytes,
    ) -> Result<Request> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            let found = payload.len();
            let message =
                format!("a payload has at most {PAYLOAD_BYTES_MAX} bytes, this one has {found}");
            return Err(Error::new("payload-too-large", message));
        }
        let which = Selection::one(message);
        let asked = Asked { payload: Some(&payload), ..Asked::new(Verb::Edit, &which) };
        self.ask(subscription, asked).await
    }

    /// Asks that messages which wait for their next attempt wait no longer.
    ///
    /// # Errors
    /// As [`Log::redrive`].
    pub async fn retry_now(&self, subscription: &str, which: &Selection) -> Result<Request> {
        self.ask(subscription, Asked::new(Verb::RetryNow, which)).await
    }

    /// Asks that a key's messages be held back until it is resumed; it is remembered.
    ///
    /// # Errors
    /// `no-such-subscription`, and what SQLite says.
    pub async fn pause_key(&self, subscription: &str, key: &Key) -> Result<Request> {
        let which = Selection::default();
        let asked = Asked { key: Some(key), ..Asked::new(Verb::PauseKey, &which) };
        self.ask(subscription, asked).await
    }

    /// Asks that a key which was paused go on.
    ///
    /// # Errors
    /// As [`Log::pause_key`].
    pub async fn resume_key(&self, subscription: &str, key: &Key) -> Result<Request> {
        let which = Selection::default();
        let asked = Asked { key: Some(key), ..Asked::new(Verb::ResumeKey, &which) };
        self.ask(subscription, asked).await
    }

    /// Pauses a subscription in all processes, until it is resumed; `why` is shown.
    ///
    /// # Errors
    /// `no-such-subscription`, and what SQLite says.
    pub async fn pause(&self, subscription: &str, why: &str) -> Result {
        let paused = self.set_paused(SET_PAUSED, subscription, Some(why)).await?;
        paused.then_some(()).ok_or_else(|| no_subscription(subscription))
    }

    /// Lets a subscription that was paused go on.
    ///
    /// # Errors
    /// As [`Log::pause`].
    pub async fn resume(&self, subscription: &str) -> Result {
        let resumed = self.set_paused(SET_PAUSED, subscription, None).await?;
        resumed.then_some(()).ok_or_else(|| no_subscription(subscription))
    }

    /// Pauses all subscriptions that read a topic now, until they are resumed; `why` is shown.
    ///
    /// # Errors
    /// `no-such-topic`, and what SQLite says.
    pub async fn pause_topic(&self, topic: &str, why: &str) -> Result {
        let paused = self.set_paused(SET_TOPIC_PAUSED, topic, Some(why)).await?;
        paused.then_some(()).ok_or_else(|| no_topic(topic))
    }

    /// Lets all subscriptions of a topic go on, whoever paused them.
    ///
    /// # Errors
    /// As [`Log::pause_topic`].
    pub async fn resume_topic(&self, topic: &str) -> Result {
        let resumed = self.set_paused(SET_TOPIC_PAUSED, topic, None).await?;
        resumed.then_some(()).ok_or_else(|| no_topic(topic))
    }

    /// How far the workers have come; what was done a week ago is forgotten, and counts as done.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn request(&self, request: Request) -> Result<RequestStatus> {
        let mut reads = self.open_reads().await?;
        in_one_hop(&mut reads, "look at a request", |db| status(db, request)).await
    }

    async fn ask(&self, subscription: &str, asked: Asked<'_>) -> Result<Request> {
        let (request, now) = (Request(Uuid::now_v7()), micros(self.clock().now()));
        let mut tx = self.begin().await?;
        let written = in_one_hop(&mut tx, "ask", |db| {
            let Some((of, topic)) = find(db, subscription)? else { return Ok(None) };
            forget(db, now)?;
            let rows = asked.rows(db, of, topic)?;
            rows.iter().try_for_each(|row| asked.write(db, request, *row, now))?;
            Ok(Some(rows.len()))
        });
        let written = written.await?.ok_or_else(|| no_subscription(subscription))?;
        if let (0, Some(message)) = (written, asked.which.message) {
            return Err(no_message(subscription, message));
        }
        tx.commit().await?;
        Ok(request)
    }

    /// Answers whether there was one.
    async fn set_paused(
        &self,
        update: &'static str,
        name: &str,
        why: Option<&str>,
    ) -> Result<bool> {
        let (mut tx, now) = (self.begin().await?, micros(self.clock().now()));
        let now = why.map(|_| now);
        let set = |db: &Connection| db.execute(update, params![name, why, now]);
        let is_set = in_one_hop(&mut tx, "pause or resume", set).await? > 0;
        tx.commit().await?;
        Ok(is_set)
    }
}

impl<'a> Asked<'a> {
    fn new(verb: Verb, which: &'a Selection) -> Self {
        Self { verb, which, key: None, payload: None, rate: None }
    }

    /// The partitions that have something of what is asked for.
    fn rows(
        &self,
        db: &Connection,
        of: SubscriptionId,
        topic: TopicRow,
    ) -> rusqlite::Result<Vec<CursorRow>> {
        if let Some(key) = self.key {
            return Ok(vec![CursorRow::new(of, topic, partition_of(key, topic.partitions))]);
        }
        let row = |row: &Row<'_>| Ok(CursorRow { subscription: of.0, partition: row.get(0)? });
        if let Some(message) = self.which.message {
            let mut select = db.prepare(PLACES)?;
            return select.query_map(params![of.0, message.0.as_bytes()], row)?.collect();
        }
        let retries = self.verb == Verb::RetryNow;
        let mut select = db.prepare(if retries { WITH_WAITING } else { WITH_LETTERS })?;
        select.query_map([of.0], row)?.collect()
    }

    fn write(
        &self,
        db: &Connection,
        request: Request,
        row: CursorRow,
        now: i64,
    ) -> rusqlite::Result<()> {
        let Selection { message, fingerprint, reason, kind } = self.which;
        let given = params![
            request.0.as_bytes(),
            row.subscription,
            row.partition,
            self.verb.as_str(),
            message.as_ref().map(|message| message.0.as_bytes()),
            self.key.map(Key::as_bytes),
            self.payload,
            fingerprint,
            reason.map(Reason::as_str),
            kind,
            self.rate.map(NonZeroU32::get),
            now,
        ];
        db.prepare_cached(INSERT)?.execute(given).map(drop)
    }
}

/// Finds a subscription by its name.
pub(crate) fn find(
    db: &Connection,
    name: &str,
) -> rusqlite::Result<Option<(SubscriptionId, TopicRow)>> {
    let row = |row: &Row<'_>| Ok((SubscriptionId(row.get(0)?), row.get::<_, i64>(1)?));
    let Some((of, its_topic)) = db.query_row(FIND, [name], row).optional()? else {
        return Ok(None);
    };
    let topics = topics::load(db)?;
    Ok(topics.into_iter().find(|(_, row)| row.id == its_topic).map(|(_, row)| (of, row)))
}

fn forget(db: &Connection, now: i64) -> rusqlite::Result<()> {
    let delete = "DELETE FROM consign_command WHERE done_at < ?1";
    db.execute(delete, [now - stored(REMEMBERED)]).map(drop)
}

fn status(db: &Connection, request: Request) -> rusqlite::Result<RequestStatus> {
    let select = "SELECT coalesce(sum(touched), 0), count(*) = count(done_at)
                  FROM consign_command WHERE request = ?1";
    db.query_row(select, [request.0.as_bytes()], |row| {
        let touched = row.get::<_, i64>(0)?.unsigned_abs();
        Ok(RequestStatus { touched, is_done: row.get(1)? })
    })
}

pub(crate) fn no_subscription(name: &str) -> Error {
    let message = format!("there is no subscription {name}: no process has ever started it");
    Error::new("no-such-subscription", message)
}

fn no_topic(name: &str) -> Error {
    Error::new("no-such-topic", format!("no subscription reads the topic {name}"))
}

fn no_message(name: &str, message: MessageId) -> Error {
    let message =
        format!("the message {message} neither waits nor is dead in the subscription {name}");
    Error::new("no-such-message", message)
}
