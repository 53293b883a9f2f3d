//! A transaction of the application that messages are published in.

use crate::error;
use crate::group::cut_short;
use crate::handle::Log;
use crate::line::{Held, gone};
use crate::publish::{self, Durability, Outcome, Refused};
use crate::sqlite::thread::in_one_hop;
use crate::topics::{self, TopicRow};
use consign_core::{
    BoxFuture, Draft, Error, Message, MessageId, Outbox, Publish, Published, Receipt, Result, Topic,
};
use sqlx::{Connection, SqliteConnection};
use std::fmt;
use std::ops::{Deref, DerefMut};

/// A transaction of the application that messages are published in. Derefs to the connection, as
/// sqlx's does: `.execute(&mut *tx)`.
///
/// It holds the database's one write lock: keep it short, and never across an HTTP call. Dropping
/// it rolls back.
///
/// # Guarantee
/// After `commit` answered, rows and messages are on disk (`synchronous = FULL`); before, neither
/// is visible to anybody. There is nothing in between.
#[must_use = "dropping it rolls back"]
pub struct Transaction {
    /// Taken when it ends.
    held: Option<Held>,
    log: Log,
    written: Vec<(MessageId, Published)>,
    topics: Vec<(Topic, TopicRow)>,
}

impl Transaction {
    pub(crate) fn new(held: Held, log: Log) -> Self {
        Self { held: Some(held), log, written: Vec::new(), topics: Vec::new() }
    }

    /// Publishes in this transaction: nobody sees the message before it commits.
    ///
    /// Write the row first, then publish what happened to it.
    ///
    /// # Errors
    /// A message out of bounds is refused before anything is written; `transaction-left` says that
    /// the transaction has been ended by SQL of the application.
    pub fn publish<M: Message>(&mut self, message: &M) -> Publish<'_, MessageId> {
        Outbox::publish(self, message)
    }

    /// Publishes several messages at once; all of them or none.
    ///
    /// # Errors
    /// As [`Transaction::publish`].
    pub fn publish_all<'m, M: Message>(
        &mut self,
        messages: impl IntoIterator<Item = &'m M>,
    ) -> Publish<'_, Vec<MessageId>> {
        Outbox::publish_all(self, messages)
    }

    /// Commits, and wakes the readers.
    ///
    /// # Errors
    /// Nothing was kept: `database-full`, `transaction-left`, `transaction-nested`, or what SQLite
    /// refuses at a COMMIT; `group-failed` where another request that shared the commit did that,
    /// so that the same may be done again. Only `commit-unknown` says that it may have been kept:
    /// the runtime has stopped, or another request has held the shared transaction for 5 s.
    ///
    /// # Cancel safety
    /// It runs on a task of its own: a caller that goes away neither stops the commit nor loses the
    /// wake-up.
    pub async fn commit(mut self) -> Result<Receipt> {
        let task = tokio::task::try_id();
        let commit = tokio::spawn(async move {
            self.forget_what_was_taken_back().await?;
            self.take().commit(task).await?;
            self.log.committed(std::mem::take(&mut self.topics));
            let written = std::mem::take(&mut self.written);
            Ok(Receipt::new(written.into_iter().map(|(_, published)| published).collect()))
        });
        commit.await.map_err(cut_short)?
    }

    /// A savepoint of the application that is rolled back takes messages, and topics that came
    /// with them: the receipt tells of none of these, and no later publish relies on them.
    async fn forget_what_was_taken_back(&mut self) -> Result {
        if self.written.is_empty() {
            return Ok(());
        }
        let connection = self.held.as_mut().expect("it has not ended").connection_mut();
        connection.settle().await?;
        if self.topics.is_empty() && !connection.is_rewound() {
            return Ok(());
        }
        let (written, topics) = (&mut self.written, &mut self.topics);
        in_one_hop(&mut connection.connection, "commit", |db| {
            publish::keep_written(db, written)?;
            topics::keep_committed(db, topics)
        })
        .await
    }

    /// Rolls back at once, where dropping would do it soon.
    ///
    /// # Errors
    /// Nothing is kept even then; the error says what SQL of the application had done.
    pub async fn rollback(mut self) -> Result {
        let held = self.take();
        let rollback = tokio::spawn(held.rollback(tokio::task::try_id()));
        rollback.await.map_err(|source| gone("roll back", source))?
    }

    fn take(&mut self) -> Held {
        self.held.take().expect("it ends once")
    }

    fn held(&self) -> &Held {
        self.held.as_ref().expect("it has not ended")
    }

    /// Answers of each message its id, and where it lies: nowhere yet if it is not due, or if it
    /// is a repeat.
    pub(crate) async fn append(
        &mut self,
        drafts: Vec<Draft>,
    ) -> Result<(Vec<MessageId>, Vec<Option<Published>>)> {
        let (log, held) = (&self.log, self.held.as_mut().expect("it has not ended"));
        let connection = held.connection_mut();
        connection.check_open()?;
        let outcome = log.append(&mut connection.connection, drafts, Durability::Ours).await?;
        let published = outcome.ids.iter().copied().zip(outcome.published.iter().cloned());
        self.written.extend(published.filter_map(|(id, published)| Some((id, published?))));
        self.topics.extend(outcome.topics);
        Ok((outcome.ids, outcome.published))
    }
}

impl Log {
    /// Writes into the log in the open transaction of a connection.
    pub(crate) async fn append(
        &self,
        connection: &mut SqliteConnection,
        mut drafts: Vec<Draft>,
        durability: Durability,
    ) -> Result<Outcome> {
        self.stamp(&mut drafts)?;
        if durability == Durability::Checked {
            catch_up(connection).await?;
        }
        let mut appended = self.try_append(connection, &drafts, durability).await?;
        if let Err(Refused::NoLock) = appended {
            take_lock(connection).await?;
            appended = self.try_append(connection, &drafts, durability).await?;
        }
        appended.map_err(|refused| match refused {
            Refused::NotDurable => not_durable(),
            Refused::NoTransaction | Refused::NoLock => no_transaction(),
        })
    }

    /// Fixes the times that drafts name relative to now.
    pub(crate) fn stamp(&self, drafts: &mut [Draft]) -> Result {
        let now = self.clock().now();
        drafts.iter_mut().try_for_each(|draft| draft.stamp(now))
    }

    async fn try_append(
        &self,
        connection: &mut SqliteConnection,
        drafts: &[Draft],
        durability: Durability,
    ) -> Result<Result<Outcome, Refused>> {
        let (publisher, now) = (self.publisher(), self.clock().now());
        in_one_hop(connection, "publish", |db| publisher.append(db, drafts, now, durability)).await
    }
}

/// Waits until sqlx's thread has done what it was told: on a connection that was not opened by us,
/// many hops in a row would fill its queue, and stand still.
async fn catch_up(connection: &mut SqliteConnection) -> Result {
    connection.ping().await.map_err(|source| error::of_sqlx("publish", source))
}

/// Waits for the write lock as sqlx waits, on the connection's own thread, for a transaction that
/// has not written yet.
async fn take_lock(connection: &mut SqliteConnection) -> Result {
    let nothing = "UPDATE consign_partition SET next_offset = next_offset WHERE number < 0";
    let taken = sqlx::query(nothing).execute(connection).await;
    taken.map(drop).map_err(|source| error::of_sqlx("publish", source))
}

fn no_transaction() -> Error {
    let message = "cannot publish: no transaction is open on this connection (it was ended by a \
                   COMMIT or ROLLBACK in SQL), so the message and the row it tells of would \
                   commit apart: publish before the transaction ends";
    Error::new("no-transaction", message)
}

fn not_durable() -> Error {
    let message = "cannot publish: this connection has `synchronous` below FULL, so a power cut \
                   could take back a message that others have seen: open the pool with \
                   `.synchronous(SqliteSynchronous::Full)`, or use `consign.begin()`";
    Error::new("not-durable", message)
}

impl Outbox for Transaction {
    fn put(&mut self, drafts: Vec<Draft>) -> BoxFuture<'_, Result<Vec<MessageId>>> {
        Box::pin(async move { Ok(self.append(drafts).await?.0) })
    }
}

impl Deref for Transaction {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.held().connection().connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.held.as_mut().expect("it has not ended").connection_mut().connection
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transaction")
    }
}
