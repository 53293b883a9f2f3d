//! A worker process on a queue: until its standard input closes.

use crate::messages::Written;
use crate::{Result, database};
use consign::sqlite::{Run, Tx};
use consign::{Delivery, HandlerResult, Order, Retry, State, Sum, queue};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// One for an author.
const COUNT: &str = "insert into author_counts (author_id, articles) values (?1, 1)
    on conflict (author_id) do update set articles = articles + 1";

/// How messages are handled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Form {
    /// `async fn(M, Tx)`: an upsert each, through sqlx.
    Tx(Fails),
    /// The same of a queue that tries nothing again and parks no key.
    TxOnce,
    /// `async fn(Vec<M>, Tx)` and `tx.run`: an upsert each, through rusqlite.
    Batch,
    /// `async fn(M)`: only counted, in memory.
    WithoutTx,
    /// A fold as a handler.
    Sum,
}

/// Which messages fail, after they have written.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Fails {
    None,
    /// Always those of this author.
    Author(i64),
    /// Out of a hundred so many, at their first attempt.
    Percent(u64),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct QueueWorker {
    pub(crate) database: PathBuf,
    pub(crate) form: Form,
}

#[derive(Clone, Debug)]
struct Handling {
    fails: Fails,
    calls: Arc<AtomicU64>,
}

impl QueueWorker {
    /// Answers how many messages its handler has seen.
    pub(crate) async fn run(self) -> Result<u64> {
        let consign = database::open(&self.database).await?;
        let fails = if let Form::Tx(fails) = self.form { fails } else { Fails::None };
        let calls = Arc::new(AtomicU64::new(0));
        let state = Handling { fails, calls: Arc::clone(&calls) };
        let workers = consign.workers().with_state(state);
        let soon = Retry::exponential(Duration::from_millis(10), Duration::from_millis(100));
        let running = match self.form {
            Form::Tx(_) => workers.subscribe(queue("queue", one).from_start().retry(soon)),
            Form::TxOnce => {
                let once = queue("queue", one).from_start().order(Order::Skip);
                workers.subscribe(once.retry(soon.max_attempts(1)))
            }
            Form::Batch => workers.subscribe(queue("queue", many).from_start()),
            Form::WithoutTx => workers.subscribe(queue("queue", counted).from_start()),
            Form::Sum => {
                let sum = Sum::into("author_counts", "author_id", "articles")
                    .by(|written: &Written| (written.author_id, 1));
                workers.subscribe(queue("queue", sum).from_start())
            }
        };
        let running = running.start().await?;
        let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
        running.shutdown().await?;
        Ok(calls.load(Ordering::Relaxed))
    }
}

async fn one(
    written: Written,
    mut tx: Tx,
    delivery: Delivery,
    State(handling): State<Handling>,
) -> HandlerResult {
    sqlx::query(COUNT).bind(written.author_id).execute(&mut *tx).await?;
    handling.calls.fetch_add(1, Ordering::Relaxed);
    let fails = match handling.fails {
        Fails::None => false,
        Fails::Author(author) => author == written.author_id,
        Fails::Percent(percent) => delivery.attempt == 1 && drawn(&delivery) < percent,
    };
    if fails { Err("it was to fail")? } else { Ok(()) }
}

/// A number below 100, the same for a message each time.
fn drawn(delivery: &Delivery) -> u64 {
    ((delivery.id.0.as_u128() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) % 100
}

async fn many(
    written: Vec<Written>,
    mut tx: Tx,
    State(handling): State<Handling>,
) -> HandlerResult {
    tx.run(|db| {
        let mut count = db.prepare_cached(COUNT)?;
        written.iter().try_for_each(|written| count.execute([written.author_id]).map(drop))
    })
    .await?;
    handling.calls.fetch_add(written.len() as u64, Ordering::Relaxed);
    Ok(())
}

async fn counted(_: Written, State(handling): State<Handling>) -> HandlerResult {
    handling.calls.fetch_add(1, Ordering::Relaxed);
    Ok(())
}
