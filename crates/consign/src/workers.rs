//! What runs in this process.

use crate::sqlite::Consign;
use crate::{Cron, Result, Running};
use consign_sql::{Log, SqlLedger};
use consign_worker::{Subscribe, Subscription};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// Stands for the subscriptions until there is one, so that the compiler refuses `start` alone.
#[derive(Debug)]
pub enum NothingSubscribed {}

/// At least one subscription or schedule.
#[derive(Debug)]
pub enum Subscribed {}

/// Collects what runs; from [`Consign::workers`].
///
/// # Examples
/// ```no_run
/// use consign::sqlite::{Consign, Tx};
/// use consign::{Delivery, FromRef, HandlerResult, Message, Retry, State, Sum, queue, stream};
/// use serde::{Deserialize, Serialize};
/// use std::time::Duration;
///
/// #[derive(Serialize, Deserialize, Message)]
/// #[message(kind = "article.published", topic = "articles", key = author_id)]
/// struct ArticlePublished {
///     article_id: i64,
///     author_id: i64,
/// }
///
/// #[derive(Serialize, Deserialize, Message)]
/// #[message(kind = "article.featured")]
/// struct ArticleFeatured {
///     article_id: i64,
/// }
///
/// #[derive(Clone)]
/// struct Mailer;
///
/// impl Mailer {
///     async fn send(&self, article_id: i64, idempotency_key: String) -> std::io::Result<()> {
///         println!("{idempotency_key}: article {article_id} is out");
///         Ok(())
///     }
/// }
///
/// struct App {
///     mailer: Mailer,
/// }
///
/// impl FromRef<App> for Mailer {
///     fn from_ref(app: &App) -> Self {
///         app.mailer.clone()
///     }
/// }
///
/// /// At least once: it leaves the database. Any error: again, by policy.
/// async fn receipt_mail(
///     m: ArticlePublished,
///     State(mailer): State<Mailer>,
///     delivery: Delivery,
/// ) -> HandlerResult {
///     mailer.send(m.article_id, delivery.id.to_string()).await?;
///     Ok(())
/// }
///
/// /// Exactly once: the effect, its follow-up and the record that it happened commit together.
/// async fn feature(m: ArticlePublished, mut tx: Tx) -> HandlerResult {
///     sqlx::query("update articles set featured = true where id = $1")
///         .bind(m.article_id)
///         .execute(&mut *tx)
///         .await?;
///     tx.publish(&ArticleFeatured { article_id: m.article_id }).await?;
///     Ok(())
/// }
///
/// # async fn run(consign: Consign) -> consign::Result {
/// let counts = Sum::into("author_counts", "author_id", "articles")
///     .by(|m: &ArticlePublished| (m.author_id, 1));
/// let retry = Retry::exponential(Duration::from_secs(1), Duration::from_mins(5)).max_attempts(8);
/// let running = consign
///     .workers()
///     .with_state(App { mailer: Mailer })
///     .subscribe(queue("mailer", receipt_mail).concurrency(16).retry(retry).from_start())
///     .subscribe(queue("featured", feature))
///     .subscribe(stream("counter", counts))
///     .start()
///     .await?;
/// running.shutdown().await
/// # }
/// ```
#[must_use = "finish it with `start().await`"]
pub struct Workers<S = (), Has = NothingSubscribed> {
    consign: Consign,
    state: Arc<S>,
    subscriptions: Vec<Subscription<SqlLedger, Log>>,
    crons: Vec<Cron>,
    has: PhantomData<fn(Has)>,
}

impl Workers {
    pub(crate) fn new(consign: Consign) -> Self {
        let (state, subscriptions, crons) = (Arc::new(()), Vec::new(), Vec::new());
        Self { consign, state, subscriptions, crons, has: PhantomData }
    }

    /// What handlers take their [`State`](crate::State) from. Before any `subscribe`, since handlers
    /// are checked against it there.
    pub fn with_state<S: Send + Sync + 'static>(self, state: S) -> Workers<S> {
        let Self { consign, subscriptions, crons, .. } = self;
        Workers { consign, state: Arc::new(state), subscriptions, crons, has: PhantomData }
    }
}

impl<S: Send + Sync + 'static, Has> Workers<S, Has> {
    /// Adds a [`stream()`](crate::stream) or a [`queue()`](crate::queue).
    pub fn subscribe<V>(
        mut self,
        subscription: impl Subscribe<SqlLedger, Log, S, V>,
    ) -> Workers<S, Subscribed> {
        self.subscriptions.push(subscription.subscription(&self.state));
        self.has_something()
    }

    /// Adds a [`cron()`](crate::cron): a message that is published again and again.
    ///
    /// # Examples
    /// ```no_run
    /// use consign::{Message, cron};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize, Message)]
    /// #[message(kind = "digest.due")]
    /// struct DigestDue {}
    ///
    /// # async fn run(consign: consign::sqlite::Consign) -> consign::Result {
    /// let digest = cron("digest", "0 7 * * *", "Europe/Berlin", || DigestDue {});
    /// let running = consign.workers().schedule(digest).start().await?;
    /// running.shutdown().await
    /// # }
    /// ```
    pub fn schedule(mut self, cron: Cron) -> Workers<S, Subscribed> {
        self.crons.push(cron);
        self.has_something()
    }

    fn has_something(self) -> Workers<S, Subscribed> {
        let Self { consign, state, subscriptions, crons, .. } = self;
        Workers { consign, state, subscriptions, crons, has: PhantomData }
    }
}

impl<S> Workers<S, Subscribed> {
    /// Runs them in tasks of this process. Several processes that name the same subscription share
    /// its partitions. What was published to be due later comes into the log in whichever process
    /// runs workers, of whatever subscription.
    ///
    /// # Errors
    /// What cannot work is refused, with a sentence that says what to change: `sum-table`,
    /// `other-topic`, `bad-name`, `subscribed-twice`, `scheduled-twice`, `bad-cron`,
    /// `bad-time-zone`.
    pub async fn start(self) -> Result<Running> {
        let log = self.consign.log().clone();
        let ledger = SqlLedger::new(log.clone());
        consign_worker::start(ledger, log, self.subscriptions, self.crons).await
    }
}

impl<S, Has> fmt::Debug for Workers<S, Has> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("subscriptions", &self.subscriptions)
            .field("crons", &self.crons)
            .finish_non_exhaustive()
    }
}
