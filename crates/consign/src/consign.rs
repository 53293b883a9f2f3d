//! The one handle.

use crate::{
    Builder, Changes, Message, MessageId, Publish, Receipt, Result, SubscriptionStatus, Workers,
};
use consign_sql::{CatchUp, Log, Transaction};
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

    /// Waits until a subscription has caught up with the messages of a receipt, so that who has
    /// written reads what came of it; with `None`, with all that the log has now: whether a new
    /// read model is ready to serve.
    ///
    /// At most 5 s, or [`timeout`](CatchUp::timeout). That it came too late is no error, and neither
    /// is a subscription that no process has started yet. What the receipt names of other topics
    /// than the subscription's does not count. A message that failed is said at once, not waited
    /// for; with `None` only those that were never tried count.
    ///
    /// All who wait share one look at the database after each change.
    ///
    /// # Errors
    /// `unknown-receipt`, for one of another database; what SQLite says.
    ///
    /// # Examples
    /// The receipt goes to the browser and comes back with the next page, whichever process answers:
    /// ```no_run
    /// use consign::sqlite::Consign;
    /// use consign::{Freshness, Receipt};
    /// use std::time::Duration;
    ///
    /// /// The value of the header or cookie `Consign-Receipt`.
    /// async fn publish(consign: &Consign, m: &impl consign::Message) -> consign::Result<String> {
    ///     Ok(consign.publish(m).await?.encode())
    /// }
    ///
    /// /// Whether the counts that are read now show what this reader has written.
    /// async fn is_fresh(consign: &Consign, header: &str) -> consign::Result<bool> {
    ///     let Ok(receipt) = Receipt::decode(header) else { return Ok(true) };
    ///     let half_a_second = Duration::from_millis(500);
    ///     let freshness = consign.caught_up("counter", &receipt).timeout(half_a_second).await?;
    ///     Ok(freshness == Freshness::CaughtUp)
    /// }
    /// ```
    pub fn caught_up<'r>(
        &self,
        subscription: &str,
        receipt: impl Into<Option<&'r Receipt>>,
    ) -> CatchUp<'_> {
        self.log.caught_up(subscription, receipt)
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
