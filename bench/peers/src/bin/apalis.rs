//! apalis at work: it acknowledges by itself, in a transaction of its own, after the effect's.

use apalis::prelude::*;
use apalis_sqlite::{Config, SqliteStorage};
use futures::stream;
use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use std::time::Duration;

type Result<T = ()> = std::result::Result<T, BoxDynError>;

/// Jobs of a fetch.
const BATCH: usize = 100;
const WORKERS: usize = 16;
const CONNECTIONS: u32 = 4;
const COUNT: &str = "insert into author_counts (author_id, articles) values (?1, 1)
    on conflict (author_id) do update set articles = articles + 1";

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Written {
    author_id: i64,
    text: String,
}

#[tokio::main]
async fn main() -> Result {
    let words = std::env::args().collect::<Vec<_>>();
    let words = words.iter().map(String::as_str).collect::<Vec<_>>();
    match words[1..] {
        ["fill-acks-apart", database, messages] => fill(database, messages.parse()?).await,
        ["acks-apart", database] => work(database).await,
        _ => Err("usage: fill-acks-apart DATABASE MESSAGES, or acks-apart DATABASE".into()),
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
    SqliteStorage::setup(&pool).await?;
    let written = |number| Written { author_id: number % 1_000, text: "x".repeat(33) };
    let mut all =
        stream::iter((0..messages).map(|number| TaskBuilder::new(written(number)).build()));
    storage(&pool).push_all(&mut all).await?;
    pool.close().await;
    Ok(())
}

fn storage(pool: &SqlitePool) -> SqliteStorage<Written> {
    SqliteStorage::new(pool).with_config(Config::default().batch_size(BATCH))
}

/// Goes on until it is killed.
async fn work(database: &str) -> Result {
    let pool = open(database).await?;
    let storage = storage(&pool).poll_with_interval(Duration::from_millis(5));
    let worker = WorkerBuilder::new("worker-1").backend(storage).data(pool).concurrency(WORKERS);
    worker.build(count).run().await?;
    Ok(())
}

async fn count(written: Written, pool: Data<SqlitePool>) -> Result {
    sqlx::query(COUNT).bind(written.author_id).execute(&*pool).await?;
    Ok(())
}
