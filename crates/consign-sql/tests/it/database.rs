//! A database in a directory of its own, and workers that own its one partition.

use bytes::Bytes;
use consign_core::{
    Epoch, Fate, Key, Kind, Ledger, Message, NewSubscription, Offset, Owned, Partition, Progress,
    Purpose, QueueLedger, Reads, Reason, Result, Settle, Settled, SubscriptionId, SubscriptionName,
    Topic,
};
use consign_sql::{Log, NewTopic, SqlLedger};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use std::time::{Duration, SystemTime};

pub(crate) const PARTITION: Partition = Partition(0);

pub(crate) struct Database {
    pub(crate) pool: SqlitePool,
    pub(crate) log: Log,
    _folder: tempfile::TempDir,
}

/// A message of one kind, whose payload is its number.
pub(crate) struct Job {
    pub(crate) number: u64,
    pub(crate) key: Option<&'static str>,
}

impl Message for Job {
    const TOPIC: &'static str = "jobs";
    const KINDS: &'static [Kind] = &[Kind { name: "job", version: 1 }];

    fn kind(&self) -> Kind {
        Self::KINDS[0]
    }

    fn key(&self) -> Result<Option<Key>> {
        self.key.map(Key::new).transpose()
    }

    fn encode(&self) -> Result<Bytes> {
        Ok(self.number.to_string().into())
    }

    fn decode(_: &str, _: u32, payload: &[u8]) -> Result<Self> {
        let number = String::from_utf8_lossy(payload).parse().expect("it was encoded here");
        Ok(Self { number, key: None })
    }
}

impl Database {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("app.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
        sqlx::raw_sql("create table effects (job integer)").execute(&pool).await.unwrap();
        let log = Log::open(&pool, &[NewTopic { name: "jobs", partitions: 1 }]).await.unwrap();
        Self { pool, log, _folder: folder }
    }

    /// Publishes a job for each of these keys; its number is its offset in a fresh database.
    pub(crate) async fn publish(&self, keys: &[Option<&'static str>]) {
        for key in keys {
            let number = self.number("select next_offset from consign_partition").await;
            let job = Job { number: number.unsigned_abs(), key: *key };
            self.log.publish_all([&job]).await.unwrap();
        }
    }

    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    pub(crate) async fn run(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.pool).await.unwrap();
    }

    /// What stands in a table, a row a line.
    pub(crate) async fn rows(&self, sql: &'static str) -> Vec<String> {
        sqlx::query_scalar(sql).fetch_all(&self.pool).await.unwrap()
    }
}

/// A worker process of the queue `mailer`.
pub(crate) struct Worker {
    pub(crate) ledger: SqlLedger,
    pub(crate) of: SubscriptionId,
    pub(crate) owned: Option<Owned>,
}

pub(crate) fn queue() -> NewSubscription {
    NewSubscription {
        name: SubscriptionName::new("mailer").unwrap(),
        topic: Topic::new("jobs").unwrap(),
        reads: Reads::Queue,
        is_projection: false,
        kinds: Job::KINDS.to_vec(),
    }
}

impl Worker {
    /// Joins, and owns nothing yet.
    pub(crate) async fn join(database: &Database) -> Self {
        let ledger = SqlLedger::new(database.log.clone());
        let of = ledger.subscribe(&queue()).await.unwrap();
        ledger.join(&[of]).await.unwrap();
        let mut tx = ledger.begin(of).await.unwrap();
        if ledger.progress(&mut tx, of).await.unwrap() == Progress::New {
            ledger.place(&mut tx, of, &[], &Progress::Running).await.unwrap();
            ledger.commit(tx).await.unwrap();
        } else {
            ledger.rollback(tx).await;
        }
        Self { ledger, of, owned: None }
    }

    /// Joins, and takes the partition.
    pub(crate) async fn start(database: &Database) -> Self {
        let mut worker = Self::join(database).await;
        worker.take().await;
        worker
    }

    pub(crate) async fn take(&mut self) {
        let taken = self.ledger.take(self.of, &[PARTITION]).await.unwrap();
        self.owned = Some(*taken.first().expect("nobody else owns it"));
    }

    pub(crate) async fn release(&self) {
        self.ledger.release(self.of, &[PARTITION]).await.unwrap();
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.owned.expect("it has taken the partition").epoch
    }

    pub(crate) async fn settle(&self, part: Settle) -> Settled {
        self.settle_with(part, None).await
    }

    /// Settles, beside an effect, and commits as a worker does: only what stands.
    pub(crate) async fn settle_with(&self, part: Settle, effect: Option<&'static str>) -> Settled {
        let kinds = vec!["job".to_owned()];
        let mut tx = self.ledger.begin_for(self.of, Purpose::Handlers).await.unwrap();
        if let Some(effect) = effect {
            sqlx::raw_sql(effect).execute(&mut *tx).await.unwrap();
        }
        let settled = self.ledger.settle(&mut tx, self.of, &[part], &kinds).await.unwrap();
        match settled {
            Settled::All(_) => self.ledger.commit(tx).await.unwrap(),
            _ => self.ledger.rollback(tx).await,
        }
        settled
    }

    /// What is due, as offsets of each chain.
    pub(crate) async fn due(&self) -> Vec<Vec<u64>> {
        let due = self.ledger.due(self.of, &[PARTITION], 100).await.unwrap();
        let offsets = |chain: &Vec<consign_core::Waiting>| {
            chain.iter().map(|waiting| waiting.offset.0).collect()
        };
        due.chains.iter().map(offsets).collect()
    }

    pub(crate) async fn parked(&self) -> Vec<Key> {
        let unfinished = self.ledger.unfinished(self.of, &[PARTITION]).await.unwrap();
        unfinished[0].parked.clone()
    }

    /// Below which offset messages may have killed an owner.
    pub(crate) async fn suspects_below(&self) -> Option<u64> {
        let unfinished = self.ledger.unfinished(self.of, &[PARTITION]).await.unwrap();
        unfinished[0].suspects_below.map(|offset| offset.0)
    }

    /// Takes the partition of a worker that has died.
    pub(crate) async fn take_over(database: &Database) -> Self {
        let mut worker = Self::join(database).await;
        worker.ledger.members(worker.of).await.unwrap();
        worker.take().await;
        worker
    }

    pub(crate) async fn execute(&self) -> Vec<Partition> {
        self.ledger.execute(self.of, &[(PARTITION, self.epoch())]).await.unwrap()
    }

    /// A settlement that moves the cursor, and no more.
    pub(crate) fn part(&self, from: u64, to: u64) -> Settle {
        Settle {
            partition: PARTITION,
            epoch: self.epoch(),
            from: Offset(from),
            to: Offset(to),
            skipped: Vec::new(),
            marks: Vec::new(),
            aside: Vec::new(),
            again: Vec::new(),
        }
    }
}

pub(crate) fn offsets(offsets: &[u64]) -> Vec<Offset> {
    offsets.iter().copied().map(Offset).collect()
}

pub(crate) fn key(key: &'static str) -> Key {
    Key::new(key).unwrap()
}

pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// It failed, and its key waits; due at once.
pub(crate) fn failed(attempt: u32) -> Fate {
    retry(attempt, now(), true)
}

pub(crate) fn failed_for_an_hour() -> Fate {
    retry(2, now() + Duration::from_hours(1), true)
}

pub(crate) fn retry(attempt: u32, due: SystemTime, parks: bool) -> Fate {
    let error = format!("the server said no to {attempt}");
    Fate::Retry { attempt, due, error, parks, is_suspect: false }
}

pub(crate) fn dead(error: &str) -> Fate {
    Fate::Dead { attempts: 8, reason: Reason::Attempts, error: error.to_owned() }
}
