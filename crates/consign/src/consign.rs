//! The one handle.

use crate::{
    Builder, Changes, Message, MessageId, Publish, Receipt, Result, SubscriptionStatus, Workers,
};
use consign_sql::{Log, Transaction};
use sqlx::{Sqlite, SqliteConnection, SqlitePool};

/// The one handle: it begins transactions, publishes, and runs workers. Cheap to clone; it stands
/// in the service's state.
#[derive(Clone, Debug)]
pub struct Consign {
    log: Log,
}

impl Consign {
    pub(crate) fn new(log: Log) -> Self {
        Self { log }
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Opens the application's database: checks its settings, and creates or migrates consign's own
    /// tables, beside the application's.
    ///
    /// # Errors
    /// A setting that breaks a promise is refused with the line that changes it: `no-wal`,
    /// `sqlite-too-old`, `schema-too-new`.
    pub async fn open(db: &SqlitePool) -> Result<Self> {
        Self::builder(db).open().await
    }

    /// Opens with more than the database: topics that are not as usual.
    pub fn builder(db: &SqlitePool) -> Builder {
        Builder::new(db)
    }

    /// Begins a transaction to write and publish in; its `commit` makes both durable.
    ///
    /// It waits in line for the database's one write lock, before all workers, at most 5 s.
    ///
    /// # Errors
    /// `database-busy` ([`Error::is_busy`](crate::Error::is_busy)) says who holds the lock.
    ///
    /// # Cancel safety
    /// If the caller goes away, nothing stays open.
    #[track_caller]
    pub fn begin(&self) -> impl Future<Output = Result<Transaction>> + Send + use<> {
        self.log.begin()
    }

    /// Publishes in a transaction of its own.
    ///
    /// # Errors
    /// As [`Consign::begin`] and [`Transaction::commit`].
    ///
    /// # Guarantee
    /// After it answered, the message is on disk.
    #[track_caller]
    pub fn publish<M: Message>(&self, message: &M) -> Publish<'_, Receipt> {
        self.log.publish_all([message])
    }

    /// Publishes several messages in a transaction of their own: all of them or none.
    ///
    /// # Errors
    /// As [`Consign::publish`].
    #[track_caller]
    pub fn publish_all<'m, M: Message>(
        &self,
        messages: impl IntoIterator<Item = &'m M>,
    ) -> Publish<'_, Receipt> {
        self.log.publish_all(messages)
    }

    /// Publishes in a transaction that was begun with sqlx.
    ///
    /// Prefer [`Consign::begin`]: it waits its turn before the workers, and wakes the readers at
    /// once, where here they notice by watching.
    ///
    /// # Errors
    /// `no-transaction`, `not-durable` (the pool is below `synchronous = FULL`), `stale-snapshot` (a
    /// deferred transaction that can no longer write).
    pub fn publish_in<'a, M: Message>(
        &'a self,
        tx: &'a mut sqlx::Transaction<'_, Sqlite>,
        message: &M,
    ) -> Publish<'a, MessageId> {
        self.log.publish_in(tx, message)
    }

    /// What runs in this process: subscribe, then `start`.
    pub fn workers(&self) -> Workers {
        Workers::new(self.clone())
    }

    /// Tells when something was committed, by whichever process: for pages that show what workers
    /// keep.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn changes(&self) -> Changes {
        self.log.changes()
    }

    /// How far each subscription is.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn subscriptions(&self) -> Result<Vec<SubscriptionStatus>> {
        self.log.subscriptions().await
    }

    /// The same, as a transaction of the application sees it: beside its own reads, all of one
    /// moment.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn subscriptions_in(
        connection: &mut SqliteConnection,
    ) -> Result<Vec<SubscriptionStatus>> {
        consign_sql::subscriptions(connection).await
    }
}
