//! A transaction of the application that messages are published in.

use crate::handle::Log;
use crate::line::{Held, gone};
use crate::publish::{Durability, Outcome, Refused};
use crate::sqlite::thread::in_one_hop;
use consign_core::{
    BoxFuture, Draft, Error, Message, MessageId, Outbox, Publish, Published, Receipt, Result, Topic,
};
use sqlx::SqliteConnection;
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
    published: Vec<Published>,
    topics: Vec<(Topic, crate::topics::TopicRow)>,
}

impl Transaction {
    pub(crate) fn new(held: Held, log: Log) -> Self {
        Self { held: Some(held), log, published: Vec::new(), topics: Vec::new() }
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
    /// refuses at a COMMIT.
    ///
    /// # Cancel safety
    /// It runs on a task of its own: a caller that goes away neither stops the commit nor loses the
    /// wake-up.
    pub async fn commit(mut self) -> Result<Receipt> {
        let held = self.take();
        let (log, topics) = (self.log.clone(), std::mem::take(&mut self.topics));
        let receipt = Receipt::new(std::mem::take(&mut self.published));
        let commit = tokio::spawn(async move {
            held.commit().await?;
            log.committed(topics);
            Ok(receipt)
        });
        commit.await.map_err(|source| gone("commit", source))?
    }

    /// Rolls back at once, where dropping would do it soon.
    ///
    /// # Errors
    /// Nothing is kept even then; the error says what SQL of the application had done.
    pub async fn rollback(mut self) -> Result {
        let held = self.take();
        let rollback = tokio::spawn(held.rollback());
        rollback.await.map_err(|source| gone("roll back", source))?
    }

    fn take(&mut self) -> Held {
        self.held.take().expect("it ends once")
    }

    fn held(&self) -> &Held {
        self.held.as_ref().expect("it has not ended")
    }

    async fn append(&mut self, drafts: Vec<Draft>) -> Result<Vec<MessageId>> {
        let (log, held) = (&self.log, self.held.as_mut().expect("it has not ended"));
        let connection = held.connection_mut();
        connection.check_open()?;
        let outcome = log.append(&mut connection.connection, drafts, Durability::Ours).await?;
        self.published.extend(outcome.published);
        self.topics.extend(outcome.topics);
        Ok(outcome.ids)
    }
}

impl Log {
    /// Writes into the log in the open transaction of a connection.
    pub(crate) async fn append(
        &self,
        connection: &mut SqliteConnection,
        drafts: Vec<Draft>,
        durability: Durability,
    ) -> Result<Outcome> {
        let (publisher, now) = (self.publisher(), self.clock().now());
        let appended = in_one_hop(connection, "publish", |db| {
            if db.is_autocommit() {
                return Ok(Err(None));
            }
            match publisher.append(db, &drafts, now, durability) {
                Ok(outcome) => Ok(Ok(outcome)),
                Err(Refused::NotDurable) => Ok(Err(Some(Refused::NotDurable))),
                Err(Refused::Failed(source)) => Err(source),
            }
        });
        appended.await?.map_err(|refused| match refused {
            None => no_transaction(),
            Some(_) => not_durable(),
        })
    }
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
        Box::pin(self.append(drafts))
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
