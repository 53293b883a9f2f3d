//! River at work: the effect, and the job's completion, in one transaction.

use riverqueue::migrate::SqliteMigrator;
use riverqueue::{Client, Job, JobArgs, QueueConfig, WorkContext, WorkOutcome, Workers};
use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use std::time::Duration;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Result<T = ()> = std::result::Result<T, BoxError>;

const AT_ONCE: i64 = 1_000;
const WORKERS: usize = 100;
/// SQLite has one writer; each transaction that waits for it polls.
const CONNECTIONS: u32 = 4;
const COUNT: &str = "insert into author_counts (author_id, articles) values (?1, 1)
    on conflict (author_id) do update set articles = articles + 1";

#[derive(Clone, Debug, Deserialize, JobArgs, Serialize)]
#[river(kind = "written")]
struct Written {
    author_id: i64,
    text: String,
}

#[tokio::main]
async fn main() -> Result {
    let words = std::env::args().collect::<Vec<_>>();
    let words = words.iter().map(String::as_str).collect::<Vec<_>>();
    match words[1..] {
        ["fill-complete-tx", database, messages] => fill(database, messages.parse()?).await,
        ["complete-tx", database] => work(database).await,
        _ => Err("usage: fill-complete-tx DATABASE MESSAGES, or complete-tx DATABASE".into()),
    }
}

async fn open(database: &str) -> Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(database)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_secs(5));
    Ok(SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options).await?)
}

async fn fill(database: &str, messages: i64) -> Result {
    let pool = open(database).await?;
    SqliteMigrator::new(pool.clone()).migrate_up().await?;
    let client = Client::builder(pool.clone()).build()?;
    let mut done = 0;
    while done < messages {
        let some = done..messages.min(done + AT_ONCE);
        done = some.end;
        let some = some.map(|number| Written { author_id: number % 1_000, text: "x".repeat(33) });
        client.insert_many(some.collect::<Vec<_>>()).await?;
    }
    pool.close().await;
    Ok(())
}

/// Goes on until it is killed.
async fn work(database: &str) -> Result {
    let pool = open(database).await?;
    let mut workers = Workers::new();
    workers.add_fn(count)?;
    let fetch = QueueConfig::new(WORKERS).with_fetch_cooldown(Duration::from_millis(1));
    let client = Client::builder(pool).workers(workers).queue("default", fetch).build()?;
    client.start()?.wait().await?;
    Ok(())
}

async fn count(context: WorkContext, job: Job<Written>) -> Result<WorkOutcome> {
    let client = context.client().ok_or("jobs worked by a client have a client")?;
    let pool = client.database().as_sqlite().ok_or("it is SQLite")?.pool().clone();
    let mut tx = riverqueue::database::begin_sqlite_write(&pool).await?;
    sqlx::query(COUNT).bind(job.args.author_id).execute(&mut *tx).await?;
    context.job_complete_tx(&mut tx).await?;
    tx.commit().await?;
    Ok(WorkOutcome::Complete)
}
