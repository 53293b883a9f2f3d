//! What requests feel while 100,000 old rows are brought in: by a `Sum`, and by an index in pieces.

use crate::Result;
use crate::bench::Bench;
use crate::database::{self, number, verify};
use crate::figures::shared_commit::ARTICLE;
use crate::latencies::Latencies;
use crate::messages::{AUTHORS, Written};
use crate::open_loop::{self, Due};
use crate::part::{Part, Process};
use crate::record::{Goal, Record};
use consign::sqlite::{Consign, Tx};
use consign::{Backfill, Batch, HandlerResult, Projection, Resume, Sum, Upkeep, stream};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const OLD_ROWS: i64 = 100_000;
const RATE: f64 = 200.0;
const BODY: usize = 1_024;
const PIECE: i64 = 8;
const DONE_WITHIN: Duration = Duration::from_mins(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(crate) fn measure(bench: &Bench, record: &mut Record) -> Result {
    let database = filled(bench)?;
    let requests = Part::Asked(Asked { database: database.clone(), seconds: bench.seconds });
    let alone: Latencies = Process::start(&requests, None)?.answer()?;
    let filling = Process::start(&Part::Filling(Filling { database }), None)?;
    let beside: Latencies = Process::start(&requests, None)?.answer()?;
    let seconds: f64 = filling.answer()?;
    record.add("a request alone, p99", "ms", Goal::None, alone.p99());
    record.add("a request alone, the slowest", "ms", Goal::None, alone.slowest());
    record.add("beside the backfill, p99", "ms", Goal::None, beside.p99());
    record.add("beside the backfill, the slowest", "ms", Goal::None, beside.slowest());
    record.add("until all is counted and indexed", "s", Goal::None, seconds);
    Ok(())
}

fn filled(bench: &Bench) -> Result<PathBuf> {
    let path = bench.path("backfill.db");
    for tail in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{tail}", path.display()));
    }
    let db = database::by_hand(&path, "normal")?;
    db.execute_batch(database::TABLES)?;
    let fill = "insert into articles (author_id, body)
        with recursive n (i) as (select 1 union all select i + 1 from n where i < ?1)
        select i % ?2, hex(zeroblob(?3 / 2)) from n";
    db.execute(fill, (OLD_ROWS, AUTHORS, BODY as i64))?;
    Ok(path)
}

/// Requests that write and publish, 200 a second.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Asked {
    database: PathBuf,
    seconds: f64,
}

impl Asked {
    pub(crate) async fn run(self) -> Result<Latencies> {
        let consign = database::open(&self.database).await?;
        let runtime = tokio::runtime::Handle::current();
        let latencies = Arc::new(Mutex::new(Latencies::default()));
        let (all, seconds) = (Arc::clone(&latencies), self.seconds);
        let calls = move || {
            let answer = |(): &mut (), due: Due| {
                let done = runtime.block_on(runtime.spawn(request(consign.clone(), due)));
                done.expect("no panic").expect("a request is answered");
                all.lock().expect("no panic").add(due.at.elapsed());
            };
            open_loop::run(RATE, seconds, || (), answer);
        };
        tokio::task::spawn_blocking(calls).await?;
        let latencies = std::mem::take(&mut *latencies.lock().map_err(|_| "a request panicked")?);
        Ok(latencies)
    }
}

async fn request(consign: Consign, due: Due) -> Result {
    let author_id = due.number as i64 % AUTHORS;
    let mut tx = consign.begin().await?;
    sqlx::query(ARTICLE).bind(author_id).bind("x".repeat(BODY)).execute(&mut *tx).await?;
    tx.publish(&Written::of_bytes(due.number, 60)).await?;
    tx.commit().await?;
    Ok(())
}

/// A worker process that begins with a backfill of both kinds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Filling {
    database: PathBuf,
}

impl Filling {
    /// Answers how many seconds it took until all rows, old and new, were counted and indexed.
    pub(crate) async fn run(self) -> Result<f64> {
        let consign = database::open(&self.database).await?;
        let db = database::by_hand(&self.database, "normal")?;
        db.execute_batch(FOUND)?;
        let sum = Sum::into("author_counts", "author_id", "articles")
            .by(|written: &Written| (written.author_id, 1))
            .backfill("select author_id, count(*) from articles group by author_id");
        let started = Instant::now();
        let workers = consign.workers().subscribe(stream("counter", sum));
        let running = workers.subscribe(stream("index", Index).batch_max(32)).start().await?;
        while consign.subscriptions().await?.iter().any(|status| status.lag > 0) {
            if started.elapsed() > DONE_WITHIN {
                return Err("the backfill is not done".into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let seconds = started.elapsed().as_secs_f64();
        running.shutdown().await?;
        let stored = number(&db, "select count(*) from articles")?;
        verify("rows counted", number(&db, "select sum(articles) from author_counts")?, stored)?;
        Ok(seconds)
    }
}

/// Reads the rows as they are now.
struct Index;

/// As the blog has it: merges are made in upkeep, not inside a commit.
const FOUND: &str = "create virtual table if not exists found using fts5(body);
    insert into found (found, rank) values ('automerge', 0), ('crisismerge', 1000)";
const MERGE: &str = "insert into found (found, rank) values ('merge', 16)";

const INDEX: &str = "insert into found (rowid, body)
    select id, body from articles where id > ?1 order by id limit ?2";

impl Projection<Tx> for Index {
    type Event = Written;

    async fn apply(&self, _: Batch<Written>, mut tx: Tx) -> HandlerResult {
        let last = "select coalesce(max(rowid), 0) from found";
        let last: i64 = sqlx::query_scalar(last).fetch_one(&mut *tx).await?;
        sqlx::query(INDEX).bind(last).bind(i64::MAX).execute(&mut *tx).await?;
        Ok(())
    }

    async fn reset(&self, mut tx: Tx) -> HandlerResult {
        sqlx::query("delete from found").execute(&mut *tx).await?;
        Ok(())
    }

    async fn backfill(&self, from: Option<Resume>, mut tx: Tx) -> HandlerResult<Backfill> {
        let last = from.map_or(Ok(0), |resume| resume.parse::<i64>())?;
        let added = sqlx::query(INDEX).bind(last).bind(PIECE).execute(&mut *tx).await?;
        let next: i64 =
            sqlx::query_scalar("select max(rowid) from found").fetch_one(&mut *tx).await?;
        let is_last = added.rows_affected() < PIECE.unsigned_abs();
        Ok(if is_last { Backfill::Done } else { Backfill::More(Resume::at(next)) })
    }

    async fn upkeep(&self, mut tx: Tx) -> HandlerResult<Upkeep> {
        let changes = "select total_changes()";
        let before: i64 = sqlx::query_scalar(changes).fetch_one(&mut *tx).await?;
        sqlx::query(MERGE).execute(&mut *tx).await?;
        let after: i64 = sqlx::query_scalar(changes).fetch_one(&mut *tx).await?;
        Ok(if after - before < 2 { Upkeep::Done } else { Upkeep::More })
    }
}
