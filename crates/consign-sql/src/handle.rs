//! The application's database, opened: what the facade's `Consign` wraps.

use crate::at_commit::AtCommit;
use crate::callers::Callers;
use crate::catch_up::{CatchUp, CatchUps};
use crate::connection::{Connections, Role};
use crate::error;
use crate::line::Line;
use crate::migrate;
use crate::publish::{Durability, Publisher};
use crate::sqlite::thread::in_one_hop;
use crate::sqlite::version;
use crate::sqlite::waiting::Waiting;
use crate::status::{self, SubscriptionStatus};
use crate::topics::{self, TopicRow, Topics};
use crate::transaction::Transaction;
use crate::watch::Watch;
use crate::writer::Writers;
use consign_core::{
    BoxFuture, Changes, Clock, Draft, Error, Message, MessageId, Publish, Receipt, Result,
    SystemClock, Topic,
};
use sqlx::{Sqlite, SqliteConnection, SqlitePool};
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// The application's database as log and ledger. Cheap to clone.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    connections: Connections,
    path: PathBuf,
    publisher: Publisher,
    line: Line,
    callers: Callers,
    catch_ups: CatchUps,
    writers: Writers,
    watch: Watch,
    clock: Arc<dyn Clock>,
    log_bytes_max: Option<u64>,
}

/// A topic that is not as usual.
#[derive(Clone, Debug)]
pub struct NewTopic {
    /// Its name.
    pub name: &'static str,
    /// How many partitions it has.
    pub partitions: u16,
}

/// What is not as usual.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Says what time it is.
    pub clock: Arc<dyn Clock>,
    /// Bytes of the log, about: what is read is removed early where it has more.
    pub log_bytes_max: Option<u64>,
    /// Is asked at each commit of the workers: for tests.
    pub at_commit: Option<Arc<dyn AtCommit>>,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), log_bytes_max: None, at_commit: None }
    }
}

impl Log {
    /// Opens the database of a pool: checks its settings, migrates our tables, creates topics.
    ///
    /// # Errors
    /// A setting that breaks a promise is refused with the line that changes it.
    pub async fn open(pool: &SqlitePool, topics: &[NewTopic]) -> Result<Self> {
        Self::open_with(pool, topics, LogOptions::default()).await
    }

    /// The same, with options.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub async fn open_with(
        pool: &SqlitePool,
        topics: &[NewTopic],
        options: LogOptions,
    ) -> Result<Self> {
        version::check()?;
        let connections = Connections::of(pool);
        let mut connection = connections.open(Role::Requests).await?;
        check_journal(&mut connection).await?;
        let path = path(&mut connection).await?;
        prepare(&mut connection, topics).await?;
        let known = in_one_hop(&mut connection, "read the topics", topics::load).await?;
        let remembered = Topics::default();
        remembered.remember(known);
        Ok(Self(Arc::new(Inner {
            publisher: Publisher::new(remembered),
            line: Line::new(connections.clone(), Waiting::open(&path)?),
            callers: Callers::default(),
            catch_ups: CatchUps::default(),
            writers: Writers::new(connections.clone(), path.clone(), options.at_commit),
            watch: Watch::new(connections.clone(), path.clone()),
            clock: options.clock,
            log_bytes_max: options.log_bytes_max,
            connections,
            path,
        })))
    }

    /// Begins a transaction of the application; see the facade.
    #[track_caller]
    pub fn begin(&self) -> impl Future<Output = Result<Transaction>> + Send + use<> {
        let (log, place) = (self.clone(), Location::caller());
        async move {
            let held = log.0.line.begin(Instant::now(), place).await?;
            Ok(Transaction::new(held, log))
        }
    }

    /// Publishes in a transaction of its own.
    #[track_caller]
    pub fn publish_all<'m, M: Message>(
        &self,
        messages: impl IntoIterator<Item = &'m M>,
    ) -> Publish<'_, Receipt> {
        let place = Location::caller();
        let publish = move |drafts| -> BoxFuture<'_, Result<Receipt>> {
            Box::pin(self.0.callers.publish(self, drafts, place))
        };
        Publish::new(Draft::all(messages), publish)
    }

    /// Publishes in a transaction that was begun with sqlx.
    pub fn publish_in<'a, M: Message>(
        &'a self,
        tx: &'a mut sqlx::Transaction<'_, Sqlite>,
        message: &M,
    ) -> Publish<'a, MessageId> {
        let put = move |drafts| -> BoxFuture<'a, Result<MessageId>> {
            Box::pin(async move {
                let outcome = self.append(&mut *tx, drafts, Durability::Checked).await?;
                Ok(outcome.ids[0])
            })
        };
        Publish::new(Draft::new(message).map(|draft| vec![draft]), put)
    }

    /// How far each subscription is, on a connection of its own.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn subscriptions(&self) -> Result<Vec<SubscriptionStatus>> {
        let (mut reads, now) = (self.open_reads().await?, self.clock().now());
        status::at(&mut reads, now).await
    }

    /// A connection of its own to read on, for somebody who asks now and then.
    pub(crate) async fn open_reads(&self) -> Result<SqliteConnection> {
        self.0.connections.open(Role::Reads).await
    }

    /// Tells when something was committed, by whichever process.
    pub fn changes(&self) -> Changes {
        self.0.watch.changes()
    }

    /// Waits until a subscription has caught up; see the facade.
    pub fn caught_up<'r>(
        &self,
        subscription: &str,
        receipt: impl Into<Option<&'r Receipt>>,
    ) -> CatchUp<'_> {
        CatchUp::new(self, subscription, receipt.into())
    }

    pub(crate) fn catch_ups(&self) -> &CatchUps {
        &self.0.catch_ups
    }

    /// To be called after each commit of ours: readers look at once.
    pub(crate) fn committed(&self, topics: impl IntoIterator<Item = (Topic, TopicRow)>) {
        self.0.publisher.topics().remember(topics);
        self.0.watch.wake();
    }

    pub(crate) fn line(&self) -> &Line {
        &self.0.line
    }

    pub(crate) fn callers(&self) -> &Callers {
        &self.0.callers
    }

    pub(crate) fn publisher(&self) -> &Publisher {
        &self.0.publisher
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    pub(crate) fn log_bytes_max(&self) -> Option<u64> {
        self.0.log_bytes_max
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.0.connections
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        &self.0.path
    }

    pub(crate) fn writers(&self) -> &Writers {
        &self.0.writers
    }

    /// The topic's row, which is created where it is missing.
    pub(crate) async fn topic(&self, topic: &Topic) -> Result<TopicRow> {
        if let Some(row) = self.publisher().topics().get(topic) {
            return Ok(row);
        }
        let mut tx = self.begin().await?;
        let create =
            |db: &rusqlite::Connection| topics::find_or_create(db, topic, topics::PARTITIONS);
        let row = in_one_hop(&mut tx, "create a topic", create).await?;
        tx.commit().await?;
        self.committed([(topic.clone(), row)]);
        Ok(row)
    }
}

async fn check_journal(connection: &mut SqliteConnection) -> Result {
    let mode = sqlx::query_scalar::<_, String>("pragma journal_mode").fetch_one(connection).await;
    let mode = mode.map_err(|source| error::of_sqlx("look at the journal mode", source))?;
    if mode == "wal" {
        return Ok(());
    }
    if mode == "memory" {
        let message = "the database is in memory, where no other process finds it and no restart: \
                       consign needs a file, so open the pool on one (`.filename(…)`)";
        return Err(Error::new("no-wal", message));
    }
    let message = format!(
        "the database is in journal mode {mode:?}, in which readers and writers block each other: \
         open the pool with `.journal_mode(SqliteJournalMode::Wal)`"
    );
    Err(Error::new("no-wal", message))
}

/// The file itself, symlinks resolved: lock files and watches stand beside it.
async fn path(connection: &mut SqliteConnection) -> Result<PathBuf> {
    let select = "SELECT file FROM pragma_database_list WHERE name = 'main'";
    let file = sqlx::query_scalar::<_, String>(select).fetch_one(connection).await;
    let file = file.map_err(|source| error::of_sqlx("find the database's file", source))?;
    std::fs::canonicalize(&file).map_err(|source| error::of_io(&format!("find {file:?}"), source))
}

/// Migrates and creates topics, under the write lock, where there is something to do.
async fn prepare(connection: &mut SqliteConnection, wanted: &[NewTopic]) -> Result {
    let wanted = wanted.iter().map(|new| Ok((Topic::new(new.name)?, new.partitions)));
    let wanted = wanted.collect::<Result<Vec<_>>>()?;
    wanted.iter().try_for_each(|(topic, number)| topics::check_partitions(topic, *number))?;
    let found = in_one_hop(connection, "look at consign's tables", migrate::found).await?;
    found.check()?;
    if found.is_current() && are_there(connection, &wanted).await? {
        return Ok(());
    }
    // Through sqlx: whoever waits for the lock waits on the connection's own thread.
    let failed = |source| error::of_sqlx("migrate consign's tables", source);
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *connection).await.map_err(failed)?;
    let rows = in_one_hop(connection, "migrate consign's tables", |db| {
        migrate::migrate(db)?;
        create_topics(db, &wanted)
    });
    let prepared = rows.await.and_then(|rows| check_same(&wanted, &rows));
    if prepared.is_err() {
        // SQLite may have rolled back by itself, with the disk full.
        let _ended = sqlx::raw_sql("ROLLBACK").execute(connection).await;
        return prepared;
    }
    sqlx::raw_sql("COMMIT").execute(connection).await.map(drop).map_err(failed)
}

/// Looks, without the lock, whether all topics stand as they are wanted.
async fn are_there(connection: &mut SqliteConnection, wanted: &[(Topic, u16)]) -> Result<bool> {
    let there = in_one_hop(connection, "read the topics", topics::load).await?;
    let there = there.into_iter().collect::<HashMap<_, _>>();
    let rows = wanted.iter().map_while(|(topic, _)| there.get(topic).copied()).collect::<Vec<_>>();
    check_same(wanted, &rows)?;
    Ok(rows.len() == wanted.len())
}

fn check_same(wanted: &[(Topic, u16)], rows: &[TopicRow]) -> Result {
    let mut all = wanted.iter().zip(rows);
    all.try_for_each(|((topic, number), row)| topics::check_same(topic, *number, *row))
}

fn create_topics(
    db: &rusqlite::Connection,
    wanted: &[(Topic, u16)],
) -> rusqlite::Result<Vec<TopicRow>> {
    wanted.iter().map(|(topic, number)| topics::find_or_create(db, topic, *number)).collect()
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("path", &self.0.path).finish_non_exhaustive()
    }
}
