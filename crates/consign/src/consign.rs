//! The one handle.

use crate::{
    Builder, Changes, Message, MessageId, Publish, Receipt, Result, SubscriptionStatus, Workers,
};
use consign_sql::{CatchUp, Log, Rebuild, Transaction};
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

    /// What it stands on: for consign's own crates.
    #[doc(hidden)]
    pub fn log(&self) -> &Log {
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

    /// Builds the read model of a projection anew, in place: whoever applies events to it is fenced, it
    /// is emptied, what waits and what is dead is dropped, and it is filled by its backfill, or from
    /// the log: a stream from the log's start, a queue from where it began, where the log still has
    /// that. The workers do it, in all of one transaction
    /// where the backfill is done in one.
    ///
    /// Answers when a worker has begun, or after 5 s without one: it stays asked for. `caught_up`
    /// with `None` waits until it has read all again.
    ///
    /// What readers see meanwhile is not whole. Where they must not notice, build beside: a second
    /// subscription, with a name and a table of its own, which takes over when it has caught up, and
    /// [`Consign::remove_subscription`] for the old one.
    ///
    /// # Errors
    /// `no-such-subscription`; `cannot-rebuild` for a handler, and where there is no backfill and the
    /// log has lost its start; what SQLite says.
    ///
    /// # Examples
    /// Beside, without a gap for readers:
    /// ```no_run
    /// # use consign::{Message, Sum, stream};
    /// # use consign::sqlite::Consign;
    /// # use std::time::Duration;
    /// # #[derive(serde::Serialize, serde::Deserialize, Message)]
    /// # #[message(kind = "article.published", topic = "articles", key = author_id)]
    /// # struct ArticlePublished { article_id: i64, author_id: i64 }
    /// # fn words(_: &ArticlePublished) -> i64 { 1 }
    /// async fn count_words_instead(consign: &Consign) -> consign::Result {
    ///     let words = Sum::into("author_words", "author_id", "words")
    ///         .by(|m: &ArticlePublished| (m.author_id, words(m)));
    ///     let running = consign.workers().subscribe(stream("words", words)).start().await?;
    ///     let hour = Duration::from_hours(1);
    ///     while !consign.caught_up("words", None).timeout(hour).await?.is_caught_up() {}
    ///     // From here on the new table is read, and no process names the old subscription.
    ///     consign.remove_subscription("counter").await?;
    ///     running.shutdown().await
    /// }
    /// ```
    pub async fn rebuild(&self, subscription: &str) -> Result<Rebuild> {
        self.log.rebuild(subscription).await
    }

    /// Removes a subscription that nobody needs any more, with its cursors, what waits in it and
    /// what is dead. Its read model stays: it is the application's table.
    ///
    /// # Errors
    /// `still-running` while a process names it; `no-such-subscription`; what SQLite says.
    pub async fn remove_subscription(&self, subscription: &str) -> Result {
        self.log.remove_subscription(subscription).await
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
