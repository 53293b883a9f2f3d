//! Cursors and owners in the application's database, as core's `Ledger`.

use crate::connection::Role;
use crate::error;
use crate::handle::Log;
use crate::liveness::{self, Alive, Others};
use crate::owner::Beat;
use crate::publish::micros;
use crate::retention::Retention;
use crate::sqlite::thread::in_one_hop;
use crate::subscription::{self, Found};
use crate::topics::TopicRow;
use crate::writer::WorkerTransaction;
use crate::{cursor, owner, rebuild};
use consign_core::{
    Advance, Advanced, Error, Ledger, Members, NewSubscription, Offset, Owned, Partition, Progress,
    Result, SubscriptionId, WorkerId,
};
use rusqlite::Connection;
use sqlx::SqliteConnection;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Mutex as AsyncMutex;
use uuid::Uuid;

/// How long each step of leaving may take: the free lock says that we are gone, whatever is written.
const LEAVE_MAX: Duration = Duration::from_secs(2);
/// Whose own lease had run out lets others renew theirs for so long: a heartbeat that failed is tried
/// again after a second, and waits for the write lock for 5.
const JUDGES_NOBODY: Duration = Duration::from_secs(10);

/// One worker process.
#[derive(Debug)]
pub struct SqlLedger {
    log: Log,
    topics: Mutex<HashMap<SubscriptionId, TopicRow>>,
    me: Mutex<Option<Me>>,
    others: Mutex<Others>,
    /// When this process last renewed a lease that had run out.
    late: Mutex<Option<Instant>>,
    reads: AsyncMutex<Option<SqliteConnection>>,
    retention: AsyncMutex<Retention>,
}

#[derive(Debug)]
struct Me {
    id: WorkerId,
    /// Held for as long as this identity lasts.
    _alive: Alive,
}

impl SqlLedger {
    /// Stands for this process; it joins later.
    pub fn new(log: Log) -> Self {
        let (topics, me, others) = (Mutex::default(), Mutex::default(), Mutex::default());
        let retention = AsyncMutex::new(Retention::new(log.log_bytes_max()));
        let late = Mutex::default();
        Self { log, topics, me, others, late, reads: AsyncMutex::default(), retention }
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn topic(&self, of: SubscriptionId) -> TopicRow {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        *topics.get(&of).expect("`subscribe` answered this id")
    }

    pub(crate) fn me(&self) -> Result<WorkerId> {
        let me = self.me.lock().unwrap_or_else(PoisonError::into_inner);
        me.as_ref().map(|me| me.id).ok_or_else(|| {
            Error::new("not-joined", "this worker process has not joined, or has left")
        })
    }

    /// The time now, as it is stored.
    pub(crate) fn now_stored(&self) -> i64 {
        micros(self.log.clock().now())
    }

    /// A short transaction of our own statements, in a turn of its own.
    pub(crate) async fn write<T: Send>(
        &self,
        doing: &str,
        statements: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send,
    ) -> Result<T> {
        let tx = self.log.writers().begin().await?;
        self.write_in(tx, doing, statements).await
    }

    /// Runs our own statements, and commits.
    pub(crate) async fn write_in<T: Send>(
        &self,
        mut tx: WorkerTransaction,
        doing: &str,
        statements: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send,
    ) -> Result<T> {
        match in_one_hop(&mut tx, doing, statements).await {
            Ok(answer) => tx.commit().await.map(|()| answer),
            Err(error) => {
                tx.rollback().await;
                Err(error)
            }
        }
    }

    pub(crate) async fn read<T: Send>(
        &self,
        doing: &str,
        statements: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send,
    ) -> Result<T> {
        let mut reads = self.reads.lock().await;
        // Taken out: a look that is given up takes its connection with it.
        let mut connection = match reads.take() {
            Some(connection) => connection,
            None => self.log.connections().open_reader().await?,
        };
        let answer = in_one_hop(&mut connection, doing, statements).await;
        if answer.is_ok() {
            *reads = Some(connection);
        }
        answer
    }

    /// The time by which the leases of others are judged. After nobody could write for a while all have
    /// run out, and each is to renew its own before anybody takes over.
    fn judged_at(&self, now: i64) -> i64 {
        let late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = late.is_some_and(|late| late.elapsed() < JUDGES_NOBODY);
        if waits { i64::MIN } else { now }
    }

    /// Buries those whose lock is free.
    async fn bury_dead(&self, of: SubscriptionId, members: &mut Members, me: WorkerId) -> Result {
        let path = self.log.path();
        let dead = {
            let mut locks = self.others.lock().unwrap_or_else(PoisonError::into_inner);
            locks.dead(path, of, members.workers.clone(), me)
        };
        if dead.is_empty() {
            return Ok(());
        }
        let now = self.now_stored();
        let bury = |db: &Connection| {
            owner::suspect(db, &dead, now)?;
            owner::bury(db, &dead)
        };
        self.write("take note of dead workers", bury).await?;
        for worker in &dead {
            tracing::info!(worker = %worker.0, "a worker has died; its partitions are taken over");
            liveness::remove(path, *worker);
        }
        members.workers.retain(|worker| !dead.contains(worker));
        for member in &mut members.partitions {
            member.owner = member.owner.filter(|owner| !dead.contains(owner));
        }
        Ok(())
    }
}

impl Ledger for SqlLedger {
    type Connection = SqliteConnection;
    type Transaction = WorkerTransaction;

    async fn subscribe(&self, new: &NewSubscription) -> Result<SubscriptionId> {
        let topic = self.log.topic(&new.topic).await?;
        let now = self.now_stored();
        let find = |db: &Connection| subscription::find_or_create(db, new, topic, now);
        match self.write("subscribe", find).await? {
            Found::Ready(id) => {
                let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
                topics.insert(id, topic);
                Ok(id)
            }
            Found::OtherTopic(found) => Err(other_topic(new, &found)),
            Found::OtherReads(found) => Err(other_reads(new, &found)),
        }
    }

    async fn join(&self, subscriptions: &[SubscriptionId]) -> Result<WorkerId> {
        let id = WorkerId(Uuid::now_v7());
        let alive = Alive::new(self.log.path(), id)?;
        let now = self.now_stored();
        let path = self.log.path();
        let silent = self.read("look for dead workers", |db| owner::silent(db, now)).await?;
        // Where all had died, nobody was left to clear away what they left.
        let dead = liveness::dead_of(path, silent);
        // What this process was before it joins anew has not died: nobody is to suspect anything.
        let before = self.me().ok();
        let join = |db: &Connection| {
            owner::suspect(db, &dead, now)?;
            owner::bury(db, &dead)?;
            owner::bury(db, before.as_slice())?;
            owner::join(db, id, subscriptions, now)
        };
        self.write("join", join).await?;
        for worker in dead {
            liveness::remove(path, worker);
        }
        let me = Me { id, _alive: alive };
        *self.me.lock().unwrap_or_else(PoisonError::into_inner) = Some(me);
        Ok(id)
    }

    async fn heartbeat(&self) -> Result<bool> {
        let (me, now) = (self.me()?, self.now_stored());
        let pinned = self.log.writers().pin().for_long();
        let renew = |db: &Connection| owner::heartbeat(db, me, pinned, now);
        let beat = self.write("renew the lease", renew).await?;
        if beat == Beat::Late {
            tracing::warn!(
                "the lease had run out before it was renewed; others may have taken over"
            );
            *self.late.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        Ok(beat != Beat::Buried)
    }

    async fn leave(&self) -> Result {
        let Ok(me) = self.me() else { return Ok(()) };
        let left = self.write("leave", |db| {
            owner::free_all(db, me)?;
            owner::bury(db, &[me])
        });
        let left = tokio::time::timeout(LEAVE_MAX, left).await;
        *self.me.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let rested = tokio::time::timeout(LEAVE_MAX, self.log.writers().rested()).await;
        if rested.is_err() {
            tracing::warn!("the workers left, and one of their transactions is still open");
        }
        left.unwrap_or_else(|_| Err(leaves_unwritten()))
    }

    async fn members(&self, of: SubscriptionId) -> Result<Members> {
        let (topic, now, me) = (self.topic(of), self.now_stored(), self.me()?);
        let judged_at = self.judged_at(now);
        let look = |db: &Connection| owner::members(db, of, topic, me, (now, judged_at));
        let mut members = self.read("look at the workers", look).await?;
        self.bury_dead(of, &mut members, me).await?;
        Ok(members)
    }

    async fn take(&self, of: SubscriptionId, partitions: &[Partition]) -> Result<Vec<Owned>> {
        let (topic, me, now) = (self.topic(of), self.me()?, self.now_stored());
        let judged_at = self.judged_at(now);
        let take = |db: &Connection| owner::take(db, of, topic, partitions, me, (now, judged_at));
        self.write("take partitions", take).await
    }

    async fn release(&self, of: SubscriptionId, partitions: &[Partition]) -> Result {
        let (topic, me) = (self.topic(of), self.me()?);
        let release = |db: &Connection| owner::release(db, of, topic, partitions, me);
        self.write("hand partitions over", release).await
    }

    fn batch_max(&self, of: SubscriptionId) -> usize {
        self.log.writers().messages(of)
    }

    async fn begin(&self, _: SubscriptionId) -> Result<WorkerTransaction> {
        self.log.writers().begin().await
    }

    async fn advance(
        &self,
        tx: &mut WorkerTransaction,
        moves: &[Advance],
        kinds: &[String],
    ) -> Result<Advanced> {
        let Some(first) = moves.first() else { return Ok(Advanced::All) };
        let (topic, now) = (self.topic(first.subscription), self.now_stored());
        let messages = moves.iter().map(|advance| advance.messages).sum::<u64>();
        tx.takes(first.subscription, usize::try_from(messages).unwrap_or(usize::MAX));
        let advance = |db: &Connection| cursor::advance(db, topic, moves, kinds, now);
        in_one_hop(tx, "move the cursor", advance).await
    }

    async fn commit(&self, tx: WorkerTransaction) -> Result {
        tx.commit().await
    }

    async fn rollback(&self, tx: WorkerTransaction) {
        tx.rollback().await;
    }

    async fn retain(&self) -> Result<bool> {
        let (mut retention, now) = (self.retention.lock().await, self.now_stored());
        if !retention.is_due(now) {
            return Ok(false);
        }
        let look = |db: &Connection| retention.look(db, now);
        let Some(piece) = self.read("look what nobody needs", look).await? else {
            return Ok(false);
        };
        let (tx, started) = (self.log.writers().begin().await?, Instant::now());
        let delete = |db: &Connection| retention.delete(db, piece, now);
        let missed = self.write_in(tx, "remove what nobody needs", delete).await?;
        retention.deleted(piece, missed, started.elapsed());
        Ok(true)
    }

    async fn snapshot(&self) -> Result<WorkerTransaction> {
        let mut connection = self.log.connections().open(Role::Reads).await?;
        let begun = sqlx::raw_sql("BEGIN").execute(&mut connection).await;
        begun.map_err(|source| error::of_sqlx("begin a snapshot", source))?;
        Ok(WorkerTransaction::reads(connection))
    }

    async fn ends(
        &self,
        tx: &mut WorkerTransaction,
        of: SubscriptionId,
    ) -> Result<Vec<(Partition, Offset)>> {
        let topic = self.topic(of);
        in_one_hop(tx, "find the log's end", |db| {
            let select = "SELECT number, next_offset FROM consign_partition WHERE topic = ?1";
            let mut select = db.prepare(select)?;
            let end = |row: &rusqlite::Row<'_>| {
                let next: i64 = row.get(1)?;
                Ok((topic.partition(row.get(0)?), Offset(next.cast_unsigned())))
            };
            select.query_map([topic.id], end)?.collect()
        })
        .await
    }

    async fn progress(&self, tx: &mut WorkerTransaction, of: SubscriptionId) -> Result<Progress> {
        in_one_hop(tx, "look at the subscription", |db| subscription::progress(db, of)).await
    }

    async fn restart(
        &self,
        tx: &mut WorkerTransaction,
        of: SubscriptionId,
        cursors: &[(Partition, Offset)],
    ) -> Result {
        let (topic, now) = (self.topic(of), self.now_stored());
        let restart = |db: &Connection| rebuild::restart(db, of, topic, cursors, now);
        in_one_hop(tx, "begin a rebuild", restart).await
    }

    async fn is_whole(&self, tx: &mut WorkerTransaction, of: SubscriptionId) -> Result<bool> {
        let topic = self.topic(of);
        in_one_hop(tx, "look where the log begins", |db| rebuild::is_whole(db, topic)).await
    }

    async fn began(
        &self,
        tx: &mut WorkerTransaction,
        of: SubscriptionId,
    ) -> Result<Option<Vec<(Partition, Offset)>>> {
        let topic = self.topic(of);
        in_one_hop(tx, "look where the queue began", |db| rebuild::began(db, of, topic)).await
    }

    async fn refuse_rebuild(&self, of: SubscriptionId, why: &str) -> Result {
        self.write("refuse a rebuild", |db| rebuild::refuse(db, of, why)).await
    }

    async fn place(
        &self,
        tx: &mut WorkerTransaction,
        of: SubscriptionId,
        cursors: &[(Partition, Offset)],
        progress: &Progress,
    ) -> Result {
        let (topic, now) = (self.topic(of), self.now_stored());
        let place = |db: &Connection| subscription::place(db, of, topic, cursors, progress, now);
        in_one_hop(tx, "place the cursors", place).await
    }
}

fn other_topic(new: &NewSubscription, found: &str) -> Error {
    let (name, topic) = (&new.name, &new.topic);
    let message = format!(
        "the subscription {name} reads the topic {found}, not {topic}: give the new one a name of \
         its own"
    );
    Error::new("other-topic", message)
}

fn other_reads(new: &NewSubscription, found: &str) -> Error {
    let (name, reads) = (&new.name, new.reads.as_str());
    let message = format!(
        "the subscription {name} reads its topic as a {found}, not as a {reads}: give the new one \
         a name of its own"
    );
    Error::new("other-reads", message)
}

fn leaves_unwritten() -> Error {
    let message = format!(
        "this worker process left, and could not write so within {LEAVE_MAX:?}, since somebody \
         holds the write lock; others notice by its lock file"
    );
    Error::new(Error::BUSY, message)
}
