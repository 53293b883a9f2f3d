//! A user's subscriptions on real SQLite, with crashes and time in the test's hand.

mod clock;
mod crash;
mod idle;
mod process;

use clock::TestClock;
use consign::sqlite::Consign;
use consign::{Message, Result, Running, Subscribed, Workers};
use consign_core::{BoxError, BoxFuture, Clock, Error, Topic};
use consign_sql::Side;
pub use crash::CrashPoint;
pub(crate) use crash::{Class, Crash, Plan};
use process::{Ended, Process};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::time::Instant;

/// How long [`Harness::run_until_idle`] works, in real time.
const IDLE_WITHIN: Duration = Duration::from_secs(30);

type Start =
    Box<dyn Fn(&Consign, &SqlitePool) -> BoxFuture<'static, Result<Running>> + Send + Sync>;

/// A user's subscriptions on real SQLite, in a directory of their own that goes with it.
///
/// Workers run only while [`Harness::run_until_idle`] does, or a method that crashes them: in
/// between nothing moves, and a test looks at leisure.
///
/// # What is virtual
/// All that is stored, or compared with what is stored, goes by a clock that stands still until
/// [`Harness::advance`]: when messages were published and how old they are, when retries, delays,
/// schedules and crons are due, what has expired, leases, retention. What a worker waits for by
/// itself is real: the timeout of a handler, the pauses of an outage, and a message that
/// [`Order::Block`](consign::Order::Block) holds its partition for.
///
/// # Examples
/// ```
/// use consign::{Message, Sum, stream};
/// use consign_test::Harness;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Message)]
/// #[message(kind = "liked", key = article_id)]
/// struct Liked {
///     article_id: i64,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tables = "create table likes (article_id integer primary key, n integer not null) strict";
/// let mut t = Harness::new(
///     async |db| sqlx::raw_sql(tables).execute(db).await.map(drop),
///     |workers, _| {
///         let likes = Sum::into("likes", "article_id", "n").by(|m: &Liked| (m.article_id, 1));
///         workers.subscribe(stream("likes", likes))
///     },
/// )
/// .await?;
/// t.consign().publish(&Liked { article_id: 7 }).await?;
/// t.crash_before_commit().await?;
/// t.run_until_idle().await?;
/// let likes: i64 = sqlx::query_scalar("select n from likes").fetch_one(t.db()).await?;
/// assert_eq!(likes, 1);
/// assert_eq!(t.published::<Liked>().await?[0].article_id, 7);
/// # Ok(())
/// # }
/// ```
pub struct Harness {
    consign: Consign,
    db: SqlitePool,
    clock: Arc<TestClock>,
    start: Start,
    /// It lives from its start until it crashes.
    process: Option<Process>,
    _folder: TempDir,
}

impl Harness {
    /// Makes the application's tables with `prepare`, and starts what `subscribe` subscribes, once:
    /// whatever is published from now on, queues see, and rows that are there already are
    /// backfilled.
    ///
    /// `subscribe` is called each time workers start, after a crash too: what it captures outlives
    /// the crash, as something outside of the process would.
    ///
    /// # Errors
    /// What `prepare` says; what the workers refuse at their start; `not-idle`.
    pub async fn new<E, S, F>(
        prepare: impl AsyncFnOnce(&SqlitePool) -> Result<(), E>,
        subscribe: F,
    ) -> Result<Self>
    where
        E: Into<BoxError>,
        S: Send + Sync + 'static,
        F: Fn(Workers, &SqlitePool) -> Workers<S, Subscribed> + Send + Sync + 'static,
    {
        Self::crashing(prepare, subscribe, Arc::default()).await
    }

    pub(crate) async fn crashing<E, S, F>(
        prepare: impl AsyncFnOnce(&SqlitePool) -> Result<(), E>,
        subscribe: F,
        crash: Arc<Crash>,
    ) -> Result<Self>
    where
        E: Into<BoxError>,
        S: Send + Sync + 'static,
        F: Fn(Workers, &SqlitePool) -> Workers<S, Subscribed> + Send + Sync + 'static,
    {
        let folder = tempfile::tempdir().map_err(|error| unready(error.into()))?;
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("test.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let db = SqlitePool::connect_with(options).await.map_err(|error| unready(error.into()))?;
        prepare(&db).await.map_err(|error| unready(error.into()))?;
        let clock = Arc::<TestClock>::default();
        let consign = Consign::builder(&db).clock(Arc::clone(&clock) as _).open().await?;
        let start = Box::new(move |consign: &Consign, db: &SqlitePool| -> BoxFuture<'static, _> {
            Box::pin(subscribe(consign.workers(), db).start())
        });
        let process = Some(Process::open(&db, Arc::clone(&clock) as _, crash).await?);
        let mut harness = Self { consign, db, clock, start, process, _folder: folder };
        harness.run_until_idle().await?;
        Ok(harness)
    }

    /// To publish with, and to look; the workers have one of their own, as another process would.
    #[must_use]
    pub fn consign(&self) -> &Consign {
        &self.consign
    }

    /// The application's database.
    #[must_use]
    pub fn db(&self) -> &SqlitePool {
        &self.db
    }

    /// The time now, for all that is stored.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Puts the clock forward: what comes due by that is done by the next
    /// [`Harness::run_until_idle`].
    ///
    /// Of a cron that had several ticks meanwhile, [`Missed`](consign::Missed) decides.
    pub fn advance(&mut self, by: Duration) {
        self.clock.advance(by);
    }

    /// The messages of this type that are in the log, in the order they were published. What is
    /// scheduled is not there yet, and what nobody needs any more is removed after a week.
    ///
    /// # Errors
    /// `decode`; what SQLite says.
    pub async fn published<M: Message>(&self) -> Result<Vec<M>> {
        let all = self.consign.log().published(&Topic::new(M::TOPIC)?).await?;
        let mine = all.iter().filter(|found| M::KINDS.iter().any(|kind| *kind.name == *found.kind));
        mine.map(|found| M::decode(&found.kind, found.version, &found.payload)).collect()
    }

    /// Runs the workers until nothing is to be done at this time of the clock, for 30 s at most;
    /// then they end in order.
    ///
    /// What waits for later, what was paused and what is dead is left alone.
    ///
    /// # Errors
    /// `not-idle` says what still waits, and why; what the workers refuse at their start.
    pub async fn run_until_idle(&mut self) -> Result {
        self.run_until_idle_within(IDLE_WITHIN).await
    }

    /// The same, for another while of real time.
    ///
    /// # Errors
    /// As [`Harness::run_until_idle`].
    pub async fn run_until_idle_within(&mut self, limit: Duration) -> Result {
        let until = Instant::now() + limit;
        while self.run(until).await? == Ended::Crashed {}
        Ok(())
    }

    /// Runs the workers up to the next effect, and kills them when all its statements have run and
    /// nothing is committed: the effect is lost, and what the handler did outside of the database
    /// is not. The message comes again, to the next workers.
    ///
    /// For a handler without `Tx` the effect's transaction is that of its done marks.
    ///
    /// # Errors
    /// `no-effect`, if nothing was to be done; as [`Harness::run_until_idle`].
    pub async fn crash_before_commit(&mut self) -> Result {
        self.crash(Side::Before).await
    }

    /// Runs the workers up to the next effect, and kills them when it is committed, before they
    /// know: it must not happen again.
    ///
    /// # Errors
    /// As [`Harness::crash_before_commit`].
    pub async fn crash_after_commit_before_ack(&mut self) -> Result {
        self.crash(Side::After).await
    }

    async fn crash(&mut self, side: Side) -> Result {
        self.process().await?.crash.arm(Plan::next_effect(side));
        let ended = self.run(Instant::now() + IDLE_WITHIN).await;
        self.process().await?.crash.arm(Plan::default());
        match ended? {
            Ended::Crashed => Ok(()),
            Ended::Idle => {
                let message = "no worker came to an effect to crash at: publish a message that a \
                               subscription of the harness reads, and look whether it is due";
                Err(Error::new("no-effect", message))
            }
        }
    }

    async fn process(&mut self) -> Result<&Process> {
        if self.process.is_none() {
            let clock = Arc::clone(&self.clock) as _;
            self.process = Some(Process::open(&self.db, clock, Arc::default()).await?);
        }
        Ok(self.process.as_ref().expect("opened above"))
    }

    async fn run(&mut self, until: Instant) -> Result<Ended> {
        self.process().await?;
        let now = self.now();
        let Self { consign, db, start, process, .. } = self;
        let opened = process.as_ref().expect("opened above");
        let ended = opened.run(start(&opened.consign, db), idle::idle(consign, now, until)).await;
        if !matches!(ended, Ok(Ended::Idle)) {
            self.process = None;
        }
        ended
    }
}

fn unready(source: BoxError) -> Error {
    Error::new("harness", format!("the test's database cannot be made: {source}")).caused_by(source)
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness").field("now", &self.now()).finish_non_exhaustive()
    }
}
